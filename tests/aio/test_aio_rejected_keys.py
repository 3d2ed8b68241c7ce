"""A rejected key costs an asynchronous call one retry; a short-lived URL is warned about."""

from __future__ import annotations

import asyncio
import io
import warnings
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError
from event_loops import arrival
from scenes import AioAssume, client, keys_of, run, settle

import rolecall
from rolecall.aio import refreshable_session
from rolecall.refresh import Event
from rolecall.testing import FakeClock, StrictCloud

ONCE = AioConfig(retries={"total_max_attempts": 1})
CALLS = {
    "s3": ("list_buckets", "ListBuckets"),
    "sqs": ("list_queues", "ListQueues"),
    "dynamodb": ("list_tables", "ListTables"),
    "ec2": ("describe_regions", "DescribeRegions"),
}


async def call(opened: Any, service: str) -> Any:
    return await getattr(opened, CALLS[service][0])()


def test_a_caller_that_leaves_costs_nobody_the_new_key(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    """The old one is given out again, for it may be good elsewhere; but not as an answer here."""
    child = aio_assume()

    async def main() -> None:
        async with client(child, "sqs", config=ONCE) as sqs:
            cloud.revoke((await keys_of(child)).access_key)
            refused = asyncio.Event()
            with cloud.hold("AssumeRole") as gate:
                first = asyncio.create_task(sqs.list_queues())
                await arrival(gate)
                first.cancel()
                await asyncio.wait([first])
                sqs.meta.events.register_first("needs-retry", lambda **_: refused.set())
                late = [asyncio.create_task(sqs.list_queues()) for _ in range(5)]
                await refused.wait()
                gate.open()
            await asyncio.gather(*late)

    run(main())

    assert cloud.calls("AssumeRole") == 2


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


# ── rejected keys ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("service", ["s3", "sqs", "dynamodb"])
def test_a_revoked_key_is_replaced_and_the_call_succeeds(
    service: str, aio_assume: AioAssume, cloud: StrictCloud, events: list[Event]
) -> None:
    child = aio_assume()

    async def use() -> tuple[str, str]:
        async with client(child, service, config=ONCE) as opened:
            await call(opened, service)
            before = (await keys_of(child)).access_key
            cloud.revoke(before)
            await call(opened, service)
            return before, (await keys_of(child)).access_key

    before, after = run(use())

    assert before != after
    assert kinds(events) == ["refreshed", "invalidated", "refreshed"]
    assert cloud.calls("AssumeRole") == 2
    assert cloud.calls(f"{service}:{CALLS[service][1]}") == 3


def test_a_hundred_tasks_whose_key_was_revoked_make_one_call(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    child = aio_assume()
    patient = AioConfig(max_pool_connections=100, retries={"total_max_attempts": 1})

    async def use() -> None:
        async with client(child, "sqs", config=patient) as sqs:
            await sqs.list_queues()
            cloud.revoke((await keys_of(child)).access_key)
            await asyncio.gather(*[sqs.list_queues() for _ in range(100)])

    run(use())

    assert cloud.calls("AssumeRole") == 2


def test_a_call_is_retried_only_once(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    child = aio_assume()
    cloud.fail("sqs:ListQueues", code="ExpiredToken", status=403)

    async def use() -> None:
        async with client(child, "sqs", config=ONCE) as sqs:
            # Time passes: a key that is too young to be doubted would end the retries as well.
            sqs.meta.events.register("before-send", lambda **_: fake_clock.tick(minutes=1))
            with pytest.raises(ClientError, match="ExpiredToken"):
                await sqs.list_queues()

    run(use())

    assert cloud.calls("sqs:ListQueues") == 2
    assert cloud.calls("AssumeRole") == 2


def test_a_body_is_sent_again_from_its_beginning(aio_assume: AioAssume, cloud: StrictCloud) -> None:
    child = aio_assume()

    async def use() -> bytes:
        async with client(child, "s3", config=ONCE) as s3:
            await s3.create_bucket(Bucket="fake-bucket")
            cloud.revoke((await keys_of(child)).access_key)
            await s3.put_object(Bucket="fake-bucket", Key="it", Body=io.BytesIO(b"whole"))
            answer = await s3.get_object(Bucket="fake-bucket", Key="it")
            async with answer["Body"] as body:
                return bytes(await body.read())

    assert run(use()) == b"whole"


def test_while_sts_is_down_the_services_own_error_is_seen_and_the_key_stays(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    child = aio_assume(sts_client_kwargs={"config": ONCE})

    async def use() -> None:
        async with client(child, "sqs", config=ONCE) as sqs, client(child, "s3") as s3:
            await sqs.list_queues()
            fake_clock.tick(minutes=2)
            cloud.fail("AssumeRole", code="ServiceUnavailable", status=503)
            cloud.fail("sqs:ListQueues", code="InvalidToken", status=400, times=1)
            with pytest.raises(ClientError, match=r"InvalidToken.*ListQueues"):
                await sqs.list_queues()
            for _ in range(5):
                await s3.list_buckets()
                await sqs.list_queues()
                await settle(child)
                fake_clock.tick(minutes=1)

    run(use())


def test_an_ambiguous_code_for_a_young_key_is_the_services_own_matter(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    """EC2 says RequestExpired of a request that took too long, as well."""
    child = aio_assume()
    cloud.fail("ec2:DescribeRegions", code="RequestExpired", status=400, times=1)

    async def use() -> None:
        async with client(child, "ec2", config=ONCE) as ec2:
            with pytest.raises(ClientError, match="RequestExpired"):
                await ec2.describe_regions()

    run(use())

    assert cloud.calls("AssumeRole") == 1


def test_a_clients_own_keys_are_its_own_matter(
    aio_assume: AioAssume, cloud: StrictCloud, events: list[Event]
) -> None:
    child = aio_assume()
    bob = cloud.credentials(user="bob")
    own = {"aws_access_key_id": bob.access_key, "aws_secret_access_key": bob.secret_key}
    cloud.fail("sqs:ListQueues", code="InvalidToken", status=400, times=1)

    async def use() -> None:
        await keys_of(child)
        async with client(child, "sqs", config=ONCE, **own) as sqs:
            with pytest.raises(ClientError, match="InvalidToken"):
                await sqs.list_queues()

    run(use())

    assert kinds(events) == ["refreshed"]


def test_a_source_that_insists_on_a_rejected_key_does_not_end_its_session(
    aio_assume: AioAssume, aio_user: AioSession, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    hub = aio_assume()

    async def use() -> None:
        await keys_of(hub)
        held = (await hub.get_credentials())._refresher.get()

        async def same() -> rolecall.Credentials:
            return held

        child = refreshable_session(same, base_session=aio_user, clock=fake_clock)
        async with client(child, "sqs", config=ONCE) as sqs:
            await sqs.list_queues()
            cloud.fail("sqs:ListQueues", code="InvalidToken", status=400, times=1)
            with pytest.raises(ClientError, match=r"InvalidToken.*ListQueues"):
                await sqs.list_queues()
            await sqs.list_queues()

    run(use())


def test_keys_that_never_expire_are_not_replaced(
    aio_user: AioSession, cloud: StrictCloud, fake_clock: FakeClock, events: list[Event]
) -> None:
    child = refreshable_session(
        lambda: cloud.credentials(user="alice"),
        base_session=aio_user,
        clock=fake_clock,
        on_event=events.append,
    )
    cloud.fail("sqs:ListQueues", code="InvalidToken", status=400, times=1)

    async def use() -> None:
        async with client(child, "sqs", config=ONCE) as sqs:
            with pytest.raises(ClientError, match="InvalidToken"):
                await sqs.list_queues()
            await sqs.list_queues()

    run(use())

    assert kinds(events) == ["refreshed"]


def test_the_credentials_say_whether_a_rejected_key_was_theirs(aio_assume: AioAssume) -> None:
    child = aio_assume()

    async def use() -> None:
        credentials = await child.get_credentials()
        key = (await keys_of(child)).access_key
        assert not credentials.invalidate("ASIAFAKE000000000009")
        assert credentials.invalidate(key)
        assert credentials.state == "expired"
        assert (await keys_of(child)).access_key != key

    run(use())


# ── presigned URLs ───────────────────────────────────────────────────────────────────────


async def presign(child: Any, seconds: int | None, **keywords: Any) -> str:
    arguments = {} if seconds is None else {"ExpiresIn": seconds}
    async with client(child, "s3", **keywords) as s3:
        return str(
            await s3.generate_presigned_url(
                "get_object", Params={"Bucket": "fake-bucket", "Key": "it"}, **arguments
            )
        )


@pytest.mark.parametrize("seconds", [7200, 3000, None])
def test_a_url_that_outlives_its_credentials_is_warned_about(
    seconds: int | None, aio_assume: AioAssume, fake_clock: FakeClock
) -> None:
    child = aio_assume()

    async def use() -> None:
        await keys_of(child)
        fake_clock.tick(minutes=20)
        with pytest.warns(UserWarning, match="await .*ensure_valid_for") as warned:
            await presign(child, seconds)
        assert [warning.filename for warning in warned] == [__file__]

    run(use())


def test_a_post_that_outlives_its_credentials_is_warned_about(
    aio_assume: AioAssume,
) -> None:
    child = aio_assume()

    async def use() -> None:
        async with client(child, "s3") as s3:
            with pytest.warns(UserWarning, match="7200|2:00:00"):
                await s3.generate_presigned_post("fake-bucket", "it", ExpiresIn=7200)

    run(use())


def test_a_url_that_lives_shorter_is_not(aio_assume: AioAssume) -> None:
    child = aio_assume()

    async def use() -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return await presign(child, 1800)

    assert "Expires" in run(use())


def test_ensure_valid_for_makes_the_url_live_as_long_as_it_says(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    child = aio_assume()

    async def use() -> None:
        await keys_of(child)
        fake_clock.tick(minutes=20)
        await (await child.get_credentials()).ensure_valid_for(minutes=50)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await presign(child, 3000)
        with pytest.raises(rolecall.ConfigError, match="longer DurationSeconds"):
            await (await child.get_credentials()).ensure_valid_for(hours=2)
        with pytest.raises(TypeError, match="timedelta"):
            await (await child.get_credentials()).ensure_valid_for(30)

    run(use())


def test_a_url_of_a_clients_own_keys_is_not_warned_about(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    child = aio_assume()
    bob = cloud.credentials(user="bob")
    own = {"aws_access_key_id": bob.access_key, "aws_secret_access_key": bob.secret_key}

    async def use() -> None:
        await keys_of(child)
        await presign(child, 7200, **own)

    run(use())
