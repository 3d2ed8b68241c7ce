"""Ctrl-C and other signals during a run: once, nothing more is started; again, all is ended."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log: logging.Logger = logging.getLogger("rolecall")

#: After the signal that kills, so long for what is to be written still.
LEAVE_SECONDS = 2.0

#: Ends the reading of numbers: no signal has this one.
_OVER = b"\0"
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Interruptions:
    """What signals have asked for so far.

    Args:
        stop: Called at the first interrupt, from a thread of its own, as the others.
        end: Called at the second, or at a SIGTERM or SIGHUP.
        kill: Called at each one after that.
    """

    def __init__(
        self, *, stop: Callable[[], None], end: Callable[[], None], kill: Callable[[], None]
    ) -> None:
        self._steps = (stop, end, kill)
        self._step = 0
        self._leaving: threading.Timer | None = None
        #: Exit code, 128 and the first signal's number. None: there was none.
        self.code: int | None = None

    @property
    def is_over(self) -> bool:
        """Whether what runs is to end as well."""
        return self._step > 1

    def leave_soon(self) -> None:
        """End this process in a moment, unless all has ended: it may wait for whoever reads it."""
        if self._leaving is None:
            self._leaving = threading.Timer(LEAVE_SECONDS, self._leave)
            self._leaving.daemon = True
            self._leaving.start()

    def _leave(self) -> None:
        os._exit(self.code or 128 + signal.SIGTERM)

    def stay(self) -> None:
        """Take `leave_soon` back."""
        if self._leaving is not None:
            self._leaving.cancel()

    def take(self, number: int) -> None:
        """Do what one more signal asks for."""
        if self.code is None or number != signal.SIGINT:
            self.code = 128 + number
        self._step = min(2, max(self._step, 0 if number == signal.SIGINT else 1))
        do = self._steps[self._step]
        self._step += 1
        do()


@contextmanager
def taken(interruptions: Interruptions) -> Iterator[None]:
    """Have *interruptions* take the signals that come inside ``with``."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only there a signal can be taken
        return
    kinds = {getattr(signal, name) for name in _NAMES if hasattr(signal, name)}
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def take() -> None:
        while _OVER not in (numbers := os.read(reader, 64)):
            for number in numbers:
                if number in kinds:
                    try:
                        interruptions.take(number)
                    except Exception:  # the next signal is to be taken all the same
                        log.exception("a signal could not be heeded")

    def note(number: int, _: object) -> None:
        """Do nothing: it has been written to the pipe already."""

    thread = threading.Thread(target=take, name="rolecall-each-signals")
    before = {kind: signal.getsignal(kind) for kind in kinds}
    # By a pipe, not by handlers alone: Python runs those in the main thread, which does not notice
    # a signal that comes in the moment before it begins to wait for a lock.
    pipe = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread.start()
    try:
        for kind, handler in before.items():
            if handler is not signal.SIG_IGN:  # as under nohup
                signal.signal(kind, note)
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
        signal.set_wakeup_fd(pipe)
        os.write(writer, _OVER)
        # The run is not over before what was asked for is done.
        thread.join()
        os.close(reader)
        os.close(writer)
