"""Tell objects that hold locks, threads or sockets that they now live in a forked child."""

from __future__ import annotations

import os
from typing import Protocol
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


def _in_child() -> None:
    for one in list(_aware):
        one.after_fork()


# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
