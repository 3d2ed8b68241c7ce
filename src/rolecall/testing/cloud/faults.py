"""What goes wrong on purpose: refusals, latency, held requests and broken connections."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta

from ...clock import Clock
from ..gate import Gate
from .answers import Answer
from .request import Request


class Dropped(ConnectionResetError):
    """The connection is closed without an answer."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "closed without an answer")


@dataclass(slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong with the requests it matches.

    Attributes:
        operation: ``AssumeRole``, ``sts:AssumeRole``, ``sts:*`` or ``*``.
        act: Returns the answer to give; None: go on.
        end: Lets go of the requests that *act* holds.
        times_left: How many requests it still befalls. None: all.
    """

    operation: str
    act: Callable[[Request], Answer | None]
    end: Callable[[], object] = field(default=lambda: None)
    times_left: int | None = None

    def matches(self, request: Request) -> bool:
        """Return whether it befalls *request*."""
        operation, service = request.operation, request.service
        return self.operation in ("*", operation, f"{service}:*", f"{service}:{operation}")


class Faults:
    """The faults in force; each request meets those that match it, in the order they were added."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # guards the two below
        self._faults: list[Fault] = []
        self._gone = False

    def add(self, fault: Fault) -> None:
        """Put *fault* in force."""
        with self._lock:
            self._faults.append(fault)

    def hold(self, operation: str) -> Gate:
        """Hold requests at the gate that is returned, until it is opened."""
        gate = Gate()

        def act(_: Request) -> None:
            gate.pass_through()

        self.add(Fault(operation=operation, act=act, end=gate.open))
        return gate

    def delay(self, operation: str, by: timedelta) -> None:
        """Make requests wait *by* on the cloud's clock."""
        over: Future[None] = Future()

        def act(_: Request) -> None:
            self._clock.wait(over, by.total_seconds())

        def end() -> None:
            if not over.done():
                over.set_result(None)

        self.add(Fault(operation=operation, act=act, end=end))

    def recover(self) -> None:
        """End every fault; requests that are held go on."""
        with self._lock:
            ended, self._faults = self._faults, []
        for fault in ended:
            fault.end()

    def vanish(self) -> None:
        """Drop the requests that are held, and those to come until `reappear`; end no fault."""
        with self._lock:
            self._gone = True
            held = list(self._faults)
        for fault in held:
            fault.end()

    def reappear(self) -> None:
        """Answer again."""
        with self._lock:
            self._gone = False

    def meet(self, request: Request) -> Answer | None:
        """Let *request* meet its faults; return the answer one of them gives.

        Raises:
            Dropped: it gets no answer.
        """
        for fault in self._befalling(request):
            answer = fault.act(request)
            if self._gone:
                raise Dropped
            if answer is not None:
                return answer
        return None

    def _befalling(self, request: Request) -> list[Fault]:
        with self._lock:
            found = [
                fault for fault in self._faults if fault.matches(request) and fault.times_left != 0
            ]
            for fault in found:
                if fault.times_left is not None:
                    fault.times_left -= 1
            return found
