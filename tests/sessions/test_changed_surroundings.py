"""A session stays who it was when its credentials were looked up, whatever is written there now."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from scenes import HUB, SPOKE
from written_profiles import KEYS, arn_of, become, keys_of, write

import rolecall
from rolecall import Ambient, RoleChain
from rolecall.testing import FakeClock, StrictCloud

VIA = "arn:aws:iam::123456789012:role/Via"


def looked_up(session: boto3.Session) -> boto3.Session:
    """Return *session* once it has its credentials."""
    session.get_credentials().get_frozen_credentials()
    return session


def key_of(session: Any) -> str:
    return str(session.get_credentials().get_frozen_credentials().access_key)


@pytest.fixture
def token(tmp_path: Path, cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Surroundings in which a web identity assumes a role, and its token."""
    become(monkeypatch, cloud, None)
    file = tmp_path / "token"
    file.write_text(cloud.web_identity_token())
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "pod")
    monkeypatch.setenv("AWS_ROLE_ARN", VIA)
    return file


def test_another_profile_in_use_by_now_is_not_the_sessions(
    cloud: StrictCloud, own_home: Path, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, cloud, None)
    write(
        own_home,
        "".join(
            f"[profile {user}]\nrole_arn = {VIA}\nsource_profile = {user}-keys\n"
            f"role_session_name = {user}\n[profile {user}-keys]\n{keys_of(cloud, user)}"
            for user in ("alice", "bob")
        ),
    )
    cloud.trust(SPOKE, ["arn:aws:sts::123456789012:assumed-role/Via/alice"])
    cache: dict[str, Any] = {}

    monkeypatch.setenv("AWS_PROFILE", "alice")
    alice = looked_up(boto3.Session())
    monkeypatch.setenv("AWS_PROFILE", "bob")
    key_of(rolecall.assume_role(alice, SPOKE, cache=cache, clock=fake_clock))

    with pytest.raises(ClientError, match="AccessDenied"):
        key_of(rolecall.assume_role(boto3.Session(), SPOKE, cache=cache, clock=fake_clock))


@pytest.mark.parametrize("changed", ["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"])
def test_another_role_or_token_by_now_is_not_the_sessions(
    changed: str,
    token: Path,
    cloud: StrictCloud,
    fake_clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache: dict[str, Any] = {}
    other = token.with_name("other")
    other.write_text(cloud.web_identity_token(subject="somebody-else"))
    before = looked_up(boto3.Session())

    monkeypatch.setenv(changed, HUB if changed == "AWS_ROLE_ARN" else str(other))
    first = key_of(rolecall.assume_role(before, SPOKE, cache=cache, clock=fake_clock))
    after = looked_up(boto3.Session())

    assert key_of(rolecall.assume_role(after, SPOKE, cache=cache, clock=fake_clock)) != first


def test_keys_of_the_environment_behind_a_profile_are_who_they_were(
    cloud: StrictCloud, own_home: Path, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        own_home,
        f"[profile mine]\nrole_arn = {VIA}\ncredential_source = Environment\n"
        "role_session_name = me\n",
    )
    cache: dict[str, Any] = {}
    become(monkeypatch, cloud, "alice")
    alice = looked_up(boto3.Session(profile_name="mine"))

    become(monkeypatch, cloud, "bob")
    first = key_of(rolecall.assume_role(alice, SPOKE, cache=cache, clock=fake_clock))
    bob = boto3.Session(profile_name="mine")

    assert key_of(rolecall.assume_role(bob, SPOKE, cache=cache, clock=fake_clock)) != first


def test_a_profile_with_a_web_identity_travels(
    token: Path, cloud: StrictCloud, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", *KEYS):
        monkeypatch.delenv(name, raising=False)
    write(own_home, f"[profile pod]\nrole_arn = {VIA}\nweb_identity_token_file = {token}\n")
    session = rolecall.assume_role(boto3.Session(profile_name="pod"), SPOKE)

    arrived = pickle.loads(pickle.dumps(session))

    assert arn_of(arrived).startswith("arn:aws:sts::210987654321:assumed-role/Spoke/")


def test_keywords_of_the_wrong_kind_are_told_for_chains_too() -> None:
    async def listen(_: object) -> None: ...

    with pytest.raises(TypeError) as caught:
        RoleChain(Ambient(), HUB).session(on_event=listen, region_name=5)

    assert "on_event must be a callable that need not be awaited" in str(caught.value)
    assert "region_name must be a region" in str(caught.value)
