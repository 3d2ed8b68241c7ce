"""A gate that holds threads until a test lets them pass."""

from __future__ import annotations

import threading

from .clock import PATIENCE_SECONDS


class Gate:
    """Hold whoever comes until `open`; a test orders threads with it instead of sleeping.

    Every wait ends with a failure after 20 s of real time, so a broken test does not hang.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._arrived = 0
        self._open = False

    @property
    def arrived(self) -> int:
        """How many have come to the gate so far."""
        return self._arrived

    @property
    def is_open(self) -> bool:
        """Whether those who come may pass."""
        return self._open

    def pass_through(self) -> None:
        """Come to the gate and wait until it is open."""
        with self._changed:
            self._arrived += 1
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._open, PATIENCE_SECONDS):
                raise AssertionError("the gate was never opened")

    __call__ = pass_through

    def wait_for_arrival(self, count: int = 1, timeout: float = PATIENCE_SECONDS) -> None:
        """Return once *count* have come to the gate."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._arrived >= count, timeout):
                raise AssertionError(f"{self._arrived} came to the gate, not {count}")

    def open(self) -> None:
        """Let all pass, those who wait and those to come."""
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self.open()
