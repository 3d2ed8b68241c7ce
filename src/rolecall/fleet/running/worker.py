"""What workers of an executor are given to do, and what they tell of it."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from typing import Any

from ...clock import SYSTEM_CLOCK, Clock
from ...fork import ForkSafeLock
from ...refresh import RefreshPolicy
from ...sessions.origins import surroundings
from ...sessions.pickling import Latest
from ...sessions.recipe import Recipe
from ..errands import Errand
from ..results.outcomes import Failure, Outcome
from ..results.tally import Stop, Tally
from ..targets import Target
from .crew import Crew
from .opening import Opener
from .orders import OrdersFile
from .pacing import Pace
from .tasks import Limits
from .travel import packed_bytes, unpacked
from .work import Work

#: So many runs' sessions are kept by a worker process.
_MOST_RUNS = 4

_PLAIN = "return plain data: what was found, not the session or client that found it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Travelling:
    """All of a run that its chunks have in common, as it is sent to a worker.

    Attributes:
        base: A function and its arguments, that make the session the roles are assumed by.
        rate: STS calls a second that one chunk may make. None: no limit.
    """

    base: tuple[Any, ...]
    work: Work | None
    limits: Limits
    policy: RefreshPolicy
    sts_client_kwargs: dict[str, Any]
    openings: dict[str, Any]
    store: Any
    rate: float | None

    def opener(self) -> Opener:
        """Return what opens sessions here."""
        make, arguments = self.base
        recipe = Recipe(
            policy=self.policy,
            sts_client_kwargs=self.sts_client_kwargs,
            cache=self.store,
            pace=Pace(self.rate),
        )
        return Opener(make(*arguments), recipe=recipe, openings=self.openings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one chunk has of what the run may.

    Attributes:
        tolerance: How many of its targets may fail before it stops. None: any number.
        until: When nothing more is to be started, in seconds since the epoch. None: no end.
        chunk: Like no other's, of no other run: some executors do what they take for the same only
            once. [distributed, Client.submit, pure]
        orders: A file that says when to stop, for workers on the same machine; elsewhere there is
            no such file.
    """

    tolerance: int | None
    until: float | None
    chunk: str
    orders: str

    def deadline(self, clock: Clock) -> float | None:
        """Return when nothing more is to be started, on *clock*'s boottime."""
        if self.until is None:
            return None
        return clock.boottime() + max(0.0, self.until - clock.time())


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of a chunk.

    Attributes:
        outcomes: Each with its value apart, as bytes.
        found: Regions that were found enabled, by account id.
    """

    outcomes: Sequence[tuple[Outcome, bytes]]
    not_run: tuple[Target, ...]
    stopped: Stop | None
    found: dict[str, tuple[str, ...]]


_opened: Latest = Latest(_MOST_RUNS)
# Held while one is opened: a worker may run several chunks at once, in threads.
_opening: ForkSafeLock = ForkSafeLock()


def run_chunk(sent: bytes, errands: Sequence[Errand], share: Share) -> Report:
    """Run *errands* in this process; what the workers of an executor are given to do."""
    # By the process, too: a forked one must not have its parent's connections.
    # And by where it is: the credentials in its files may have changed since.
    environ = os.environ  # noqa: TID251 - border
    key = (os.getpid(), hashlib.sha256(sent).hexdigest(), surroundings(environ))
    if multiprocessing.parent_process() is not None:
        ignore_interrupts()
    with _opening:
        found = _opened.get(key)
        if found is None:
            common: Travelling = unpacked(sent)
            found = common, common.opener()
            _opened.put(key, found)
    travelling, opener = found
    orders = OrdersFile(share.orders)
    crew = Crew(
        errands,
        travelling.work,
        opener,
        travelling.limits,
        clock=SYSTEM_CLOCK,
        tally=Tally(share.tolerance),
        deadline=share.deadline(SYSTEM_CLOCK),
        orders=orders.given,
    )
    crew.start()
    outcomes: list[tuple[Outcome, bytes]] = []
    while True:
        try:
            for outcome in crew.stream():
                if crew.stopped == "tolerance":
                    orders.give("stop")  # to all the others, which cannot know
                outcomes.append(_value_apart(outcome))
            break
        except KeyboardInterrupt:  # the terminal's, which reaches this process as well
            crew.stop("interrupted")
    if crew.killed:  # and with it what opens sessions: another run is to have its own
        _opened.put(key, None)
    return Report(outcomes=outcomes, not_run=crew.not_run, stopped=crew.stopped, found=crew.found)


def ignore_interrupts() -> None:
    """Have this process leave Ctrl-C to the one that started it.

    To be the ``initializer`` of a `concurrent.futures.ProcessPoolExecutor`: a terminal's Ctrl-C
    goes to its workers as well, one that is idle dies of it, and the pool then ends all others in
    the middle of what they do.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _value_apart(outcome: Outcome) -> tuple[Outcome, bytes]:
    try:
        value = packed_bytes(outcome.value, "the value", _PLAIN)
    except Exception as error:  # what cannot be sent back, is this target's failure only
        failure = Failure(kind="executor", type=type(error).__name__, code=None, message=str(error))
        return replace(outcome, value=None, error=failure), b""
    return replace(outcome, value=None), value


class Here:
    """Runs chunks in an executor's threads in this process, with what is here already."""

    def __init__(self, opener: Opener, work: Work, limits: Limits, clock: Clock) -> None:
        self._opener = opener
        self._work = work
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()  # guards the two below
        self._crews: set[Crew] = set()
        self._stopped: Stop | None = None

    def run(self, errands: Sequence[Errand], share: Share) -> Report:
        """Run *errands*."""
        crew = Crew(
            errands,
            self._work,
            self._opener,
            self._limits,
            clock=self._clock,
            tally=Tally(share.tolerance),
            deadline=share.deadline(self._clock),
        )
        with self._lock:
            self._crews.add(crew)
            if self._stopped is not None:
                crew.stop(self._stopped)
        crew.start()
        outcomes = [(outcome, b"") for outcome in crew.stream()]
        with self._lock:
            self._crews.discard(crew)
        return Report(
            outcomes=outcomes, not_run=crew.not_run, stopped=crew.stopped, found=crew.found
        )

    def stop(self, why: Stop) -> None:
        """Start nothing more."""
        with self._lock:
            self._stopped = why
            for crew in self._crews:
                crew.stop(why)

    def kill(self) -> None:
        """Start nothing more, and give up what runs."""
        with self._lock:
            self._stopped = self._stopped or "interrupted"
            for crew in self._crews:
                crew.kill()


def sender(
    executor: Executor, run: Callable[..., Report], *first: Any
) -> Callable[[tuple[Errand, ...], Share], Future[Report]]:
    """Return what has *executor* call *run* with *first*, a chunk and its share."""
    return lambda errands, share: executor.submit(run, *first, errands, share)
