"""What wakes the driver's thread."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue

from ...clock import Clock, SystemClock


class Bell:
    """Wakes the thread that waits for it; who rings may be interrupted at any point."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Not a future, in which a Ctrl-C can leave a lock behind; but a clock of somebody's own
        # knows how to wait for nothing else.
        self._rings: SimpleQueue[None] = SimpleQueue()
        self._future: Future[None] | None = None if type(clock) is SystemClock else Future()

    def ring(self) -> None:
        """Wake whoever waits now, or next."""
        if self._future is None:
            self._rings.put(None)
        elif not self._future.done():
            self._future.set_result(None)

    def hush(self) -> None:
        """Forget that it rang."""
        if self._future is not None:
            self._future = Future() if self._future.done() else self._future
        while not self._rings.empty():
            self._rings.get_nowait()

    def wait(self, seconds: float) -> None:
        """Wait until it rings, if it has not since it was hushed, at most so many seconds."""
        if self._future is not None:
            self._clock.wait(self._future, seconds)
            return
        with suppress(Empty):
            self._rings.get(timeout=seconds)
            self._rings.put(None)  # it stays rung
