"""Ends that a run survives: Ctrl-C, threads that are not to be had, functions that go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from fleet_scenes import Line, number
from test_fan_out_stopping import interrupt

import rolecall
from rolecall.errors import FetchError
from rolecall.fleet import FanOut
from rolecall.fleet.results.tally import Tally
from rolecall.fleet.running.crew import Crew, Result, Stay, Task
from rolecall.fleet.running.pacing import Ended
from rolecall.testing import FakeClock, Gate

Fan = Callable[..., FanOut]


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
def test_ctrl_c_while_a_block_waits_for_its_end_stops_and_only_the_second_kills(
    fan: Fan, line: Line, twice: bool
) -> None:
    line.free = 0

    class Keyboard(FakeClock):
        pressed = 0

        def wait(self, future: Any, timeout: float | None) -> bool:
            driver: Any = run._driver
            if threading.current_thread() is driver._thread:
                if not self.pressed and not driver._wanted:
                    line.held.wait_for_arrival(2)
                    self.pressed = 1
                    interrupt(run)
                elif self.pressed == 1 and driver.stopped:
                    self.pressed = 2
                    if twice:
                        interrupt(run)
                    else:
                        line.held.open()
            return super().wait(future, timeout)

    run = fan(10, max_workers=2, clock=Keyboard())
    with pytest.raises(KeyboardInterrupt), run:
        run.map(line)

    ended = ([], {"timeout": 2}) if twice else ([1, 2], {})
    assert ended == (sorted(line.ended), run.summary.failed)
    assert (len(run.summary.not_run), run.summary.stopped) == (8, "interrupted")


def without_threads(monkeypatch: pytest.MonkeyPatch, name: str, *, but: int = 0) -> None:
    """Let the system give no more threads called *name*, after so many."""
    start, given = threading.Thread.start, []

    def refuse(self: threading.Thread) -> None:
        if self.name == name:
            if len(given) >= but:
                raise RuntimeError("can't start new thread")
            given.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_a_run_that_gets_no_thread_says_so_and_lets_its_journal_go(
    fan: Fan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "run.jsonl"
    with monkeypatch.context() as patched:
        without_threads(patched, "rolecall-fleet")
        with (
            pytest.raises(RuntimeError, match="new thread"),
            fan(3, journal=journal, job="x") as run,
        ):
            run.map(type)

    with fan(3, journal=journal, job="x") as run:
        run.map(type)
    assert run.summary.ok == 3


def test_a_run_goes_on_with_the_threads_that_it_got(
    fan: Fan, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_threads(monkeypatch, "rolecall-fleet-worker", but=1)

    with fan(10, max_workers=5) as run:
        run.map(type)

    assert (run.summary.ok, run.summary.stopped) == (10, None)


def test_a_run_without_any_worker_ends_with_all_of_it_not_run(
    fan: Fan, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_threads(monkeypatch, "rolecall-fleet-worker")

    with pytest.raises(RuntimeError, match="new thread"), fan(3) as run:
        list(run.map(type))

    assert run.summary.ok + len(run.summary.not_run) + run.summary.failures == 3


# Functions that return what has yet to run


async def later() -> None: ...


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (later, "coroutine"),
        (lambda: (one for one in "abc"), "generator"),
        (lambda: iter([1]), "list_iterator"),
        (lambda: map(str, [1]), "map"),
    ],
)
def test_what_has_yet_to_run_is_a_failure(fan: Fan, value: Any, kind: str) -> None:
    with fan(1) as run:
        (outcome,) = run.map(lambda session: value())

    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.type) == ("function", "TypeError")
    assert f"returned {kind}, of which nothing has run" in outcome.error.message


# Time


def test_to_wait_for_a_turn_at_sts_does_not_use_up_the_time_out(
    fan: Fan, fake_clock: FakeClock
) -> None:
    with fan(3, sts_rate=1, max_workers=3, timeout=0.5) as run:
        stream = iter(run.map(type))
        found = [next(stream)]
        for waiting in (2, 1):
            fake_clock.wait_for_waiters(waiting + 1)  # the driver waits, too
            fake_clock.tick(1)
            found.append(next(stream))

    assert [one.ok for one in found] == [True] * 3


def test_what_was_given_up_calls_no_aws_by_sessions_made_from_its_own_either(
    fan: Fan, fake_clock: FakeClock
) -> None:
    go, raised = Gate(), []
    ended = threading.Event()

    def work(session: boto3.Session) -> None:
        hop = rolecall.assume_role(session, "arn:aws:iam::111122223333:role/Second")
        client = hop.client("sts")
        go()
        try:
            client.get_caller_identity()
        except BaseException as error:
            raised.append(type(error).__name__)
        finally:
            ended.set()

    with fan(1, timeout=30) as run:
        stream = iter(run.map(work))
        go.wait_for_arrival()
        fake_clock.wait_for_waiters()
        fake_clock.tick(30)
        assert not next(stream).ok
        go.open()
        assert ended.wait(20)

    assert raised == ["Late"]


def test_threads_that_hang_are_counted_over_all_chunks_of_a_process(
    fan: Fan, line: Line, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rolecall.fleet.running.crew.Limits.most_lost", 1)
    line.free = 0

    with ThreadPoolExecutor(1) as pool:
        with fan(3, executor=pool, max_workers=1, timeout=30) as run:
            stream = iter(run.map(line))
            line.held.wait_for_arrival()
            fake_clock.wait_for_waiters(2)  # the run's driver, and the chunk's
            fake_clock.tick(30)
            found = list(stream)
        line.held.open()

    assert [number(one.target) for one in found] == [1] == line.begun
    assert (len(run.summary.not_run), run.summary.stopped) == (2, "hung")


def crew_with_one_task(fan: Fan, clock: FakeClock) -> tuple[Crew, Task]:
    """Return a crew that has not begun, and a task that it believes is running."""
    run: Any = fan(1, timeout=30)
    limits = run._settings.limits(1)
    crew = Crew((), None, run._opener(), limits, clock=clock, tally=Tally(None))
    errand = run._errands[0]
    task = Task(Stay(errand), errand.targets()[0], deadline=clock.boottime())
    crew._running[task] = None
    return crew, task


@pytest.mark.parametrize("how", ["expire", "abandon"])
@pytest.mark.parametrize("finished", [True, False])
def test_what_finished_in_the_instant_it_is_given_up_is_done(
    fan: Fan, fake_clock: FakeClock, how: str, finished: bool
) -> None:
    crew, task = crew_with_one_task(fan, fake_clock)
    task.result = Result(value=5) if finished else None

    if how == "expire":
        crew.expire(fake_clock.boottime())
    else:
        crew.abandon()

    assert crew.summary.ok == finished
    assert task.over is not finished


def test_a_role_of_a_run_that_was_ended_is_not_assumed_and_says_why(fan: Fan) -> None:
    run: Any = fan(1)
    opener, errand = run._opener(), run._errands[0]
    child = opener.account(errand.way, errand.account.id)
    credentials = opener.session(child, None).get_credentials()
    opener.end()

    with pytest.raises(FetchError, match="the run was ended") as caught:
        credentials.get_frozen_credentials()

    assert isinstance(caught.value, Ended)
    assert not caught.value.retryable


def test_a_pace_that_workers_would_wait_for_too_long_is_refused(fan: Fan) -> None:
    fan(3, sts_rate=1, max_workers=300)
    with pytest.raises(ValueError, match="too slow for 301 workers"):
        fan(3, sts_rate=1, max_workers=301)
