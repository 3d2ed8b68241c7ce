"""Chains opened from every origin, and who they turn out to be."""

from __future__ import annotations

import gc
import os
import pickle
import weakref
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import botocore.useragent
import pytest
from botocore.exceptions import NoCredentialsError
from scenes import HUB, SPOKE, settle

import rolecall
from rolecall import Ambient, CredentialSource, Profile, Role, RoleChain, SessionToken, WebIdentity
from rolecall.testing import FakeClock, StrictCloud

MFA = "arn:aws:iam::123456789012:mfa/me"
EDGE = "arn:aws:iam::210987654321:role/Edge"


@pytest.fixture
def ambient(cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch) -> StrictCloud:
    """The environment is a user of the cloud."""
    for name, value in cloud.environ().items():
        monkeypatch.setenv(name, value)
    return cloud


def arn_of(session: Any) -> str:
    return str(session.client("sts").get_caller_identity()["Arn"])


def write(own_home: Path, config: str = "", credentials: str = "") -> None:
    (own_home / ".aws").mkdir(exist_ok=True)
    (own_home / ".aws" / "config").write_text(config)
    (own_home / ".aws" / "credentials").write_text(credentials)


def keys_of(cloud: StrictCloud, user: str) -> str:
    held = cloud.credentials(user=user)
    return f"aws_access_key_id = {held.access_key}\naws_secret_access_key = {held.secret_key}\n"


def test_an_ambient_chain_is_its_last_role(ambient: StrictCloud, fake_clock: FakeClock) -> None:
    session = RoleChain(Ambient(), HUB, Role(SPOKE, session_name="me")).session(clock=fake_clock)

    assert arn_of(session) == "arn:aws:sts::210987654321:assumed-role/Spoke/me"
    assert session.chain == RoleChain(Ambient(), HUB, Role(SPOKE, session_name="me"))


