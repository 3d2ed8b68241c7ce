"""Whose credentials a session has, where its profile, its environment or its type mislead."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    DeferredRefreshableCredentials,
    RefreshableCredentials,
)
from botocore.exceptions import ClientError
from botocore.session import Session
from scenes import HUB, SPOKE
from written_profiles import arn_of, become, keys_of, write

import rolecall
from rolecall import RoleChain
from rolecall.sessions.origins import _endpoint
from rolecall.sessions.recipe import Recipe
from rolecall.sources.identity import identity
from rolecall.sources.origin import load_credentials
from rolecall.testing import FakeClock, StrictCloud

ALICE = "arn:aws:iam::123456789012:user/alice"


class Server:
    """What an instance or a container has beside it, and tests have not."""

    def is_supported(self, name: str) -> bool:
        return True

    def source_credentials(self, name: str) -> Any:
        return boto3.Session("AKIAFAKE", "fake-secret").get_credentials()


def answer(inner: Session) -> None:
    """Let a `credential_source` of *inner*'s profile be answered."""
    provider = inner.get_component("credential_provider").get_provider("assume-role")
    provider._credential_sourcer = Server()


def recipe_session(base: boto3.Session) -> boto3.Session:
    """The widely copied recipe: botocore's own fetcher, put in by hand."""
    inner = Session()
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=base._session.create_client,
        source_credentials=base.get_credentials(),
        role_arn=HUB,
    )
    inner._credentials = DeferredRefreshableCredentials(
        method="assume-role", refresh_using=fetcher.fetch_credentials
    )
    return boto3.Session(botocore_session=inner)


def test_credentials_that_somebody_put_in_are_not_the_profiles(
    cloud: StrictCloud, fake_clock: FakeClock, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, cloud, None)
    write(
        own_home,
        f"[profile dev]\nrole_arn = {HUB}\nsource_profile = base\n",
        f"[base]\n{keys_of(cloud, 'carol')}",
    )
    monkeypatch.setenv("AWS_PROFILE", "dev")
    cloud.trust(HUB, [ALICE])
    cache: dict[str, Any] = {}
    alice = recipe_session(cloud.session(user="alice"))
    bob = recipe_session(cloud.session(user="bob"))

    assert "Spoke" in arn_of(rolecall.assume_role(alice, SPOKE, cache=cache, clock=fake_clock))
    with pytest.raises(ClientError):  # bob may not assume the hub
        arn_of(rolecall.assume_role(bob, SPOKE, cache=cache, clock=fake_clock))


@pytest.mark.parametrize("method", ["sso", "login", "custom-process"])
def test_nor_are_refreshing_ones_under_botocores_name(own_home: Path, method: str) -> None:
    write(
        own_home,
        credentials="[default]\naws_access_key_id = AKIAFAKE\naws_secret_access_key = fake-s\n",
    )

    def who(key: str) -> str:
        inner = Session()
        inner._credentials = RefreshableCredentials.create_from_metadata(
            {
                "access_key": key,
                "secret_key": "fake-s",
                "token": "fake-t",
                "expiry_time": "2199-01-01T00:00:00Z",
            },
            refresh_using=dict,
            method=method,
        )
        return identity(inner)

    assert who("ASIAFAKEALICE") != who("ASIAFAKEBOB")


@pytest.mark.parametrize(
    "lines",
    [
        f"role_arn = {HUB}\ncredential_source = Ec2InstanceMetadata\n",
        "sso_start_url = https://fake\nsso_region = us-east-1\nsso_account_id = 123456789012\n"
        "sso_role_name = Fake\n",
    ],
    ids=["credential_source", "sso"],
)
def test_keys_that_botocore_passes_over_do_not_say_who_it_is(
    cloud: StrictCloud, own_home: Path, monkeypatch: pytest.MonkeyPatch, lines: str
) -> None:
    become(monkeypatch, cloud, None)
    write(
        own_home,
        f"[profile it]\nregion = us-east-1\n{lines}",
        "[it]\naws_access_key_id = AKIAFAKE\naws_secret_access_key = fake-secret\n",
    )

    def who(machine: str) -> str:
        monkeypatch.setattr("platform.node", lambda: machine)
        inner = boto3.Session(profile_name="it")._session
        if "credential_source" in lines:
            answer(inner)
        assert load_credentials(inner).method in ("assume-role", "sso")
        return identity(inner)

    assert who("one") == who("one")
    assert who("one") != who("two")


def test_a_token_behind_a_source_profile_says_who_it_is(
    cloud: StrictCloud, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, cloud, None)
    file = own_home / "token"
    write(
        own_home,
        f"[profile it]\nrole_arn = {SPOKE}\nsource_profile = pod\n"
        f"[profile pod]\nrole_arn = {HUB}\nweb_identity_token_file = {file}\n",
    )

    def who(subject: str) -> str:
        file.write_text(cloud.web_identity_token(subject=subject))
        return identity(boto3.Session(profile_name="it")._session)

    assert who("repo:a") == who("repo:a")
    assert who("repo:a") != who("repo:b")


