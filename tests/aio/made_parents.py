"""Asynchronous sessions of every kind that a program may have, each of one known principal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.credentials import AioCredentials, AioRefreshableCredentials
from aiobotocore.session import AioSession
from botocore.credentials import CredentialProvider
from scenes import aio_session_of
from written_profiles import become, keys_of, write

from rolecall.testing import StrictCloud

VIA = "arn:aws:iam::123456789012:role/Via"


@dataclass
class World:
    """The cloud, and the machine of whoever uses it."""

    cloud: StrictCloud
    home: Path
    monkeypatch: pytest.MonkeyPatch
    acting: str = "alice"

    def environment_of(self, user: str | None) -> None:
        """Let the environment be that of *user*; None: of the cloud alone."""
        become(self.monkeypatch, self.cloud, user)

    def profile(self, lines: str, credentials: str = "", name: str = "it") -> AioSession:
        """Return a session of a profile that says *lines*."""
        self.environment_of(None)
        write(self.home, f"[profile {name}]\nregion = us-east-1\n{lines}", credentials)
        return AioSession(profile=name)


def user_arn(user: str) -> str:
    return f"arn:aws:iam::123456789012:user/{user}"


def keys_set(world: World, user: str) -> AioSession:
    return aio_session_of(world.cloud, user=user)  # type: ignore[no-any-return]


def keys_in_the_environment(world: World, user: str) -> AioSession:
    world.environment_of(user)
    return AioSession()


def keys_of_a_profile(world: World, user: str) -> AioSession:
    return world.profile("", f"[it]\n{keys_of(world.cloud, user)}")


def printed_keys(world: World, user: str) -> AioSession:
    held = world.cloud.credentials(user=user)
    printed = world.home / f"printed-{user}"
    keys = {"AccessKeyId": held.access_key, "SecretAccessKey": held.secret_key}
    printed.write_text(json.dumps({"Version": 1, **keys}))
    return world.profile(f"credential_process = cat {printed}\n")


def role_of_a_source_profile(world: World, user: str) -> AioSession:
    return world.profile(
        f"role_arn = {VIA}\nsource_profile = base\nrole_session_name = {user}\n",
        f"[base]\n{keys_of(world.cloud, user)}",
    )


def role_of_the_environment(world: World, user: str) -> AioSession:
    session = world.profile(
        f"role_arn = {VIA}\ncredential_source = Environment\nrole_session_name = {user}\n"
    )
    world.environment_of(user)
    # With keys in the environment botocore takes those unless a profile is named by hand.
    return session


def role_of_a_token(world: World, user: str) -> AioSession:
    token = world.home / f"token-{user}"
    token.write_text(world.cloud.web_identity_token(subject=user))
    return world.profile(
        f"role_arn = {VIA}\nweb_identity_token_file = {token}\nrole_session_name = {user}\n"
    )


def role_by_a_recipe(world: World, user: str) -> AioSession:
    """The widely copied recipe: credentials put in by hand, refreshed by the program's client."""
    base = keys_set(world, user)

    async def refresh() -> dict[str, str]:
        async with base.create_client("sts") as sts:
            answer = await sts.assume_role(RoleArn=VIA, RoleSessionName=user)
        keys = answer["Credentials"]
        return {
            "access_key": keys["AccessKeyId"],
            "secret_key": keys["SecretAccessKey"],
            "token": keys["SessionToken"],
            "expiry_time": keys["Expiration"].isoformat(),
        }

    session = aio_session_of(world.cloud, user=None)
    session._credentials = AioRefreshableCredentials(
        "fake",
        "fake-secret",
        "fake-token",
        datetime(2020, 1, 1, tzinfo=timezone.utc),
        refresh_using=refresh,
        method="sts-assume-role",
    )
    return session  # type: ignore[no-any-return]


class OwnProvider(CredentialProvider):
    """A program's own provider of credentials."""

    METHOD = "fake-vault"
    CANONICAL_NAME = METHOD

    def __init__(self, access_key: str, secret_key: str, method: str = METHOD) -> None:
        super().__init__()
        self._keys = (access_key, secret_key)
        self.METHOD = method

    async def load(self) -> AioCredentials:
        return AioCredentials(*self._keys, method=self.METHOD)


def keys_of_a_provider(world: World, user: str, method: str = OwnProvider.METHOD) -> AioSession:
    held = world.cloud.credentials(user=user)
    session: AioSession = aio_session_of(world.cloud, user=None)
    resolver = session.get_component("credential_provider")
    resolver.providers.insert(0, OwnProvider(held.access_key, held.secret_key, method))
    return session


class OwnSession(AioSession):
    """A program's own kind of session."""

    keys: tuple[str, str]

    async def get_credentials(self) -> AioCredentials:
        return AioCredentials(*self.keys, method="own")


def own_kind(world: World, user: str) -> AioSession:
    session = OwnSession()
    like: Any = world.cloud.session(user=user)
    for name, value in like._session.instance_variables().items():
        session.set_config_variable(name, value)
    held = like.get_credentials()
    session.keys = (held.access_key, held.secret_key)
    return session


Make = Callable[[World, str], AioSession]

#: Sessions of an IAM user.
USERS: tuple[Make, ...] = (
    keys_set,
    keys_in_the_environment,
    keys_of_a_profile,
    printed_keys,
    keys_of_a_provider,
    own_kind,
)

#: Sessions of the role `VIA`, named for the user.
ROLES: tuple[Make, ...] = (
    role_of_a_source_profile,
    role_of_the_environment,
    role_of_a_token,
    role_by_a_recipe,
)


def principal_of(make: Make, user: str) -> str:
    """Return the ARN of who a session of *make* is."""
    if make in USERS:
        return user_arn(user)
    return f"arn:aws:sts::123456789012:assumed-role/Via/{user}"


def rotating(world: World) -> AioSession:
    """Return a session that is the user *world.acting* whenever its credentials are read."""

    async def refresh() -> dict[str, Any]:
        held = world.cloud.credentials(user=world.acting)
        # So close to its end by the machine's clock that it is refreshed at each reading.
        soon = datetime.now(timezone.utc) + timedelta(minutes=1)
        return {
            "access_key": held.access_key,
            "secret_key": held.secret_key,
            "token": None,
            "expiry_time": soon.isoformat(),
        }

    session: AioSession = aio_session_of(world.cloud, user=None)
    session._credentials = AioRefreshableCredentials(
        "fake",
        "fake-secret",
        "fake-token",
        datetime(2020, 1, 1, tzinfo=timezone.utc),
        refresh_using=refresh,
        method="custom",
    )
    return session
