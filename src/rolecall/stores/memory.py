"""A store in the memory of one process, and the locks that threads share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import NoReturn

from ..credentials import Credentials
from ..fork import tell_after_fork
from .entry import storable


class ThreadLocks:
    """One lock for each key, among the threads of this process."""

    __slots__ = ("__weakref__", "_locks")

    def __init__(self) -> None:
        self._locks: dict[str, threading.Lock] = {}
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Forget the locks: whoever held one is not in this process."""
        self._locks = {}

    @contextmanager
    def lock(self, key: str, timeout: timedelta) -> Iterator[bool]:
        """Hold the lock of *key*, or go on without it after *timeout*; yield which."""
        lock = self._locks.setdefault(key, threading.Lock())  # atomic
        seconds = min(max(timeout.total_seconds(), 0.0), threading.TIMEOUT_MAX)
        held = lock.acquire(timeout=seconds)
        try:
            yield held
        finally:
            if held:
                lock.release()


class MemoryStore:
    """A `Store` for the threads and sessions of this process."""

    __slots__ = ("__weakref__", "_entries", "_locks")

    def __init__(self) -> None:
        self._entries: dict[str, Credentials] = {}  # each use below is one atomic operation
        self._locks = ThreadLocks()

    def __repr__(self) -> str:
        return f"MemoryStore({len(self._entries)} entries)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a MemoryStore holds secrets and does not pickle")

    def get(self, key: str) -> Credentials | None:
        """Return what is stored under *key*."""
        return self._entries.get(key)

    def put(self, key: str, credentials: Credentials) -> None:
        """Keep *credentials* under *key*, unless they are long-term keys."""
        if storable(credentials):
            self._entries[key] = credentials

    def delete(self, key: str) -> None:
        """Forget what is stored under *key*, if anything is."""
        self._entries.pop(key, None)

    def lock(self, key: str, timeout: timedelta) -> AbstractContextManager[bool]:
        """Hold the lock of *key* among threads, or go on without it after *timeout*."""
        return self._locks.lock(key, timeout)
