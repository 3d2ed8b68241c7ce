"""A fleet on dask: one cluster of two processes, with threads of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import distributed
import pytest
import workers

import rolecall
from rolecall.errors import ConfigError
from rolecall.fleet import fan_out
from rolecall.fleet.results.outcomes import Outcome
from rolecall.fleet.targets import Account
from rolecall.testing import StrictCloud

ACCOUNTS = [f"{111111111111 + one:012d}" for one in range(8)]
REGIONS = ("eu-west-1", "eu-west-2", "us-east-1")
HUB = "arn:aws:iam::777788889999:role/Hub"


@pytest.fixture(scope="module")
def cloud() -> Iterator[StrictCloud]:
    with StrictCloud() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def client(cloud: StrictCloud) -> Iterator[distributed.Client]:
    with (
        distributed.LocalCluster(  # type: ignore[no-untyped-call] # dask has no types there
            n_workers=2,
            threads_per_worker=2,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            worker_dashboard_address=None,
        ) as cluster,
        distributed.Client(cluster) as client,  # type: ignore[no-untyped-call] # the same
    ):
        client.run(workers.become, cloud.environ())
        client.submit(workers.nothing).result(60)  # for threads that dask only now begins
        yield client


@pytest.fixture
def executor(client: distributed.Client) -> Executor:
    found: Executor = client.get_executor()  # type: ignore[no-untyped-call] # the same
    return found


@pytest.fixture
def base(cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch) -> boto3.Session:
    """A session of a user of the environment."""
    for name, value in cloud.environ().items():
        monkeypatch.setenv(name, value)
    return boto3.Session()


def all_of(
    executor: Executor, session: Any, targets: Any, function: Any, **more: Any
) -> tuple[list[Outcome], Any]:
    with fan_out(session, targets, role="Reader", executor=executor, **more) as run:
        outcomes = list(run.map(function))
    return outcomes, run.summary


def test_each_account_answers_for_itself_and_is_assumed_once_and_the_hub_once_a_process(
    cloud: StrictCloud, base: boto3.Session, executor: Executor
) -> None:
    hub = rolecall.assume_role(base, HUB, RoleSessionName="hub-of-dask")
    before = cloud.calls("AssumeRole")

    outcomes, _ = all_of(
        executor,
        hub,
        ACCOUNTS,
        workers.who_and_where,
        regions=REGIONS,
        chunk_size=6,
        max_workers=24,
    )

    assert [one.error for one in outcomes if one.error is not None] == []
    assert {(one, region) for one in ACCOUNTS for region in REGIONS} == {
        one.value[:2] for one in outcomes
    }
    assert [one for one in outcomes if one.value[:2] != (one.account.id, one.region)] == []
    processes = {one.value[2] for one in outcomes}
    assert os.getpid() not in processes
    assert len(processes) == 2
    assert len(ACCOUNTS) + 2 == cloud.calls("AssumeRole") - before


def test_failures_and_what_cannot_travel_are_each_targets_own(
    base: boto3.Session, executor: Executor
) -> None:
    names = ("fine", "modelled", "denied", "locked_error", "lock", "client")
    targets = [Account(one, name=name) for one, name in zip(ACCOUNTS, names, strict=False)]

    outcomes, _ = all_of(executor, base, targets, workers.troubles)

    assert {
        one.account.name: None if one.error is None else (one.error.kind, one.error.code)
        for one in outcomes
    } == {
        "fine": None,
        "modelled": ("function", "NoSuchBucket"),
        "denied": ("access_denied", "AccessDeniedException"),
        "locked_error": ("function", None),
        "lock": ("executor", None),
        "client": ("executor", None),
    }


def test_a_session_with_keys_of_its_own_is_refused(cloud: StrictCloud, executor: Executor) -> None:
    before = cloud.calls()

    with pytest.raises(ConfigError, match="explicit keys"):
        all_of(executor, cloud.session(), ACCOUNTS, workers.account_of)

    assert before == cloud.calls()


def test_what_runs_when_the_run_is_stopped_is_not_said_to_have_not_run(
    base: boto3.Session, executor: Executor
) -> None:
    """A future of dask's says that it could be cancelled though its worker is at it."""
    with workers.Turnstile() as turnstile:
        run = fan_out(base, ACCOUNTS, role="Reader", executor=executor, max_workers=4, chunk_size=2)
        with run:
            outcomes = run.map(partial(workers.checks_in, turnstile.address))
            begun = sorted(turnstile.next() for _ in range(4))
            run.stop()
            turnstile.open()
            ended = list(outcomes)

    left = sorted(target.account.id for target in run.summary.not_run)
    assert [one for one in left if one in begun] == []
    assert begun == sorted(one.account.id for one in ended)
    assert len(left) == 4


def test_two_runs_of_one_function_at_once_both_call_it(
    base: boto3.Session, executor: Executor, tmp_path: Path
) -> None:
    """dask takes two tasks for the same that have the same arguments."""
    work = partial(workers.marked, str(tmp_path))

    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(all_of, executor, base, ACCOUNTS[:2], work) for _ in range(2)]
        ended = [one.result(60)[0] for one in both]

    assert [len(outcomes) for outcomes in ended] == [2, 2]
    assert len(list(tmp_path.iterdir())) == 4
