"""A session pickles as its chain, region, policy and configuration variables; never with keys."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from actors import DEVICE, READER, SPOKE, arn_of, fetch, name_of
from botocore.exceptions import NoCredentialsError

import rolecall
from rolecall import RefreshPolicy
from rolecall.testing import StrictCloud

PATIENCE_SECONDS = 60


@pytest.fixture
def config(
    strict_cloud: StrictCloud, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> StrictCloud:
    """The cloud, with the profiles ``hub`` (keys) and ``chained`` (a role of the hub's)."""
    keys = strict_cloud.credentials(user="hub")
    path = own_home / "config"
    path.write_text(
        f"[profile hub]\nregion = eu-west-1\nendpoint_url = {strict_cloud.url}\n"
        f"aws_access_key_id = {keys.access_key}\naws_secret_access_key = {keys.secret_key}\n"
        f"[profile chained]\nregion = eu-west-1\nendpoint_url = {strict_cloud.url}\n"
        f"role_arn = {READER}\nsource_profile = hub\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    return strict_cloud


def there_and_back(session: Any) -> Any:
    return pickle.loads(pickle.dumps(session))


def core_of(session: boto3.Session) -> botocore.session.Session:
    core: botocore.session.Session = session._session
    return core


# ── what travels ─────────────────────────────────────────────────────────────────────────


def test_it_comes_back_as_a_session_of_the_same_role(ambient: StrictCloud) -> None:
    child = rolecall.assume_role(boto3.Session(), READER, RoleSessionName="me")

    back = there_and_back(child)

    assert isinstance(back, boto3.Session)
    assert arn_of(back) == arn_of(child) == "arn:aws:sts::210987654321:assumed-role/Reader/me"


def test_it_travels_from_a_botocore_parent_too(ambient: StrictCloud) -> None:
    parent = botocore.session.Session()
    parent.set_config_variable("region", "eu-north-1")
    child = rolecall.assume_role(parent, READER, RoleSessionName="me")

    back = there_and_back(child)

    assert (name_of(back), back.region_name) == ("me", "eu-north-1")


def test_a_session_that_has_travelled_travels_on(ambient: StrictCloud) -> None:
    child = rolecall.assume_role(
        boto3.Session(region_name="eu-north-1"), READER, RoleSessionName="me"
    )

    back = there_and_back(there_and_back(child))

    assert (name_of(back), back.region_name, back.chain) == ("me", "eu-north-1", child.chain)


def test_it_assumes_the_role_itself(ambient: StrictCloud) -> None:
    child = rolecall.assume_role(boto3.Session(), READER)
    before = fetch(child)

    back = there_and_back(child)

    assert ambient.calls("AssumeRole") == 1
    assert fetch(back) != before
    assert ambient.calls("AssumeRole") == 2


def test_the_chain_travels(ambient: StrictCloud) -> None:
    hub = rolecall.assume_role(boto3.Session(), READER, RoleSessionName="hub")
    spoke = rolecall.assume_role(hub, SPOKE, RoleSessionName="me", Tags={"team": "data"})

    back = there_and_back(spoke)

    assert back.chain == spoke.chain
    assert arn_of(back) == "arn:aws:sts::345678901234:assumed-role/Spoke/me"
    assert name_of(back.assume_role_parent_session) == "hub"


def test_the_region_travels(ambient: StrictCloud) -> None:
    given, linked = boto3.Session(), boto3.Session(region_name="eu-north-1")
    sessions = [
        rolecall.assume_role(given, READER, region_name="ap-southeast-2"),
        rolecall.assume_role(linked, READER),
        rolecall.assume_role(given, READER),
    ]

    regions = [there_and_back(session).region_name for session in sessions]

    assert regions == ["ap-southeast-2", "eu-north-1", "us-east-1"]


def test_the_region_travels_to_where_another_one_is_the_default(
    ambient: StrictCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pickle.dumps(rolecall.assume_role(boto3.Session(region_name="eu-north-1"), READER))

    monkeypatch.setenv("AWS_DEFAULT_REGION", "sa-east-1")

    assert pickle.loads(data).region_name == "eu-north-1"


def test_the_refresh_policy_travels(ambient: StrictCloud) -> None:
    policy = RefreshPolicy(ahead=timedelta(seconds=300), jitter=0.0, on_expired="serve")
    child = rolecall.assume_role(boto3.Session(), READER, refresh_policy=policy)

    back = there_and_back(child)
    fetch(back)

    assert back.get_credentials()._advisory_refresh_timeout == pytest.approx(300)


def test_configuration_variables_that_were_set_travel(ambient: StrictCloud) -> None:
    parent = boto3.Session()
    core_of(parent).set_config_variable("max_attempts", 7)
    child = rolecall.assume_role(parent, READER)
    core_of(child).set_config_variable("retry_mode", "adaptive")

    back = there_and_back(child)

    values = [core_of(back).get_config_variable(name) for name in ("max_attempts", "retry_mode")]
    assert values == [7, "adaptive"]
    parents = core_of(back.assume_role_parent_session).get_config_variable("retry_mode")
    assert parents != "adaptive"


def test_configuration_variables_in_the_middle_of_a_chain_travel(ambient: StrictCloud) -> None:
    hub = rolecall.assume_role(boto3.Session(), READER)
    core_of(hub).set_config_variable("max_attempts", 7)
    spoke = rolecall.assume_role(hub, SPOKE)

    back = there_and_back(spoke)

    assert core_of(spoke).get_config_variable("max_attempts") == 7
    assert core_of(back).get_config_variable("max_attempts") == 7


def test_the_region_in_the_middle_of_a_chain_travels(ambient: StrictCloud) -> None:
    """It decides where the next role is assumed."""
    hub = rolecall.assume_role(boto3.Session(), READER, region_name="ap-southeast-2")
    spoke = rolecall.assume_role(hub, SPOKE, region_name="eu-west-1")

    back = there_and_back(spoke)

    regions = (back.assume_role_parent_session.region_name, back.region_name)
    assert regions == ("ap-southeast-2", "eu-west-1")


def test_the_arguments_of_sts_travel(ambient: StrictCloud) -> None:
    arguments: dict[str, Any] = {
        "PolicyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"],
        "Policy": {"Version": "2012-10-17"},
        "DurationSeconds": 1800,
        "Tags": {"team": "data"},
        "TransitiveTagKeys": ["team"],
        "ExternalId": "fake-external-id",
        "SourceIdentity": "alice",
    }
    child = rolecall.assume_role(boto3.Session(), READER, **arguments)

    back = there_and_back(child)

    assert back.chain.roles[0].request() == child.chain.roles[0].request()  # type: ignore[union-attr]


def test_a_file_cache_travels(ambient: StrictCloud, tmp_path: Path) -> None:
    cache = rolecall.JSONFileCache(tmp_path)
    child = rolecall.assume_role(boto3.Session(), READER, cache=cache)
    before = fetch(child)

    assert fetch(there_and_back(child)) == before


def test_a_command_that_gives_codes_travels(ambient: StrictCloud) -> None:
    command = [sys.executable, "-c", "print('111111')"]
    child = rolecall.assume_role(
        boto3.Session(), READER, SerialNumber=DEVICE, mfa_token_provider=command
    )

    assert "/Reader/" in arn_of(there_and_back(child))


@pytest.mark.parametrize("profile", ["hub", "chained"])
def test_a_session_of_a_profile_travels(config: StrictCloud, profile: str) -> None:
    parent = boto3.Session(profile_name=profile)
    child = rolecall.assume_role(parent, SPOKE, RoleSessionName="me")

    back = there_and_back(child)

    assert arn_of(back) == "arn:aws:sts::345678901234:assumed-role/Spoke/me"
    assert back.region_name == "eu-west-1"


def test_a_pickle_of_a_profile_names_the_profile(config: StrictCloud) -> None:
    child = rolecall.assume_role(boto3.Session(profile_name="hub"), READER)

    assert there_and_back(child).chain == child.chain
    assert rolecall.RoleChain(rolecall.Profile("hub"), READER) == child.chain


# ── to another process ───────────────────────────────────────────────────────────────────


def test_another_process_assumes_the_role_itself(ambient: StrictCloud) -> None:
    hub = rolecall.assume_role(boto3.Session(region_name="eu-north-1"), READER)
    spoke = rolecall.assume_role(hub, SPOKE, RoleSessionName="me")
    fetch(spoke)

    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import json, pickle, sys; session = pickle.load(sys.stdin.buffer); "
            "print(json.dumps([session.client('sts').get_caller_identity()['Arn'], "
            "session.region_name]))",
        ],
        input=pickle.dumps(spoke),
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stderr.decode()
    expected = ["arn:aws:sts::345678901234:assumed-role/Spoke/me", "eu-north-1"]
    assert json.loads(done.stdout) == expected
    assert ambient.calls("AssumeRole") == 4


def test_a_worker_of_a_process_pool_gets_it_as_an_argument(ambient: StrictCloud) -> None:
    child = rolecall.assume_role(boto3.Session(), READER, RoleSessionName="me")

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(arn_of, child).result(timeout=PATIENCE_SECONDS)

    assert found == "arn:aws:sts::210987654321:assumed-role/Reader/me"


# ── what does not ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_key_is_in_a_pickle(ambient: StrictCloud, protocol: int) -> None:
    parent = boto3.Session()
    hub = rolecall.assume_role(parent, READER)
    spoke = rolecall.assume_role(hub, SPOKE)
    held = [fetch(session) for session in (parent, hub, spoke)]

    data = pickle.dumps(spoke, protocol)

    for keys in held:
        for value in (keys.access_key, keys.secret_key, keys.token):
            assert not value or value.encode() not in data
    for word in (b"fake-secret", b"fake-token", b"ASIAFAKE", b"AKIAFAKE"):
        assert word not in data


def test_no_key_of_a_profile_is_in_a_pickle(config: StrictCloud) -> None:
    parent = boto3.Session(profile_name="hub")
    child = rolecall.assume_role(parent, READER)
    fetch(child)

    data = pickle.dumps(child)

    assert b"hub" in data
    for word in (b"fake-secret", b"fake-token", b"ASIAFAKE", b"AKIAFAKE"):
        assert word not in data


def test_a_dict_that_is_a_cache_does_not_travel(ambient: StrictCloud) -> None:
    """It holds keys, and another process could not see it anyway."""
    child = rolecall.assume_role(boto3.Session(), READER, cache={})
    keys = fetch(child)

    data = pickle.dumps(child)

    assert keys.secret_key.encode() not in data
    assert fetch(pickle.loads(data)) != keys


def test_a_session_of_explicit_keys_refuses(parent: boto3.Session) -> None:
    child = rolecall.assume_role(parent, READER)

    with pytest.raises(rolecall.ConfigError, match="explicit keys"):
        pickle.dumps(child)


def test_a_chain_from_explicit_keys_refuses(parent: boto3.Session) -> None:
    hub = rolecall.assume_role(parent, READER)

    with pytest.raises(rolecall.ConfigError, match="explicit keys"):
        pickle.dumps(rolecall.assume_role(hub, SPOKE))


def credentials() -> dict[str, str]:
    return {
        "access_key": "ASIAFAKE000000000001",
        "secret_key": "fake-secret-1",
        "token": "fake-token-1",
        "expiry_time": "2999-01-01T00:00:00Z",
    }


def test_a_session_of_a_callable_refuses() -> None:
    with pytest.raises(rolecall.ConfigError, match="callable"):
        pickle.dumps(rolecall.refreshable_session(credentials, region_name="eu-west-1"))


def test_a_role_assumed_by_a_session_of_a_callable_refuses() -> None:
    parent = rolecall.refreshable_session(credentials, region_name="eu-west-1")

    with pytest.raises(rolecall.ConfigError, match="callable"):
        pickle.dumps(rolecall.assume_role(parent, READER))


def test_a_session_with_a_callable_that_gives_codes_refuses(ambient: StrictCloud) -> None:
    child = rolecall.assume_role(
        boto3.Session(), READER, SerialNumber=DEVICE, mfa_token_provider=lambda: "111111"
    )

    with pytest.raises(rolecall.ConfigError, match="mfa_token_provider"):
        pickle.dumps(child)


def test_a_session_with_a_code_refuses_and_does_not_show_it(ambient: StrictCloud) -> None:
    child = rolecall.assume_role(boto3.Session(), READER, SerialNumber=DEVICE, TokenCode="111111")

    with pytest.raises(rolecall.ConfigError, match="TokenCode") as refused:
        pickle.dumps(child)
    assert "111111" not in str(refused.value)


def test_live_credentials_refuse(parent: boto3.Session) -> None:
    with pytest.raises(rolecall.ConfigError, match="not pickled"):
        pickle.dumps(rolecall.assume_role(parent, READER).get_credentials())


# ── to where somebody else is ────────────────────────────────────────────────────────────


def test_under_another_accounts_environment_it_raises(
    ambient: StrictCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pickle.dumps(rolecall.assume_role(boto3.Session(), READER))
    for name, value in ambient.environ(user="mallory", account="666666666666").items():
        monkeypatch.setenv(name, value)

    with pytest.raises(rolecall.ConfigError, match="not of the account"):
        pickle.loads(data)
    assert ambient.calls() == 0


def test_under_another_accounts_profile_of_the_same_name_it_raises(
    config: StrictCloud, own_home: Path
) -> None:
    data = pickle.dumps(rolecall.assume_role(boto3.Session(profile_name="hub"), READER))
    theirs = config.credentials(user="mallory", account="666666666666")
    (own_home / "config").write_text(
        f"[profile hub]\nregion = eu-west-1\naws_access_key_id = {theirs.access_key}\n"
        f"aws_secret_access_key = {theirs.secret_key}\n"
    )

    with pytest.raises(rolecall.ConfigError, match="not of the account"):
        pickle.loads(data)
    assert config.calls() == 0


def test_the_error_shows_no_secret(ambient: StrictCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pickle.dumps(rolecall.assume_role(boto3.Session(), READER))
    other = ambient.environ(user="mallory", account="666666666666")
    for name, value in other.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(rolecall.ConfigError) as refused:
        pickle.loads(data)
    assert "fake-secret" not in str(refused.value)
    assert READER in str(refused.value)


def test_where_there_are_no_credentials_it_raises(
    ambient: StrictCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pickle.dumps(rolecall.assume_role(boto3.Session(), READER))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)

    with pytest.raises(NoCredentialsError):
        pickle.loads(data)


def test_where_the_profile_is_missing_it_raises_one_of_ours(
    config: StrictCloud, own_home: Path
) -> None:
    data = pickle.dumps(rolecall.assume_role(boto3.Session(profile_name="hub"), READER))
    (own_home / "config").write_text("")

    with pytest.raises(Exception, match="hub"):
        pickle.loads(data)
