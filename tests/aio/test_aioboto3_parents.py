"""aioboto3's sessions as parents: what comes back is one of them, clients and resources work."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import aioboto3
import boto3
import pytest
from aiobotocore.session import AioSession
from made_parents import ROLES, USERS, Make, World, keys_in_the_environment, principal_of
from scenes import HUB, SPOKE, AioAssume, aio_session_of, caller_arn, keys_of, run, settle, signers

import rolecall
from rolecall import GivenSession, RoleChain
from rolecall.aio import AioRoleSession, assume_role, refreshable_session
from rolecall.testing import FakeClock, StrictCloud

MY_ARN = "arn:aws:sts::210987654321:assumed-role/Spoke/me"


@pytest.fixture
def parent(aio_user: AioSession) -> aioboto3.Session:
    return aioboto3.Session(botocore_session=aio_user)


@pytest.mark.parametrize("make", [*USERS, *ROLES], ids=lambda make: make.__name__)
def test_a_role_is_assumed_as_who_the_parent_is(
    make: Make, world: World, aio_assume: AioAssume, fake_clock: FakeClock
) -> None:
    world.cloud.trust(SPOKE, [principal_of(make, "alice")])
    parent = aioboto3.Session(botocore_session=make(world, "alice"))
    child = aio_assume(SPOKE, parent, RoleSessionName="me")

    async def use() -> list[str]:
        seen = [await caller_arn(child)]
        fake_clock.tick(minutes=50)
        seen.append(await caller_arn(child))
        await settle(child)
        return [*seen, await caller_arn(child)]

    assert run(use()) == [MY_ARN] * 3
    assert isinstance(child, aioboto3.Session)
    assert child.assume_role_parent_session is parent


def test_its_own_keys_are_the_parents(cloud: StrictCloud, aio_assume: AioAssume) -> None:
    held = cloud.credentials(user="alice")
    parent = aioboto3.Session(
        aws_access_key_id=held.access_key,
        aws_secret_access_key=held.secret_key,
        region_name="eu-north-1",
        botocore_session=aio_session_of(cloud, user="bob"),
    )
    child = aio_assume(HUB, parent)

    run(keys_of(child))

    assert signers(cloud) == [held.access_key]
    assert child.region_name == "eu-north-1"


def test_clients_and_resources_work_over_rotations(
    parent: aioboto3.Session, aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    child = aio_assume(HUB, parent)

    async def use() -> list[str]:
        async with child.client("s3") as s3, child.resource("s3") as resource:
            await s3.create_bucket(Bucket="fake-bucket")
            bucket = await resource.Bucket("fake-bucket")
            for number in range(4):
                await bucket.put_object(Key=f"it-{number}", Body=b"whole")
                fake_clock.tick(hours=2)
            found = [one.key async for one in bucket.objects.all()]
            assert (
                await (await s3.get_object(Bucket="fake-bucket", Key="it-0"))["Body"].read()
            ) == (b"whole")
            return found

    assert run(use()) == [f"it-{number}" for number in range(4)]
    assert cloud.calls("AssumeRole") == 5


def test_a_table_of_dynamodb_works(parent: aioboto3.Session, aio_assume: AioAssume) -> None:
    child = aio_assume(HUB, parent)

    async def use() -> Any:
        async with child.resource("dynamodb") as dynamodb:
            table = await dynamodb.create_table(
                TableName="fake-table",
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
            await table.put_item(Item={"id": "it"})
            return (await table.get_item(Key={"id": "it"}))["Item"]

    assert run(use()) == {"id": "it"}


def test_what_boto3_sessions_tell_it_tells(parent: aioboto3.Session, aio_assume: AioAssume) -> None:
    child = aio_assume(HUB, parent, region_name="eu-west-1")

    assert child.region_name == "eu-west-1"
    assert "s3" in child.get_available_services()
    assert child.profile_name == parent.profile_name
    assert "eu-west-1" in repr(child)


def test_its_chain_is_known_once_it_is_used(
    parent: aioboto3.Session, aio_assume: AioAssume
) -> None:
    child = aio_assume(HUB, parent)

    run(keys_of(child))

    assert child.chain == RoleChain(GivenSession(parent), HUB)
    assert child.chain.origin.session is parent


def test_what_it_is_can_be_named(parent: aioboto3.Session, aio_assume: AioAssume) -> None:
    child = aio_assume(HUB, parent)

    assert type(child) is rolecall.aio.AioBoto3RoleSession
    assert type(child.synchronous()) is rolecall.RoleSession
    assert run(child.get_credentials()) is run(child._session.get_credentials())


@pytest.mark.parametrize("kind", ["aiobotocore", "aioboto3"])
def test_a_role_of_ours_is_a_parent(
    kind: str, parent: aioboto3.Session, aio_user: AioSession, aio_assume: AioAssume, cloud: Any
) -> None:
    hub = aio_assume(HUB, parent if kind == "aioboto3" else aio_user)
    spokes = [aio_assume(SPOKE, hub, RoleSessionName=f"me-{n}") for n in range(3)]

    for spoke in spokes:
        assert "/Spoke/" in run(caller_arn(spoke))

    assert cloud.calls("AssumeRole") == 4
    assert all(isinstance(spoke, aioboto3.Session) is (kind == "aioboto3") for spoke in spokes)


def test_a_chain_starts_from_it(parent: aioboto3.Session, fake_clock: FakeClock) -> None:
    child = RoleChain(GivenSession(parent), HUB, SPOKE).aio_session(clock=fake_clock)

    assert "/Spoke/" in run(caller_arn(child))
    assert isinstance(child, AioRoleSession)


def test_a_callable_makes_one_of_the_base_sessions_kind(
    parent: aioboto3.Session, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    async def fetch() -> rolecall.Credentials:
        return cloud.credentials(user="alice")

    child = refreshable_session(fetch, base_session=parent, clock=fake_clock)

    assert isinstance(child, aioboto3.Session)
    assert run(caller_arn(child)).endswith("user/alice")


def test_the_synchronous_function_refuses_it(parent: aioboto3.Session, aio_assume: Any) -> None:
    for session in (parent, aio_assume(HUB, parent)):
        with pytest.raises(rolecall.ConfigError, match="asynchronous") as refused:
            rolecall.assume_role(session, SPOKE)
        assert "rolecall.aio" in refused.value.hint


def test_a_boto3_session_does_not_give_an_asynchronous_one(
    user: boto3.Session, aio_assume: AioAssume
) -> None:
    assert not isinstance(aio_assume(HUB, user), boto3.Session)


def test_it_travels_without_keys(world: World) -> None:
    parent = aioboto3.Session(botocore_session=keys_in_the_environment(world, "alice"))
    child = assume_role(parent, SPOKE, RoleSessionName="me")
    keys = run(keys_of(child))

    data = pickle.dumps(child)
    back = pickle.loads(data)

    assert isinstance(back, aioboto3.Session)
    assert run(caller_arn(back)) == MY_ARN
    for value in (keys.access_key, keys.secret_key, keys.token, "fake-secret", "AKIAFAKE"):
        assert value.encode() not in data


def test_a_copy_is_the_session_itself(parent: aioboto3.Session, aio_assume: AioAssume) -> None:
    child = aio_assume(HUB, parent)

    assert copy.copy(child) is child
    assert copy.deepcopy([child])[0] is child
