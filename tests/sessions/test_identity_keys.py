"""Who a session is, as caches know it: two principals never share what one of them was given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from scenes import HUB, SPOKE, Assume
from written_profiles import arn_of, become, keys_of, write

import rolecall
from rolecall import RoleChain, WebIdentity
from rolecall.sources.identity import identity
from rolecall.sources.web_identity import subject_of
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


@pytest.mark.parametrize(
    ("subject", "same"),
    [("system:serviceaccount:a:b", True), ("system:serviceaccount:a:c", False)],
)
def test_a_web_identity_is_who_its_token_is_about_wherever_the_file_is(
    web: Any, cloud: StrictCloud, tmp_path: Path, subject: str, same: bool
) -> None:
    """On each machine of a cluster the token of another pod lies at the same path."""
    (tmp_path / "token").write_text(cloud.web_identity_token(subject="system:serviceaccount:a:b"))
    other = tmp_path / "other"
    other.write_text(cloud.web_identity_token(subject=subject))
    origin = WebIdentity(role_arn=HUB, token_file=other)

    assert (RoleChain(origin).session().get_credentials().identity == web()) is same


@pytest.mark.parametrize("named", [False, True])
def test_so_it_is_where_botocore_finds_the_token(
    cloud: StrictCloud,
    tmp_path: Path,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    named: bool,
) -> None:
    become(monkeypatch, cloud, None)
    file = tmp_path / "token"
    if named:
        write(own_home, f"[profile pod]\nrole_arn = {HUB}\nweb_identity_token_file = {file}\n")
    else:
        monkeypatch.setenv("AWS_ROLE_ARN", HUB)
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))

    def who(subject: str) -> str:
        file.write_text(cloud.web_identity_token(subject=subject))
        return identity(boto3.Session(profile_name="pod" if named else None)._session)

    one = who("system:serviceaccount:a:b")

    assert one.startswith("web-identity:")
    assert who("system:serviceaccount:a:b") == one
    assert who("system:serviceaccount:a:c") != one


def test_a_token_in_the_environment_goes_before_a_profile_that_is_named_there(
    cloud: StrictCloud, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with botocore; pickled as the profile, it would come to life as somebody else."""
    become(monkeypatch, cloud, None)
    write(own_home, credentials=f"[user]\n{keys_of(cloud, 'alice')}")
    file = own_home / "token"
    file.write_text(cloud.web_identity_token())
    for name, value in {
        "AWS_PROFILE": "user",
        "AWS_ROLE_ARN": HUB,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(file),
    }.items():
        monkeypatch.setenv(name, value)

    session = rolecall.assume_role(boto3.Session(), SPOKE)

    assert session.chain == RoleChain(rolecall.Ambient(), SPOKE)


@pytest.mark.parametrize("token", ["fake-opaque-token", "a.b.c", "fake.W10.sig", "fake.e30.sig"])
def test_a_token_that_does_not_say_whom_it_is_about_is_one_of_its_own(token: str) -> None:
    assert subject_of(token) == subject_of(token)
    assert subject_of(token) != subject_of(f"{token}2")
    assert token not in subject_of(token)


# ── machines ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("lines", "same"),
    [
        (f"role_arn = {HUB}\nsource_profile = program\n", False),
        (f"role_arn = {HUB}\nsource_profile = keys\n", True),
        ("credential_process = cat {program}\n", False),
        ("sso_start_url = https://fake\nsso_region = us-east-1\nsso_account_id = 123456789012\n"
         "sso_role_name = Fake\n", False),
    ],
    ids=["program behind", "keys behind", "program", "sso"],
)  # fmt: skip
def test_a_profile_that_does_not_say_who_it_is_is_another_one_on_another_machine(
    cloud: StrictCloud,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: str,
    same: bool,
) -> None:
    """Two machines with one text of a profile and one Redis are two people, or two instances."""
    become(monkeypatch, cloud, None)
    program = own_home / "printed"
    keys = {"AccessKeyId": "ASIAFAKE", "SecretAccessKey": "fake-secret", "SessionToken": "fake"}
    program.write_text(json.dumps({"Version": 1, "Expiration": "2199-01-01T00:00:00Z", **keys}))
    lines = lines.replace("{program}", str(program))
    write(
        own_home,
        f"[profile it]\n{lines}\n[profile program]\ncredential_process = cat {program}\n"
        "[profile keys]\naws_access_key_id = AKIAFAKE\naws_secret_access_key = fake-secret\n",
    )

    def who(machine: str) -> str:
        monkeypatch.setattr("platform.node", lambda: machine)
        return identity(boto3.Session(profile_name="it")._session)

    assert who("one") == who("one")
    assert (who("one") == who("two")) is same
