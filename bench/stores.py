"""Where each library keeps its sessions. Runs in the process that is measured, and in its own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from .benchmark import (
    AARL_CACHE,
    BOTOCORE_CACHE,
    ROLECALL_FILE,
    ROLECALL_MEMORY,
    ROLECALL_REDIS,
    Ask,
    library_of,
)
from .libraries import MODULES

#: What processes need to know to share a store. JSON-able.
Place = Mapping[str, str]


def new_place(column: str, ask: Ask) -> Place:
    """Return where *column* shall keep sessions; there are none yet."""
    if column == ROLECALL_REDIS:
        from rolecall.stores import RedisStore

        return {"url": ask("redis"), "encryption_key": RedisStore.generate_key()}
    return {"folder": str(Path.home() / "sessions")}


def open_cache(column: str, place: Place) -> Any:
    """Return the store of *column* at *place*, as its library takes it as ``cache``."""
    if column == ROLECALL_MEMORY:
        from rolecall.stores import MemoryStore

        return MemoryStore()
    if column == ROLECALL_FILE:
        from rolecall.stores import FileStore

        return FileStore(place["folder"])
    if column == ROLECALL_REDIS:
        from rolecall.stores import RedisStore

        return RedisStore(place["url"], encryption_key=place["encryption_key"])
    if column == AARL_CACHE:
        return import_module(MODULES[library_of(column)]).JSONFileCache(place["folder"])
    assert column == BOTOCORE_CACHE
    from botocore.utils import JSONFileCache

    return JSONFileCache(place["folder"])
