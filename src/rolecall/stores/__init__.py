"""Stores: one session for many threads, processes and machines."""

from __future__ import annotations

from .file import FileStore, JSONFileCache
from .key import cache_key
from .mapping import MappingLike, MappingStore
from .memory import MemoryStore
from .store import FRESH_FOR, LOCK_TIMEOUT, Store, Stored, as_store

__all__ = [
    "FRESH_FOR",
    "LOCK_TIMEOUT",
    "FileStore",
    "JSONFileCache",
    "MappingLike",
    "MappingStore",
    "MemoryStore",
    "Store",
    "Stored",
    "as_store",
    "cache_key",
]
