"""A clock that stands still until a test moves it."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from datetime import datetime, timedelta, timezone
from typing import Any

#: Where a `FakeClock` starts: any instant would do, this one is easy to recognise in a log.
START = datetime(2030, 1, 1, tzinfo=timezone.utc)

#: No test waits longer than this of real time; then it fails instead of hanging.
PATIENCE_SECONDS = 20.0


class FakeClock:
    """A `Clock` whose two hands a test moves: `tick` both, `jump` the wall clock alone.

    A wait ends when its future is done or when the test has ticked past its deadline; real time
    passes for nobody. A wait that neither ends fails after 20 s of real time.
    """

    def __init__(self, start: datetime = START) -> None:
        self._changed = threading.Condition()
        self._boot = 1000.0
        self._wall = start.timestamp()
        self._waiting = 0

    def __repr__(self) -> str:
        return f"FakeClock({self.now.isoformat()})"

    def boottime(self) -> float:
        """Return seconds since a made-up boot."""
        return self._boot

    def time(self) -> float:
        """Return wall-clock seconds since the epoch."""
        return self._wall

    @property
    def now(self) -> datetime:
        """The wall clock as an aware UTC datetime."""
        return datetime.fromtimestamp(self._wall, timezone.utc)

    def tick(self, by: timedelta | float = 0.0, **duration: float) -> None:
        """Let time pass on both clocks: ``tick(5)``, ``tick(minutes=46)`` or a timedelta."""
        self._move(_seconds(by, duration), boot=True)

    def jump(self, by: timedelta | float = 0.0, **duration: float) -> None:
        """Set the wall clock forward or (negative) back, as an administrator or NTP does.

        Also what a frozen sandbox sees after it thaws: the wall clock moved, its own did not.
        """
        self._move(_seconds(by, duration), boot=False)

    def _move(self, seconds: float, *, boot: bool) -> None:
        if boot and seconds < 0:
            raise ValueError(f"time does not run back: {seconds} s; use jump() for the wall clock")
        with self._changed:
            self._wall += seconds
            if boot:
                self._boot += seconds
            self._changed.notify_all()

    def wait(self, future: Future[Any], timeout: float | None) -> bool:
        """Wait until *future* is done or a test has ticked *timeout* seconds away."""
        future.add_done_callback(self._wake)
        with self._changed:
            deadline = None if timeout is None else self._boot + timeout
            self._waiting += 1
            self._changed.notify_all()
            try:
                ended = self._changed.wait_for(
                    lambda: future.done() or (deadline is not None and self._boot >= deadline),
                    PATIENCE_SECONDS,
                )
            finally:
                self._waiting -= 1
        if not ended:
            raise AssertionError(
                f"waited {PATIENCE_SECONDS:g} s of real time: the future is not done and nobody "
                "ticked the clock"
            )
        return future.done()

    def _wake(self, _: Future[Any]) -> None:
        with self._changed:
            self._changed.notify_all()

    def wait_for_waiters(self, count: int = 1) -> None:
        """Return once *count* threads wait on this clock; fail after 20 s of real time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting >= count, PATIENCE_SECONDS):
                raise AssertionError(f"{self._waiting} threads wait on the clock, not {count}")


def _seconds(by: timedelta | float, duration: dict[str, float]) -> float:
    whole = by if isinstance(by, timedelta) else timedelta(seconds=by)
    return (whole + timedelta(**duration)).total_seconds()
