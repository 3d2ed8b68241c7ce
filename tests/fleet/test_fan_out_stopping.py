"""How a run ends before it is done: nothing more is started, and what did not run is known."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from fleet_scenes import Line, answered, number
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_pacing import Hasty

from rolecall.fleet import FanOut, Target, fan_out
from rolecall.fleet.results.tally import Tally
from rolecall.fleet.running.crew import Crew
from rolecall.fleet.running.opening import Opener
from rolecall.fleet.running.pacing import Pace
from rolecall.fleet.running.work import work_of
from rolecall.testing import FakeClock, Gate

Fan = Callable[..., FanOut]

#: For examples by the dozen: a session reads service models only once.
SESSION = answered(boto3.Session("AKIAFAKE000000000001", "fake-secret", region_name="us-east-1"))


# Too many failures


@pytest.mark.parametrize("tolerance", [0, 2])
def test_one_failure_too_many_starts_nothing_more(fan: Fan, tolerance: int) -> None:
    begun = []

    def work(session: boto3.Session, target: Target) -> None:
        begun.append(target)
        raise KeyError(target.account.id)

    with fan(20, max_workers=4, failure_tolerance=tolerance) as run:
        outcomes = list(run.map(work))

    assert tolerance + 1 <= len(begun) <= tolerance + 4
    assert {outcome.target for outcome in outcomes} == set(begun)
    assert 20 - len(begun) == len(run.summary.not_run)
    assert ("tolerance", {"function": len(begun)}) == (run.summary.stopped, run.summary.failed)


def test_as_many_failures_as_are_tolerated_stop_nothing(fan: Fan) -> None:
    def work(session: boto3.Session, target: Target) -> None:
        if number(target) <= 2:
            raise KeyError

    with fan(10, failure_tolerance=2, max_workers=2) as run:
        run.map(work)

    assert (
        run.summary.ok,
        run.summary.failed,
        run.summary.not_run,
        run.summary.stopped,
    ) == (8, {"function": 2}, (), None)


@settings(max_examples=12)
@given(
    failing=st.sets(st.integers(1, 8)),
    tolerance=st.integers(0, 4),
    workers=st.integers(1, 4),
)
@example(failing={1, 2, 3}, tolerance=2, workers=4)
@example(failing={8}, tolerance=0, workers=1)
def test_after_the_failure_that_is_one_too_many_only_what_ran_by_then_ends(
    failing: set[int], tolerance: int, workers: int
) -> None:
    ids = [f"{111122220000 + one}" for one in range(1, 9)]

    def work(session: boto3.Session, target: Target) -> None:
        if number(target) in failing:
            raise KeyError

    with fan_out(
        SESSION,
        ids,
        role="Auditor",
        failure_tolerance=tolerance,
        max_workers=workers,
        clock=FakeClock(),
    ) as run:
        outcomes = list(run.map(work))

    failures = [place for place, outcome in enumerate(outcomes) if not outcome.ok]
    if len(failures) > tolerance:
        assert len(outcomes) - 1 - failures[tolerance] <= workers - 1
    else:
        assert len(outcomes) == 8
    summary = run.summary
    assert summary.ok + summary.failures + len(summary.not_run) == 8
    ran = {outcome.account.id for outcome in outcomes}
    assert set(ids) - ran == {target.account.id for target in summary.not_run}
    assert ("tolerance" if summary.not_run else None) == summary.stopped


# Whoever takes the outcomes goes away


def test_a_loop_that_is_left_stops_the_run(fan: Fan, line: Line) -> None:
    with fan(10, max_workers=1) as run:
        for outcome in run.map(line):
            line.held.wait_for_arrival()
            assert outcome.value == 1
            break
        line.held.open()

    assert [1, 2] == line.begun == line.ended  # what ran was waited for
    assert [number(one) for one in run.summary.not_run] == [3, 4, 5, 6, 7, 8, 9, 10]
    assert (run.summary.ok, run.summary.stopped) == (2, "interrupted")


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_in_the_loop_stops_the_run(
    fan: Fan, line: Line, raised: type[BaseException]
) -> None:
    with pytest.raises(raised), fan(10, max_workers=1) as run, line.held:  # noqa: PT012 - it is the block that is tested
        for _ in run.map(line):
            line.held.wait_for_arrival()
            raise raised

    assert [1, 2] == line.begun == line.ended
    assert (len(run.summary.not_run), run.summary.stopped) == (8, "interrupted")


def interrupt(run: FanOut) -> None:
    """Press Ctrl-C."""
    ident = threading.main_thread().ident
    assert ident is not None
    signal.pthread_kill(ident, signal.SIGINT)
    # A signal between a thread's decision to sleep and its sleep is seen when it wakes.
    driver: Any = run._driver
    with driver._changed:
        driver._changed.notify_all()


def test_ctrl_c_while_an_outcome_is_waited_for_stops_the_run(fan: Fan, line: Line) -> None:
    line.free = 0

    def press() -> None:
        line.held.wait_for_arrival(2)
        interrupt(run)

    keyboard = threading.Thread(target=press)
    run = fan(10, max_workers=2)
    with pytest.raises(KeyboardInterrupt), run, line.held:  # noqa: PT012 - it is the block that is tested
        keyboard.start()
        list(run.map(line))
    keyboard.join(20)

    assert [1, 2] == sorted(line.begun) == sorted(line.ended)
    assert (
        run.summary.ok,
        len(run.summary.not_run),
        run.summary.stopped,
    ) == (2, 8, "interrupted")


def test_a_second_ctrl_c_waits_for_nothing(fan: Fan, line: Line) -> None:
    line.free = 0

    class Keyboard(FakeClock):
        pressed = False

        def wait(self, future: Any, timeout: float | None) -> bool:
            driver: Any = run._driver
            with driver._changed:
                # Whoever leaves the block waits by now.
                press, self.pressed = not (driver._wanted or self.pressed), not driver._wanted
            if press:
                interrupt(run)
            return super().wait(future, timeout)

    def press() -> None:
        line.held.wait_for_arrival(2)
        interrupt(run)

    keyboard = threading.Thread(target=press)
    run = fan(10, max_workers=2, clock=Keyboard())
    with pytest.raises(KeyboardInterrupt), run:  # noqa: PT012 - it is the block that is tested
        keyboard.start()
        list(run.map(line))
    keyboard.join(20)

    assert line.ended == []
    assert (
        run.summary.ok,
        run.summary.failed,
        len(run.summary.not_run),
        run.summary.stopped,
    ) == (0, {"timeout": 2}, 8, "interrupted")


def test_ctrl_c_in_the_middle_of_waking_the_driver_hangs_nobody(fan: Fan, line: Line) -> None:
    """The consumer wakes the driver with each outcome it takes: Ctrl-C may come right there."""

    class Keyboard(FakeClock):
        pressed = overslept = False

        def _wake(self, future: Any) -> None:
            if threading.current_thread() is threading.main_thread() and not self.pressed:
                self.pressed = True
                raise KeyboardInterrupt
            super()._wake(future)

        def wait(self, future: Any, timeout: float | None) -> bool:
            try:
                return super().wait(future, timeout)
            except AssertionError:  # it slept until its patience was at its end
                self.overslept = True
                raise

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None:
            self.tick(60)

    clock = Keyboard()
    with (  # noqa: PT012 - it is the block that is tested
        pytest.raises(KeyboardInterrupt),
        fan(10, max_workers=1, clock=clock) as run,
        clock,
        line.held,
    ):
        stream = iter(run.map(line))
        line.held.wait_for_arrival()
        clock.wait_for_waiters()
        next(stream)

    # It looked again by itself, if not at once.
    assert not clock.overslept
    assert (len(run.summary.not_run), run.summary.stopped) == (8, "interrupted")


# Stopped by a call


def test_a_run_that_is_stopped_gives_the_outcomes_of_what_runs(fan: Fan, line: Line) -> None:
    with fan(10, max_workers=2) as run:
        stream = iter(run.map(line))
        assert next(stream).value == 1
        line.held.wait_for_arrival(2)
        run.stop()
        line.held.open()
        assert {2, 3} == {outcome.value for outcome in stream}

    assert (
        run.summary.ok,
        len(run.summary.not_run),
        run.summary.stopped,
    ) == (3, 7, "interrupted")


def test_a_run_that_is_killed_waits_for_nothing(fan: Fan, line: Line) -> None:
    with fan(10, max_workers=2) as run:
        stream = iter(run.map(line))
        assert next(stream).value == 1
        line.held.wait_for_arrival(2)
        run.kill()
        left = list(stream)

    assert [one for one in line.ended if one > 1] == []
    assert [(outcome.error.kind, outcome.error.type) for outcome in left if outcome.error] == [
        ("timeout", "Interrupted")
    ] * 2
    assert (
        run.summary.ok,
        run.summary.failed,
        len(run.summary.not_run),
        run.summary.stopped,
    ) == (1, {"timeout": 2}, 7, "interrupted")


def test_stopping_what_is_over_changes_nothing(fan: Fan) -> None:
    run = fan(3)
    with run:
        run.map(type)
    run.stop()
    run.kill()

    assert (run.summary.ok, run.summary.not_run, run.summary.stopped) == (3, (), None)


# What has a thread by then, and waits for its turn at STS


class Turns:
    """Counts who has to wait for a turn at STS."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._waiting = threading.Semaphore(0)
        turn = Pace._turn

        def counted(pace: Pace, now: float) -> float:
            wait = turn(pace, now)
            if wait > 0:
                self._waiting.release()
            return wait

        monkeypatch.setattr(Pace, "_turn", counted)

    def wait_for(self, count: int) -> None:
        """Return once *count* more have to."""
        for _ in range(count):
            assert self._waiting.acquire(timeout=20)


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    return Turns(monkeypatch)


