"""A session that was pickled is made again from where it started, or not at all."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.credentials import (
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
    RefreshableCredentials,
)
from scenes import SPOKE
from written_profiles import arn_of, become, keys_of, write

import rolecall
from rolecall import ConfigError, Profile, RoleChain, SessionToken, WebIdentity
from rolecall.testing import FakeClock, StrictCloud

HERE, THERE = "111111111111", "222222222222"


def role_in(account: str) -> str:
    return f"arn:aws:iam::{account}:role/Hub"


def be_a_role(
    monkeypatch: pytest.MonkeyPatch, cloud: StrictCloud, own_home: Path, account: str
) -> None:
    """Let the profile hub be a role in *account*, assumed with a user's keys there."""
    become(monkeypatch, cloud, None)
    write(
        own_home,
        f"[profile hub]\nrole_arn = {role_in(account)}\nsource_profile = base\n",
        "[base]\n" + keys_of(cloud, "somebody", account),
    )


# ── another account ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("roles", [(), (SPOKE,)], ids=["itself", "a role"])
def test_a_session_token_is_not_made_again_of_another_accounts_user(
    cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch, roles: tuple[str, ...]
) -> None:
    become(monkeypatch, cloud, "alice", HERE)
    data = pickle.dumps(RoleChain(SessionToken(), *roles).session())
    assert arn_of(pickle.loads(data))

    become(monkeypatch, cloud, "bob", THERE)

    with pytest.raises(ConfigError, match="not of the account"):
        pickle.loads(data)


@pytest.mark.parametrize("roles", [(), (SPOKE,)], ids=["itself", "a role"])
def test_a_web_identity_is_not_made_again_of_another_accounts_role(
    cloud: StrictCloud,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    roles: tuple[str, ...],
) -> None:
    become(monkeypatch, cloud, None)
    (tmp_path / "token").write_text(cloud.web_identity_token())
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", role_in(HERE))
    data = pickle.dumps(RoleChain(WebIdentity(), *roles).session())
    calls = cloud.calls()
    assert calls == 0, "packing asks nobody"
    assert arn_of(pickle.loads(data))

    monkeypatch.setenv("AWS_ROLE_ARN", role_in(THERE))

    with pytest.raises(ConfigError, match=f"{HERE}.*{THERE}"):
        pickle.loads(data)


def opened_by_botocore() -> rolecall.RoleSession:
    return rolecall.assume_role(boto3.Session(profile_name="hub"), SPOKE)


def opened_by_us() -> rolecall.RoleSession:
    session: rolecall.RoleSession = RoleChain(Profile("hub"), SPOKE).session()
    return session


@pytest.mark.parametrize("opened", [opened_by_botocore, opened_by_us])
def test_a_profile_that_is_a_role_is_not_followed_into_another_account(
    cloud: StrictCloud,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    opened: Callable[[], rolecall.RoleSession],
) -> None:
    be_a_role(monkeypatch, cloud, own_home, HERE)
    data = pickle.dumps(opened())
    assert cloud.calls() == 0, "packing asks nobody"
    again = pickle.loads(data)
    assert arn_of(again.assume_role_parent_session).startswith(f"arn:aws:sts::{HERE}:")
    del again

    be_a_role(monkeypatch, cloud, own_home, THERE)

    with pytest.raises(ConfigError, match=f"{HERE}.*{THERE}"):
        pickle.loads(data)


# ── another file ─────────────────────────────────────────────────────────────────────────


