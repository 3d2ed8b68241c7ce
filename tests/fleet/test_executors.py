"""A fleet on real executors: threads, spawned, forked and forkserver processes, and loky."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import loky  # type: ignore[import-untyped] # it has no types
import pytest
import workers

import rolecall
from rolecall.clock import SystemClock
from rolecall.fleet import Plan, fan_out
from rolecall.fleet.results.outcomes import Outcome
from rolecall.fleet.targets import Account
from rolecall.testing import Gate, StrictCloud

ACCOUNTS = [f"{111111111111 + one:012d}" for one in range(8)]
REGIONS = ("eu-west-1", "eu-west-2", "us-east-1")
HUB = "arn:aws:iam::777788889999:role/Hub"
PROFILED = "999988887777"

CONFIG = """[profile audit]
region = us-west-2
aws_access_key_id = {access_key}
aws_secret_access_key = {secret_key}
"""


@pytest.fixture(scope="module")
def cloud() -> Iterator[StrictCloud]:
    with StrictCloud() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def environ(cloud: StrictCloud, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What this process and its workers find their own credentials in."""
    keys = cloud.credentials(user="auditor", account=PROFILED)
    config = tmp_path_factory.mktemp("aws") / "config"
    config.write_text(CONFIG.format(access_key=keys.access_key, secret_key=keys.secret_key))
    return {**cloud.environ(), "AWS_CONFIG_FILE": str(config)}


