"""Running a fleet on any `concurrent.futures.Executor`: chunks of accounts, each on its threads.

A call to AWS is mostly waiting, so a worker process with one target at a time would be idle. It is
sent some accounts at once, and runs them on threads of its own.
"""

from __future__ import annotations

import atexit
import hashlib
import math
import multiprocessing
import os
import signal
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from ..clock import SYSTEM_CLOCK, Clock
from ..fork import ForkSafeLock
from ..refresh import RefreshPolicy
from ..sessions.origins import surroundings
from ..sessions.pickling import Latest
from ..sessions.recipe import Recipe
from ..sources.quote import quote
from .crew import Crew, Limits
from .driver import Driver
from .errands import Errand
from .failures import failure_of
from .journal import Journal
from .opening import Opener
from .orders import OrdersFile
from .outcomes import Failure, Kind, Outcome
from .pacing import Pace
from .tally import Stop, Tally
from .targets import Target
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


def _value_back(outcome: Outcome, value: bytes) -> Outcome:
    try:
        return replace(outcome, value=unpacked(value))
    except Exception as error:  # its class is not to be had here, or does not take its own state
        message = f"the value cannot be read here: {quote(error).text}"
        failure = Failure(kind="executor", type=type(error).__name__, code=None, message=message)
        return replace(outcome, error=failure)