def test_a_file_that_was_set_on_the_parent_is_read_again_and_not_the_default_one(
    cloud: StrictCloud, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    be_a_role(monkeypatch, cloud, own_home, THERE)
    file = own_home / "custom"
    file.write_text("[profile hub]\n" + keys_of(cloud, "alice", HERE))
    core = botocore.session.Session(profile="hub")
    core.set_config_variable("config_file", str(file))
    session = rolecall.assume_role(boto3.Session(botocore_session=core), SPOKE)

    again = pickle.loads(pickle.dumps(session))

    assert again.chain == session.chain == RoleChain(Profile("hub"), SPOKE)
    for one in (session, again):
        assert arn_of(one.assume_role_parent_session) == f"arn:aws:iam::{HERE}:user/alice"
        assert "assumed-role/Spoke" in arn_of(one)


def test_a_credentials_file_that_was_set_is_read_again_too(
    cloud: StrictCloud, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, cloud, None)
    write(own_home, "[profile plain]\n", "[plain]\n" + keys_of(cloud, "bob", THERE))
    file = own_home / "custom"
    file.write_text("[plain]\n" + keys_of(cloud, "alice", HERE))
    core = botocore.session.Session(profile="plain")
    core.set_config_variable("credentials_file", str(file))
    session = rolecall.assume_role(boto3.Session(botocore_session=core), SPOKE)

    again = pickle.loads(pickle.dumps(session))

    assert arn_of(again.assume_role_parent_session) == f"arn:aws:iam::{HERE}:user/alice"


# ── somebody's own credentials ───────────────────────────────────────────────────────────

MIDDLE = "arn:aws:iam::123456789012:role/Middle"


def fetcher(parent: boto3.Session) -> Callable[[], dict[str, Any]]:
    def fetch() -> dict[str, Any]:
        answer = parent.client("sts").assume_role(RoleArn=MIDDLE, RoleSessionName="me")
        keys = answer["Credentials"]
        return {
            "access_key": keys["AccessKeyId"],
            "secret_key": keys["SecretAccessKey"],
            "token": keys["SessionToken"],
            "expiry_time": keys["Expiration"].isoformat(),
        }

    return fetch


def put_in() -> boto3.Session:
    """The widely copied recipe: credentials of one's own under botocore's name."""
    fetch = fetcher(boto3.Session())
    core = botocore.session.get_session()
    core._credentials = RefreshableCredentials.create_from_metadata(fetch(), fetch, "assume-role")
    return boto3.Session(botocore_session=core)


class Provider(CredentialProvider):
    METHOD = "assume-role"

    def __init__(self, fetch: Callable[[], dict[str, Any]]) -> None:
        super().__init__()
        self._fetch = fetch

    def load(self) -> DeferredRefreshableCredentials:
        return DeferredRefreshableCredentials(self._fetch, self.METHOD)


def provided() -> boto3.Session:
    """As assume-role libraries do: a provider of their own under botocore's name."""
    core = botocore.session.get_session()
    resolver = CredentialResolver([Provider(fetcher(boto3.Session()))])
    core.register_component("credential_provider", resolver)
    return boto3.Session(botocore_session=core)


@pytest.mark.parametrize("make", [put_in, provided])
def test_credentials_under_botocores_name_that_no_profile_makes_do_not_travel(
    cloud: StrictCloud,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], boto3.Session],
) -> None:
    """Another process would find the keys of the environment, and be somebody else."""
    become(monkeypatch, cloud, "alice")
    parent = make()

    session = rolecall.assume_role(parent, SPOKE)

    assert session.chain is not None
    assert session.chain.origin == rolecall.GivenSession(parent)
    assert "assumed-role/Middle/me" in arn_of(session.assume_role_parent_session)
    assert "assumed-role/Spoke" in arn_of(session)
    with pytest.raises(ConfigError, match="cannot be pickled"):
        pickle.dumps(session)


@pytest.mark.parametrize("make", [put_in, provided])
def test_they_do_not_travel_either_where_the_profile_at_hand_is_another_role(
    cloud: StrictCloud,
    own_home: Path,
    fake_clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], boto3.Session],
) -> None:
    be_a_role(monkeypatch, cloud, own_home, HERE)
    monkeypatch.setenv("AWS_PROFILE", "hub")
    session = rolecall.assume_role(make(), SPOKE, clock=fake_clock)

    with pytest.raises(ConfigError, match="cannot be pickled"):
        pickle.dumps(session)


@pytest.mark.parametrize("make", [put_in, provided])
def test_nor_is_their_cached_session_handed_to_that_role(
    cloud: StrictCloud,
    own_home: Path,
    fake_clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], boto3.Session],
) -> None:
    be_a_role(monkeypatch, cloud, own_home, HERE)
    monkeypatch.setenv("AWS_PROFILE", "hub")
    cloud.trust(SPOKE, [MIDDLE])
    cache: dict[str, Any] = {}
    assert arn_of(rolecall.assume_role(make(), SPOKE, cache=cache, clock=fake_clock))

    hub = boto3.Session(profile_name="hub")

    with pytest.raises(rolecall.AccessDenied):
        arn_of(rolecall.assume_role(hub, SPOKE, cache=cache, clock=fake_clock))
