"""Running a fleet on any `concurrent.futures.Executor`: chunks of accounts, each on its threads.

A call to AWS is mostly waiting, so a worker process with one target at a time would be idle. It is
sent some accounts at once, and runs them on threads of its own.
"""

from __future__ import annotations

import atexit
import math
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Future
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from ...clock import Clock
from ...sources.quote import quote
from ..errands import Errand
from ..results.failures import failure_of
from ..results.journal import Journal
from ..results.outcomes import Failure, Kind, Outcome
from ..results.tally import Tally
from ..targets import Target
from .driver import Driver
from .orders import OrdersFile
from .travel import unpacked
from .worker import Here, Report, Share


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
