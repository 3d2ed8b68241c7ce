"""Asynchronous sessions of every kind assume roles, as the principal that they are."""

from __future__ import annotations

import asyncio

import boto3
import pytest
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError
from made_parents import ROLES, USERS, VIA, Make, World, principal_of, rotating, user_arn
from scenes import HUB, SPOKE, AioAssume, caller_arn, keys_of, run, settle, signers
from written_profiles import become

import rolecall
from rolecall.aio import AioRoleSession
from rolecall.testing import FakeClock, StrictCloud


@pytest.mark.parametrize("make", [*USERS, *ROLES], ids=lambda make: make.__name__)
def test_a_role_is_assumed_as_who_the_parent_is(
    make: Make, world: World, aio_assume: AioAssume, fake_clock: FakeClock
) -> None:
    world.cloud.trust(SPOKE, [principal_of(make, "alice")])
    parent = make(world, "alice")
    child = aio_assume(SPOKE, parent, RoleSessionName="me")

    async def use() -> tuple[str, str, str]:
        first = await caller_arn(child)
        fake_clock.tick(minutes=50)
        await caller_arn(child)
        await settle(child)
        return await caller_arn(parent), first, await caller_arn(child)

    theirs, first, later = run(use())

    assert principal_of(make, "alice") == theirs
    assert "arn:aws:sts::210987654321:assumed-role/Spoke/me" == first == later
    assert isinstance(child, AioRoleSession)
    assert child.assume_role_parent_session is parent


@pytest.mark.parametrize("make", [*USERS, *ROLES], ids=lambda make: make.__name__)
def test_a_role_that_trusts_another_one_is_refused(
    make: Make, world: World, aio_assume: AioAssume
) -> None:
    """The test above would pass in a cloud that trusts everybody."""
    world.cloud.trust(SPOKE, [principal_of(make, "bob")])
    child = aio_assume(SPOKE, make(world, "alice"))

    with pytest.raises(ClientError):
        run(caller_arn(child))


@pytest.mark.parametrize("make", [*USERS, *ROLES], ids=lambda make: make.__name__)
def test_a_parent_is_the_same_over_three_event_loops(
    make: Make, world: World, aio_assume: AioAssume, fake_clock: FakeClock
) -> None:
    world.cloud.trust(SPOKE, [principal_of(make, "alice")])
    child = aio_assume(SPOKE, make(world, "alice"))

    async def again() -> str:
        await (await child.get_credentials()).refresh()
        return str((await keys_of(child)).access_key)

    keys = [run(again()) for _ in range(3)]

    assert len(set(keys)) == 3


def test_a_parent_that_rotates_is_followed_at_each_refresh(
    world: World, aio_assume: AioAssume, fake_clock: FakeClock
) -> None:
    users = ["alice", "bob", "carol"]
    child = aio_assume(HUB, rotating(world))

    async def use() -> None:
        for user in users:
            world.acting = user
            await keys_of(child)
            fake_clock.tick(hours=2)

    run(use())

    assert signers(world.cloud) == [world.cloud.credentials(user=u).access_key for u in users]


@pytest.mark.parametrize("kind", ["boto3", "botocore"])
def test_a_synchronous_parent_gives_an_asynchronous_session(
    kind: str, user: boto3.Session, aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    cloud.trust(HUB, [user_arn("fake-user")])
    parent = user if kind == "boto3" else user._session
    child = aio_assume(HUB, parent)

    assert "/Hub/" in run(caller_arn(child))
    assert isinstance(child, AioRoleSession)
    assert child.assume_role_parent_session is parent


def test_none_is_boto3s_default_session(
    cloud: StrictCloud, aio_assume: AioAssume, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, cloud, "alice")
    cloud.trust(HUB, [user_arn("alice")])
    child = aio_assume(HUB, None)

    assert "/Hub/" in run(caller_arn(child))


@pytest.mark.parametrize("asynchronous", [True, False], ids=["asynchronous", "synchronous"])
def test_a_hub_is_assumed_once_for_all_that_start_from_it(
    asynchronous: bool,
    user: boto3.Session,
    aio_assume: AioAssume,
    fake_clock: FakeClock,
    cloud: StrictCloud,
) -> None:
    if asynchronous:
        hub = aio_assume(HUB, RoleSessionName="hub")
    else:
        hub = rolecall.assume_role(user, HUB, RoleSessionName="hub", clock=fake_clock)
    cloud.trust(SPOKE, ["arn:aws:sts::123456789012:assumed-role/Hub/hub"])
    spokes = [aio_assume(SPOKE, hub, RoleSessionName=f"spoke-{n}") for n in range(5)]

    async def use() -> list[str]:
        return await asyncio.gather(*[caller_arn(spoke) for spoke in spokes])

    assert len(set(run(use()))) == 5
    assert cloud.calls("AssumeRole") == 6
    assert [role.arn for role in spokes[0].chain.roles] == [HUB, SPOKE]


def test_a_token_from_the_environment_is_used(world: World, aio_assume: AioAssume) -> None:
    """As in a pod of EKS, where no profile says anything."""
    world.environment_of(None)
    token = world.home / "token"
    token.write_text(world.cloud.web_identity_token())
    world.monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    world.monkeypatch.setenv("AWS_ROLE_ARN", VIA)
    world.monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "pod")
    world.cloud.trust(SPOKE, ["arn:aws:sts::123456789012:assumed-role/Via/pod"])

    assert "/Spoke/" in run(caller_arn(aio_assume(SPOKE, AioSession())))
