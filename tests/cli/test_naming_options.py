"""A role is named by its ARN, and how it is assumed by options: each of them reaches STS."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from command_line import SERIAL, Desk, Ended

from rolecall.testing import StrictCloud
from rolecall.testing.cloud.faults import Fault
from rolecall.testing.cloud.request import Request

POLICY = {"Version": "2012-10-17", "Statement": []}
MANAGED = "arn:aws:iam::aws:policy/ReadOnlyAccess"


@pytest.fixture
def asked(cloud: StrictCloud) -> list[Request]:
    """What STS is asked for, oldest first."""
    seen: list[Request] = []
    cloud._up.faults.add(Fault(operation="sts:*", act=seen.append))
    return seen


@pytest.fixture
def get(rolecall: Callable[..., Ended]) -> Callable[..., Ended]:
    """Print the credentials of a role, in this process."""

    def get(*words: str) -> Ended:
        ended = rolecall("credential-process", *words)
        assert ended.code == 0, ended.err
        return ended

    return get


def signers(asked: list[Request]) -> list[str]:
    return [one.authorization.access_key for one in asked if one.authorization is not None]


def test_an_arn_is_assumed_by_whatever_aws_tools_find(
    desk: Desk, get: Callable[..., Ended], asked: list[Request]
) -> None:
    user = desk.cloud.credentials(user="fake-ambient")
    desk.environ["AWS_ACCESS_KEY_ID"] = user.access_key
    desk.environ["AWS_SECRET_ACCESS_KEY"] = user.secret_key

    get(desk.arns["reader"], "--region", "us-east-2")

    assert [user.access_key] == signers(asked)


def test_an_arn_is_assumed_by_the_profile_that_is_named_by_way_of_the_hops(
    desk: Desk, get: Callable[..., Ended], asked: list[Request]
) -> None:
    """In the order they are given, whatever the environment has."""
    stray = desk.cloud.credentials(user="fake-stray")
    desk.environ["AWS_ACCESS_KEY_ID"] = stray.access_key
    desk.environ["AWS_SECRET_ACCESS_KEY"] = stray.secret_key
    hops = [desk.cloud.role(name) for name in ("Hop1", "Hop2")]
    last = desk.arns["reader"]

    get(last, "--profile", "hub", "--via", hops[0], "--via", hops[1])

    assert [*hops, last] == [one.parameters["RoleArn"] for one in asked]
    assert signers(asked)[0] == desk.cloud.credentials().access_key


def test_a_profile_that_is_a_role_may_be_the_source_of_an_arn(
    desk: Desk, get: Callable[..., Ended], asked: list[Request]
) -> None:
    get(desk.arns["deploy"], "--profile", "reader")

    assert [desk.arns["reader"], desk.arns["deploy"]] == [
        one.parameters["RoleArn"] for one in asked
    ]


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        (["--session-name", "me@example.com"], {"RoleSessionName": "me@example.com"}),
        (["--duration", "20m"], {"DurationSeconds": "1200"}),
        (["--duration", "900"], {"DurationSeconds": "900"}),
        (["--policy", json.dumps(POLICY)], {"Policy": json.dumps(POLICY)}),
        (["--policy-arn", MANAGED], {"PolicyArns.member.1.arn": MANAGED}),
        (
            ["--tag", "team=web", "--tag", "stage=a=b", "--transitive", "team"],
            {
                "Tags.member.1.Key": "team",
                "Tags.member.1.Value": "web",
                "Tags.member.2.Key": "stage",
                "Tags.member.2.Value": "a=b",
                "TransitiveTagKeys.member.1": "team",
            },
        ),
        (["--external-id", "fake-external-id"], {"ExternalId": "fake-external-id"}),
        (
            ["--source-identity", "me@example.com"],
            # Else the session's name would say where this runs, and not who it is.
            {"SourceIdentity": "me@example.com", "RoleSessionName": "me@example.com"},
        ),
        (
            ["--source-identity", "somebody", "--session-name", "job-7"],
            {"SourceIdentity": "somebody", "RoleSessionName": "job-7"},
        ),
    ],
)
def test_each_option_reaches_sts(
    get: Callable[..., Ended], asked: list[Request], words: list[str], sent: dict[str, str]
) -> None:
    get("reader", *words)

    (request,) = asked
    assert sent == {name: request.parameters.get(name) for name in sent}


def test_a_policy_may_be_a_file(
    get: Callable[..., Ended], asked: list[Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policy.json").write_text(json.dumps(POLICY, indent=4))
    monkeypatch.chdir(tmp_path)

    get("reader", "--policy", "file://policy.json")

    assert json.loads(asked[0].parameters["Policy"]) == POLICY
    assert "\n" not in asked[0].parameters["Policy"]


def test_options_change_the_last_role_only_and_win_over_its_profile(
    desk: Desk, get: Callable[..., Ended], asked: list[Request]
) -> None:
    values = {"external_id": "of-the-profile", "duration_seconds": "1800"}
    desk.add_role("first", role_session_name="first", **values)
    desk.add_role("second", source="first", role_session_name="second", **values)

    get("second", "--external-id", "given", "--duration", "15m", "--tag", "a=b")

    names = ("RoleSessionName", "ExternalId", "DurationSeconds", "Tags.member.1.Key")
    first, second = ([one.parameters.get(name) for name in names] for one in asked)
    assert first == ["first", "of-the-profile", "1800", None]
    assert second == ["second", "given", "900", "a"]


def test_a_device_that_is_named_is_asked_for_the_sign_in(
    get: Callable[..., Ended], asked: list[Request]
) -> None:
    get("reader", "--mfa-serial", SERIAL, "--mfa-command", "echo 246135", "--mfa-session", "1h")

    sign_in, role = (one.parameters for one in asked)
    assert (sign_in["SerialNumber"], sign_in["TokenCode"]) == (SERIAL, "246135")
    assert sign_in["DurationSeconds"] == "3600"
    assert role["RoleArn"].endswith("role/Reader")


def test_without_a_sign_in_each_role_takes_a_code_of_its_own(
    get: Callable[..., Ended], asked: list[Request]
) -> None:
    get("reader", "--mfa-serial", SERIAL, "--mfa-command", "echo 975310", "--mfa-session", "0")

    (request,) = asked
    values = request.parameters
    assert request.operation == "AssumeRole"
    assert (values["SerialNumber"], values["TokenCode"]) == (SERIAL, "975310")


# Where STS is asked, and with which configuration


def region_of(request: Request) -> str:
    assert request.authorization is not None
    return request.authorization.region


def test_sts_is_asked_in_the_profiles_own_region(
    desk: Desk, get: Callable[..., Ended], asked: list[Request]
) -> None:
    desk.profile(
        "profile there",
        role_arn=desk.arns["reader"],
        source_profile="hub",
        region="ap-southeast-2",
    )

    get("there")

    assert [region_of(one) for one in asked] == ["ap-southeast-2"]


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({"AWS_REGION": "eu-west-2"}, "eu-west-2"),
        ({"AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3"),
        ({"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-2"),
        ({"AWS_REGION": ""}, None),
    ],
)
def test_the_region_may_be_in_the_environment_by_either_name(
    desk: Desk,
    rolecall: Callable[..., Ended],
    asked: list[Request],
    variables: dict[str, str],
    region: str | None,
) -> None:
    """Two for different regions: that which all SDKs but botocore take."""
    desk.profile("default")
    desk.profile("profile hub")
    desk.environ.update(variables)

    for command in ("credential-process", "export"):
        found = rolecall(command, desk.arns["reader"], "--profile", "hub")
        assert found.code == (2 if region is None else 0), found.err

    assert {region_of(one) for one in asked} == ({region} if region else set())


def test_the_region_of_the_session_is_not_where_sts_is_asked(
    get: Callable[..., Ended], asked: list[Request]
) -> None:
    get("reader", "--region", "eu-west-1", "--sts-region", "eu-central-1")

    assert [region_of(one) for one in asked] == ["eu-central-1"]


def test_sts_may_be_asked_at_another_endpoint(
    desk: Desk, get: Callable[..., Ended], asked: list[Request]
) -> None:
    """Nothing answers at the endpoint that the environment gives."""
    there = desk.environ.pop("AWS_ENDPOINT_URL")
    desk.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"

    get("reader", "--sts-endpoint", there)

    assert [one.headers["host"] for one in asked] == [urlsplit(there).netloc]


@pytest.mark.parametrize("way", ["endpoint_url", "services"])
def test_endpoints_of_the_profile_are_kept(
    desk: Desk, get: Callable[..., Ended], asked: list[Request], way: str
) -> None:
    there = desk.environ.pop("AWS_ENDPOINT_URL")
    values = {"role_arn": desk.arns["reader"], "source_profile": "hub", "region": "us-east-2"}
    if way == "services":
        desk.profile("services here", sts=f"\n  endpoint_url = {there}")
        desk.profile("profile here", services="here", **values)
    else:
        desk.profile("profile here", endpoint_url=there, **values)

    get("here")

    assert [one.headers["host"] for one in asked] == [urlsplit(there).netloc]
