"""Running a fleet on threads of this process."""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from queue import SimpleQueue

from ...clock import Clock
from ..errands import Errand
from ..regions import enabled
from ..results.journal import Journal
from ..results.outcomes import Failure, Outcome
from ..results.tally import Tally
from ..targets import Target
from .driver import Driver
from .opening import Opener
from .tasks import Late, Limits, Result, Stay, Task, finished, refuse_when_over, told
from .work import Work

#: Seconds before a target is tried again, doubled each time.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


class Crew(Driver):
    """Runs errands on threads, which a target that takes too long does not hold up.

    Args:
        work: What is done with each target. None: only find out the regions.
    """

    def __init__(
        self,
        errands: Iterable[Errand],
        work: Work | None,
        opener: Opener,
        limits: Limits,
        *,
        clock: Clock,
        tally: Tally,
        journal: Journal | None = None,
        deadline: float | None = None,
        orders: Callable[[], str | None] = lambda: None,
    ) -> None:
        super().__init__(
            clock=clock,
            tally=tally,
            journal=journal,
            room=2 * limits.threads,
            deadline=deadline,
            orders=orders,
        )
        self._errands = deque(errands)
        self._work = work
        self._opener = opener
        self._limits = limits
        self._ready: deque[Task] = deque()
        self._later: list[tuple[float, int, Task]] = []
        self._number = itertools.count()
        self._running: dict[Task, None] = {}
        self._queue: SimpleQueue[Task | None] = SimpleQueue()
        self._threads: set[threading.Thread] = set()  # without those of tasks that were given up
        self._claims = threading.Lock()  # guards which thread has which task

    def has_more(self) -> bool:
        """Whether something is left to start."""
        return bool(self._ready or self._errands or self._later)

    def is_idle(self) -> bool:
        """Whether nothing runs."""
        return not self._running

    def next_instant(self) -> float:
        """Return when a target has taken too long, or is to be tried again."""
        found = min((task.deadline for task in self._running), default=math.inf)
        if self._later and self.stopped is None and len(self._running) < self._limits.threads:
            found = min(found, self._later[0][0])
        return found

    def start_one(self, now: float) -> bool:
        """Start what comes next, an account's regions one after the other."""
        if len(self._running) >= self._limits.threads:
            return False
        if self._opener.hanging() >= self._limits.most_lost:
            self.stop("hung")
            return False
        task = self._next(now)
        if task is None:
            return False
        try:
            can = len(self._threads) > len(self._running) or self._one_more()
        except RuntimeError:
            self._ready.appendleft(task)
            raise
        if not can:
            self._ready.appendleft(task)
            return False
        task.began, task.began_wall = now, self.clock.time()
        self._running[task] = None
        self._queue.put(task)
        return True

    def _one_more(self) -> bool:
        """Start a thread; False: the system gives no more, and what there is has to do."""
        thread = threading.Thread(target=self._serve, name="rolecall-fleet-worker", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._running:
                raise
            return False
        self._threads.add(thread)
        return True

    def _next(self, now: float) -> Task | None:
        while not self._ready:
            if self._later and self._later[0][0] <= now:
                self._ready.append(heapq.heappop(self._later)[2])
            elif self._errands:
                self._enter(self._errands.popleft())
            else:
                return None
        return self._ready.popleft()

    def _enter(self, errand: Errand) -> None:
        stay = Stay(errand)
        if errand.asks:
            self._ready.append(Task(stay, errand.at(None), asks=True))
        elif self._work is not None:
            self._ready.extend(Task(stay, target) for target in errand.targets())

    def take(self, message: tuple[Task, Result | None], now: float) -> None:
        """Take in what came of a task, or that it has begun."""
        task, result = message
        if result is None or task not in self._running:
            return
        del self._running[task]
        if task.asks and result.error is None:
            self._regions(task, result.value)
            return
        outcome = self._outcome(task, result, now)
        again = result.error is not None and result.error.retryable
        if again and task.attempt < self._limits.attempts and self.stopped is None:
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (task.attempt - 1))
            heapq.heappush(self._later, (now + pause, next(self._number), task.again(outcome)))
        else:
            self.record(outcome)

    def _regions(self, task: Task, regions: tuple[str, ...]) -> None:
        errand = task.stay.errand
        self.note_regions(errand.account.id, errand.role, regions)
        if self._work is not None:
            tasks = [Task(task.stay, target) for target in errand.targets(regions)]
            self.tally.skipped += len(regions) - len(tasks)
            # First, so that one account is done before the next is begun.
            self._ready.extendleft(reversed(tasks))

    def expire(self, now: float) -> None:
        """Give up the targets that take too long, and after a stop those that have not begun.

        Their threads are replaced.
        """
        if self.stopped is not None:
            self._recall()
        timeout = self._limits.timeout
        for task in [task for task in self._running if task.deadline <= now]:
            self._give_up(task, now, f"took longer than {timeout:g} s", TimeoutError.__name__)

    def _recall(self) -> None:
        """Take back all of which the function was not called yet, as while it waits for STS."""
        waiting = []
        for task in list(self._running):
            with self._claims:
                task.over = waits = not (task.begun or task.over or task.result is not None)
                if waits and task.thread is not None:
                    self._threads.discard(task.thread)
                    self._opener.hangs(task.thread)
            if waits:
                del self._running[task]
                waiting.append(task)
        self._ready.extendleft(reversed(waiting))
        for task in waiting:
            if not task.stay.begun:
                self._opener.drop(task.target.account.id)

    def abandon(self) -> None:
        """Give up all that runs."""
        if self.killed:
            self._opener.end()
        now = self.clock.boottime()
        for task in list(self._running):
            self._give_up(task, now, "was still running when the run was ended", "Interrupted")

    def _give_up(self, task: Task, now: float, message: str, name: str) -> None:
        with self._claims:
            finished = task.result
            task.over = finished is None
            # It ends by itself, sooner or later: no call to AWS is let through any more.
            if task.over and task.thread is not None:
                self._threads.discard(task.thread)
                self._opener.hangs(task.thread)
        if finished is not None:  # in this very instant
            self.take((task, finished), now)
            return
        del self._running[task]
        error = Failure(kind="timeout", type=name, code=None, message=message)
        self.record(self._outcome(task, Result(error=error), now))

    @staticmethod
    def _outcome(task: Task, result: Result, now: float) -> Outcome:
        return Outcome(
            target=task.target,
            value=result.value,
            error=result.error,
            started=datetime.fromtimestamp(task.began_wall, timezone.utc),
            elapsed=timedelta(seconds=max(0.0, now - task.began)),
            attempts=task.attempt,
        )

    def leave_out(self) -> tuple[Target, ...]:
        """Return all that was not started; what waits for another try has failed by now."""
        tasks = [*self._ready, *(task for _, _, task in sorted(self._later, key=lambda x: x[:2]))]
        left = []
        for task in tasks:
            if task.failed is None:
                left.append(task.target)
            else:
                self.record(task.failed)
        for errand in self._errands:
            left += errand.targets()
        self._later.clear()
        self._ready.clear()
        self._errands.clear()
        return tuple(left)

    def close(self) -> None:
        """Let the threads go; those that hang in a target end with it."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    # In the threads

    def _serve(self) -> None:
        while True:
            task = self._queue.get()
            if task is None:
                return
            with self._claims:
                if task.is_over():
                    del task
                    continue
                task.thread = threading.current_thread()
            result = self._do(task)
            with self._claims:
                if task.is_over():
                    return  # by now another thread has this one's place
                task.result = result
                task.thread = None
            self.post((task, result))
            del task, result  # or its session would live until the next one comes

    def _begin(self, task: Task) -> None:
        """Let the task's time run, unless it was given up before.

        Raises:
            Late: it was.
        """
        with self._claims:
            if task.is_over() or self.killed:
                raise Late("the target was given up before its function was called")
            task.begun = task.stay.begun = True
            if self._limits.timeout is not None:
                task.deadline = self.clock.boottime() + self._limits.timeout
        if self._limits.timeout is not None:
            self.post((task, None))

    def _do(self, task: Task) -> Result:
        region = task.stay.errand.home if task.asks else task.target.region
        try:
            child = task.stay.child(self._opener)
            session = self._opener.session(child, task.target.region)
            refuse_when_over(session, lambda: task.is_over() or self.killed)
            if task.is_over():
                raise Late("the target was given up before its role was assumed")
            # Before its time begins to run: it may have to wait for its turn at STS.
            session.get_credentials().get_frozen_credentials()
            self._begin(task)
            if task.asks:
                return Result(value=enabled(session, task.stay.errand.home))
            assert self._work is not None
            return Result(value=finished(self._work(session, task.target)))
        except BaseException as error:  # whatever it raises is this target's failure only
            return Result(error=told(error, region))