class Convoy(Driver):
    """Sends chunks of errands to an executor, never more at once than are to run.

    Args:
        submit: Sends a chunk: (errands, share) → the future of its `Report`.
        width: Targets in one chunk, at most, unless one account has more.
        at_once: Chunks that are out, at most.
        rate: Accounts a second that are sent, at most. None: any number.
        recalls: Whether the executor's futures tell the truth when they are cancelled. Those of
            some say that they were, while the work goes on.
        here: What runs in this process itself. None: nothing does.
    """

    def __init__(
        self,
        errands: Iterable[Errand],
        submit: Callable[[tuple[Errand, ...], Share], Future[Report]],
        *,
        width: int,
        at_once: int,
        clock: Clock,
        tally: Tally,
        rate: float | None = None,
        recalls: bool = False,
        here: Here | None = None,
        journal: Journal | None = None,
        deadline: float | None = None,
    ) -> None:
        super().__init__(
            clock=clock, tally=tally, journal=journal, room=2 * width * at_once, deadline=deadline
        )
        self._submit = submit
        self._width = width
        self._at_once = at_once
        self._errands = deque(errands)
        self._left_out: list[Target] = []
        self._out: dict[Future[Report], tuple[Errand, ...]] = {}
        self._sent_at: dict[Future[Report], float] = {}
        self._rate = rate
        self._next_send = -math.inf
        self._recalls = recalls
        self._recalled = False
        self._here = here
        self._id = uuid.uuid4().hex
        self._orders_file: OrdersFile | None = None
        self._sent = 0

    def has_more(self) -> bool:
        """Whether something is left to send."""
        return bool(self._errands)

    def is_idle(self) -> bool:
        """Whether nothing is out."""
        return not self._out

    def start_one(self, now: float) -> bool:
        """Send one chunk: whole accounts, for an account's role is assumed by one process."""
        if len(self._out) >= self._at_once or not self._errands or now < self._next_send:
            return False
        chunk = [self._errands.popleft()]
        width = self._size(chunk[0])
        while self._errands and width + self._size(self._errands[0]) <= self._width:
            chunk.append(self._errands.popleft())
            width += self._size(chunk[-1])
        left = self.deadline - now
        self._sent += 1
        share = Share(
            tolerance=self.tally.left,
            until=None if left == math.inf else self.clock.time() + left,
            chunk=f"{self._id}-{self._sent}",
            orders=self._orders_place().path,
        )
        try:
            future = self._submit(tuple(chunk), share)
        except Exception as error:  # it is broken, shut down, or cannot pickle what it is given
            self._errands.extendleft(reversed(chunk))
            self.stop("executor")
            if not isinstance(error, BrokenExecutor):
                self.fail(error)
            return False
        self._out[future] = tuple(chunk)
        self._sent_at[future] = now
        if self._rate is not None:
            # Here, for how many processes there are to share the pace, nobody knows.
            self._next_send = max(now, self._next_send) + len(chunk) / self._rate
        future.add_done_callback(self.post)
        return True

    def _size(self, errand: Errand) -> int:
        # One that has yet to ask for its regions goes alone: nobody knows how many there are.
        return self._width if errand.asks else len(errand.targets())

    def next_instant(self) -> float:
        """Return when the next chunk may be sent."""
        sends = self._errands and self.stopped is None and len(self._out) < self._at_once
        return self._next_send if sends else math.inf

    def take(self, message: Future[Report], now: float) -> None:
        """Take in what came of a chunk."""
        chunk = self._out.pop(message, None)
        if chunk is None:
            return  # it was given up
        sent_at = self._sent_at.pop(message)
        try:
            report = message.result()
        except CancelledError:
            self._left_out += _targets_of(chunk)
            return
        except BaseException as error:  # whatever a worker, or an executor, ends with
            found = failure_of(error)
            kind: Kind = "assume_role" if found.kind == "assume_role" else "executor"
            self._lost(_targets_of(chunk), sent_at, now, replace(found, kind=kind))
            if isinstance(error, BrokenExecutor):
                self.stop("executor")
            return
        for account_id, regions in report.found.items():
            errand = next(one for one in chunk if one.account.id == account_id)
            self.tally.skipped += len(regions) - len(errand.targets(regions))
            self.note_regions(account_id, errand.role, regions)
        for outcome, value in report.outcomes:
            self.record(_value_back(outcome, value) if value else outcome)
        self._left_out += report.not_run
        self.part_stopped(report.stopped)
        if report.stopped == "hung":
            self.stop("hung")
        told = {outcome.target for outcome, _ in report.outcomes} | {*report.not_run}
        silent = [one for one in _targets_of(chunk, report.found) if one not in told]
        if silent:
            nothing = "the worker told nothing of it"
            failure = Failure(kind="executor", type="Silence", code=None, message=nothing)
            self._lost(silent, sent_at, now, failure)

    def _lost(self, targets: Iterable[Target], sent_at: float, now: float, error: Failure) -> None:
        """Record that nobody knows what came of *targets*."""
        elapsed = timedelta(seconds=max(0.0, now - sent_at))
        started = datetime.fromtimestamp(self.clock.time(), timezone.utc) - elapsed
        for target in targets:
            self.record(Outcome(target=target, error=error, started=started, elapsed=elapsed))

    def expire(self, now: float) -> None:
        """Once the run is stopped, take back what no worker has begun."""
        if self.stopped is None or self._recalled:
            return
        self._recalled = True
        self._orders_place().give("stop")
        if self._here is not None:
            self._here.stop(self.stopped)
        if self._recalls:
            for future in list(self._out):
                future.cancel()  # which posts it

    def abandon(self) -> None:
        """Give up all that is out."""
        now = self.clock.boottime()
        self._orders_place().give("kill")
        if self._here is not None:
            self._here.kill()
        message = "was still running when the run was ended"
        error = Failure(kind="executor", type="Interrupted", code=None, message=message)
        for future, chunk in list(self._out.items()):
            del self._out[future]
            sent_at = self._sent_at.pop(future)
            if future.cancel() and self._recalls:
                self._left_out += _targets_of(chunk)
            else:
                self._lost(_targets_of(chunk), sent_at, now, error)

    def close(self) -> None:
        """Take the orders away."""
        if self._orders_file is None:
            return
        if self.killed:  # who was given up, has yet to see them
            atexit.register(self._orders_file.remove)
        else:
            self._orders_file.remove()

    def _orders_place(self) -> OrdersFile:
        if self._orders_file is None:
            self._orders_file = OrdersFile.new()
        return self._orders_file

    def leave_out(self) -> tuple[Target, ...]:
        """Return all that was not run."""
        left = [*self._left_out, *_targets_of(self._errands)]
        self._left_out.clear()
        self._errands.clear()
        return tuple(left)


def _targets_of(
    errands: Iterable[Errand], found: Mapping[str, tuple[str, ...]] | None = None
) -> list[Target]:
    known = found or {}
    return [target for errand in errands for target in errand.targets(known.get(errand.account.id))]


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
