"""What comes of a run: outcomes, one by one, and nothing kept alive by them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import boto3
import pytest
from fleet_scenes import Watch

from rolecall.fleet import FanOut, Target
from rolecall.testing import FakeClock, Gate

Fan = Callable[..., FanOut]


class Failing(Exception):
    """Raised by functions; can be referred to weakly."""


class FakeClient:
    def __init__(self, session: boto3.Session) -> None:
        self.session = session


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words for it")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class Unreadable(Exception):
    @property
    def response(self) -> object:
        raise RuntimeError("not now")

    @property
    def exceptions(self) -> object:
        raise RuntimeError("not now")


# Outcomes


def test_outcomes_come_as_targets_are_done(fan: Fan) -> None:
    slow = Gate()

    def work(session: boto3.Session, target: Target) -> str:
        if target.account.id.endswith("1"):
            slow()
        return target.account.id

    with fan(3) as run:
        stream = iter(run.map(work))
        first = {next(stream).value, next(stream).value}
        slow.open()
        last = next(stream).value

    assert {"111122220002", "111122220003"} == first
    assert last == "111122220001"


def test_an_outcome_says_what_came_of_a_target_and_how_long_it_took(
    fan: Fan, fake_clock: FakeClock
) -> None:
    began = fake_clock.now

    def work(session: boto3.Session) -> int:
        fake_clock.tick(2.5)
        return 7

    with fan(1, regions="eu-west-1") as run:
        (outcome,) = run.map(work)

    assert outcome.ok
    assert (outcome.value, outcome.error, outcome.attempts) == (7, None, 1)
    assert (began, timedelta(seconds=2.5)) == (outcome.started, outcome.elapsed)
    assert (outcome.account.id, outcome.region) == ("111122220001", "eu-west-1")
    assert outcome.target.role == "arn:aws:iam::111122220001:role/Auditor"
    assert str(run.summary) == "1 ok"
    assert timedelta(seconds=2.5) == run.summary.elapsed


@pytest.mark.parametrize(
    "raised",
    [
        Failing,
        SystemExit,
        KeyboardInterrupt,
        StopIteration,
        GeneratorExit,
        Unspeakable,
        Unprintable,
        Unreadable,
    ],
)
def test_what_a_function_raises_is_its_target_s_failure_only(
    fan: Fan, raised: type[BaseException]
) -> None:
    def work(session: boto3.Session, target: Target) -> None:
        if target.account.id.endswith("2"):
            raise raised("fake reason")

    with fan(3) as run:
        outcomes = {outcome.account.id: outcome for outcome in run.map(work)}

    assert len(outcomes) == 3
    failed = outcomes["111122220002"].error
    assert failed is not None
    assert ("function", raised.__name__) == (failed.kind, failed.type)
    assert (run.summary.ok, run.summary.failed) == (2, {"function": 1})


def test_a_run_over_nothing_is_refused(fan: Fan) -> None:
    with pytest.raises(ValueError, match="there are no targets"):
        fan([])


def test_a_stream_can_be_gone_through_with_pauses_and_by_two_threads(fan: Fan) -> None:
    with fan(20, max_workers=3) as run:
        given = run.map(type)
        outcomes, turn = iter(given), threading.Lock()
        found: list[str] = []

        def take() -> None:
            while True:
                with turn:
                    outcome = next(outcomes, None)
                if outcome is None:
                    return
                found.append(outcome.account.id)

        other = threading.Thread(target=take)
        other.start()
        take()
        other.join(20)

        with pytest.raises(RuntimeError, match="gone through already"):
            iter(given)

    assert 20 == len(found) == len(set(found))
    assert (run.summary.ok, run.summary.stopped) == (20, None)


# Whether anybody takes them


def test_a_run_whose_outcomes_nobody_takes_is_done_when_its_block_ends(fan: Fan) -> None:
    with fan(20, max_workers=2) as run:
        run.map(type)

    assert (run.summary.ok, run.summary.not_run) == (20, ())


def test_a_run_needs_no_block(fan: Fan, tmp_path: Any) -> None:
    journal = tmp_path / "run.jsonl"

    outcomes = list(fan(5, journal=journal, job="x").map(type))

    assert [outcome.ok for outcome in outcomes] == [True] * 5
    # Nobody holds the journal any more, and it says that all is done.
    assert list(fan(5, journal=journal, job="x").map(type)) == []


def test_outcomes_that_are_not_taken_hold_the_run_up(fan: Fan, fake_clock: FakeClock) -> None:
    begun = Gate()
    begun.open()

    with fan(30, max_workers=2) as run:
        stream = iter(run.map(lambda session: begun()))
        next(stream)
        begun.wait_for_arrival(5)
        # Four that wait to be taken, two that were running by then, and the one that was taken.
        fake_clock.wait_for_waiters()
        assert begun.arrived <= 7
        assert len(list(stream)) == 29

    assert begun.arrived == 30


# What they keep alive


@pytest.mark.parametrize("good", [True, False])
def test_outcomes_keep_no_session_client_or_exception(fan: Fan, watch: Watch, good: bool) -> None:
    held = Gate()
    numbers = itertools.count(1)

    def work(session: boto3.Session) -> int:
        if (number := next(numbers)) > 100:
            held()
        # A client takes its time to be made.
        client = session.client("sts") if number % 10 == 0 else FakeClient(session)
        error = Failing(client)
        watch(session, client, error)
        if good:
            return 1
        try:
            raise Failing(session) from error
        except Failing as second:
            watch(second)
            raise KeyError(second) from second

    # One thread: it has let go of a target when it has come to the next.
    with fan(101, max_workers=1) as run:
        stream = iter(run.map(work))
        outcomes = [next(stream) for _ in range(100)]
        held.wait_for_arrival()
        alive = watch.alive
        held.open()

    assert [good] * 100 == [outcome.ok for outcome in outcomes]
    assert 300 + (0 if good else 100) <= watch.seen
    assert alive == 0


def test_an_exception_that_somebody_keeps_holds_no_session(fan: Fan, watch: Watch) -> None:
    kept = Failing("made once, raised often")

    def work(session: boto3.Session) -> None:
        watch(session)
        try:
            raise Failing("while handling this one")
        except Failing:
            raise kept  # noqa: B904 - its context is released, too

    with fan(3, max_workers=1) as run:
        outcomes = list(run.map(work))

    assert [outcome.ok for outcome in outcomes] == [False] * 3
    assert (watch.seen, watch.alive) == (3, 0)


@pytest.mark.parametrize("good", [True, False])
def test_threads_that_wait_keep_nothing(fan: Fan, watch: Watch, good: bool) -> None:
    held = Gate()

    def work(session: boto3.Session, target: Target) -> object:
        if target.account.id.endswith("4"):
            held()
            return None
        value = Failing()
        credentials: Any = session.get_credentials()
        watch(value, credentials._refresher)
        if good:
            return value
        raise value

    with fan(4, max_workers=4) as run:
        stream = iter(run.map(work))
        for _ in range(3):
            assert next(stream).ok is good
        held.wait_for_arrival()
        # Whoever takes outcomes waits for one more: the stream holds the one it gave until then.
        with ThreadPoolExecutor(1) as pool:
            last = pool.submit(next, stream)
            let_go = watch.all_gone()
            held.open()
            assert last.result(20).ok

    assert watch.seen == 6
    assert let_go


def test_sessions_of_accounts_that_are_done_are_gone_while_the_run_goes_on(
    fan: Fan, watch: Watch
) -> None:
    alive = []

    def work(session: boto3.Session) -> None:
        alive.append(watch.alive)
        watch(session, session.client("sts"))

    with fan(3, regions=["eu-west-1", "us-east-1"], max_workers=1) as run:
        assert all(outcome.ok for outcome in run.map(work))

    assert alive == [0] * 6
