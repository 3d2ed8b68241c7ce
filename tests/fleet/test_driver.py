"""The thread behind a run, with work that a test has in its hands."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from test_bell import ends, interrupted

from rolecall.clock import SYSTEM_CLOCK, Clock
from rolecall.fleet.results.outcomes import Failure, Outcome
from rolecall.fleet.results.tally import Tally
from rolecall.fleet.running import driver as fleet_driver
from rolecall.fleet.running.driver import Driver
from rolecall.fleet.targets import Account, Target
from rolecall.testing import FakeClock, Gate


class Hands(Driver):
    """Starts numbers, and takes what a test posts as having come of them.

    Attributes:
        started: Which are running.
        closing: What it does when it lets go of everything.
    """

    def __init__(self, numbers: int = 5, *, clock: Clock, **keywords: Any) -> None:
        settings = {"tally": Tally(None), "journal": None, "room": 100, "deadline": None}
        super().__init__(clock=clock, **{**settings, **keywords})
        self.left = deque(range(numbers))
        self.started: list[int] = []
        self.at_once = 2
        self.closing: Callable[[], object] = lambda: None
        self.begun = Gate()
        self.begun.open()

    def start_one(self, now: float) -> bool:
        if not self.left or len(self.started) >= self.at_once:
            return False
        self.started.append(self.left.popleft())
        self.begun()
        return True

    def settle(self) -> None:
        """Return when it has done all that follows from what was posted."""
        first, second = Gate(), Gate()
        self.post(first)
        first.wait_for_arrival()
        self.post(second)
        first.open()
        second.wait_for_arrival()
        second.open()

    def take(self, message: Any, now: float) -> None:
        if isinstance(message, BaseException):
            raise message
        if isinstance(message, Gate):
            return message()
        self.started.remove(message)
        self.record(outcome(message))

    def expire(self, now: float) -> None: ...

    def is_idle(self) -> bool:
        return not self.started

    def has_more(self) -> bool:
        return bool(self.left)

    def abandon(self) -> None:
        while self.started:
            self.record(outcome(self.started.pop(0), "timeout"))

    def leave_out(self) -> tuple[Target, ...]:
        left = tuple(target(number) for number in self.left)
        self.left.clear()
        return left

    def close(self) -> None:
        self.closing()


def target(number: int) -> Target:
    return Target(account=Account(f"{111122220000 + number}"))


def outcome(number: int, kind: Any = None) -> Outcome:
    error = None if kind is None else Failure(kind=kind, type="Fake", code=None, message="fake")
    at = FakeClock().now
    return Outcome(target=target(number), error=error, started=at, elapsed=timedelta(0))


def numbers(outcomes: Any) -> list[int]:
    return [int(one.account.id) - 111122220000 for one in outcomes]


def test_outcomes_are_handed_on_in_the_order_they_are_posted(fake_clock: FakeClock) -> None:
    driver = Hands(2, clock=fake_clock)
    driver.start()
    driver.begun.wait_for_arrival(2)
    driver.post(1)
    driver.post(0)

    assert numbers(driver.stream()) == [1, 0]
    assert (
        driver.summary.ok,
        driver.summary.stopped,
        driver.summary.not_run,
    ) == (2, None, ())


@pytest.mark.parametrize("how", ["left", "stopped", "killed"])
def test_a_stop_while_a_run_ends_does_not_say_that_it_was_stopped(
    fake_clock: FakeClock, how: str
) -> None:
    driver = Hands(1, clock=fake_clock)
    closing = driver.closing = Gate()
    driver.start()
    driver.begun.wait_for_arrival()
    driver.post(0)
    stream: Any = driver.stream()
    assert numbers([next(stream)]) == [0]
    closing.wait_for_arrival()

    if how == "left":
        stream.close()  # as a loop does that is left at its last outcome
    elif how == "stopped":
        driver.stop("interrupted")
    else:
        driver.kill()
    closing.open()
    driver.finish()

    assert (
        driver.summary.ok,
        driver.summary.stopped,
        driver.summary.not_run,
    ) == (1, None, ())


def test_what_goes_wrong_in_its_thread_reaches_whoever_takes_outcomes(
    fake_clock: FakeClock,
) -> None:
    driver = Hands(5, clock=fake_clock)
    closed = driver.closing = Gate()
    closed.open()
    driver.start()
    driver.begun.wait_for_arrival(2)
    driver.post(LookupError("broken"))

    stream: Any = driver.stream()
    assert numbers([next(stream), next(stream)]) == [0, 1]  # what ran was given up
    with pytest.raises(LookupError, match="broken"):
        next(stream)
    with pytest.raises(LookupError, match="broken"):
        driver.finish()
    assert closed.arrived == 1
    summary = driver.summary
    assert (
        summary.ok,
        summary.failed,
        [int(one.account.id) - 111122220000 for one in summary.not_run],
    ) == (0, {"timeout": 2}, [2, 3, 4])


def test_what_goes_wrong_in_its_thread_reaches_whoever_waits_for_the_end(
    fake_clock: FakeClock,
) -> None:
    driver = Hands(5, clock=fake_clock)

    def broken() -> None:
        raise LookupError("cannot close")

    driver.closing = broken
    driver.start()
    driver.begun.wait_for_arrival(2)
    driver.kill()

    with pytest.raises(LookupError, match="cannot close"):
        driver.finish()


def test_no_more_is_started_than_there_is_room_for_outcomes(fake_clock: FakeClock) -> None:
    driver = Hands(10, clock=fake_clock, room=3)
    driver.at_once = 1
    driver.start()
    for number in range(3):
        driver.begun.wait_for_arrival(number + 1)
        driver.post(number)
    stream: Any = driver.stream()
    driver.settle()

    # Three wait to be taken: the fourth begins when one was.
    assert driver.begun.arrived == 3
    first = next(stream)
    driver.settle()
    assert driver.begun.arrived == 4

    driver.stop("interrupted")
    driver.post(3)
    assert numbers([first, *stream]) == [0, 1, 2, 3]
    assert len(driver.summary.not_run) == 6


def test_outcomes_that_nobody_wants_take_no_room(fake_clock: FakeClock) -> None:
    driver = Hands(10, clock=fake_clock, room=1)
    driver.at_once = 1
    driver.start()
    driver.begun.wait_for_arrival(1)

    def work() -> None:
        for number in range(10):
            driver.begun.wait_for_arrival(number + 1)
            driver.post(number)

    worker = threading.Thread(target=work)
    worker.start()
    driver.finish()
    worker.join(20)

    assert (driver.summary.ok, driver.summary.not_run) == (10, ())
    assert list(driver.stream()) == []


def test_a_stream_may_be_closed_twice_and_begun_again(fake_clock: FakeClock) -> None:
    driver = Hands(5, clock=fake_clock)
    driver.start()
    driver.begun.wait_for_arrival(2)
    driver.post(0)
    stream: Any = driver.stream()
    next(stream)
    driver.begun.wait_for_arrival(3)

    stream.close()
    stream.close()
    rest = driver.stream()
    driver.post(2)
    driver.post(1)

    assert numbers(rest) == [2, 1]
    assert (
        driver.summary.ok,
        len(driver.summary.not_run),
        driver.summary.stopped,
    ) == (3, 2, "interrupted")


def test_the_first_reason_to_stop_is_the_one_that_is_told(fake_clock: FakeClock) -> None:
    driver = Hands(5, clock=fake_clock, deadline=fake_clock.boottime() + 10)
    driver.start()
    driver.begun.wait_for_arrival(2)
    driver.stop("executor")
    fake_clock.tick(20)
    driver.kill()
    driver.finish()

    assert driver.summary.stopped == "executor"


def test_a_deadline_is_kept_though_nothing_is_posted(fake_clock: FakeClock) -> None:
    driver = Hands(3, clock=fake_clock, deadline=fake_clock.boottime() + 10)
    driver.start()
    driver.begun.wait_for_arrival(2)
    fake_clock.wait_for_waiters()
    fake_clock.tick(10)
    driver.post(0)
    driver.post(1)
    driver.finish()

    assert (
        driver.summary.ok,
        driver.summary.stopped,
        [int(one.account.id) - 111122220000 for one in driver.summary.not_run],
    ) == (2, "deadline", [2])


def test_killing_before_anything_was_started_starts_nothing(fake_clock: FakeClock) -> None:
    driver = Hands(3, clock=fake_clock)
    driver.kill()
    driver.start()

    assert list(driver.stream()) == []
    assert (
        driver.summary.ok,
        driver.summary.stopped,
        len(driver.summary.not_run),
    ) == (0, "interrupted", 3)


# Ctrl-C as its thread starts


def start_interrupted(
    driver: Hands, monkeypatch: pytest.MonkeyPatch, *, runs: bool, late: bool = False
) -> Callable[[], None]:
    """Start *driver* with a Ctrl-C; return what starts its thread in earnest.

    Args:
        runs: Its thread runs by then.
        late: It runs a little later.
    """
    thread, entered = driver._thread, driver._entered
    start, wait = thread.start, entered.wait

    def interrupt() -> None:
        if runs:
            start()
            assert entered.wait(20)
        raise KeyboardInterrupt

    def wait_meanwhile(timeout: float | None = None) -> bool:
        start()
        return wait(20)

    monkeypatch.setattr(fleet_driver, "_LONGEST_START_SECONDS", 0.01)
    monkeypatch.setattr(thread, "start", interrupt)
    if late:
        monkeypatch.setattr(entered, "wait", wait_meanwhile)
    with pytest.raises(KeyboardInterrupt):
        driver.start()
    return start


@pytest.mark.parametrize("when", ["it runs", "it runs later", "it never runs"])
def test_a_ctrl_c_as_its_thread_starts_ends_the_run(
    fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    driver = Hands(5, clock=fake_clock)
    closed = driver.closing = Gate()
    closed.open()

    start_interrupted(driver, monkeypatch, runs=when == "it runs", late=when == "it runs later")

    assert ends(driver.finish)
    assert (driver.is_over, driver.is_idle(), closed.arrived) == (True, True, 1)
    summary = driver.summary
    assert (summary.ok, summary.stopped) == (0, "interrupted")
    assert summary.failures + len(summary.not_run) == 5


def test_a_thread_that_comes_too_late_does_nothing(
    fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Hands(5, clock=fake_clock)
    closed = driver.closing = Gate()
    closed.open()
    start = start_interrupted(driver, monkeypatch, runs=False)

    start()
    driver._thread.join(20)

    assert not driver._thread.is_alive()
    assert (driver.begun.arrived, closed.arrived, len(driver.not_run)) == (0, 1, 5)


def test_who_is_interrupted_while_stopping_a_run_leaves_nothing_locked() -> None:
    driver = Hands(5, clock=SYSTEM_CLOCK)
    at = 1

    while interrupted(lambda: driver.kill(), at):
        assert ends(lambda: driver.post(0), within=5)
        driver.stopped = None
        at += 1

    assert at > 5


# What its journal says was done


class Noted:
    """A journal that a test looks at."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.failed: list[int] = []
        self.closed = False

    def write(self, found: Outcome) -> None:
        assert not self.closed
        (self.done if found.ok else self.failed).extend(numbers([found]))

    def close(self) -> None:
        self.closed = True