@pytest.fixture
def base(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> boto3.Session:
    """A session of a user of the environment."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return boto3.Session()


def pool(environ: dict[str, str], context: str, processes: int = 2) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context(context),
        initializer=workers.become,
        initargs=(environ,),
    )


def warm(executor: Executor) -> Executor:
    """Have *executor*'s threads begin now, so that no test is said to have left them."""
    executor.submit(workers.nothing).result(60)
    return executor


@pytest.fixture(scope="module")
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(4) as executor:
        all_begun = threading.Barrier(4)
        for one in [executor.submit(all_begun.wait, 20) for _ in range(4)]:
            one.result(20)
        yield executor


@pytest.fixture(scope="module")
def spawn(environ: dict[str, str]) -> Iterator[Executor]:
    with pool(environ, "spawn") as executor:
        yield warm(executor)


# For the module, and so begun before a test's threads are counted.
@pytest.fixture(scope="module")
def executor(request: pytest.FixtureRequest, environ: dict[str, str]) -> Iterator[Executor]:
    if request.param == "loky":
        executor = loky.get_reusable_executor(
            2, initializer=workers.become, initargs=(environ,), timeout=60
        )
        yield warm(executor)
        executor.shutdown(wait=True, kill_workers=True)
    elif request.param == "forkserver":
        with pool(environ, "forkserver", 1) as executor:
            yield warm(executor)
    else:
        yield request.getfixturevalue(request.param)


def named(*names: str) -> list[Account]:
    return [Account(f"{111111111111 + number:012d}", name=one) for number, one in enumerate(names)]


def all_of(
    executor: Executor | None, session: Any, targets: Any, function: Callable[..., Any], **more: Any
) -> tuple[list[Outcome], Any]:
    more = {"role": "Reader", **more}
    if isinstance(targets, Plan):
        del more["role"]
    with fan_out(session, targets, executor=executor, **more) as run:
        outcomes = list(run.map(function))
    return outcomes, run.summary


# ── right results ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("executor", ["threads", "spawn", "forkserver", "loky"], indirect=True)
def test_each_account_answers_for_itself_and_is_assumed_once_and_the_hub_once_a_process(
    cloud: StrictCloud, base: boto3.Session, executor: Executor
) -> None:
    hub = rolecall.assume_role(base, HUB, RoleSessionName=f"hub-of-{type(executor).__module__}")
    before = cloud.calls("AssumeRole")

    outcomes, summary = all_of(
        executor,
        hub,
        ACCOUNTS,
        workers.who_and_where,
        regions=REGIONS,
        chunk_size=6,
        max_workers=12,
    )

    assert [one.error for one in outcomes if one.error is not None] == []
    assert {(one, region) for one in ACCOUNTS for region in REGIONS} == {
        one.value[:2] for one in outcomes
    }
    assert [one for one in outcomes if one.value[:2] != (one.account.id, one.region)] == []
    processes = {one.value[2] for one in outcomes}
    assert (os.getpid() in processes) == isinstance(executor, ThreadPoolExecutor)
    assert len(ACCOUNTS) + len(processes) == cloud.calls("AssumeRole") - before
    assert summary.ok == 24


def test_a_worker_finds_the_profile_by_itself(
    cloud: StrictCloud, base: boto3.Session, spawn: Executor
) -> None:
    before = len(cloud.log)

    outcomes, _ = all_of(
        spawn,
        boto3.Session(profile_name="audit"),
        ACCOUNTS[:2],
        workers.who_and_where,
        regions=["eu-west-1"],
    )

    assert sorted(ACCOUNTS[:2]) == sorted(one.value[0] for one in outcomes)
    signers = {one.account for one in cloud.log[before:] if one.operation == "AssumeRole"}
    assert {PROFILED} == signers


def test_without_a_region_the_target_has_that_of_the_session(
    base: boto3.Session, spawn: Executor
) -> None:
    session = boto3.Session(profile_name="audit", region_name="sa-east-1")

    outcomes, _ = all_of(spawn, session, ACCOUNTS[:1], workers.region_of)

    assert [one.value for one in outcomes] == ["sa-east-1"]


def test_lambdas_and_closures_travel(base: boto3.Session, spawn: Executor) -> None:
    factor = 3

    outcomes, _ = all_of(
        spawn, base, ACCOUNTS[:2], lambda session, target: int(target.account.id) * factor
    )

    assert {int(one) * 3 for one in ACCOUNTS[:2]} == {one.value for one in outcomes}


ENABLED = ("ap-south-1", "eu-west-1", "us-east-1")
#: What EC2 says; moto's would take seconds to import.
DESCRIBED = (
    "<DescribeRegionsResponse><regionInfo>"
    + "".join(f"<item><regionName>{one}</regionName></item>" for one in ENABLED)
    + "</regionInfo></DescribeRegionsResponse>"
)


def test_regions_that_are_enabled_are_asked_for_in_the_worker(
    cloud: StrictCloud, base: boto3.Session, spawn: Executor, tmp_path: Path
) -> None:
    cloud.fail("DescribeRegions", status=200, body=DESCRIBED, content_type="text/xml", times=2)
    journal = tmp_path / "run.jsonl"
    options: dict[str, Any] = {"regions": "enabled", "journal": journal, "job": "regions"}

    outcomes, summary = all_of(spawn, base, ACCOUNTS[:2], workers.region_of, **options)
    again, second = all_of(spawn, base, ACCOUNTS[:2], workers.region_of, **options)

    assert {(one, region) for one in ACCOUNTS[:2] for region in ENABLED} == {
        (one.account.id, one.value) for one in outcomes
    }
    assert 6 == summary.ok == second.skipped
    assert again == []


# ── failures ─────────────────────────────────────────────────────────────────────────────


def test_failures_and_what_cannot_travel_are_each_targets_own(
    base: boto3.Session, spawn: Executor
) -> None:
    targets = named(*workers.TROUBLES)

    outcomes, _ = all_of(spawn, base, targets, workers.troubles, max_workers=12)

    values = {one.account.name: one.value for one in outcomes if one.ok}
    assert values == {"fine": "fine", "huge": b"x" * workers.HUGE}
    errors = {one.account.name: one.error for one in outcomes if one.error is not None}
    assert {name: (error.kind, error.code) for name, error in errors.items()} == {
        "modelled": ("function", "NoSuchBucket"),
        "unpickled": ("function", "NoSuchBucket"),
        "denied": ("access_denied", "AccessDeniedException"),
        "locked_error": ("function", None),
        "exit": ("function", None),
        "lock": ("executor", None),
        "client": ("executor", None),
        "session": ("executor", None),
        "keys": ("executor", None),
    }
    assert (errors["modelled"].type, errors["unpickled"].type) == ("NoSuchBucket", "ClientError")
    for name in ("modelled", "unpickled", "denied", "locked_error", "exit"):
        assert "workers.py" in errors[name].traceback
    assert "fake-secret" not in repr(errors)


def test_a_target_that_takes_too_long_is_given_up_in_the_worker(
    base: boto3.Session, environ: dict[str, str]
) -> None:
    with pool(environ, "fork", 1) as executor:
        outcomes, _ = all_of(
            executor,
            base,
            named("quick", "slow", "quick"),
            workers.never_ends,
            timeout=0.3,
            chunk_size=3,
        )

    kinds = {one.account.name: None if one.error is None else one.error.kind for one in outcomes}
    assert kinds == {"quick": None, "slow": "timeout"}
    assert len(outcomes) == 3


def test_targets_are_tried_again_in_the_worker(
    base: boto3.Session, spawn: Executor, tmp_path: Path
) -> None:
    outcomes, _ = all_of(
        spawn, base, ACCOUNTS[:3], partial(workers.fails_at_first, str(tmp_path)), attempts=2
    )

    assert [(one.value, one.attempts) for one in outcomes] == [("done", 2)] * 3


@pytest.mark.parametrize("kind", ["fork", "loky"])
def test_a_worker_that_dies_loses_its_chunk_and_the_rest_is_not_run(
    base: boto3.Session, environ: dict[str, str], kind: str
) -> None:
    executor: Any
    if kind == "loky":
        executor = loky.ProcessPoolExecutor(1, initializer=workers.become, initargs=(environ,))
    else:
        executor = pool(environ, "fork", 1)
    targets = named(*["fine"] * 2, "deadly", *["fine"] * 5)

    with executor:
        outcomes, summary = all_of(
            executor, base, targets, workers.dies, max_workers=2, chunk_size=2
        )

    ended = {one.account.id: None if one.error is None else one.error.kind for one in outcomes}
    assert {None, "executor"} == set(ended.values())
    assert ended[ACCOUNTS[2]] == "executor"
    assert [ACCOUNTS[2], ACCOUNTS[3]] == sorted(one for one, kind in ended.items() if kind)
    assert ACCOUNTS[4:] == sorted(target.account.id for target in summary.not_run)
    assert summary.stopped == "executor"


def test_an_executor_that_is_shut_down_already_says_so(
    base: boto3.Session, environ: dict[str, str]
) -> None:
    for executor in (ThreadPoolExecutor(1), pool(environ, "fork", 1)):
        executor.shutdown()
        run = fan_out(base, ACCOUNTS, role="Reader", executor=executor)

        with pytest.raises(RuntimeError, match="shutdown"), run:
            list(run.map(workers.account_of))

        assert len(ACCOUNTS) == len(run.summary.not_run)


# ── threads of this process ──────────────────────────────────────────────────────────────


def test_stopping_starts_no_more_regions_of_accounts_that_are_begun_in_a_thread_pool(
    base: boto3.Session, threads: Executor
) -> None:
    begun: list[str] = []

    def held(session: Any, target: Any) -> None:
        begun.append(str(target))
        gate.pass_through()

    clock = _Watched()
    with Gate() as gate:
        run = fan_out(
            base,
            ACCOUNTS,
            role="Reader",
            regions=REGIONS,
            executor=threads,
            max_workers=4,
            clock=clock,
        )
        with run:
            outcomes = run.map(held)
            clock.driver = run._driver
            gate.wait_for_arrival(4)
            begun_before = set(begun)
            run.stop()
            assert clock.told.wait(20)
            gate.open()
            ended = list(outcomes)

    assert begun_before == set(begun)
    assert len(ended) == 4
    assert len(run.summary.not_run) == 20


class _Watched(SystemClock):
    """The machine's clock, which sees when a run has told all of its threads to stop."""

    __slots__ = ("driver", "told")

    def __init__(self) -> None:
        self.driver: Any = None
        self.told = threading.Event()

    def wait(self, future: Future[Any], timeout: float | None) -> bool:
        driver = self.driver
        if driver is not None and driver._thread is threading.current_thread() and driver._recalled:
            self.told.set()
        return super().wait(future, timeout)


def test_a_run_that_is_killed_refuses_its_threads_every_call(
    base: boto3.Session,
) -> None:
    said: Future[Any] = Future()

    def held(session: Any) -> None:
        try:
            gate.pass_through()
            said.set_result(workers.account_of(session))
        except BaseException as error:  # whatever refuses the call
            said.set_exception(error)

    with Gate() as gate, ThreadPoolExecutor(1) as executor:
        with fan_out(base, ACCOUNTS[:3], role="Reader", executor=executor) as run:
            outcomes = run.map(held)
            gate.wait_for_arrival()
            run.kill()
            ended = list(outcomes)
        gate.open()

        with pytest.raises(Exception, match="given up"):
            said.result(20)

    assert len(ended) == 1
    assert len(run.summary.not_run) == 2


def test_a_thread_pool_needs_no_credentials_that_travel(
    cloud: StrictCloud, threads: Executor
) -> None:
    log: list[str] = []
    lock = threading.Lock()

    def work(session: Any) -> str:
        with lock:
            log.append(workers.account_of(session))
        return log[0]

    outcomes, _ = all_of(threads, cloud.session(), ACCOUNTS[:5], work)

    assert ACCOUNTS[:5] == sorted(log)
    assert len(outcomes) == 5


# ── after a fork ─────────────────────────────────────────────────────────────────────────


def test_forked_workers_and_their_parent_mix_up_no_account(
    cloud: StrictCloud, base: boto3.Session, environ: dict[str, str]
) -> None:
    """With the parent's connections open, and calling all the time."""
    hub = rolecall.assume_role(base, HUB, RoleSessionName="before-the-fork")
    own = hub.client("sts")
    assert own.get_caller_identity()["Account"] == "777788889999"
    all_of(_Inline(), hub, ACCOUNTS[:2], workers.account_of)  # as a worker's, its sessions are kept
    ended = threading.Event()
    answers: list[str] = []

    def call() -> None:
        while not ended.is_set():
            answers.append(own.get_caller_identity()["Account"])

    with ThreadPoolExecutor(1) as caller, pool(environ, "fork", 3) as executor:
        calling = caller.submit(call)
        try:
            outcomes, _ = all_of(
                executor, hub, ACCOUNTS, workers.who_and_where, chunk_size=4, regions=["eu-west-1"]
            )
        finally:
            ended.set()
        calling.result(20)

    assert [one for one in outcomes if not one.ok or one.value[0] != one.account.id] == []
    assert len(outcomes) == 8
    assert {"777788889999"} == set(answers)


class _Inline(Executor):
    """Runs what it is given at once, in this process."""

    def submit(self, function: Any, /, *arguments: Any, **keywords: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments, **keywords))
        return future


