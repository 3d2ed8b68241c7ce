"""Stores: one session for many threads, processes and machines."""

from __future__ import annotations

from .aws_cli import AwsCliStore
from .choice import open_store
from .file import FileStore, JSONFileCache
from .key import cache_key
from .keyring import KeyringStore
from .mapping import MappingLike, MappingStore
from .memory import MemoryStore
from .redis import RedisStore
from .store import FRESH_FOR, LOCK_TIMEOUT, Store, Stored, as_store

__all__ = [
    "FRESH_FOR",
    "LOCK_TIMEOUT",
    "AwsCliStore",
    "FileStore",
    "JSONFileCache",
    "KeyringStore",
    "MappingLike",
    "MappingStore",
    "MemoryStore",
    "RedisStore",
    "Store",
    "Stored",
    "as_store",
    "cache_key",
    "open_store",
]