def workers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "rolecall-fleet-worker"]


@pytest.mark.parametrize("how", ["tolerance", "interrupted", "deadline"])
@pytest.mark.parametrize("timeout", [None, 30], ids=["", "with a time-out"])
def test_nothing_that_waits_for_sts_begins_after_a_stop(
    fan: Fan, line: Line, fake_clock: FakeClock, turns: Turns, how: str, timeout: float | None
) -> None:
    limits: dict[str, dict[str, Any]] = {
        "tolerance": {"failure_tolerance": 0},
        "deadline": {"deadline": 0.5},
    }
    line.free = 0

    def work(session: boto3.Session, target: Target) -> int:
        line(session, target)
        if how == "tolerance":
            raise KeyError
        return number(target)

    with fan(6, sts_rate=1, max_workers=4, timeout=timeout, **limits.get(how, {})) as run:
        stream = iter(run.map(work))
        line.held.wait_for_arrival()
        turns.wait_for(3)
        if how == "deadline":
            fake_clock.tick(0.5)
        elif how == "interrupted":
            run.stop()
        line.held.open()
        outcomes = list(stream)  # no time passes
        waiting = workers()
        fake_clock.tick(60)
    for one in waiting:
        one.join(20)

    (begun,) = line.begun
    assert [number(one.target) for one in outcomes] == [begun] == line.ended
    left = [one for one in range(1, 7) if one != begun]
    assert [number(one) for one in run.summary.not_run] == left
    assert run.summary.stopped == how
    assert (run.summary.ok, run.summary.failures) == ((0, 1) if how == "tolerance" else (1, 0))