def test_a_profile_that_is_a_chain_itself_is_followed_by_our_engine(
    ambient: StrictCloud, own_home: Path, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    write(
        own_home,
        f"[profile hub]\nrole_arn = {HUB}\nsource_profile = base\nrole_session_name = from-file\n"
        f"region = eu-west-1\n[profile spoke]\nrole_arn = {SPOKE}\nsource_profile = hub\n"
        "duration_seconds = 900\nregion = eu-central-1\n",
        "[base]\n" + keys_of(ambient, "base"),
    )

    session = RoleChain(Profile("spoke"), EDGE).session(clock=fake_clock)
    for _ in range(50):
        assert arn_of(session).startswith("arn:aws:sts::210987654321:assumed-role/Edge/")
        hop: Any = session
        while isinstance(hop, rolecall.RoleSession):
            settle(hop)
            hop = hop.assume_role_parent_session
        fake_clock.tick(minutes=7)

    hops = [call for call in ambient.log if call.operation == "AssumeRole"]
    assert len(hops) < 60, "botocore refreshes a 900 s source at every call"
    assert session.assume_role_parent_session.region_name == "eu-central-1"


def test_a_profiles_own_keys_go_before_its_role_as_a_source(
    ambient: StrictCloud, own_home: Path, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    write(
        own_home,
        f"[profile self]\nrole_arn = {HUB}\nsource_profile = self\n",
        "[self]\n" + keys_of(ambient, "own-keys"),
    )

    session = RoleChain(Profile("self"), Role(SPOKE)).session(clock=fake_clock)

    assert "assumed-role/Spoke" in arn_of(session)
    assert ambient.calls("AssumeRole") == 2


def test_credential_source_environment_is_the_environment(
    ambient: StrictCloud, own_home: Path, fake_clock: FakeClock
) -> None:
    write(own_home, f"[profile env]\nrole_arn = {HUB}\ncredential_source = Environment\n")

    by_profile = RoleChain(Profile("env"), SPOKE).session(clock=fake_clock)
    by_name = RoleChain(CredentialSource("Environment"), SPOKE).session(clock=fake_clock)

    assert "assumed-role/Spoke" in arn_of(by_profile)
    assert "assumed-role/Spoke" in arn_of(by_name)


def test_a_web_identity_starts_a_chain(
    ambient: StrictCloud, tmp_path: Path, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    (tmp_path / "token").write_text(ambient.web_identity_token())
    monkeypatch.setenv("AWS_ROLE_ARN", HUB)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))

    session = RoleChain(WebIdentity(), SPOKE).session(clock=fake_clock)

    assert "assumed-role/Spoke" in arn_of(session)
    assert ambient.calls("AssumeRoleWithWebIdentity") == 1


def test_a_web_identity_without_role_or_file_is_told(own_home: Path) -> None:
    with pytest.raises(rolecall.ConfigError, match=r"AWS_ROLE_ARN.*AWS_WEB_IDENTITY_TOKEN_FILE"):
        RoleChain(WebIdentity(), SPOKE).session()


def test_a_session_token_with_mfa_serves_many_roles_with_one_code(
    ambient: StrictCloud, fake_clock: FakeClock
) -> None:
    asked: list[int] = []

    def code() -> str:
        asked.append(1)
        return "123456"

    ambient.trust(HUB, mfa=True)
    origin = SessionToken(duration=timedelta(hours=12), mfa_serial=MFA)
    sessions = [
        RoleChain(origin, role).session(clock=fake_clock, mfa_token_provider=code)
        for role in (HUB, SPOKE, HUB)
    ]

    assert ["Hub" in arn_of(session) for session in sessions] == [True, False, True]
    assert len(asked) == 1
    assert ambient.calls("GetSessionToken") == 1


def test_chains_of_one_origin_share_what_they_have_in_common(
    ambient: StrictCloud, fake_clock: FakeClock
) -> None:
    spokes = [f"arn:aws:iam::{number:012d}:role/Spoke" for number in range(1, 9)]

    sessions = [RoleChain(Ambient(), HUB, arn).session(clock=fake_clock) for arn in spokes]
    again = RoleChain(Ambient(), HUB, spokes[0]).session(clock=fake_clock)
    for session in [*sessions, again]:
        arn_of(session)

    assert len({id(session.assume_role_parent_session) for session in sessions}) == 1
    assert ambient.calls("AssumeRole") == 1 + len(spokes)
    assert again is not sessions[0], "a session of its own, with the same refresher behind it"


def test_chains_of_two_identities_share_nothing(
    ambient: StrictCloud, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = RoleChain(Ambient(), HUB, SPOKE).session(clock=fake_clock)
    arn_of(alice)
    for name, value in ambient.environ(user="bob").items():
        monkeypatch.setenv(name, value)
    bob = RoleChain(Ambient(), HUB, SPOKE).session(clock=fake_clock)
    arn_of(bob)

    assert ambient.calls("AssumeRole") == 4
    assert bob.assume_role_parent_session is not alice.assume_role_parent_session


def test_sessions_of_different_arguments_share_nothing(
    ambient: StrictCloud, fake_clock: FakeClock
) -> None:
    plain = RoleChain(Ambient(), Role(HUB)).session(clock=fake_clock)
    tagged = RoleChain(Ambient(), Role(HUB, tags={"team": "data"})).session(clock=fake_clock)

    assert plain.get_credentials().access_key != tagged.get_credentials().access_key


def test_a_chain_that_cannot_be_is_refused_before_anything_is_looked_up() -> None:
    with pytest.raises(rolecall.InvalidChain, match="3600"):
        RoleChain(Ambient(), HUB, Role(SPOKE, duration=timedelta(hours=2))).session()


def test_a_chain_without_credentials_at_its_origin_says_so(own_home: Path) -> None:
    with pytest.raises(NoCredentialsError):
        RoleChain(Ambient(), HUB).session()


def test_a_chain_opens_in_a_process_that_only_unpickles_it(
    ambient: StrictCloud, tmp_path: Path
) -> None:
    import subprocess
    import sys

    (tmp_path / "chain").write_bytes(pickle.dumps(RoleChain(Ambient(), HUB, SPOKE)))
    program = (
        "import pickle, sys\n"
        "chain = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(chain.session().client('sts').get_caller_identity()['Account'])\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "chain")],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("210987654321\n", "")


def test_a_session_made_elsewhere_is_the_same_role_with_its_own_variables(
    ambient: StrictCloud, fake_clock: FakeClock
) -> None:
    parent = boto3.Session(region_name="eu-west-1")
    session = rolecall.assume_role(rolecall.assume_role(parent, HUB), SPOKE, Tags={"team": "data"})
    session._session.set_config_variable("max_attempts", 7)

    again = pickle.loads(pickle.dumps(session))

    assert again.chain == session.chain
    assert again.region_name == "eu-west-1"
    assert again.client("s3").meta.config.retries["total_max_attempts"] == 7
    assert "assumed-role/Spoke" in arn_of(again)


def test_nothing_keeps_a_dropped_session_alive(ambient: StrictCloud, fake_clock: FakeClock) -> None:
    session = RoleChain(Ambient(), HUB, SPOKE).session(clock=fake_clock)
    arn_of(session)
    watched = weakref.ref(session)

    del session
    gc.collect()

    assert watched() is None


def test_the_user_agent_says_where_the_credentials_are_from(
    ambient: StrictCloud, fake_clock: FakeClock
) -> None:
    session = rolecall.assume_role(boto3.Session(), HUB, clock=fake_clock)
    agents: list[str] = []
    for _ in range(2):
        client = session.client("sts")
        client.meta.events.register(
            "before-send.sts",
            lambda request, **_: agents.append(str(request.headers["User-Agent"])),
        )
        client.get_caller_identity()

    for agent in agents:
        assert f"rolecall/{rolecall.__version__}" in agent
        if not hasattr(botocore.useragent, "register_feature_ids"):
            continue  # botocore before 1.38
        features = next(part for part in agent.split() if part.startswith("m/"))[2:].split(",")
        assert "i" in features, "CREDENTIALS_STS_ASSUME_ROLE"


def test_an_account_id_makes_account_based_endpoints_work(
    ambient: StrictCloud, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = rolecall.assume_role(boto3.Session(), SPOKE, clock=fake_clock)

    assert session.get_credentials().get_frozen_credentials().account_id == "210987654321"
    assert session.get_credentials().get_deferred_property("account_id")() == "210987654321"


def test_a_session_of_a_profile_that_is_a_chain_travels(
    ambient: StrictCloud, own_home: Path, fake_clock: FakeClock
) -> None:
    write(
        own_home,
        f"[profile hub]\nrole_arn = {HUB}\nsource_profile = base\nregion = eu-west-1\n",
        "[base]\n" + keys_of(ambient, "base"),
    )
    session = RoleChain(Profile("hub"), SPOKE).session()

    again = pickle.loads(pickle.dumps(session))

    assert again.chain == session.chain == RoleChain(Profile("hub"), SPOKE)
    assert "assumed-role/Spoke" in arn_of(again)
    assert ambient.calls("AssumeRole") == 2
