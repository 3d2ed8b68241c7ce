"""The clocks everything else is handed: what time it is, and how to wait.

This module and the borders are the only places that may ask the operating system.
Instants are float seconds here, because a signature reads two of them in its hot path.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, ClassVar, Protocol


class Clock(Protocol):
    """Two clocks and a way to wait, so that a test can own time."""

    def boottime(self) -> float:
        """Return seconds on a clock that never goes back and counts a suspended machine."""
        ...

    def time(self) -> float:
        """Return wall-clock seconds since the epoch; it may jump either way."""
        ...

    def wait(self, future: Future[Any], timeout: float | None) -> bool:
        """Wait until *future* is done or *timeout* seconds have passed; True if it is done."""
        ...


def _boottime_reader() -> Callable[[], float]:
    # CLOCK_BOOTTIME counts suspended time (Linux). macOS counts it in CLOCK_MONOTONIC_RAW's
    # sibling mach_continuous_time, which Python does not offer; there the wall clock, which
    # is read beside this one, notices a suspend. Windows' monotonic counts it.
    number = getattr(time, "CLOCK_BOOTTIME", None)
    if number is None:
        return time.monotonic
    try:
        time.clock_gettime(number)
    except OSError:
        return time.monotonic
    read = time.clock_gettime
    return lambda: read(number)


class SystemClock:
    """The machine's own clocks."""

    __slots__ = ()

    boottime: ClassVar[staticmethod[[], float]] = staticmethod(_boottime_reader())
    time: ClassVar[staticmethod[[], float]] = staticmethod(time.time)

    def wait(self, future: Future[Any], timeout: float | None) -> bool:
        """Wait until *future* is done or *timeout* seconds have passed; True if it is done."""
        return bool(wait([future], timeout).done)

    def __repr__(self) -> str:
        return "SYSTEM_CLOCK"


SYSTEM_CLOCK = SystemClock()
