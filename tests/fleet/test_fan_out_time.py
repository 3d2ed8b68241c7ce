"""Time-outs, deadlines, further attempts; a journal that is full and a function that hangs."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from fleet_scenes import Line, number

from rolecall.clock import SYSTEM_CLOCK
from rolecall.errors import StoreError
from rolecall.fleet import FanOut, Outcome, Target
from rolecall.testing import FakeClock

Fan = Callable[..., FanOut]


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "fake"}}, "DescribeThings")


# Time


def test_after_the_deadline_nothing_is_started(fan: Fan, line: Line, fake_clock: FakeClock) -> None:
    with fan(10, max_workers=1, deadline="1m") as run:
        stream = iter(run.map(line))
        assert next(stream).value == 1
        line.held.wait_for_arrival()
        fake_clock.tick(60)
        line.held.open()
        assert [outcome.value for outcome in stream] == [2]

    assert (run.summary.ok, len(run.summary.not_run), run.summary.stopped) == (2, 8, "deadline")


def test_a_target_that_takes_too_long_makes_room_for_others_and_its_value_is_dropped(
    fan: Fan, line: Line, fake_clock: FakeClock
) -> None:
    line.free = 0
    threads = set()

    def work(session: boto3.Session, target: Target) -> int:
        threads.add(threading.current_thread())
        return line(session, target) if number(target) == 1 else number(target)

    with fan(3, max_workers=1, timeout=30, attempts=3) as run:
        stream = iter(run.map(work))
        line.held.wait_for_arrival()
        fake_clock.wait_for_waiters()
        fake_clock.tick(29)
        fake_clock.wait_for_waiters()
        assert line.ended == []
        fake_clock.tick(1)
        late = next(stream)
        others = [outcome.value for outcome in stream]
        line.held.open()

    assert others == [2, 3]
    assert late.error is not None
    assert (
        late.error.kind,
        late.error.message,
        late.attempts,
    ) == ("timeout", "took longer than 30 s", 1)
    assert late.elapsed.total_seconds() == 30
    assert (
        run.summary.ok,
        run.summary.failed,
        run.summary.stopped,
    ) == (2, {"timeout": 1}, None)
    assert len(threads) == 2


def test_a_run_ends_when_too_many_threads_hang(fan: Fan, line: Line, fake_clock: FakeClock) -> None:
    line.free = 0
    before = threading.active_count()

    with fan(130, max_workers=10, timeout=30) as run:
        with ThreadPoolExecutor(1) as consumer:
            outcomes = consumer.submit(list, run.map(line))
            for ten in range(1, 11):
                line.held.wait_for_arrival(10 * ten)
                # Twice: the first may come before the driver has looked at its clock.
                for seconds in (30, 5):
                    fake_clock.wait_for_waiters()
                    fake_clock.tick(seconds)
            found = outcomes.result(20)
        alive = threading.active_count() - before
        line.held.open()

    assert len(found) == 100
    assert alive <= 100
    assert (run.summary.failed, len(run.summary.not_run)) == ({"timeout": 100}, 30)
    assert run.summary.stopped == "hung"


def test_time_out_and_deadline_may_be_longer_than_a_system_can_wait(fan: Fan) -> None:
    with fan(2, timeout=1e12, deadline="99999999d", clock=SYSTEM_CLOCK) as run:
        assert [outcome.ok for outcome in run.map(type)] == [True, True]


# Further attempts


def attempts_of(outcomes: list[Outcome]) -> dict[int, tuple[int, bool]]:
    return {number(one.target): (one.attempts, one.ok) for one in outcomes}


def test_a_throttled_target_is_tried_again_after_a_pause_in_which_others_go_on(
    fan: Fan, fake_clock: FakeClock
) -> None:
    tried: list[tuple[int, float]] = []
    began = fake_clock.boottime()

    def work(session: boto3.Session, target: Target) -> None:
        tried.append((number(target), fake_clock.boottime() - began))
        if number(target) == 1 and len(tried) == 1:
            raise refused("ThrottlingException")

    with fan(3, max_workers=1, attempts=3) as run:
        stream = iter(run.map(work))
        outcomes = [next(stream), next(stream)]
        for _ in range(2):  # the first may come before the driver has looked at its clock
            fake_clock.wait_for_waiters()
            fake_clock.tick(1)
        outcomes += stream

    assert attempts_of(outcomes) == {1: (2, True), 2: (1, True), 3: (1, True)}
    assert [one for one, _ in tried] == [1, 2, 3, 1]
    assert tried[3][1] >= 1
    assert (run.summary.ok, run.summary.failed) == (3, {})


@pytest.mark.parametrize(
    "error", [refused("AccessDenied"), KeyError("own"), refused("OptInRequired")]
)
def test_what_another_try_would_not_help_is_tried_once(fan: Fan, error: Exception) -> None:
    def work(session: boto3.Session) -> None:
        raise error

    with fan(2, attempts=3) as run:
        outcomes = list(run.map(work))

    assert attempts_of(outcomes) == {1: (1, False), 2: (1, False)}


def test_pauses_grow_and_a_target_is_not_tried_more_often_than_asked_for(fan: Fan) -> None:
    class Hasty(FakeClock):
        """Time passes as soon as somebody waits for a moment that is near."""

        def wait(self, future: Any, timeout: float | None) -> bool:
            if timeout is None or timeout > 4:
                return super().wait(future, timeout)
            self.tick(timeout)
            return bool(future.done())

    clock = Hasty()
    tried = []

    def work(session: boto3.Session) -> None:
        tried.append(clock.boottime())
        raise refused("ThrottlingException")

    with fan(1, attempts=4, failure_tolerance=0, clock=clock) as run:
        (outcome,) = run.map(work)

    assert [later - sooner for sooner, later in itertools.pairwise(tried)] == [1, 2, 4]
    assert outcome.attempts == 4
    assert run.summary.failed == {"throttled": 1}


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_run_that_is_stopped_tries_nothing_again(fan: Fan, line: Line, how: str) -> None:
    def work(session: boto3.Session, target: Target) -> int:
        if number(target) == 1:
            raise refused("ThrottlingException")
        return line(session, target)

    with fan(3, max_workers=1, attempts=3) as run:
        outcomes = run.map(work)
        line.held.wait_for_arrival()
        getattr(run, how)()
        line.held.open()
        found = {number(one.target): one for one in outcomes}

    assert found[1].error is not None
    assert (found[1].error.kind, found[1].attempts) == ("throttled", 1)
    assert [number(one) for one in run.summary.not_run] == [3]


# The journal


def test_a_journal_that_cannot_be_written_ends_the_run(
    fan: Fan, fork: Callable[[Callable[[], object]], Any], tmp_path: Path
) -> None:
    journal = tmp_path / "run.jsonl"

    def disk_is_full() -> bool:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))
        tried = []

        def work(session: boto3.Session, target: Target) -> None:
            tried.append(target)
            if number(target) == 1:
                raise refused("ThrottlingException")  # it waits for its next try when it happens

        run = fan(100, max_workers=4, attempts=2, journal=journal, job="audit")
        try:
            with run:
                list(run.map(work))
        except StoreError:
            left = [one for one in threading.enumerate() if "rolecall" in one.name]
            for one in left:
                one.join(5)
            summary = run.summary
            return (
                len(tried) < 20
                and not any(one.is_alive() for one in left)
                and summary.ok + summary.failures + len(summary.not_run) == 100
            )
        return False

    assert fork(disk_is_full).said_yes()
    assert journal.read_bytes().endswith(b"\n")
    # Its lock is free, and what it says was done is not done again.
    with fan(100, journal=journal, job="audit") as run:
        run.map(type)

    assert run.summary.skipped > 0
    assert run.summary.ok + run.summary.skipped == 100


# The interpreter's end

HANGS = """
import threading, boto3
from fleet_scenes import answered
from rolecall.fleet import fan_out

begun = threading.Event()

def hang(session):
    begun.set()
    threading.Event().wait()

session = answered(
    boto3.Session("AKIAFAKE000000000001", "fake-secret", region_name="us-east-1")
)
with fan_out(session, ["111122220001", "111122220002"], role="X", max_workers=1) as run:
    stream = iter(run.map(hang))
    begun.wait(20)
    run.kill()
    print([outcome.error.type for outcome in stream], len(run.summary.not_run))
"""


def test_a_function_that_hangs_does_not_keep_the_interpreter_from_ending() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGS],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "['Interrupted'] 1\n"), done.stderr
