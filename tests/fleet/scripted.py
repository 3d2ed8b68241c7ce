"""An executor in which nothing happens but what a script says, when the run waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from rolecall.fleet.errands import Errand
from rolecall.fleet.results.outcomes import Failure, Outcome
from rolecall.fleet.results.tally import Stop
from rolecall.fleet.running.travel import unpacked
from rolecall.fleet.running.worker import Report, Share, Travelling
from rolecall.fleet.targets import Target

START = datetime(2030, 1, 1, tzinfo=timezone.utc)
FAILED = Failure(kind="function", type="ValueError", code=None, message="no")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What was given to the executor, and what is to come of it."""

    future: Future[Report]
    errands: tuple[Errand, ...]
    share: Share
    travelling: Travelling
    sent_at: float

    @property
    def seconds(self) -> float | None:
        """How long it may start things, counted from when it was sent."""
        until = self.share.until
        return None if until is None else until - START.timestamp() - self.sent_at

    @property
    def targets(self) -> tuple[Target, ...]:
        return tuple(target for errand in self.errands for target in errand.targets())

    @property
    def at_once(self) -> int:
        """How many targets its worker runs at the same time, at most."""
        return min(len(self.targets), self.travelling.limits.threads)

    def ends(
        self,
        *,
        failing: int = 0,
        not_run: int = 0,
        value: bytes = b"",
        stopped: Stop | None = None,
    ) -> None:
        """Succeed but for the first *failing* targets, and leave the last *not_run* out."""
        ran = self.targets[: len(self.targets) - not_run]
        outcomes = [
            (
                Outcome(
                    target=target,
                    error=FAILED if number < failing else None,
                    started=START,
                    elapsed=timedelta(0),
                ),
                b"" if number < failing else value,
            )
            for number, target in enumerate(ran)
        ]
        left = self.targets[len(ran) :]
        if self.future.running() or self.future.set_running_or_notify_cancel():
            self.future.set_result(
                Report(outcomes=outcomes, not_run=left, stopped=stopped, found={})
            )

    def dies(self, error: BaseException) -> None:
        """End with *error*, as where the worker has died."""
        if self.future.running() or self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class Scripted(Executor):
    """Takes chunks and does nothing; each wait of the run's own thread is one step of the script.

    It is the clock as well, for a run waits by its clock: all of it happens in one thread.

    Args:
        steps: What to do at each wait while chunks are out. At the end: chunks succeed.
        ticks: Whether a wait while nothing is out lets its time pass.
    """

    def __init__(
        self, steps: Iterable[Callable[[Scripted], None]] = (), *, ticks: bool = False
    ) -> None:
        self._steps = iter(steps)
        self._ticks = ticks
        self.out: list[Chunk] = []
        self.sent: list[Chunk] = []
        self.most_at_once = 0
        self.refusals: list[BaseException] = []
        self.broken: BrokenExecutor | None = None
        self.closed = False
        self.late: list[str] = []  # what was sent after nothing was to be sent any more
        self.stopped = False
        self._seconds = 1_000.0

    def submit(self, function: Any, /, *arguments: Any, **_: Any) -> Future[Any]:
        if self.broken is not None:
            raise self.broken
        if self.refusals:
            raise self.refusals.pop()
        chunk = _chunk(arguments, self._seconds)
        if self.stopped:
            self.late += [str(target) for target in chunk.targets]
        self.out.append(chunk)
        self.sent.append(chunk)
        self.most_at_once = max(self.most_at_once, sum(one.at_once for one in self._running()))
        return chunk.future

    def _running(self) -> Sequence[Chunk]:
        self.out = [one for one in self.out if not one.future.done()]
        return self.out

    def breaks(self, error: BrokenExecutor) -> None:
        """Lose all workers at once."""
        self.broken = error
        for chunk in self._running():
            chunk.dies(error)

    # The clock

    def boottime(self) -> float:
        return self._seconds

    def time(self) -> float:
        return START.timestamp() + self._seconds

    def passes(self, seconds: float) -> None:
        self._seconds += seconds

    def wait(self, future: Future[Any], timeout: float | None) -> bool:
        if future.done():
            return True
        if self._running():
            step = next(self._steps, None)
            if step is None:
                self.out[0].ends()
            else:
                step(self)
        elif self._ticks and timeout is not None:
            self.passes(timeout)
        elif not wait([future], 20).done:  # it is the reader's turn
            raise AssertionError("nobody reads, and nothing is out")
        return future.done()


class Truthful(Scripted):
    """One of those whose futures say that they were cancelled only if they were."""

    __module__ = "concurrent.futures"  # by which they are known


def _chunk(arguments: Sequence[Any], sent_at: float) -> Chunk:
    return Chunk(
        sent_at=sent_at,
        future=Future(),
        errands=next(one for one in arguments if isinstance(one, tuple)),
        share=next(one for one in arguments if isinstance(one, Share)),
        travelling=unpacked(next(one for one in arguments if isinstance(one, bytes))),
    )
