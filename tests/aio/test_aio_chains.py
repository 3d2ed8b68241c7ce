"""Chains opened as asynchronous sessions, from every origin."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import boto3
import pytest
from aiobotocore.session import AioSession
from botocore.exceptions import ProfileNotFound
from made_parents import VIA, World, keys_set, role_by_a_recipe, rotating
from scenes import HUB, SPOKE, AioAssume, aio_session_of, caller_arn, client, keys_of, run, signers
from written_profiles import keys_of as lines_of
from written_profiles import write

import rolecall
from rolecall import (
    Ambient,
    ConfigError,
    CredentialSource,
    GivenSession,
    Profile,
    Role,
    RoleChain,
    SessionToken,
    WebIdentity,
)
from rolecall.aio import AioRoleSession, refreshable_session
from rolecall.testing import FakeClock, StrictCloud

DEVICE = "arn:aws:iam::123456789012:mfa/me"
ME = Role(SPOKE, session_name="me")
MY_ARN = "arn:aws:sts::210987654321:assumed-role/Spoke/me"


def opened(chain: RoleChain, clock: FakeClock, **keywords: Any) -> AioRoleSession:
    session: AioRoleSession = chain.aio_session(clock=clock, **keywords)
    assert isinstance(session, AioRoleSession)
    return session


# ── origins ──────────────────────────────────────────────────────────────────────────────


def test_an_ambient_chain_is_its_last_role(world: World, fake_clock: FakeClock) -> None:
    world.environment_of("alice")
    chain = RoleChain(Ambient(), HUB, ME)
    session = opened(chain, fake_clock)

    assert run(caller_arn(session)) == MY_ARN
    assert session.chain == chain
    assert session.assume_role_parent_session is None


def test_a_profile_that_is_a_chain_itself_is_followed(world: World, fake_clock: FakeClock) -> None:
    world.environment_of(None)
    world.monkeypatch.delenv("AWS_DEFAULT_REGION")
    world.monkeypatch.delenv("AWS_REGION", raising=False)
    write(
        world.home,
        f"[profile hub]\nrole_arn = {HUB}\nsource_profile = base\nregion = eu-west-1\n",
        f"[base]\n{lines_of(world.cloud, 'alice')}",
    )
    session = opened(RoleChain(Profile("hub"), ME), fake_clock)

    assert run(caller_arn(session)) == MY_ARN
    assert session.get_config_variable("region") == "eu-west-1"
    assert world.cloud.calls("AssumeRole") == 2


def test_a_profile_itself_is_an_asynchronous_session(world: World, fake_clock: FakeClock) -> None:
    """Without roles there is nothing to assume; what botocore finds is used as it is."""
    world.environment_of(None)
    write(world.home, "[profile it]\nregion = us-east-1\n", f"[it]\n{lines_of(world.cloud, 'eve')}")

    assert run(caller_arn(opened(RoleChain(Profile("it")), fake_clock))).endswith("user/eve")


def test_a_web_identity_is_an_origin(world: World, fake_clock: FakeClock) -> None:
    world.environment_of(None)
    token = world.home / "token"
    token.write_text(world.cloud.web_identity_token())
    chain = RoleChain(WebIdentity(role_arn=HUB, token_file=str(token)), ME)

    assert run(caller_arn(opened(chain, fake_clock))) == MY_ARN


def test_a_credential_source_is_an_origin(world: World, fake_clock: FakeClock) -> None:
    world.environment_of("alice")

    session = opened(RoleChain(CredentialSource("Environment"), ME), fake_clock)

    assert run(caller_arn(session)) == MY_ARN


@pytest.mark.parametrize("kind", ["asynchronous", "synchronous", "a role's"])
def test_a_session_token_is_an_origin(
    kind: str, world: World, fake_clock: FakeClock, aio_assume: AioAssume
) -> None:
    async def code() -> str:
        return "111111"

    given = keys_set(world, "alice") if kind == "asynchronous" else world.cloud.session()
    origin = SessionToken(GivenSession(given), timedelta(hours=12), mfa_serial=DEVICE)
    provider = code if kind == "asynchronous" else lambda: "111111"
    session = opened(RoleChain(origin, ME), fake_clock, mfa_token_provider=provider)

    assert run(caller_arn(session)) == MY_ARN
    assert world.cloud.calls("GetSessionToken") == 1


@pytest.mark.parametrize("make", [keys_set, role_by_a_recipe, lambda world, _: rotating(world)])
def test_an_asynchronous_session_is_an_origin(
    make: Any, world: World, fake_clock: FakeClock
) -> None:
    chain = RoleChain(GivenSession(make(world, "alice")), HUB, ME)

    assert run(caller_arn(opened(chain, fake_clock))) == MY_ARN


def test_a_role_session_of_ours_is_an_origin(
    aio_assume: AioAssume, fake_clock: FakeClock, cloud: StrictCloud
) -> None:
    hub = aio_assume(HUB)
    session = opened(RoleChain(GivenSession(hub), ME), fake_clock)

    assert run(caller_arn(session)) == MY_ARN
    run(caller_arn(hub))
    assert cloud.calls("AssumeRole") == 2


# ── what is shared ───────────────────────────────────────────────────────────────────────


def test_both_kinds_of_session_of_one_chain_share_its_credentials(
    world: World, fake_clock: FakeClock
) -> None:
    chain = RoleChain(GivenSession(world.cloud.session(user="alice")), ME)
    sync = chain.session(clock=fake_clock)
    session = opened(chain, fake_clock)

    assert run(keys_of(session)) == sync.get_credentials().get_frozen_credentials()
    assert world.cloud.calls("AssumeRole") == 1


@pytest.mark.parametrize("asynchronous", [True, False], ids=["asynchronous", "synchronous"])
def test_the_hub_of_several_chains_is_assumed_once(
    asynchronous: bool, world: World, fake_clock: FakeClock
) -> None:
    user = keys_set(world, "alice") if asynchronous else world.cloud.session(user="alice")
    spokes = [
        RoleChain(GivenSession(user), HUB, Role(SPOKE, session_name=f"me-{n}")) for n in range(4)
    ]

    async def use() -> list[str]:
        sessions = [opened(chain, fake_clock) for chain in spokes]
        return await asyncio.gather(*[caller_arn(session) for session in sessions])

    assert len(set(run(use()))) == 4
    assert world.cloud.calls("AssumeRole") == 5


def test_two_sessions_of_one_chain_from_an_asynchronous_session_share(
    world: World, fake_clock: FakeClock
) -> None:
    chain = RoleChain(GivenSession(keys_set(world, "alice")), ME)
    one, other = opened(chain, fake_clock), opened(chain, fake_clock)

    async def use() -> set[Any]:
        return {key.access_key for key in await asyncio.gather(keys_of(one), keys_of(other))}

    assert len(run(use())) == 1
    assert world.cloud.calls("AssumeRole") == 1


def test_chains_from_two_users_share_nothing(world: World, fake_clock: FakeClock) -> None:
    for user in ("alice", "bob"):
        run(keys_of(opened(RoleChain(GivenSession(keys_set(world, user)), ME), fake_clock)))

    assert signers(world.cloud) == [
        world.cloud.credentials(user=user).access_key for user in ("alice", "bob")
    ]


# ── keywords ─────────────────────────────────────────────────────────────────────────────


def test_a_region_is_given_to_the_last_hop(aio_user: AioSession, fake_clock: FakeClock) -> None:
    chain = RoleChain(GivenSession(aio_user), ME)

    assert opened(chain, fake_clock, region_name="eu-west-1").get_config_variable("region") == (
        "eu-west-1"
    )
    assert opened(chain, fake_clock).get_config_variable("region") == "us-east-1"


def test_a_store_is_shared_with_assume_role(
    aio_user: AioSession, aio_assume: AioAssume, fake_clock: FakeClock, cloud: StrictCloud
) -> None:
    cache: dict[str, Any] = {}
    chain = RoleChain(GivenSession(aio_user), ME)

    run(keys_of(opened(chain, fake_clock, store=cache)))
    run(keys_of(aio_assume(SPOKE, RoleSessionName="me", cache=cache)))

    assert cloud.calls("AssumeRole") == 1


def test_a_chain_that_breaks_limits_is_refused_at_the_call(aio_user: AioSession) -> None:
    chain = RoleChain(GivenSession(aio_user), HUB, Role(SPOKE, duration=timedelta(hours=2)))

    with pytest.raises(rolecall.InvalidChain, match="chain"):
        chain.aio_session()


def test_an_unknown_keyword_is_refused(aio_user: AioSession) -> None:
    with pytest.raises(TypeError, match="sore"):
        RoleChain(GivenSession(aio_user), ME).aio_session(sore={})


def test_what_a_chain_is_shows_once_it_is_known(
    aio_assume: AioAssume, user: boto3.Session, world: World
) -> None:
    child = aio_assume(HUB)
    before = child.chain
    run(keys_of(child))

    assert before is None
    assert [role.arn for role in child.chain.roles] == [HUB]


def test_its_origin_is_the_session_that_the_program_gave(
    aio_user: AioSession, aio_assume: AioAssume, fake_clock: FakeClock
) -> None:
    """Not what signs for it in a thread."""
    around = boto3.Session(botocore_session=aio_user)
    fetched = refreshable_session(lambda: {}, base_session=aio_user)
    token = SessionToken(GivenSession(aio_user), timedelta(hours=12))
    expected = {
        aio_assume(HUB): RoleChain(GivenSession(aio_user), HUB),
        aio_assume(SPOKE, aio_assume(HUB)): RoleChain(GivenSession(aio_user), HUB, SPOKE),
        aio_assume(HUB, around): RoleChain(GivenSession(around), HUB),
        aio_assume(HUB, fetched): RoleChain(GivenSession(fetched), HUB),
    }
    for chain in (
        RoleChain(GivenSession(aio_user), HUB, ME),
        RoleChain(GivenSession(around), ME),
        RoleChain(token, ME),
        RoleChain(token),
    ):
        expected[opened(chain, fake_clock)] = chain

    for session, chain in expected.items():
        synchronous = session.synchronous()
        while synchronous is not None:  # hop by hop
            theirs = getattr(synchronous, "chain", None)
            if theirs is not None:
                assert theirs.origin == chain.origin
                assert "Twin" not in str(theirs)
            synchronous = getattr(synchronous, "assume_role_parent_session", None)
        assert session.chain == chain
        assert session.chain.origin == chain.origin


def test_the_chain_of_one_opens_both_kinds_again(
    aio_user: AioSession, aio_assume: AioAssume, fake_clock: FakeClock
) -> None:
    child = aio_assume(SPOKE, RoleSessionName="me")
    child.synchronous()

    assert run(caller_arn(child.chain.session(clock=fake_clock))) == MY_ARN
    assert run(caller_arn(opened(child.chain, fake_clock))) == MY_ARN


def test_a_chain_of_a_profile_names_the_profile(world: World, aio_assume: AioAssume) -> None:
    parent = world.profile("", f"[it]\n{lines_of(world.cloud, 'alice')}")
    child = aio_assume(HUB, parent)

    run(keys_of(child))

    assert child.chain == RoleChain(Profile("it"), HUB)


def test_a_profile_that_is_missing_is_told_at_the_call(world: World, fake_clock: FakeClock) -> None:
    """As the synchronous session tells it."""
    world.environment_of(None)
    chain = RoleChain(Profile("missing"), ME)

    with pytest.raises(ConfigError, match="'missing' does not exist") as ours:
        opened(chain, fake_clock)
    with pytest.raises(ProfileNotFound) as theirs:
        chain.session(clock=fake_clock)

    assert type(ours.value) is type(theirs.value)
    assert str(ours.value) == str(theirs.value)


def test_the_synchronous_session_of_one_is_always_the_same(
    aio_user: AioSession, fake_clock: FakeClock
) -> None:
    session = opened(RoleChain(GivenSession(aio_user), HUB), fake_clock)

    assert session.synchronous() is session.synchronous()


def test_clients_of_a_chain_work(world: World, fake_clock: FakeClock) -> None:
    session = opened(RoleChain(GivenSession(aio_session_of(world.cloud)), VIA, ME), fake_clock)

    async def use() -> Any:
        async with client(session, "s3") as s3:
            return (await s3.list_buckets())["Buckets"]

    assert run(use()) == []
