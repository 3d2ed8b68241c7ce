"""The thread behind a run: it starts work, takes in what that gave, and hands it on as a stream.

One thread decides, so that nothing of a run's state needs a lock: whoever else has something to
say, posts it.
"""

from __future__ import annotations

import math
import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from typing import Any

from ...clock import Clock
from ..results.journal import Journal
from ..results.outcomes import Outcome
from ..results.tally import Stop, Summary, Tally
from ..targets import Target
from .bell import Bell

#: Longer waits are taken up again. A Ctrl-C that hits the very instant in which somebody wakes the
#: driver may leave it asleep; and what the system waits for has an end.
_LONGEST_WAIT_SECONDS = 5.0
_STEP_SECONDS = 1.0
#: A thread that was interrupted while it was started runs within milliseconds, or never.
_LONGEST_START_SECONDS = 2.0


class Driver(ABC):
    """What all ways of running have in common; `Crew` and `Convoy` say how work is started.

    Args:
        room: How many outcomes may wait to be taken before no more work is started.
        deadline: Instant on *clock*'s boottime after which nothing is started.
        orders: Says ``"stop"`` or ``"kill"`` where somebody elsewhere has said so.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        tally: Tally,
        journal: Journal | None,
        room: int,
        deadline: float | None,
        orders: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.clock = clock
        self.tally = tally
        self.journal = journal
        self.deadline: float = math.inf if deadline is None else deadline
        self.not_run: tuple[Target, ...] = ()
        #: Which regions were found enabled, by account id.
        self.found: dict[str, tuple[str, ...]] = {}
        self.stopped: Stop | None = None
        self._pid = os.getpid()
        self._room = room
        self._orders = orders
        self.killed: bool = False
        self._inbox: deque[Any] = deque()
        # Entered as a lock, not as a condition, whose way in is Python: a Ctrl-C half-way in there
        # would leave it locked for ever.
        self._lock = threading.RLock()  # guards all below
        self._changed = threading.Condition(self._lock)
        self._bell = Bell(clock)
        self._outbox: deque[Outcome] = deque()
        self._wanted = True  # whether somebody may still take outcomes
        self._asked = False  # whether somebody has asked for some: then what they took is done
        self._ending = False
        self._over = False
        self._trouble: BaseException | None = None
        self._began = clock.boottime()
        self._ended: float | None = None
        #: Why a part of the run left something out, where the run itself went on.
        self.left_by: Stop | None = None
        self._entered = threading.Event()  # the thread runs, or is not to
        self._thread = threading.Thread(target=self._run, name="rolecall-fleet", daemon=True)

    # For whoever runs it

    def start(self) -> None:
        """Start.

        Raises:
            RuntimeError: the system gives no more threads.
        """
        try:
            self._thread.start()
        except RuntimeError:
            raise
        except BaseException:  # Ctrl-C: it may run by now, or be about to, or never be
            self.kill()
            self._end_unless_begun()
            raise

    def _end_unless_begun(self) -> None:
        """End here what no thread will: one that was interrupted before it ran."""
        if self._entered.is_set() or self._entered.wait(_LONGEST_START_SECONDS):
            return
        with self._lock:
            never = not self._entered.is_set()
            self._entered.set()
        if never:
            self._end()

    def stream(self) -> Iterator[Outcome]:
        """Yield outcomes as they come, until the run is over; to leave early stops the run."""
        self._asked = True
        try:
            while True:
                with self._lock:
                    self._await(lambda: self._outbox or self._over)
                    if not self._outbox:
                        if self._trouble is not None:
                            raise self._trouble
                        return
                    outcome = self._outbox.popleft()
                    self._wake()  # there is room for one more
                yield outcome
                # Only now: what its reader did not get through with, is to run again.
                if outcome.ok:
                    self._note(outcome)
                del outcome  # or its value would live until the next one comes
        finally:
            self.stop("interrupted")
            self._let_journal_go()

    def stop(self, why: Stop) -> None:
        """Start nothing more; does nothing once the run is stopped or over."""
        if os.getpid() != self._pid:
            return  # a forked child: the run is its parent's
        with self._lock:
            if self.stopped is None and not self._ending:
                self.stopped = why
                self._wake()

    def kill(self) -> None:
        """Stop, and wait no longer for what runs: it is refused every further call to AWS."""
        self.killed = True
        self.stop("interrupted")
        with self._lock:
            self._wake()  # it may have been stopped before

    def finish(self, *, failed: bool = False) -> None:
        """Return once all that was started has ended; outcomes that nobody has taken are dropped.

        Args:
            failed: Whoever might have asked for them has failed: they are to run again.

        Raises:
            RolecallError: the journal could not be written.
        """
        if os.getpid() != self._pid:
            return
        self._end_unless_begun()
        with self._lock:
            self._wanted = False
            self._asked = self._asked or failed
            # Where nobody has ever asked for them, that they ran is all that is wanted.
            untaken = [] if self._asked else list(self._outbox)
            self._outbox.clear()
            self._wake()
        for outcome in untaken:
            if outcome.ok:
                self._note(outcome)
        with self._lock:
            self._await(lambda: self._over)
        self._let_journal_go()
        if self._trouble is not None:
            raise self._trouble

    def _await(self, ready: Callable[[], object]) -> None:
        """Wait until *ready*, with the lock held; Ctrl-C ends that."""
        # In steps: Python does not see a signal that comes in the instant before it waits.
        while not ready():
            self._changed.wait(_STEP_SECONDS)

    @property
    def is_over(self) -> bool:
        """Whether all that was started has ended."""
        return self._over

    @property
    def summary(self) -> Summary:
        """What has come of it so far."""
        ended = self.clock.boottime() if self._ended is None else self._ended
        return self.tally.summary(
            not_run=self.not_run, stopped=self.stopped, seconds=ended - self._began
        )

    # For those who say how

    def post(self, message: Any) -> None:
        """Have the driver's thread take *message*; from any thread."""
        with self._lock:
            self._inbox.append(message)
            self._wake()

    def record(self, outcome: Outcome) -> None:
        """Take down one outcome; in the driver's thread."""
        too_many = self.tally.count(outcome)
        with self._lock:
            wanted = self._wanted
            if wanted:
                self._outbox.append(outcome)
            if too_many and self.stopped is None:
                self.stopped = "tolerance"
            self._changed.notify_all()
        if not outcome.ok or not (wanted or self._asked):
            self._note(outcome)

    def _note(self, outcome: Outcome) -> None:
        """Write *outcome* into the journal, if there is one; in any thread, once each."""
        if self.journal is None or self.stopped == "journal":
            return
        self._write(partial(self.journal.write, outcome))

    def note_regions(self, account_id: str, role: str | None, regions: tuple[str, ...]) -> None:
        """Note which regions were found enabled in an account."""
        self.found[account_id] = regions
        if self.journal is not None and self.stopped != "journal":
            now = datetime.fromtimestamp(self.clock.time(), timezone.utc)
            self._write(partial(self.journal.write_regions, account_id, role, regions, at=now))

    def _write(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:  # what was done is done all the same, and told
            self.fail(error)
            with self._lock:
                self.stopped = "journal"
                self._wake()

    def _let_journal_go(self) -> None:
        with self._lock:
            done = self._over and not (self._wanted and self._outbox)
        if done and self.journal is not None:
            self.journal.close()

    def fail(self, error: BaseException) -> None:
        """Have *error* raised to whoever takes the outcomes, after the last of them."""
        self._trouble = self._trouble or error

    def part_stopped(self, why: Stop | None) -> None:
        """Note that a part of the run left something out, while the run itself goes on."""
        if why is not None:
            self.left_by = why

    @abstractmethod
    def take(self, message: Any, now: float) -> None:
        """Take in what was posted."""

    @abstractmethod
    def expire(self, now: float) -> None:
        """Give up what takes too long, and what is not wanted any more."""

    @abstractmethod
    def start_one(self, now: float) -> bool:
        """Start what comes next; False: there is no place for it, or nothing to start."""

    def next_instant(self) -> float:
        """Return when something has to be looked at again though nothing was posted."""
        return math.inf

    @abstractmethod
    def is_idle(self) -> bool:
        """Whether nothing runs."""

    @abstractmethod
    def has_more(self) -> bool:
        """Whether something is left to start."""

    @abstractmethod
    def abandon(self) -> None:
        """Give up all that runs."""

    @abstractmethod
    def leave_out(self) -> tuple[Target, ...]:
        """Return all that was not started, and forget it."""

    def close(self) -> None:  # noqa: B027 - not all hold something
        """Let go of everything."""

    # The thread

    def _run(self) -> None:
        with self._lock:
            if self._entered.is_set():
                return  # nobody waits for it any more
            self._entered.set()
        try:
            while self._turn():
                pass
        except BaseException as error:  # or whoever waits for outcomes would wait for ever
            self._trouble = error
            self._settle(self.abandon)
        finally:
            self._settle(self._end)

    def _settle(self, do: Callable[[], None]) -> None:
        try:
            do()
        except BaseException as error:  # the same
            self._trouble = self._trouble or error

    def _end(self) -> None:
        with self._lock:
            self._ending = True
        try:
            self.not_run = self.leave_out()
            if not self.not_run:
                self.stopped = None  # whatever came too late to stop anything
            elif self.stopped is None:
                self.stopped = self.left_by or "interrupted"
        finally:
            self._settle(self.close)
            self._ended = self.clock.boottime()
            with self._lock:
                self._over = True
                self._changed.notify_all()

    def _turn(self) -> bool:
        """Do what is to be done now, then wait for something; False: all is over."""
        with self._lock:
            self._bell.hush()
            messages = list(self._inbox)
            self._inbox.clear()
        now = self.clock.boottime()
        while messages:
            self.take(messages.pop(0), now)
        match self._orders():
            case "stop":
                self.stop("interrupted")
            case "kill":
                self.killed = True
                self.stop("interrupted")
        self.expire(now)
        if now >= self.deadline and self.stopped is None:
            self.stop("deadline")
        if self.killed:
            self.abandon()
        while self.stopped is None and self._has_room() and self.start_one(now):
            pass
        if self.is_idle() and (self.stopped is not None or not self.has_more()):
            return False
        until = min(self.next_instant(), self.deadline if self.stopped is None else math.inf)
        # What is due by now and was not done, waits for something that will be posted.
        wait = until - now if until > now else math.inf
        self._bell.wait(min(wait, _LONGEST_WAIT_SECONDS))
        return True

    def _has_room(self) -> bool:
        return not self._wanted or len(self._outbox) < self._room

    def _wake(self) -> None:
        self._bell.ring()