# ── many runs of one job ─────────────────────────────────────────────────────────────────


def test_a_second_run_with_the_journal_runs_only_what_failed(
    base: boto3.Session, spawn: Executor, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"journal": tmp_path / "run.jsonl", "job": "audit", "chunk_size": 4}
    bad = (ACCOUNTS[3], ACCOUNTS[7])

    _, first = all_of(spawn, base, ACCOUNTS, partial(workers.fails_in, bad), **options)
    again, second = all_of(spawn, base, ACCOUNTS, partial(workers.fails_in, ()), **options)

    assert (first.ok, first.failed) == (6, {"function": 2})
    assert sorted(bad) == sorted(one.value for one in again)
    assert (second.ok, second.skipped) == (2, 6)


def test_the_shards_of_a_plan_together_run_each_account_once(
    base: boto3.Session, spawn: Executor, tmp_path: Path
) -> None:
    saved = tmp_path / "plan.jsonl"
    fan_out(base, ACCOUNTS, role="Reader", regions=REGIONS[:2]).plan().save(saved)
    plan = Plan.load(saved)

    ran = [
        str(one.target)
        for shard in ("1/3", "2/3", "3/3")
        for one in all_of(spawn, base, plan, workers.region_of, shard=shard)[0]
    ]

    assert sorted(f"{one}/{region}" for one in ACCOUNTS for region in REGIONS[:2]) == sorted(ran)


def test_the_same_run_twice_calls_the_function_twice(
    base: boto3.Session, spawn: Executor, tmp_path: Path
) -> None:
    for _ in range(2):
        all_of(spawn, base, ACCOUNTS[:2], partial(workers.marked, str(tmp_path)))

    assert len(list(tmp_path.iterdir())) == 4