def test_two_servers_of_container_credentials_are_two(
    cloud: StrictCloud, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two terminals of one user, each with a credential server of its own: aws-vault does so."""
    become(monkeypatch, cloud, None)
    write(own_home, f"[profile it]\nrole_arn = {HUB}\ncredential_source = EcsContainer\n")

    def who(port: int) -> str:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{port}/")
        inner = boto3.Session(profile_name="it")._session
        answer(inner)
        return identity(inner)

    assert who(1) != who(2)


def test_a_program_that_prints_another_accounts_keys_is_another(
    cloud: StrictCloud, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the environment, or by who signed in. Its keys are in memory by then: no call needed."""
    become(monkeypatch, cloud, None)
    printed = own_home / "printed"
    write(own_home, f"[profile it]\ncredential_process = cat {printed}\n")

    def who(account: str) -> str:
        keys = {"AccessKeyId": "ASIAFAKE", "SecretAccessKey": "fake-secret", "SessionToken": "f"}
        printed.write_text(
            json.dumps(
                {"Version": 1, "Expiration": "2199-01-01T00:00:00Z", "AccountId": account, **keys}
            )
        )
        return identity(boto3.Session(profile_name="it")._session)

    assert who("123456789012") != who("210987654321")


def test_two_homes_of_one_user_have_signed_in_apart(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(
        own_home,
        "[profile work]\nsso_start_url = https://fake\nsso_account_id = 123456789012\n"
        "sso_role_name = Dev\nsso_region = us-east-1\nregion = us-east-1\n",
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(own_home / ".aws" / "config"))

    def who(home: str) -> str:
        monkeypatch.setenv("HOME", str(tmp_path / home))
        return identity(boto3.Session(profile_name="work")._session)

    assert who("alice") != who("bob")


def test_a_parents_name_from_the_environment_is_part_of_who_it_is(
    cloud: StrictCloud, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trust policies name session ARNs: assumed-role/Hub/alice is not assumed-role/Hub/bob."""
    user = cloud.session(user="alice")

    def who(name: str) -> str:
        monkeypatch.setenv("AWS_ROLE_SESSION_NAME", name)
        hub = rolecall.assume_role(user, HUB, clock=fake_clock)
        return hub.get_credentials().identity

    assert who("x") == who("x")
    assert who("x") != who("y")


def test_a_parents_endpoint_is_part_of_who_it_is(cloud: StrictCloud, fake_clock: FakeClock) -> None:
    user = cloud.session(user="alice")

    def who(endpoint: str | None) -> str:
        keywords = {"endpoint_url": endpoint} if endpoint else {}
        hub = rolecall.assume_role(user, HUB, sts_client_kwargs=keywords, clock=fake_clock)
        return hub.get_credentials().identity

    assert who("http://127.0.0.1:1") != who("http://127.0.0.1:2")


def test_what_a_services_section_says_is_part_of_the_endpoint(
    cloud: StrictCloud, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"):
        monkeypatch.delenv(name, raising=False)

    def where(endpoint: str) -> tuple[str | None, str]:
        write(
            own_home,
            "[profile it]\nservices = mine\nregion = us-east-1\n"
            f"[services mine]\nsts =\n  endpoint_url = {endpoint}\n",
            "[it]\naws_access_key_id = AKIAFAKE\naws_secret_access_key = fake-secret\n",
        )
        inner = boto3.Session(profile_name="it")._session
        real = inner.create_client("sts").meta.endpoint_url
        return _endpoint(inner, Recipe()), real

    (one, at), (other, there) = where("http://127.0.0.1:1"), where("http://127.0.0.1:2")
    assert at != there
    assert one != other


def test_an_endpoint_of_the_environment_keeps_us_out_of_the_aws_clis_cache(
    cloud: StrictCloud, fake_clock: FakeClock, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, cloud, None)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", cloud.environ()["AWS_ENDPOINT_URL"])
    write(
        own_home,
        f"[profile hub]\nrole_arn = {HUB}\nsource_profile = base\nregion = us-east-1\n",
        f"[base]\n{keys_of(cloud, 'alice')}",
    )
    store = rolecall.AwsCliStore()
    session = RoleChain.from_profile("hub").session(store=store, clock=fake_clock)
    arn_of(session)

    assert not list(store.path.glob("*.json"))


def test_who_cannot_be_told_is_not_asked_over_and_over(
    cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    """A person, an instance that does not answer, a program: once to tell who, once to sign."""
    asked = []

    def refuse() -> Any:
        asked.append(1)
        raise RuntimeError("fake: no")

    inner = cloud.session(user="alice")._session
    inner._credentials = DeferredRefreshableCredentials(refresh_using=refuse, method="mine")
    session = rolecall.assume_role(
        boto3.Session(botocore_session=inner), HUB, cache={}, clock=fake_clock
    )

    with pytest.raises(rolecall.CredentialsExpired, match="fake: no"):
        session.get_credentials().get_frozen_credentials()

    assert len(asked) == 2


def test_a_session_is_kept_for_who_assumed_it_then(
    cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    """A program's own credentials may become another principal's in the middle of its life."""
    cache: dict[str, Any] = {}
    now = "alice"

    def keys() -> dict[str, Any]:
        held = cloud.credentials(user=now)
        soon = datetime.now(timezone.utc) + timedelta(seconds=30)  # by botocore's clock: each time
        return {
            "access_key": held.access_key,
            "secret_key": held.secret_key,
            "token": held.token,
            "expiry_time": soon.isoformat(),
        }

    inner = cloud.session(user="alice")._session
    inner._credentials = DeferredRefreshableCredentials(refresh_using=keys, method="mine")
    base = boto3.Session(botocore_session=inner)
    session = rolecall.assume_role(base, SPOKE, cache=cache, clock=fake_clock)
    arn_of(session)
    now = "bob"
    fake_clock.tick(minutes=61)
    arn_of(session)

    assert len(cache) == 2, "bob's session lies under alice's key"
