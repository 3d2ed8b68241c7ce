"""Tell objects that hold locks, threads or sockets that they now live in a forked child."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakSet


class ForkAware(Protocol):
    """Something that a fork leaves with another process's lock, thread or connection."""

    def after_fork(self) -> None:
        """Forget what belongs to the parent; called in the child before any other thread runs."""
        ...


_aware: WeakSet[ForkAware] = WeakSet()


def tell_after_fork(this: ForkAware) -> None:
    """Call ``this.after_fork()`` in every forked child, for as long as *this* lives."""
    _aware.add(this)


class ForkSafeLock:
    """A lock that is free in a forked child, whichever thread of the parent held it."""

    __slots__ = ("__weakref__", "_held", "_lock", "_make")

    def __init__(self, make: Callable[[], Any] = threading.Lock) -> None:
        self._make = make
        self._lock = self._held = make()
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Forget the parent's lock; a `with` block that this thread is in still ends well."""
        self._lock = self._make()

    def __enter__(self) -> None:
        lock = self._lock
        lock.acquire()
        self._held = lock

    def __exit__(self, *_: object) -> None:
        self._held.release()


def _in_child() -> None:
    for one in list(_aware):
        one.after_fork()


# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
