"""What a run leaves in its journal, and what the one that goes on with it does again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from fleet_scenes import Line, number
from test_bell import ends
from test_fan_out_stopping import interrupt

from rolecall.errors import ConfigError, StoreError
from rolecall.fleet import FanOut, Target
from rolecall.fleet.plan import Plan
from rolecall.fleet.results.journal import Journal
from rolecall.fleet.running.driver import Driver

Fan = Callable[..., FanOut]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def work(session: boto3.Session) -> None: ...


class Work:
    def __call__(self, session: boto3.Session) -> None: ...

    def method(self, session: boto3.Session) -> None: ...


# Whose journal it is


@pytest.mark.parametrize(
    "function",
    [lambda session: None, partial(work), Work(), Work().method, type],
    ids=["lambda", "partial", "callable", "method", "class"],
)
def test_a_journal_needs_a_job_where_the_function_s_name_does_not_tell_what_is_done(
    fan: Fan, path: Path, function: Any
) -> None:
    run = fan(2, journal=path)

    with pytest.raises(ConfigError, match="has no name of its own"), run:
        run.map(function)

    assert not path.exists()
    with fan(2, journal=path, job="audit") as named:
        assert len(list(named.map(function))) == 2


def test_a_function_of_a_module_needs_none(fan: Fan, path: Path) -> None:
    for skipped in (0, 2):
        with fan(2, journal=path) as run:
            run.map(work)
        assert run.summary.skipped == skipped


def test_what_was_done_with_other_policies_is_not_done(fan: Fan, path: Path) -> None:
    policy = {"Version": "2012-10-17", "Statement": []}
    skipped = []

    for options in ({}, {"Policy": policy}, {"Tags": {"a": "b"}}, {"Policy": policy}):
        with fan(2, journal=path, **options) as run:
            run.map(work)
        skipped.append(run.summary.skipped)

    assert skipped == [0, 0, 0, 2]


# Whose outcomes nobody got


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt])
def test_what_its_reader_did_not_get_through_with_runs_again(
    fan: Fan, path: Path, raised: type[BaseException]
) -> None:
    written = []

    with pytest.raises(raised), fan(10, max_workers=4, journal=path) as run:  # noqa: PT012 - it is the block that is tested
        for outcome in run.map(work):
            if len(written) == 2:
                raise raised
            written.append(outcome.account.id)
    with fan(10, journal=path) as again:
        written += [outcome.account.id for outcome in again.map(work)]

    assert again.summary.skipped == 2
    assert len(written) == len(set(written)) == 10


def goes_on(fan: Fan, path: Path, *, number: int) -> None:
    """Check that the run that goes on leaves nothing out."""
    with fan(number, journal=path, job="x") as again:
        assert len(list(again.map(type))) == number
    assert again.summary.skipped == 0


def test_ctrl_c_before_the_first_outcome_loses_none(fan: Fan, line: Line, path: Path) -> None:
    line.free = 0

    def press() -> None:
        line.held.wait_for_arrival(2)
        interrupt(run)

    keyboard = threading.Thread(target=press)
    run = fan(6, max_workers=2, journal=path, job="x")
    with pytest.raises(KeyboardInterrupt), run, line.held:  # noqa: PT012 - it is the block that is tested
        keyboard.start()
        list(run.map(line))
    keyboard.join(20)

    assert (run.summary.ok, len(run.summary.not_run)) == (2, 4)
    goes_on(fan, path, number=6)


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt])
def test_an_exception_before_anybody_asked_loses_none(
    fan: Fan, line: Line, path: Path, raised: type[BaseException]
) -> None:
    line.free = 0

    with pytest.raises(raised), fan(2, journal=path, job="x") as run, line.held:  # noqa: PT012 - it is the block that is tested
        run.map(line)
        line.held.wait_for_arrival(2)
        raise raised

    assert run.summary.ok == 2
    goes_on(fan, path, number=2)


@pytest.mark.parametrize("writer", ["to_csv", "to_jsonl", "to_parquet"])
@pytest.mark.parametrize("rows", [False, True])
def test_a_table_that_cannot_be_written_loses_none(
    fan: Fan, line: Line, path: Path, tmp_path: Path, writer: str, rows: bool
) -> None:
    line.free = 0

    with pytest.raises(FileNotFoundError), fan(2, journal=path, job="x") as run, line.held:  # noqa: PT012 - the same
        outcomes = run.map(line)
        line.held.wait_for_arrival(2)
        getattr(outcomes, writer)(tmp_path / "nowhere" / "out", rows=rows)

    goes_on(fan, path, number=2)


def test_a_run_whose_outcomes_nobody_asks_for_is_done(fan: Fan, line: Line, path: Path) -> None:
    line.free = 2

    with fan(4, max_workers=4, journal=path, job="x") as run:
        run.map(line)
        line.held.wait_for_arrival(2)  # by now two have ended, the others end in the end
        line.held.open()
    with fan(4, journal=path, job="x") as again:
        assert list(again.map(type)) == []

    assert (run.summary.ok, again.summary.skipped) == (4, 4)


def interrupted(start: Callable[[Any], None], *, first: bool) -> Callable[[Any], None]:
    """Return *start* with a Ctrl-C before it, which then never happens, or after it."""

    def start_interrupted(self: Any) -> None:
        if getattr(self, "name", "rolecall-fleet") != "rolecall-fleet":
            return start(self)  # the thread of a worker
        if not first:
            start(self)
        raise KeyboardInterrupt

    return start_interrupted


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("which", [threading.Thread, Driver])
def test_ctrl_c_as_a_run_begins_leaves_nothing_running_and_its_journal_free(
    fan: Fan,
    line: Line,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    which: type[Any],
    first: bool,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("rolecall.fleet.running.driver._LONGEST_START_SECONDS", 0.01)
        patched.setattr(which, "start", interrupted(which.start, first=first))
        line.free = 0
        run = fan(9, max_workers=2, journal=path, job="x")

        def begin() -> None:
            with pytest.raises(KeyboardInterrupt), run:
                run.map(line)

        assert ends(begin)

    # By now it is over: what was begun may end by itself, and nothing follows.
    driver: Any = run._driver
    assert (driver.is_over, driver._thread.is_alive()) == (True, False)
    summary = run.summary
    assert len(line.begun) <= 2
    assert (summary.ok, summary.stopped) == (0, "interrupted")
    assert summary.failures + len(summary.not_run) == 9
    goes_on(fan, path, number=9)


def test_a_failure_is_in_the_journal_before_anybody_takes_it(fan: Fan, path: Path) -> None:
    def fails(session: boto3.Session) -> None:
        raise KeyError

    with pytest.raises(ValueError, match="mine"), fan(1, journal=path, job="x") as run:  # noqa: PT012 - the same
        for _ in run.map(fails):
            raise ValueError("mine")

    assert '"ok":false' in path.read_text().replace(" ", "")


# A journal that takes no more


def test_a_journal_that_takes_no_regions_cuts_off_nothing_that_runs(
    fan: Fan,
    line: Line,
    path: Path,
    accounts: Callable[[int], list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line.free = 0
    first, second, third = accounts(3)

    def full(*_: Any, **__: Any) -> None:
        line.held.open()
        raise StoreError("the disk is full")

    def enabled(session: Any, region: str) -> tuple[str, ...]:
        line.held.wait_for_arrival()
        return ("eu-west-1",)

    monkeypatch.setattr("rolecall.fleet.running.crew.enabled", enabled)
    monkeypatch.setattr(Journal, "write_regions", full)
    regions = {first: ["us-east-1"], second: "enabled", third: "enabled"}
    outcomes = []

    with (
        pytest.raises(StoreError, match="disk is full"),
        fan(3, regions=regions, max_workers=2, journal=path, job="x") as run,
    ):
        outcomes.extend(run.map(line))

    assert [(number(one.target), one.ok) for one in outcomes] == [(1, True)]
    assert (run.summary.ok, len(run.summary.not_run)) == (1, 2)
    assert run.summary.stopped == "journal"


# A plan of what is left


def test_a_plan_can_leave_out_what_was_done(fan: Fan, path: Path) -> None:
    def failing(session: boto3.Session, target: Target) -> None:
        if number(target) == 2:
            raise ValueError("not yet")

    with fan(3, journal=path, job="audit") as run:
        list(run.map(failing))
    with Journal.open(path, job="audit in us-east-1"):  # another run goes on with it
        left = fan(3, journal=path, job="audit").plan(missing=True)

    assert [number(target) for target in left] == [2]
    # As any plan it names the region, for whoever runs it may have another.
    assert [target.region for target in left] == ["us-east-1"]
    assert len(fan(3, journal=path, job="audit").plan()) == 3
    with pytest.raises(ConfigError, match="its job is 'audit in us-east-1'"):
        fan(3, journal=path, job="other").plan(missing=True)


@pytest.mark.parametrize("keywords", [{}, {"job": "audit"}, {"journal": "run.jsonl"}])
def test_what_is_missing_is_not_known_without_a_journal_and_its_job(
    fan: Fan, keywords: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="without a journal, and the name of its job"):
        fan(2, **keywords).plan(missing=True)


# A plan that does not say all


def test_what_a_plan_could_not_look_up_was_not_run(
    fan: Fan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def enabled(session: Any, region: str) -> tuple[str, ...]:
        raise KeyError("no answer")

    monkeypatch.setattr("rolecall.fleet.running.crew.enabled", enabled)
    failed = fan(["111122220009"], regions="enabled").plan().failed
    plan = Plan(targets=fan(2).plan().targets, failed=failed)

    with fan(plan) as run:
        run.map(work)

    assert (run.summary.ok, run.summary.all_ok) == (2, False)
    assert [number(target) for target in run.summary.not_run] == [9]


def test_a_plan_has_accounts_that_nobody_was_left_to_ask_among_its_failures(
    fan: Fan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rolecall.fleet.running.crew.Limits.most_lost", 0)

    plan = fan(3, regions="enabled").plan()

    assert plan.targets == ()
    assert [(number(one.target), one.error.type) for one in plan.failed if one.error] == [
        (1, "NotAsked"),
        (2, "NotAsked"),
        (3, "NotAsked"),
    ]


def test_targets_are_counted_as_far_as_they_are_known(
    fan: Fan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "rolecall.fleet.running.crew.enabled", lambda session, region: ("eu-west-1", "us-east-1")
    )
    seen: list[Target] = []
    run = fan(3, regions="enabled")
    assert run.targets == 3

    with run:
        run.map(lambda session, target: seen.append(target))

    assert run.targets == len(seen) == 6


def test_targets_whose_regions_the_journal_knew_are_counted(
    fan: Fan, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "rolecall.fleet.running.crew.enabled", lambda session, region: ("eu-west-1", "us-east-1")
    )

    def failing(session: boto3.Session, target: Target) -> None:
        if (number(target), target.region) == (2, "us-east-1"):
            raise ValueError("not yet")

    counted = []
    for accounts in (3, 4):  # one more, that no journal knows
        with fan(accounts, regions="enabled", journal=path, job="x") as run:
            list(run.map(failing))
        counted.append((run.targets, run.summary.skipped, run.summary.ok, run.summary.failures))

    assert counted == [(6, 0, 5, 1), (8, 5, 2, 1)]
