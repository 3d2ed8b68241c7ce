"""One MFA code serves the AWS CLI and rolecall: the real ``aws`` on one cache with us."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from written_profiles import KEYS, arn_of, keys_of, write

import rolecall
from rolecall.stores import AwsCliStore
from rolecall.testing import StrictCloud

AWS = Path(sys.executable).parent / "aws"
SERIAL = "arn:aws:iam::123456789012:mfa/alice"
PATIENCE_SECONDS = 60

HUB = "arn:aws:iam::123456789012:role/Hub"
READER = "arn:aws:iam::210987654321:role/team/Reader"
AUDITOR = "arn:aws:iam::210987654321:role/Auditor"

#: Every profile says where its services are, as the AWS CLI uses those of the one it is given.
PROFILES = {
    "user": "",
    "reader": f"role_arn = {READER}\nsource_profile = user\nmfa_serial = {SERIAL}\n",
    "hub": f"role_arn = {HUB}\nsource_profile = user\nmfa_serial = {SERIAL}\n",
    "spoke": f"role_arn = {READER}\nsource_profile = hub\n",
    "auditor": (
        f"role_arn = {AUDITOR}\nsource_profile = user\nrole_session_name = alice\n"
        "external_id = fake-id\nduration_seconds = 1800\n"
    ),
}

#: The same, as arguments.
AUDITORS: dict[str, Any] = {
    "RoleSessionName": "alice",
    "ExternalId": "fake-id",
    "DurationSeconds": 1800,
}


class Person:
    """Types the codes they were given, one each time they are asked."""

    def __init__(self, *codes: str) -> None:
        self._codes = list(codes)

    def __call__(self) -> str:
        assert self._codes, "nobody may be asked for a code here"
        return self._codes.pop(0)


NOBODY = Person()


@pytest.fixture
def cloud(strict_cloud: StrictCloud, own_home: Path) -> StrictCloud:
    """A cloud whose user has a profile, with roles that ask for MFA."""
    where = f"endpoint_url = {strict_cloud.url}\nregion = us-east-1\n"
    write(
        own_home,
        "".join(f"[profile {name}]\n{where}{text}" for name, text in PROFILES.items()),
        f"[user]\n{keys_of(strict_cloud, 'alice')}",
    )
    for arn in (HUB, READER):
        strict_cloud.trust(arn, ["arn:aws:iam::123456789012:user/alice", HUB], mfa=True)
    strict_cloud.trust(AUDITOR, external_id="fake-id")
    strict_cloud.mfa_codes(SERIAL, "111111", "222222")
    return strict_cloud


@pytest.fixture
def cache(own_home: Path) -> Path:
    return own_home / ".aws" / "cli" / "cache"


def aws(profile: str, code: str | None = None) -> str:
    """Return who *profile* is to the AWS CLI, given *code*; without one it must not ask."""
    assert AWS.is_file(), f"there is no {AWS}: pip install awscli"
    done = subprocess.run(
        [AWS, "sts", "get-caller-identity", "--profile", profile, "--output", "json"],
        stdin=subprocess.DEVNULL if code is None else None,
        input=None if code is None else f"{code}\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        start_new_session=True,  # or it would ask at the terminal that the tests are run from
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["Arn"])


def ours(profile: str, person: Person = NOBODY) -> Any:
    """Return our session of *profile* on the AWS CLI's cache."""
    chain = rolecall.RoleChain.from_profile(profile)
    return chain.session(store=AwsCliStore(), mfa_token_provider=person)


def role_of(arn: str) -> str:
    """Return the name of the role of which *arn* is a session."""
    return arn.split("/")[1]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def entries(cache: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in cache.iterdir()} if cache.exists() else {}


def test_a_code_that_we_asked_for_serves_the_aws_cli(cloud: StrictCloud, cache: Path) -> None:
    mine = arn_of(ours("reader", Person("111111")))

    assert mine == aws("reader")
    assert role_of(mine) == "Reader"
    assert cloud.calls("AssumeRole") == 1
    (entry,) = cache.iterdir()
    assert [mode(cache), mode(entry)] == [0o700, 0o600]


def test_a_code_that_the_aws_cli_asked_for_serves_us(cloud: StrictCloud) -> None:
    its = aws("reader", "111111")

    by_profile = ours("reader")
    by_hand = rolecall.assume_role(
        boto3.Session(profile_name="user"),
        READER,
        SerialNumber=SERIAL,
        mfa_token_provider=NOBODY,
        cache=AwsCliStore(),
    )

    assert its == arn_of(by_profile) == arn_of(by_hand)
    assert cloud.calls("AssumeRole") == 1


def test_the_aws_cli_finds_each_hop_of_our_chain(cloud: StrictCloud, cache: Path) -> None:
    mine = arn_of(ours("spoke", Person("111111")))
    assert cloud.calls("AssumeRole") == 2
    (spoke,) = (path for path, text in entries(cache).items() if b'"210987654321"' in text)

    assert mine == aws("spoke")
    assert cloud.calls("AssumeRole") == 2

    spoke.unlink()
    assert role_of(aws("spoke")) == "Reader"
    assert cloud.calls("AssumeRole") == 3  # by the hub, for whom nobody was asked for a code


def test_we_find_each_hop_of_the_aws_clis_chain(cloud: StrictCloud) -> None:
    its = aws("spoke", "111111")
    assert cloud.calls("AssumeRole") == 2

    by_hand = rolecall.assume_role(
        boto3.Session(profile_name="hub"), READER, cache=AwsCliStore(), mfa_token_provider=NOBODY
    )

    assert its == arn_of(ours("spoke")) == arn_of(by_hand)
    assert role_of(arn_of(ours("hub"))) == "Hub"
    assert cloud.calls("AssumeRole") == 2


