"""A clock that can be set ahead: hours of rotations in seconds, for every library alike."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rolecall.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from .benchmark import Ask


class LeapingClock:
    """The system's clock, ahead by what it was told to leap in all. A `rolecall` clock."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def boottime(self) -> float:
        """Return seconds since boot, and what was leapt."""
        return float(SYSTEM_CLOCK.boottime()) + self.ahead

    def time(self) -> float:
        """Return seconds since the epoch, and what was leapt."""
        return float(SYSTEM_CLOCK.time()) + self.ahead

    def wait(self, future: Future[Any], timeout: float | None) -> bool:
        """Wait in real time."""
        return SYSTEM_CLOCK.wait(future, timeout)

    def leap(self, seconds: float) -> None:
        """Go ahead by *seconds* more."""
        self.ahead += seconds


def clock_of_all(ask: Ask) -> tuple[LeapingClock, Callable[[float], None]]:
    """Return a clock for rolecall, and what lets it, botocore and AWS leap ahead together.

    botocore's credentials, and so those of every peer, take no clock. Their function that reads
    the time is a default argument in many places, so what it does is exchanged, not the function.
    """
    clock = LeapingClock()

    def leap(seconds: float) -> None:
        ask("leap", seconds)
        clock.leap(seconds)

    import botocore.credentials

    def now() -> Any:
        return datetime.datetime.now(tzlocal()) + bench_ahead()  # type: ignore[name-defined] # noqa: F821 - botocore's

    botocore.credentials.bench_ahead = lambda: timedelta(seconds=clock.ahead)  # type: ignore[attr-defined]
    botocore.credentials._local_now.__code__ = now.__code__  # type: ignore[attr-defined]
    return clock, leap
