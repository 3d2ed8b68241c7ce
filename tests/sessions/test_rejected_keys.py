"""What one service says of a key is not the truth for all the others."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from scenes import Assume, settle

import rolecall
from rolecall.refresh import Event
from rolecall.testing import FakeClock, FakeSource, StrictCloud
from rolecall.testing.clock import PATIENCE_SECONDS

ONCE = Config(retries={"total_max_attempts": 1})
CODES = [
    ("ec2", "DescribeRegions", "describe_regions", "RequestExpired"),
    ("sqs", "ListQueues", "list_queues", "InvalidToken"),
    ("dynamodb", "ListTables", "list_tables", "ExpiredTokenException"),
]


# ── keys that never expire ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("service", "operation", "call", "code"), CODES)
def test_keys_that_never_expire_are_not_replaced_and_the_services_error_is_seen(
    user: boto3.Session,
    cloud: StrictCloud,
    fake_clock: FakeClock,
    events: list[Event],
    service: str,
    operation: str,
    call: str,
    code: str,
) -> None:
    fetched: list[int] = []

    def fetch() -> rolecall.Credentials:
        fetched.append(1)
        return cloud.credentials(user="alice")

    session = rolecall.refreshable_session(
        fetch, base_session=user, clock=fake_clock, on_event=events.append
    )
    client = session.client(service, config=ONCE)
    getattr(client, call)()
    fake_clock.tick(hours=1)
    cloud.fail(f"{service}:{operation}", code=code, status=400, times=1)

    with pytest.raises(ClientError, match=code):
        getattr(client, call)()

    getattr(client, call)()
    session.client("s3").list_buckets()
    assert [event.kind for event in events] == ["refreshed"]
    assert len(fetched) == 1


def test_invalidating_keys_that_never_expire_does_nothing(
    fake_clock: FakeClock, cloud: StrictCloud
) -> None:
    session = rolecall.refreshable_session(
        lambda: cloud.credentials(user="alice"), region_name="us-east-1", clock=fake_clock
    )
    credentials = session.get_credentials()

    assert not credentials.invalidate(credentials.access_key)
    assert credentials.state == "fresh"


# ── a new key that is on its way ─────────────────────────────────────────────────────────


def test_whoever_is_refused_waits_for_the_key_that_is_on_its_way(
    assume: Assume, cloud: StrictCloud
) -> None:
    """Though the old one is given out meanwhile, and too soon to be disbelieved again."""
    session = assume()
    sqs = session.client("sqs", config=ONCE)
    key = session.get_credentials().get_frozen_credentials().access_key
    cloud.revoke(key)
    refresher = session.get_credentials()._refresher
    refused = threading.Event()
    with cloud.hold("AssumeRole") as gate, ThreadPoolExecutor() as pool:
        first = pool.submit(sqs.list_queues)
        gate.wait_for_arrival()
        refresher.reinstate(key)
        sqs.meta.events.register_first("needs-retry", lambda **_: refused.set())
        second = pool.submit(sqs.list_queues)
        assert refused.wait(PATIENCE_SECONDS)
        gate.open()

    assert first.result(PATIENCE_SECONDS)
    assert second.result(PATIENCE_SECONDS)
    assert cloud.calls("AssumeRole") == 2


# ── a source that insists ────────────────────────────────────────────────────────────────


@pytest.fixture
def insisting(
    assume: Assume, user: boto3.Session, fake_clock: FakeClock, events: list[Event]
) -> rolecall.RoleSession:
    """A session of a callable that caches: it gives the same valid key whenever it is asked."""
    keys = assume().get_credentials()._refresher.get()
    events.clear()
    return rolecall.refreshable_session(
        lambda: keys, base_session=user, clock=fake_clock, on_event=events.append
    )


def test_a_source_that_insists_on_a_rejected_key_does_not_end_its_session(
    insisting: rolecall.RoleSession, cloud: StrictCloud
) -> None:
    sqs = insisting.client("sqs", config=ONCE)
    sqs.list_queues()
    cloud.fail("sqs:ListQueues", code="InvalidToken", status=400, times=1)

    with pytest.raises(ClientError, match=r"InvalidToken.*ListQueues"):
        sqs.list_queues()

    insisting.client("s3").list_buckets()
    sqs.list_queues()


def test_a_key_that_the_source_insists_on_dies_when_it_dies(
    insisting: rolecall.RoleSession, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    sqs = insisting.client("sqs", config=ONCE)
    sqs.list_queues()
    cloud.fail("sqs:ListQueues", code="InvalidToken", status=400, times=1)
    with pytest.raises(ClientError, match="InvalidToken"):
        sqs.list_queues()

    fake_clock.tick(hours=1)

    with pytest.raises(rolecall.CredentialsExpired):
        sqs.list_queues()


# ── STS is down ──────────────────────────────────────────────────────────────────────────


@pytest.fixture
def rejected_while_sts_is_down(
    assume: Assume, cloud: StrictCloud, fake_clock: FakeClock
) -> rolecall.RoleSession:
    session = assume(sts_client_kwargs={"config": ONCE})
    sqs = session.client("sqs", config=ONCE)
    sqs.list_queues()
    fake_clock.tick(minutes=2)
    cloud.fail("AssumeRole", code="ServiceUnavailable", status=503)
    cloud.fail("sqs:ListQueues", code="InvalidToken", status=400, times=1)

    with pytest.raises(ClientError, match=r"InvalidToken.*ListQueues"):
        sqs.list_queues()
    return session


def test_while_sts_is_down_one_services_mistake_costs_the_others_nothing(
    rejected_while_sts_is_down: rolecall.RoleSession, fake_clock: FakeClock
) -> None:
    session = rejected_while_sts_is_down
    s3, sqs = session.client("s3", config=ONCE), session.client("sqs", config=ONCE)

    for _ in range(56):
        s3.list_buckets()
        sqs.list_queues()
        settle(session)
        fake_clock.tick(minutes=1)

    assert session.get_credentials().remaining > timedelta(0)


def test_a_key_that_was_taken_back_is_replaced_as_soon_as_sts_answers(
    rejected_while_sts_is_down: rolecall.RoleSession, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    session = rejected_while_sts_is_down
    doubtful = session.get_credentials().get_frozen_credentials().access_key
    settle(session)
    cloud.recover()
    fake_clock.tick(minutes=1)

    session.client("s3").list_buckets()
    settle(session)

    assert session.get_credentials().access_key != doubtful


def test_a_key_that_has_died_is_not_taken_back(
    fake_clock: FakeClock, fake_source: FakeSource
) -> None:
    session = rolecall.refreshable_session(
        fake_source.get, region_name="us-east-1", clock=fake_clock
    )
    refresher = session.get_credentials()._refresher
    key = refresher.get().access_key
    refresher.invalidate(key)
    fake_source.error = rolecall.Unreachable("away")
    fake_clock.tick(hours=1)

    refresher.reinstate(key)

    with pytest.raises(rolecall.Unreachable):
        refresher.get()


@pytest.mark.parametrize("other", ["ASIAFAKE000000000009", ""])
def test_another_key_than_the_rejected_one_is_not_taken_back(
    fake_clock: FakeClock, fake_source: FakeSource, other: str
) -> None:
    session: Any = rolecall.refreshable_session(
        fake_source.get, region_name="us-east-1", clock=fake_clock
    )
    refresher = session.get_credentials()._refresher
    refresher.invalidate(refresher.get().access_key)

    refresher.reinstate(other)

    assert refresher.phase == "expired"
