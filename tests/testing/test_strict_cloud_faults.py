"""StrictCloud fails as it is told to, and recovers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError
from cloud_calls import assume, client, refusal

from rolecall.testing.clock import FakeClock
from rolecall.testing.cloud import StrictCloud


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("sts", "get_caller_identity"),
        ("s3", "list_buckets"),
        ("ec2", "describe_key_pairs"),
        ("dynamodb", "list_tables"),
        ("lambda", "list_functions"),
        ("cloudwatch", "list_metrics"),
        ("route53", "list_hosted_zones"),
    ],
)
def test_a_failure_speaks_the_protocol_of_its_service(
    cloud: StrictCloud, service: str, operation: str
) -> None:
    cloud.fail("*", code="FakeCode", status=418, message="fake message & <more>")

    with pytest.raises(ClientError, match="fake message & <more>") as caught:
        getattr(client(cloud, service), operation)()

    assert caught.value.response["Error"]["Code"] == "FakeCode"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 418


def test_only_the_named_operation_fails_until_recovery(cloud: StrictCloud) -> None:
    sts = client(cloud, "sts")
    cloud.fail("AssumeRole")

    assert refusal(assume, cloud=cloud) == ("AccessDenied", 403)
    sts.get_caller_identity()
    cloud.recover()
    assume(cloud)


@pytest.mark.parametrize(
    ("operation", "fails"),
    [("sts:*", True), ("sts:GetCallerIdentity", True), ("s3:*", False), ("s3:ListBuckets", False)],
)
def test_operations_can_be_named_by_service(
    cloud: StrictCloud, operation: str, fails: bool
) -> None:
    cloud.fail(operation, code="Throttling", status=400)
    call = client(cloud, "sts").get_caller_identity

    if fails:
        assert refusal(call) == ("Throttling", 400)
    else:
        call()


def test_a_failure_can_end_after_some_times(cloud: StrictCloud) -> None:
    cloud.fail("AssumeRole", code="ServiceUnavailable", status=503, times=2)

    for _ in range(2):
        assert refusal(assume, cloud=cloud) == ("ServiceUnavailable", 503)

    assume(cloud)
    assert cloud.calls("AssumeRole") == 3


def test_botocores_own_retries_outlast_a_short_failure(cloud: StrictCloud) -> None:
    cloud.fail("GetCallerIdentity", code="InternalFailure", status=500, times=1)
    retrying = Config(retries={"total_max_attempts": 2, "mode": "standard"})

    client(cloud, "sts", config=retrying).get_caller_identity()

    assert [call.status for call in cloud.log] == [500, 200]


def test_an_error_document_may_lack_its_error(cloud: StrictCloud) -> None:
    """Ceph answers like this, and a handler that reads ``response["Error"]`` breaks."""
    cloud.fail("AssumeRole", code=None, status=403)

    with pytest.raises(ClientError) as caught:
        assume(cloud)

    assert "Code" not in caught.value.response.get("Error", {})


def test_a_proxy_may_answer_html(cloud: StrictCloud) -> None:
    cloud.fail("AssumeRole", status=502, body="<html><body>Bad Gateway</body></html>")

    with pytest.raises(ClientError) as caught:
        assume(cloud)

    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 502
    assert cloud.log[-1].status == 502


def test_held_requests_wait_and_others_do_not(cloud: StrictCloud, pool: ThreadPoolExecutor) -> None:
    gate = cloud.hold("AssumeRole")

    held = [pool.submit(assume, cloud) for _ in range(3)]
    gate.wait_for_arrival(3, timeout=10)
    client(cloud, "sts").get_caller_identity()

    assert cloud.calls("AssumeRole") == 3
    assert not any(one.done() for one in held)
    gate.open()
    assert len({one.result(timeout=10)["AccessKeyId"] for one in held}) == 3


def test_recovery_lets_held_requests_go_on(cloud: StrictCloud, pool: ThreadPoolExecutor) -> None:
    gate = cloud.hold("AssumeRole")
    held = pool.submit(assume, cloud)
    gate.wait_for_arrival(timeout=10)

    cloud.recover()

    assert held.result(timeout=10)["AccessKeyId"].startswith("ASIAFAKE")


def test_a_delay_passes_on_the_clouds_clock(
    cloud: StrictCloud, clock: FakeClock, pool: ThreadPoolExecutor
) -> None:
    cloud.delay("AssumeRole", timedelta(minutes=1))

    delayed = pool.submit(assume, cloud)
    clock.wait_for_waiters()
    clock.tick(seconds=59)
    assert not delayed.done()
    clock.tick(seconds=1)

    expected = clock.now + timedelta(seconds=5)
    assert delayed.result(timeout=10)["Expiration"] == expected


def test_recovery_ends_a_delay(
    cloud: StrictCloud, clock: FakeClock, pool: ThreadPoolExecutor
) -> None:
    cloud.delay("*", timedelta(hours=1))
    delayed = pool.submit(assume, cloud)
    clock.wait_for_waiters()

    cloud.recover()

    delayed.result(timeout=10)


def test_a_reset_connection_gives_no_answer(cloud: StrictCloud) -> None:
    cloud.reset_connections("AssumeRole", times=1)

    with pytest.raises(ConnectionClosedError):
        assume(cloud)

    assert (cloud.log[-1].operation, cloud.log[-1].status) == ("AssumeRole", None)
    assume(cloud)


def test_a_cloud_that_is_down_refuses_and_comes_back_as_it_was(cloud: StrictCloud) -> None:
    keys, url = assume(cloud), cloud.url
    sts = client(cloud, "sts", keys)
    sts.get_caller_identity()

    for _ in range(2):
        cloud.down()
        with pytest.raises(EndpointConnectionError):
            sts.get_caller_identity()
        cloud.up()
        sts.get_caller_identity()

    assert cloud.url == url
    cloud.down()
    cloud.recover()
    sts.get_caller_identity()


@pytest.mark.parametrize("how", ["stop", "down"])
def test_held_and_delayed_requests_are_dropped_when_it_goes_away(
    how: str, clock: FakeClock, pool: ThreadPoolExecutor
) -> None:
    with StrictCloud(clock=clock) as cloud:
        gate = cloud.hold("AssumeRole")
        cloud.delay("GetCallerIdentity", timedelta(hours=1))
        waiting = [
            pool.submit(assume, cloud),
            pool.submit(client(cloud, "sts").get_caller_identity),
        ]
        gate.wait_for_arrival(timeout=10)
        clock.wait_for_waiters()

        getattr(cloud, how)()

        for one in waiting:
            assert isinstance(one.exception(timeout=10), ConnectionClosedError)


def test_faults_are_met_in_the_order_they_were_added(
    cloud: StrictCloud, pool: ThreadPoolExecutor
) -> None:
    gate = cloud.hold("AssumeRole")
    cloud.fail("AssumeRole", code="AccessDenied")
    cloud.fail("AssumeRole", code="Throttling")

    held = pool.submit(assume, cloud)
    gate.wait_for_arrival(timeout=10)
    gate.open()

    error: Any = held.exception(timeout=10)
    assert error.response["Error"]["Code"] == "AccessDenied"