def test_what_waits_for_sts_when_all_is_over_waits_no_longer(
    fan: Fan, line: Line, turns: Turns
) -> None:
    line.free = 6

    with fan(6, sts_rate=1, max_workers=4) as run:
        stream = iter(run.map(line))
        next(stream)
        turns.wait_for(4)
        run.stop()
        assert list(stream) == []

        for one in workers():  # though no time passes
            one.join(5)
        assert workers() == []


def test_what_another_part_of_the_run_waits_for_is_sent(
    fan: Fan, fake_clock: FakeClock, turns: Turns
) -> None:
    run: Any = fan(2, sts_rate=1)
    opener, limits = run._opener(), run._settings.limits(1)
    pace = opener._recipe.pace
    pace(lambda: None)
    begun: list[Target] = []

    def work(session: boto3.Session, target: Target) -> None:
        begun.append(target)

    crew = Crew(
        run._errands,
        work_of(work),
        opener,
        limits,
        clock=fake_clock,
        tally=Tally(None),
    )
    crew.start()
    turns.wait_for(1)
    sent: list[str] = []
    other = threading.Thread(target=lambda: pace(lambda: sent.append("sent"), "111122223333"))
    other.start()
    turns.wait_for(1)

    crew.stop("interrupted")
    assert list(crew.stream()) == []
    fake_clock.tick(5)
    other.join(20)

    assert (begun, sent, len(crew.not_run)) == ([], ["sent"], 2)


@pytest.mark.parametrize("many", [1, 2], ids=["is being entered", "is to come later"])
def test_what_is_tried_again_and_has_not_begun_has_failed_as_it_did_before(
    fan: Fan, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    opening, opened, begun = Gate(), [], []
    session = Opener.session

    def held_the_second_time(self: Opener, child: Any, region: str | None) -> Any:
        opened.append(child)
        if len(opened) == 2:
            opening()
        return session(self, child, region)

    def work(session: boto3.Session, target: Target) -> None:
        begun.append(number(target))
        raise ClientError({"Error": {"Code": "Throttling", "Message": "slow"}}, "ListKeys")

    monkeypatch.setattr(Opener, "session", held_the_second_time)
    with opening, fan(many, attempts=3, max_workers=1, clock=Hasty()) as run:
        stream = iter(run.map(work))
        opening.wait_for_arrival()  # of the first target's second try, or of the second target
        run.stop()
        (outcome,) = stream
        opening.open()
        for one in workers():
            one.join(20)

    assert outcome.error is not None
    assert (number(outcome.target), outcome.error.kind, outcome.attempts) == (1, "throttled", 1)
    assert begun == [1]
    assert run.summary.failed == {"throttled": 1}
    assert [number(one) for one in run.summary.not_run] == list(range(2, many + 1))