def test_name_external_id_and_duration_are_told_apart_as_by_the_aws_cli(
    cloud: StrictCloud, cache: Path
) -> None:
    its = aws("auditor")
    assert its == arn_of(ours("auditor"))
    assert its.endswith("/Auditor/alice")
    assert cloud.calls("AssumeRole") == 1
    for entry in cache.iterdir():
        entry.unlink()

    arn_of(ours("auditor"))

    assert its == aws("auditor")
    assert cloud.calls("AssumeRole") == 2


def test_another_principal_neither_gets_the_entry_nor_writes_one(
    cloud: StrictCloud, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.trust(AUDITOR)
    arn_of(ours("auditor"))
    before = entries(cache)
    assert len(before) == 1
    bob = cloud.credentials(user="bob")
    by_hand = boto3.Session(
        profile_name="user", aws_access_key_id=bob.access_key, aws_secret_access_key=bob.secret_key
    )
    monkeypatch.setenv("AWS_PROFILE", "user")
    for name, value in zip(KEYS, (bob.access_key, bob.secret_key, ""), strict=True):
        monkeypatch.setenv(name, value)
    by_environment = boto3.Session()

    for session in (by_hand, by_environment):
        arn_of(rolecall.assume_role(session, AUDITOR, cache=AwsCliStore(), **AUDITORS))

    assume = [call.access_key for call in cloud.log if call.operation == "AssumeRole"]
    assert assume[1:] == [bob.access_key] * 2
    assert before == entries(cache)


def test_arguments_that_no_profile_has_are_not_kept(cloud: StrictCloud, cache: Path) -> None:
    user = boto3.Session(profile_name="user")
    policy = {"Version": "2012-10-17", "Statement": []}

    for arguments in ({"Policy": policy}, {"Tags": {"team": "fake"}}, {"DurationSeconds": 900}):
        keywords: dict[str, Any] = {"ExternalId": "fake-id", "RoleSessionName": "alice"}
        arn_of(
            rolecall.assume_role(user, AUDITOR, cache=AwsCliStore(), **{**keywords, **arguments})
        )

    assert cloud.calls("AssumeRole") == 3
    assert entries(cache) == {}


def test_with_an_mfa_session_between_nothing_is_shared(cloud: StrictCloud, cache: Path) -> None:
    session = rolecall.assume_role(
        boto3.Session(profile_name="user"),
        READER,
        SerialNumber=SERIAL,
        mfa_token_provider=Person("111111"),
        mfa_session=rolecall.SessionToken().duration,
        cache=AwsCliStore(),
    )

    assert role_of(arn_of(session)) == "Reader"
    assert entries(cache) == {}


def test_an_expired_entry_of_the_aws_clis_is_renewed_for_both(
    cloud: StrictCloud, cache: Path
) -> None:
    aws("reader", "111111")
    (entry,) = cache.iterdir()
    document = json.loads(entry.read_text())
    cloud.revoke(document["Credentials"]["AccessKeyId"])
    document["Credentials"]["Expiration"] = "2020-01-01T01:00:00Z"
    entry.write_text(json.dumps(document))

    mine = arn_of(ours("reader", Person("222222")))

    assert mine == aws("reader")
    assert [entry] == list(cache.iterdir())
    assert cloud.calls("AssumeRole") == 2


@pytest.mark.parametrize("spoilt", [b"", b'{"Credentials": {"AccessKeyId"', b"\xff\xfe"])
def test_a_corrupt_entry_is_replaced_by_a_good_one(
    cloud: StrictCloud, cache: Path, spoilt: bytes
) -> None:
    arn_of(ours("reader", Person("111111")))
    (entry,) = cache.iterdir()
    entry.write_bytes(spoilt)

    arn_of(ours("reader", Person("222222")))
    assert role_of(arn_of(ours("reader"))) == "Reader"

    assert [entry] == list(cache.iterdir())
    assert json.loads(entry.read_bytes()).keys() == {"Credentials"}
    assert cloud.calls("AssumeRole") == 2


def test_a_token_of_the_environment_goes_before_the_profile(
    cloud: StrictCloud, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the session is the token's role, whatever AWS_PROFILE says."""
    cloud.trust(AUDITOR)
    token = tmp_path / "token"
    token.write_text(cloud.web_identity_token())
    monkeypatch.setenv("AWS_PROFILE", "user")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", HUB)
    cloud.trust(HUB, ["https://issuer.example.com"])

    arn_of(rolecall.assume_role(boto3.Session(), AUDITOR, cache=AwsCliStore(), **AUDITORS))

    assert entries(cache) == {}


def test_a_profile_of_other_files_is_another_principal(
    cloud: StrictCloud, cache: Path, tmp_path: Path
) -> None:
    arn_of(ours("auditor"))
    before = entries(cache)
    others = tmp_path / "credentials"
    others.write_text(f"[user]\n{keys_of(cloud, 'bob')}")
    inner = botocore.session.Session(profile="user")
    inner.set_config_variable("credentials_file", str(others))
    bob = boto3.Session(botocore_session=inner)

    arn_of(rolecall.assume_role(bob, AUDITOR, cache=AwsCliStore(), **AUDITORS))

    assert cloud.calls("AssumeRole") == 2
    assert before == entries(cache)
