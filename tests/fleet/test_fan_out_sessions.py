"""Sessions of a run against a strict cloud: whose they are, how often roles are assumed, and how
long they live."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import boto3
import pytest

import rolecall
from rolecall.chain import Ambient, Role, RoleChain
from rolecall.errors import InvalidChain
from rolecall.fleet import Account, FanOut, Target, fan_out
from rolecall.testing import FakeClock, Gate, StrictCloud

REGIONS = ["eu-west-1", "us-east-1", "us-west-2"]
OWN = "123456789012"

Accounts = Callable[[int], list[str]]


def whose(session: boto3.Session) -> str:
    """Return the account that *session* is of, as AWS sees it."""
    return str(session.client("sts").get_caller_identity()["Account"])


@pytest.fixture
def start(user: boto3.Session, cloud_clock: FakeClock, accounts: Accounts) -> Callable[..., FanOut]:
    """Return a function that makes a run against the cloud."""

    def start(targets: Any = 3, session: Any = user, **keywords: Any) -> FanOut:
        chosen = accounts(targets) if isinstance(targets, int) else targets
        return fan_out(session, chosen, **{"role": "Auditor", "clock": cloud_clock, **keywords})

    return start


@pytest.mark.parametrize("workers", [1, 20])
def test_each_call_has_the_session_of_its_own_target_and_roles_are_assumed_once(
    start: Callable[..., FanOut], cloud: StrictCloud, workers: int
) -> None:
    before = cloud.calls("AssumeRole")

    def look(session: boto3.Session, target: Target) -> tuple[str, str | None, Target]:
        return whose(session), session.region_name, target

    with start(4, regions=REGIONS, max_workers=workers) as run:
        outcomes = list(run.map(look))

    assert cloud.calls("AssumeRole") - before == 4
    assert len({outcome.target for outcome in outcomes}) == 12
    for outcome in outcomes:
        assert (outcome.account.id, outcome.region, outcome.target) == outcome.value


def test_regions_that_begin_at_once_share_one_assuming(
    start: Callable[..., FanOut], cloud: StrictCloud
) -> None:
    before = cloud.calls("AssumeRole")
    at_once = threading.Barrier(3, timeout=20)

    def look(session: boto3.Session) -> str:
        client = session.client("sts")
        at_once.wait()
        return str(client.get_caller_identity()["Account"])

    with cloud.hold("AssumeRole") as gate, start(1, regions=REGIONS) as run:
        outcomes = run.map(look)
        gate.wait_for_arrival()
        gate.open()
        assert all(outcome.ok for outcome in outcomes)

    assert cloud.calls("AssumeRole") - before == 1


def test_the_session_of_a_hub_is_assumed_once_for_all(
    start: Callable[..., FanOut], cloud: StrictCloud, user: boto3.Session, cloud_clock: FakeClock
) -> None:
    before = cloud.calls("AssumeRole")
    hub = rolecall.assume_role(user, cloud.role("Hub"), clock=cloud_clock)

    with start(4, session=hub, regions=REGIONS) as run:
        outcomes = list(run.map(whose))

    assert {True} == {outcome.value == outcome.account.id for outcome in outcomes}
    assert cloud.calls("AssumeRole") - before == 1 + 4


def test_the_hub_of_a_chain_is_assumed_once_for_all(
    start: Callable[..., FanOut], cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cloud.environ().items():
        monkeypatch.setenv(name, value)
    chain = RoleChain(Ambient(), cloud.role("Hub"), "arn:aws:iam::{account}:role/Auditor")
    before = cloud.calls("AssumeRole")

    with start(4, role=chain) as run:
        outcomes = list(run.map(whose))

    assert {True} == {outcome.value == outcome.account.id for outcome in outcomes}
    assert cloud.calls("AssumeRole") - before == 1 + 4


def test_the_hub_of_a_chain_is_asked_again_where_sts_stumbles(
    start: Callable[..., FanOut], cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cloud.environ().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("random.random", lambda: 0.0)  # how long botocore pauses
    chain = RoleChain(Ambient(), cloud.role("Hub"), "arn:aws:iam::{account}:role/Auditor")
    cloud.fail("AssumeRole", code="ServiceUnavailable", status=503, times=1)

    with start(2, role=chain) as run:
        outcomes = list(run.map(whose))

    assert [outcome.ok for outcome in outcomes] == [True, True]


def test_a_job_outlives_its_sessions_five_times(
    start: Callable[..., FanOut], cloud: StrictCloud, cloud_clock: FakeClock
) -> None:
    cloud.lifetime = timedelta(seconds=5)
    before = cloud.calls("AssumeRole")

    def work(session: boto3.Session) -> list[str]:
        found = []
        for _ in range(5):
            found.append(whose(session))
            cloud_clock.tick(5)
        return found

    # One at a time, or one's time would pass while another's request travels.
    with start(3, max_workers=1) as run:
        outcomes = list(run.map(work))

    assert (run.summary.ok, run.summary.failed) == (3, {})
    for outcome in outcomes:
        assert [outcome.account.id] * 5 == outcome.value
    assert cloud.calls("AssumeRole") - before >= 3 * 5


def test_the_arguments_of_assume_role_arrive(
    start: Callable[..., FanOut], user: boto3.Session
) -> None:
    sent: list[dict[str, Any]] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        sent.append(dict(params))

    user.events.register("before-parameter-build.sts.AssumeRole", note)
    options = {
        "RoleSessionName": "audit",
        "ExternalId": "fake-external-id",
        "Tags": iter([{"Key": "team", "Value": "blue"}]),
        "TransitiveTagKeys": iter(["team"]),
        "PolicyArns": iter(["arn:aws:iam::aws:policy/ReadOnlyAccess"]),
        "Policy": {"Version": "2012-10-17", "Statement": []},
        "DurationSeconds": timedelta(minutes=20),
        "SourceIdentity": "alice",
    }

    with start(2, **options) as run:
        outcomes = list(run.map(whose))

    assert [outcome.ok for outcome in outcomes] == [True, True]
    assert {outcome.target.role for outcome in outcomes} == {one.pop("RoleArn") for one in sent}
    # The second account's too: what can be gone through once only is not used up by the first.
    for one in sent:
        assert json.loads(one.pop("Policy")) == {"Version": "2012-10-17", "Statement": []}
        assert one == {
            "RoleSessionName": "audit",
            "ExternalId": "fake-external-id",
            "Tags": [{"Key": "team", "Value": "blue"}],
            "TransitiveTagKeys": ["team"],
            "PolicyArns": [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}],
            "DurationSeconds": 1200,
            "SourceIdentity": "alice",
        }


def test_a_role_brings_its_own_arguments(start: Callable[..., FanOut], user: boto3.Session) -> None:
    sent: list[dict[str, Any]] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        sent.append(dict(params))

    user.events.register("before-parameter-build.sts.AssumeRole", note)
    role = Role("arn:aws:iam::{account}:role/Auditor", tags={"a": "b"}, external_id="fake-id")

    with start(2, role=role) as run:
        assert all(outcome.ok for outcome in run.map(whose))

    assert [(one["Tags"], one["ExternalId"]) for one in sent] == [
        ([{"Key": "a", "Value": "b"}], "fake-id")
    ] * 2


def test_without_a_role_the_session_itself_works_in_its_own_account_only(
    start: Callable[..., FanOut], cloud: StrictCloud
) -> None:
    before = cloud.calls("AssumeRole")

    outcomes = {}
    for account in (OWN, "111122220001"):
        with start([account], role=None) as run:
            outcomes.update({outcome.account.id: outcome for outcome in run.map(whose)})

    assert outcomes[OWN].value == OWN
    assert outcomes["111122220001"].error is not None
    assert outcomes["111122220001"].error.kind == "assume_role"
    assert "no role is named for account 111122220001" in outcomes["111122220001"].error.message
    assert cloud.calls("AssumeRole") - before == 0
    with pytest.raises(InvalidChain, match="good for one account only"):
        start([OWN, "111122220001"], role=None)


def test_roles_that_cannot_be_assumed_fail_alone(
    start: Callable[..., FanOut], cloud: StrictCloud, accounts: Accounts
) -> None:
    first, *_ = accounts(3)
    cloud.trust(cloud.role("Auditor", first), ["999999999999"])

    with start(3) as run:
        outcomes = {outcome.account.id: outcome for outcome in run.map(whose)}
    cloud.trust(cloud.role("Auditor", first), ["*"])

    failed = outcomes[first].error
    assert failed is not None
    assert (failed.kind, failed.code) == ("assume_role", "AccessDenied")
    assert (run.summary.ok, run.summary.failed) == (2, {"assume_role": 1})


def test_what_a_late_target_asks_of_aws_is_never_sent(
    start: Callable[..., FanOut], cloud: StrictCloud, cloud_clock: FakeClock
) -> None:
    go, ended = Gate(), threading.Event()
    raised: list[BaseException] = []

    def work(session: boto3.Session) -> str:
        client = session.client("sts")
        client.get_caller_identity()
        go()
        try:
            return str(client.get_caller_identity()["Account"])
        except BaseException as error:
            raised.append(error.with_traceback(None))
            raise
        finally:
            ended.set()

    with start(1, timeout=30) as run:
        stream = iter(run.map(work))
        go.wait_for_arrival()
        before = cloud.calls("GetCallerIdentity")
        cloud_clock.wait_for_waiters()
        cloud_clock.tick(30)
        outcome = next(stream)
        go.open()
        assert ended.wait(20)
        assert list(stream) == []

    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.type) == ("timeout", "TimeoutError")
    assert type(raised[0]).__name__ == "Late"
    assert cloud.calls("GetCallerIdentity") - before == 0
    assert (run.summary.ok, run.summary.failed) == (0, {"timeout": 1})


def test_a_role_is_not_assumed_for_a_run_that_was_killed(
    start: Callable[..., FanOut], cloud: StrictCloud, cloud_clock: FakeClock
) -> None:
    # One call a second, so that all but the first account wait for their turn.
    before = cloud.calls("AssumeRole")
    begun = []

    def work(session: boto3.Session, target: Target) -> str:
        begun.append(target)
        return whose(session)

    with start(3, sts_rate=1) as run:
        stream = iter(run.map(work))
        assert next(stream).ok
        cloud_clock.wait_for_waiters(3)  # the driver, and two that wait for STS
        run.kill()
        assert list(stream) == []
        cloud_clock.tick(5)
    assert len(run.summary.not_run) == 2
    for one in threading.enumerate():
        if one.name == "rolecall-fleet-worker":
            one.join(20)

    assert cloud.calls("AssumeRole") - before == 1
    assert len(begun) == 1  # what was given up while it waited, is not called any more


def test_enabled_regions_are_asked_for_in_each_account(
    start: Callable[..., FanOut],
    cloud: StrictCloud,
    cloud_clock: FakeClock,
    accounts: Accounts,
    tmp_path: Any,
) -> None:
    journal = tmp_path / "run.jsonl"
    first, second = accounts(2)
    before = cloud.calls("DescribeRegions")
    targets = [first, Account(second, regions=("eu-west-1",))]
    planned = start(targets, regions="enabled").plan()
    regions = [str(target.region) for target in planned.targets if target.account.id == first]
    asked = cloud.calls("DescribeRegions") - before

    with start(targets, regions="enabled", journal=journal, job="x") as run:
        ran = {outcome.target for outcome in run.map(type)}
    with start(targets, regions="enabled", journal=journal, job="x") as again:
        left = list(again.map(type))

    assert set(planned.targets) == ran
    assert sorted(regions) == regions
    assert {"us-east-1", "eu-west-1"} <= set(regions)
    assert asked == 1
    assert (0, len(ran)) == (len(left), again.summary.skipped)
    # Once for the run; the one that goes on knows them from the journal.
    assert cloud.calls("DescribeRegions") - before == 2

    cloud_clock.tick(24 * 3600 + 1)
    with start(targets, regions="enabled", journal=journal, job="x") as tomorrow:
        assert list(tomorrow.map(type)) == []
    # By then there may be others.
    assert cloud.calls("DescribeRegions") - before == 3
    assert tomorrow.summary.skipped == len(ran)


def test_an_account_whose_regions_cannot_be_asked_for_is_in_the_plan_s_failures(
    start: Callable[..., FanOut], cloud: StrictCloud
) -> None:
    cloud.fail("DescribeRegions", code="UnauthorizedOperation", times=1)

    plan = start(2, regions="enabled", max_workers=1).plan()

    assert [outcome.account.id for outcome in plan.failed] == ["111122220001"]
    assert [outcome.region for outcome in plan.failed] == [None]
    assert {"111122220002"} == {target.account.id for target in plan.targets}


def test_a_plan_of_named_regions_asks_nobody(
    start: Callable[..., FanOut], cloud: StrictCloud
) -> None:
    before = cloud.calls()

    plan = start(2, regions=["eu-west-1", "us-east-1"]).plan()

    assert [(target.account.id, target.region) for target in plan.targets] == [
        ("111122220001", "eu-west-1"),
        ("111122220001", "us-east-1"),
        ("111122220002", "eu-west-1"),
        ("111122220002", "us-east-1"),
    ]
    assert cloud.calls() - before == 0
