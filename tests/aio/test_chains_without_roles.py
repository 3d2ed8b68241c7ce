"""A chain without roles hands out what its origin has, in the way of asynchronous sessions."""

from __future__ import annotations

import asyncio
import pickle
import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import botocore.session
import pytest
from aiobotocore.credentials import AioRefreshableCredentials
from aiobotocore.session import AioSession
from botocore.credentials import CredentialProvider, CredentialResolver
from botocore.exceptions import NoCredentialsError
from made_parents import World, user_arn
from scenes import HUB, AioAssume, aio_session_of, caller_arn, keys_of, run
from written_profiles import keys_of as lines_of
from written_profiles import write

from rolecall import Ambient, ConfigError, GivenSession, Profile, RoleChain, WebIdentity
from rolecall.aio import AioChainSession, AioRefreshingCredentials, AioRoleSession
from rolecall.sessions.aio.beside import CredentialsBesideTheLoop
from rolecall.testing import StrictCloud

#: More than an hour, so that botocore finds nothing due.
LONG = timedelta(hours=2)


def renewed(cloud: StrictCloud, loops: list[Any], *, left: timedelta = -LONG) -> AioSession:
    """Return a session whose credentials are awaited; *loops* are those on which they were."""
    held = cloud.credentials(user="alice")

    async def renew() -> dict[str, str]:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        expiry = (datetime.now(timezone.utc) + LONG).isoformat()
        keys = {"access_key": held.access_key, "secret_key": held.secret_key}
        return {**keys, "token": held.token or "", "expiry_time": expiry}

    session: AioSession = aio_session_of(cloud, user=None)
    expiry = datetime.now(timezone.utc) + left
    session._credentials = AioRefreshableCredentials(
        "fake", "fake-secret", "fake-token", expiry, renew, "own"
    )
    return session


# ── without credentials ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("asynchronous", [False, True], ids=["ambient", "a given session"])
def test_without_credentials_it_is_as_aiobotocore_is(asynchronous: bool, world: World) -> None:
    world.environment_of(None)
    given = aio_session_of(world.cloud, user=None)
    session = RoleChain(GivenSession(given) if asynchronous else Ambient()).aio_session()

    for _ in range(2):
        assert run(session.get_credentials()) is None
        with pytest.raises(NoCredentialsError):
            run(caller_arn(session))
    assert session.synchronous().get_credentials() is None


def test_the_loop_is_not_held_up_by_looking_for_them_again() -> None:
    """A metadata service that is not there takes seconds to find missing, each time."""
    seen: list[threading.Thread] = []

    class Looked(CredentialProvider):
        METHOD = "own"

        def load(self) -> None:
            seen.append(threading.current_thread())

    given = botocore.session.Session()
    given.register_component("credential_provider", CredentialResolver([Looked()]))
    session = RoleChain(GivenSession(given)).aio_session()

    for _ in range(2):
        assert run(session.get_credentials()) is None

    assert len(seen) >= 2
    assert threading.main_thread() not in seen


def test_credentials_that_come_later_are_found(world: World) -> None:
    world.environment_of(None)
    session = RoleChain(Ambient()).aio_session()
    assert run(session.get_credentials()) is None

    world.environment_of("alice")

    assert run(caller_arn(session)) == user_arn("alice")


# ── botocore's own ───────────────────────────────────────────────────────────────────────


def test_its_credentials_have_the_names_of_a_roles() -> None:
    theirs = {*vars(AioRefreshingCredentials), "state", "invalidate", "refresh_needed"}

    assert {name for name in theirs if not name.startswith("_")} <= {*dir(CredentialsBesideTheLoop)}


def test_lasting_keys_tell_what_they_are(world: World) -> None:
    world.environment_of(None)
    write(world.home, "[profile it]\nregion = us-east-1\n", f"[it]\n{lines_of(world.cloud, 'eve')}")
    session = RoleChain(Profile("it")).aio_session()

    async def use() -> Any:
        credentials = await session.get_credentials()
        await credentials.ensure_valid_for(hours=36)
        with pytest.raises(ConfigError, match="before they are due"):
            await credentials.refresh()
        return credentials, await credentials.whoami()

    credentials, who = run(use())

    assert who.arn == user_arn("eve")
    assert credentials.state == "fresh"
    assert credentials.expires_at is None
    assert credentials.remaining == timedelta.max
    assert not credentials.refresh_needed()
    assert not credentials.invalidate(credentials.access_key)
    assert (credentials.access_key, credentials.secret_key, credentials.token) == (
        run(keys_of(session))[:3]
    )


