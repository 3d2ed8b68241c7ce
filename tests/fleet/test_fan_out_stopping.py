"""How a run ends before it is done: nothing more is started, and what did not run is known."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from fleet_scenes import Line, answered, number
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rolecall.fleet import FanOut, Target, fan_out
from rolecall.testing import FakeClock

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