def holds(driver: Hands) -> Gate:
    """Hold the driver's thread, so that what is posted is taken later; return what lets it go."""
    gate = Gate()
    driver.post(gate)
    gate.wait_for_arrival()
    return gate


@pytest.mark.parametrize("asked", [False, True], ids=["never asked for", "asked for"])
@pytest.mark.parametrize("failed", [False, True], ids=["as ever", "with an exception"])
@pytest.mark.parametrize("late", [False, True], ids=["before", "after the block is left"])
def test_what_nobody_has_taken_is_done_only_where_nobody_ever_wanted_it(
    fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch, asked: bool, failed: bool, late: bool
) -> None:
    journal: Any = Noted()
    driver = Hands(2, clock=fake_clock, journal=journal)
    driver.start()
    driver.begun.wait_for_arrival(2)
    if asked:

        def interrupt(*_: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(driver, "_await", interrupt)
            with pytest.raises(KeyboardInterrupt):
                next(iter(driver.stream()))
    if late:
        gate = holds(driver)
        wait = driver._await

        def wait_meanwhile(ready: Callable[[], object]) -> None:
            gate.open()
            wait(ready)

        monkeypatch.setattr(driver, "_await", wait_meanwhile)
    driver.post(0)
    driver.post(1)
    if not late:
        driver._thread.join(20)

    driver.finish(failed=failed)

    assert (driver.summary.ok, journal.closed) == (2, True)
    assert journal.done == ([] if asked or failed else [0, 1])


def test_a_failure_that_nobody_has_taken_is_in_the_journal(fake_clock: FakeClock) -> None:
    journal: Any = Noted()
    driver = Hands(3, clock=fake_clock, journal=journal)
    driver.start()
    driver.begun.wait_for_arrival(2)
    driver.kill()

    driver.finish(failed=True)

    assert (journal.done, journal.failed, len(driver.not_run)) == ([], [0, 1], 1)
