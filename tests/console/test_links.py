"""Where sign-in links lead, for each partition, and what is asked for them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from federation_endpoint import FederationEndpoint

import rolecall
from rolecall import RoleChain, WebIdentity
from rolecall.testing import StrictCloud

SignIn = Callable[..., str]


def opens(url: str) -> str:
    """Return where the console opens after *url*."""
    return parse_qs(urlsplit(url).query)["Destination"][0]


def test_a_link_signs_in_with_the_token_that_the_keys_got(
    hub: rolecall.RoleSession, sign_in: SignIn, endpoint: FederationEndpoint
) -> None:
    url = sign_in(hub)

    keys = hub.get_credentials().get_frozen_credentials()
    [asked] = endpoint.asked
    assert (asked.method, asked.path, asked.query) == ("POST", "/federation", "")
    assert asked.form.keys() == {"Action", "Session"}
    assert json.loads(asked.form["Session"]) == {
        "sessionId": keys.access_key,
        "sessionKey": keys.secret_key,
        "sessionToken": keys.token,
    }
    assert url == (
        "https://eu-west-1.signin.aws.amazon.com/federation?Action=login&Issuer=rolecall"
        "&Destination=https%3A%2F%2Feu-west-1.console.aws.amazon.com%2Fconsole%2Fhome"
        "%3Fregion%3Deu-west-1"
        "&SigninToken=fake-signin-token%2Fwith%2Bevery%3Dsign%26more"
    )


@pytest.mark.parametrize(
    ("partition", "region", "host", "home"),
    [
        ("aws", "eu-west-1", "eu-west-1.signin.aws.amazon.com", "eu-west-1.console.aws.amazon.com"),
        ("aws", "us-east-1", "signin.aws.amazon.com", "us-east-1.console.aws.amazon.com"),
        ("aws-cn", "cn-north-1", "cn-north-1.signin.amazonaws.cn",
         "cn-north-1.console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-east-1", "us-gov-east-1.signin.amazonaws-us-gov.com",
         "us-gov-east-1.console.amazonaws-us-gov.com"),
        ("aws-eusc", "eusc-de-east-1", "eusc-de-east-1.signin.amazonaws-eusc.eu",
         "eusc-de-east-1.console.amazonaws-eusc.eu"),
    ],
)  # fmt: skip
def test_each_partition_has_hosts_of_its_own(
    strict_cloud: StrictCloud, sign_in: SignIn, partition: str, region: str, host: str, home: str
) -> None:
    arn = strict_cloud.role("Reader", partition=partition)
    session = rolecall.assume_role(strict_cloud.session(region_name=region), arn)

    url = sign_in(session)

    assert urlsplit(url).netloc == host
    assert opens(url) == f"https://{home}/console/home?region={region}"


@pytest.mark.parametrize(
    ("partition", "region", "host", "home"),
    [
        ("aws-cn", "cn-north-1", "signin.amazonaws.cn", "https://console.amazonaws.cn/console/home"),
        ("aws-us-gov", "us-gov-west-1", "signin.amazonaws-us-gov.com",
         "https://console.amazonaws-us-gov.com/console/home"),
        ("aws-eusc", "eusc-de-east-1", "eusc-de-east-1.signin.amazonaws-eusc.eu",
         "https://eusc-de-east-1.console.amazonaws-eusc.eu/console/home?region=eusc-de-east-1"),
    ],
)  # fmt: skip
def test_the_role_s_partition_counts_and_not_that_of_a_region_that_came_along(
    strict_cloud: StrictCloud, sign_in: SignIn, partition: str, region: str, host: str, home: str
) -> None:
    arn = strict_cloud.role("Reader", partition=partition)
    user = strict_cloud.session(region_name=region)
    session = rolecall.assume_role(user, arn, region_name="eu-west-1")

    url = sign_in(session)

    assert urlsplit(url).netloc == host
    assert opens(url) == home


def test_without_a_role_the_region_tells_the_partition(
    hub: rolecall.RoleSession, sign_in: SignIn
) -> None:
    keys = hub.get_credentials().get_frozen_credentials()
    plain = boto3.Session(keys.access_key, keys.secret_key, keys.token)

    at_home = sign_in(plain)
    abroad = sign_in(plain, region="cn-northwest-1", service="s3")

    assert urlsplit(at_home).netloc == "signin.aws.amazon.com"
    assert opens(at_home) == "https://console.aws.amazon.com/console/home"
    assert urlsplit(abroad).netloc == "cn-northwest-1.signin.amazonaws.cn"
    assert opens(abroad) == (
        "https://cn-northwest-1.console.amazonaws.cn/s3/home?region=cn-northwest-1"
    )


def test_a_profile_that_botocore_assumes_tells_the_partition(
    strict_cloud: StrictCloud, sign_in: SignIn, own_home, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = strict_cloud.role("Reader", partition="aws-us-gov")
    keys = strict_cloud.credentials()
    (own_home / ".aws").mkdir()
    (own_home / ".aws" / "config").write_text(
        f"[profile gov]\nrole_arn = {arn}\nsource_profile = me\n"
        f"[profile me]\naws_access_key_id = {keys.access_key}\n"
        f"aws_secret_access_key = {keys.secret_key}\n"
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", strict_cloud.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")

    url = sign_in(boto3.Session(profile_name="gov"), duration=900)

    assert urlsplit(url).netloc == "signin.amazonaws-us-gov.com"


@pytest.mark.parametrize(
    ("keywords", "path"),
    [
        ({"service": "ec2"}, "eu-west-1.console.aws.amazon.com/ec2/home?region=eu-west-1"),
        ({"service": "dynamodb"},
         "eu-west-1.console.aws.amazon.com/dynamodbv2/home?region=eu-west-1"),
        ({"service": "iam"}, "us-east-1.console.aws.amazon.com/iam/home?region=us-east-1"),
        ({"service": "lambda", "region": "ap-south-1"},
         "ap-south-1.console.aws.amazon.com/lambda/home?region=ap-south-1"),
        ({"destination": "/s3/buckets/a%20b?tab=x#top"},
         "eu-west-1.console.aws.amazon.com/s3/buckets/a%20b?tab=x#top"),
        ({"destination": "https://console.aws.amazon.com/go"}, "console.aws.amazon.com/go"),
        ({"destination": "https://s3.console.aws.amazon.com:443/s3/é?a=1&Action=login"},
         "s3.console.aws.amazon.com:443/s3/é?a=1&Action=login"),
    ],
)  # fmt: skip
def test_the_console_opens_where_it_is_told_to(
    hub: rolecall.RoleSession, sign_in: SignIn, keywords: dict[str, str], path: str
) -> None:
    url = sign_in(hub, **keywords)

    assert opens(url) == f"https://{path}"
    assert url.isascii()
    assert parse_qs(urlsplit(url).query)["Action"] == ["login"]
    assert not urlsplit(url).fragment


def test_an_issuer_is_quoted(hub: rolecall.RoleSession, sign_in: SignIn) -> None:
    url = sign_in(hub, issuer="https://sso.example.com/?a=1&b=2")

    assert "&Issuer=https%3A%2F%2Fsso.example.com%2F%3Fa%3D1%26b%3D2&" in url


@pytest.mark.parametrize("duration", [timedelta(hours=12), 43200])
def test_a_duration_is_asked_for_where_long_term_keys_assumed_the_role(
    hub: rolecall.RoleSession,
    sign_in: SignIn,
    endpoint: FederationEndpoint,
    duration: timedelta | int,
) -> None:
    sign_in(hub, duration=duration)

    assert endpoint.asked[0].form["SessionDuration"] == "43200"


def test_a_chained_role_s_duration_is_left_out_and_told(
    hub: rolecall.RoleSession,
    sign_in: SignIn,
    endpoint: FederationEndpoint,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spoke = rolecall.assume_role(hub, "arn:aws:iam::210987654321:role/Spoke")

    url = sign_in(spoke, duration=timedelta(hours=1))

    assert "SessionDuration" not in endpoint.asked[0].form
    assert "SigninToken=" in url
    [said] = [record for record in caplog.records if record.name == "rolecall"]
    assert said.levelno == logging.WARNING
    assert "role/Spoke: the duration of 3600 s is left out" in said.getMessage()


def test_a_role_that_an_mfa_session_assumed_counts_as_chained(
    user: boto3.Session, sign_in: SignIn, endpoint: FederationEndpoint
) -> None:
    session = rolecall.assume_role(
        user,
        "arn:aws:iam::123456789012:role/Hub",
        SerialNumber="arn:aws:iam::123456789012:mfa/alice",
        mfa_token_provider=lambda: "123456",
        mfa_session=timedelta(hours=1),
    )

    sign_in(session, duration=900)

    assert "SessionDuration" not in endpoint.asked[0].form


def test_a_profile_chain_that_botocore_walks_counts_as_chained(
    strict_cloud: StrictCloud,
    sign_in: SignIn,
    endpoint: FederationEndpoint,
    own_home,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = strict_cloud.credentials()
    (own_home / ".aws").mkdir()
    (own_home / ".aws" / "config").write_text(
        "[profile spoke]\nrole_arn = arn:aws:iam::210987654321:role/Spoke\nsource_profile = hub\n"
        "[profile hub]\nrole_arn = arn:aws:iam::123456789012:role/Hub\nsource_profile = me\n"
        f"[profile me]\naws_access_key_id = {keys.access_key}\n"
        f"aws_secret_access_key = {keys.secret_key}\n"
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", strict_cloud.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")

    sign_in(boto3.Session(profile_name="spoke"), duration=900)
    sign_in(boto3.Session(profile_name="hub"), duration=900)

    assert ["SessionDuration" in asked.form for asked in endpoint.asked] == [False, True]


def test_a_web_identity_signs_in(
    strict_cloud: StrictCloud, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", strict_cloud.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "cn-north-1")
    arn = strict_cloud.role("Pod", partition="aws-cn")
    chain = RoleChain(WebIdentity(role_arn=arn, token=strict_cloud.web_identity_token))

    url = sign_in(chain.session(), duration=900)

    assert urlsplit(url).netloc == "cn-north-1.signin.amazonaws.cn"


def test_credentials_that_were_replaced_are_those_that_are_sent(
    hub: rolecall.RoleSession, sign_in: SignIn, endpoint: FederationEndpoint
) -> None:
    sign_in(hub)
    hub.get_credentials().refresh()
    sign_in(hub)

    before, after = (json.loads(asked.form["Session"])["sessionId"] for asked in endpoint.asked)
    assert before != after == hub.get_credentials().get_frozen_credentials().access_key


def test_a_proxy_s_own_path_is_kept(
    hub: rolecall.RoleSession, sign_in: SignIn, endpoint: FederationEndpoint
) -> None:
    with pytest.raises(rolecall.AccessDenied, match="POSTed"):
        sign_in(hub, endpoint_url=f"{endpoint.url}/aws/sign-in")

    assert endpoint.asked[0].path == "/aws/sign-in"