def test_what_must_be_awaited_is_awaited_on_the_loop_that_waits(cloud: StrictCloud) -> None:
    """Not on one of its own, while that loop stands still."""
    loops: list[Any] = []
    session = RoleChain(GivenSession(renewed(cloud, loops))).aio_session()

    async def use() -> Any:
        await caller_arn(session)
        return await session.get_credentials(), asyncio.get_running_loop()

    credentials, loop = run(use())

    assert loops == [loop]
    assert credentials.state == "fresh"
    assert credentials.access_key == cloud.credentials(user="alice").access_key
    assert LONG - timedelta(minutes=5) < credentials.remaining <= LONG


def test_what_is_not_read_yet_is_not_shown(cloud: StrictCloud) -> None:
    session = RoleChain(GivenSession(renewed(cloud, []))).aio_session()
    credentials = run(session.get_credentials())

    assert credentials.state == "expired"
    assert credentials.remaining == timedelta(0)
    with pytest.raises(ConfigError, match="awaiting"):
        _ = credentials.access_key


def test_a_life_that_is_too_short_is_told(cloud: StrictCloud) -> None:
    loops: list[Any] = []
    session = RoleChain(GivenSession(renewed(cloud, loops, left=LONG))).aio_session()

    async def use() -> None:
        credentials = await session.get_credentials()
        await credentials.ensure_valid_for(minutes=30)
        with pytest.raises(ConfigError, match="not 12:00:00"):
            await credentials.ensure_valid_for(hours=12)

    run(use())

    assert loops == []


# ── what it is ───────────────────────────────────────────────────────────────────────────


def test_a_web_identity_alone_is_refreshed_as_a_role_is(world: World) -> None:
    world.environment_of(None)
    token = world.home / "token"
    token.write_text(world.cloud.web_identity_token())
    session = RoleChain(WebIdentity(role_arn=HUB, token_file=str(token))).aio_session()

    async def use() -> Any:
        credentials = await session.get_credentials()
        await credentials.get_frozen_credentials()
        await credentials.refresh()
        return credentials

    credentials = run(use())

    assert type(credentials) is AioRefreshingCredentials
    assert credentials.method == "assume-role-with-web-identity"
    assert world.cloud.calls("AssumeRoleWithWebIdentity") == 2


@pytest.mark.parametrize("kind", ["ambient", "asynchronous", "botocore's", "a role's"])
def test_its_synchronous_session_is_boto3s(kind: str, world: World, aio_assume: AioAssume) -> None:
    world.environment_of("alice")
    origins: dict[str, Any] = {
        "ambient": Ambient(),
        "asynchronous": GivenSession(AioSession()),
        "botocore's": GivenSession(botocore.session.Session()),
        "a role's": GivenSession(aio_assume(HUB)),
    }
    session = RoleChain(origins[kind]).aio_session()

    synchronous = session.synchronous()

    assert isinstance(session, AioRoleSession)
    assert isinstance(session, AioChainSession)
    assert isinstance(synchronous, boto3.Session)
    assert synchronous is session.synchronous()
    assert run(keys_of(session)) == synchronous.get_credentials().get_frozen_credentials()


def test_it_travels_by_where_it_starts_and_without_a_key(world: World) -> None:
    world.environment_of("alice")
    session = RoleChain(Ambient()).aio_session(region_name="eu-west-1")
    run(session.get_credentials())

    data = pickle.dumps(session)
    arrived = pickle.loads(data)

    assert not any(secret in data for secret in (b"fake-secret", b"AKIAFAKE"))
    assert run(caller_arn(arrived)) == run(caller_arn(session))
    assert arrived.get_config_variable("region") == "eu-west-1"


def test_with_keys_of_this_process_alone_it_does_not_travel(cloud: StrictCloud) -> None:
    session = RoleChain(GivenSession(aio_session_of(cloud))).aio_session()

    with pytest.raises(ConfigError, match="explicit keys"):
        pickle.dumps(session)
