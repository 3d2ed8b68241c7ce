"""Who a session is, as caches know it: two principals never share what one of them was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from scenes import HUB, SPOKE, Assume
from written_profiles import arn_of, become, keys_of, write

import rolecall
from rolecall import RoleChain, WebIdentity
from rolecall.sources.origin import identity
from rolecall.testing import FakeClock, StrictCloud

ALICE = "arn:aws:iam::123456789012:user/alice"
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


# ── callables ────────────────────────────────────────────────────────────────────────────


def test_keys_of_a_callable_are_nobody_elses_even_where_it_has_the_place_of_another(
    assume: Assume, user: boto3.Session, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    """One object for both users is what a callable in a freed one's place looks like."""
    cloud.trust(HUB, [ALICE])
    cache: dict[str, Any] = {}
    now = "alice"

    def fetch() -> rolecall.Credentials:
        return cloud.credentials(user=now)

    alice = rolecall.refreshable_session(fetch, base_session=user, clock=fake_clock)
    assert "assumed-role/Hub/" in arn_of(assume(session=alice, cache=cache))
    now = "bob"
    bob = rolecall.refreshable_session(fetch, base_session=user, clock=fake_clock)

    with pytest.raises(ClientError, match="not authorized"):
        arn_of(assume(session=bob, cache=cache))
    assert alice.get_credentials().identity != bob.get_credentials().identity
    assert alice.get_credentials().identity == alice.get_credentials().identity


# ── profiles ─────────────────────────────────────────────────────────────────────────────

FROM_ENVIRONMENT = f"[profile hub]\nrole_arn = {HUB}\ncredential_source = Environment\n"
FROM_PROFILE = f"[profile hub]\nrole_arn = {HUB}\nsource_profile = base\n"
FROM_FAR = (
    f"[profile hub]\nrole_arn = {HUB}\nsource_profile = middle\n"
    "[profile middle]\nrole_arn = arn:aws:iam::123456789012:role/Middle\nsource_profile = base\n"
)


@pytest.mark.parametrize(
    ("config", "trusted"),
    [
        pytest.param(FROM_ENVIRONMENT, HUB, id="credential_source"),
        pytest.param(FROM_PROFILE, HUB, id="source_profile"),
        pytest.param(FROM_FAR, "arn:aws:iam::123456789012:role/Middle", id="source_profile's own"),
    ],
)
def test_who_may_not_be_the_profiles_role_is_not_handed_what_was_made_with_it(
    cloud: StrictCloud,
    fake_clock: FakeClock,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: str,
    trusted: str,
) -> None:
    cloud.trust(trusted, [ALICE])
    cache: dict[str, Any] = {}

    def spoke_as(user: str) -> str:
        if config is FROM_ENVIRONMENT:
            become(monkeypatch, cloud, user)
            write(own_home, config)
        else:
            become(monkeypatch, cloud, None)
            write(own_home, config, "[base]\n" + keys_of(cloud, user))
        parent = boto3.Session(profile_name="hub")
        return arn_of(rolecall.assume_role(parent, SPOKE, cache=cache, clock=fake_clock))

    assert "assumed-role/Spoke/" in spoke_as("alice")
    with pytest.raises(ClientError, match="not authorized"):
        spoke_as("bob")
    calls = cloud.calls("sts:AssumeRole")
    assert "assumed-role/Spoke/" in spoke_as("alice")
    assert cloud.calls("sts:AssumeRole") == calls, "alice's own entry is found again"


@pytest.mark.parametrize(
    "change",
    [
        ("https://one.awsapps.com/start", "https://two.awsapps.com/start"),
        ("sso_region = us-east-1", "sso_region = eu-west-1"),
    ],
    ids=["start URL", "region"],
)
def test_two_sign_in_sessions_of_one_name_are_two_identities(
    own_home: Path, change: tuple[str, str]
) -> None:
    config = (
        "[profile work]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Dev\n"
        "region = us-east-1\n[sso-session corp]\nsso_region = us-east-1\n"
        "sso_start_url = https://one.awsapps.com/start\n"
    )

    def who() -> str:
        return identity(boto3.Session(profile_name="work")._session)

    write(own_home, config)
    one, again = who(), who()
    write(own_home, config.replace(*change))

    assert one == again
    assert one.startswith("profile:work:sso:")
    assert who() != one


# ── web identities ───────────────────────────────────────────────────────────────────────


@pytest.fixture
def web(
    cloud: StrictCloud, fake_clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Return who a session of a `WebIdentity` with these keywords is."""
    become(monkeypatch, cloud, None)
    file = tmp_path / "token"
    file.write_text(cloud.web_identity_token())

    def web(**keywords: Any) -> str:
        given = {} if "token" in keywords else {"token_file": str(file)}
        origin = WebIdentity(role_arn=HUB, **given, **keywords)
        session: rolecall.RoleSession = RoleChain(origin).session(clock=fake_clock)
        return session.get_credentials().identity

    return web


@pytest.mark.parametrize(
    "narrowed",
    [
        {"policy": {"Version": "2012-10-17", "Statement": []}},
        {"policy_arns": [READ_ONLY]},
        {"duration": 900},
        {"session_name": "somebody"},
        {"token": lambda: "fake-token"},
    ],
    ids=lambda keywords: next(iter(keywords)),
)
def test_all_that_shapes_a_web_identitys_session_tells_it_from_others(
    web: Any, narrowed: dict[str, Any]
) -> None:
    assert web() == web()
    assert web(**narrowed) != web()


def test_whose_token_a_callable_gives_nobody_knows(web: Any, cloud: StrictCloud) -> None:
    assert web(token=lambda: cloud.web_identity_token()) != web(
        token=lambda: cloud.web_identity_token(subject="other")
    )


def test_another_token_file_is_another_identity(web: Any, tmp_path: Path) -> None:
    origin = WebIdentity(role_arn=HUB, token_file=tmp_path / "other")

    assert RoleChain(origin).session().get_credentials().identity != web()
