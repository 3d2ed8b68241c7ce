"""What `sign_in_url` refuses at the call, before any key leaves the process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import NoCredentialsError
from federation_endpoint import FederationEndpoint
from hypothesis import given
from hypothesis import strategies as st

import rolecall
from rolecall import ConfigError, RoleChain, SessionToken
from rolecall.console import sign_in_url
from rolecall.console.places import destination_of, place_of, problems
from rolecall.testing import StrictCloud

SignIn = Callable[..., str]

DESTINATIONS = [
    "https://evil.example.com/",
    "https://console.aws.amazon.com.evil.example.com/",
    "https://evilconsole.aws.amazon.com/",
    "https://console.aws.amazon.com@evil.example.com/",
    "https://evil.example.com#.console.aws.amazon.com",
    "https://evil.example.com?.console.aws.amazon.com",
    "https://evil.example.com\\.console.aws.amazon.com/",
    "https://console.aws.amazon.com:8443/",
    "https://console.aws.amazon.com:x/",
    "https://console.aws.amazon.com./",
    "https://console.amazonaws.cn/",
    "http://console.aws.amazon.com/",
    "//evil.example.com/",
    "/\\evil.example.com/",
    "/\t/evil.example.com/",
    "javascript:alert(1)",
    "s3/home",
    "",
    "https://[::1/",
]


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_a_link_leads_to_the_console_and_nowhere_else(
    anybody: boto3.Session, destination: str
) -> None:
    with pytest.raises(ValueError, match=r"^no sign-in link can be made:\ndestination "):
        sign_in_url(anybody, destination=destination)


@pytest.mark.parametrize(
    "url",
    [
        "http://signin.aws.amazon.com/federation",
        "http://localhost:8080",
        "http://127.0.0.1.evil.example.com/",
        "http://127.0.0.1@evil.example.com/",
        "http://10.0.0.1/",
        "http://0.0.0.0/",
        "http://[::]/",
        "ftp://127.0.0.1/",
        "https://proxy.example.com/federation?key=1",
        "https://proxy.example.com/#here",
        "https://fake-user:fake-password@proxy.example.com/",
        "https:///federation",
        "https://proxy.example.com:99999/",
        "127.0.0.1:8080",
        "",
    ],
)
def test_keys_go_to_tls_or_to_this_machine(anybody: boto3.Session, url: str) -> None:
    with pytest.raises(ValueError, match="endpoint_url must be https") as caught:
        sign_in_url(anybody, endpoint_url=url)

    assert "fake-password" not in str(caught.value)


def test_all_that_is_wrong_is_told_at_once(anybody: boto3.Session) -> None:
    wrong: dict[str, Any] = {
        "destination": 5,
        "service": "S3/../",
        "region": "evil.example.com/",
        "duration": True,
        "issuer": "a\nb",
        "endpoint_url": "http://example.com",
    }

    with pytest.raises(ValueError, match="no sign-in link") as caught:
        sign_in_url(anybody, **wrong)

    assert str(caught.value).splitlines()[1:] == [
        "destination must be a string, got int",
        "issuer has a blank, a backslash or a control character in it",
        "destination and service are two words for one thing: give one",
        "service must be a name such as s3, ec2 or lambda, got 'S3/../'",
        "region must be one of AWS's, such as us-east-1, got 'evil.example.com/'",
        "duration must be a timedelta or seconds, got bool",
        "endpoint_url must be https://…, or http:// and a loopback address such as 127.0.0.1, "
        "for keys are sent there; and no query, got 'http://example.com'",
    ]


@pytest.mark.parametrize(
    "duration", [899, 43201, -1, timedelta(seconds=899), timedelta(hours=13), timedelta.max, 10**40]
)
def test_a_duration_out_of_range_is_refused(anybody: boto3.Session, duration: Any) -> None:
    with pytest.raises(ValueError, match="duration must be 900 s to 43200 s, got"):
        sign_in_url(anybody, duration=duration)


def test_a_region_of_another_partition_than_the_role_is_refused(hub: rolecall.RoleSession) -> None:
    with pytest.raises(ValueError, match="region cn-north-1 is in aws-cn, the role in aws"):
        sign_in_url(hub, region="cn-north-1")


def test_a_partition_whose_console_is_not_known_is_refused(strict_cloud: StrictCloud) -> None:
    user = strict_cloud.session(region_name="us-iso-east-1")
    session = rolecall.assume_role(user, strict_cloud.role("Reader", partition="aws-iso"))

    with pytest.raises(ConfigError, match=r"aws-iso .*aws, aws-cn, aws-us-gov, aws-eusc are"):
        sign_in_url(session)

    assert strict_cloud.calls("AssumeRole") == 0


@pytest.mark.parametrize("session", [None, "profile", object()])
def test_only_a_session_can_sign_in(session: Any) -> None:
    with pytest.raises(TypeError, match="session must be a"):
        sign_in_url(session)


def test_an_asynchronous_session_is_refused_by_name() -> None:
    kind = type("AioSession", (botocore.session.Session,), {"__module__": "aiobotocore.session"})

    with pytest.raises(TypeError, match=r"got aiobotocore\.session\.AioSession"):
        sign_in_url(kind())


def test_an_iam_user_cannot_sign_in(
    user: boto3.Session, sign_in: SignIn, endpoint: FederationEndpoint
) -> None:
    with pytest.raises(ConfigError, match="credentials of an IAM user"):
        sign_in(user)

    assert endpoint.asked == []


def test_a_user_s_session_cannot_sign_in_and_no_code_is_spent_to_see_it(
    strict_cloud: StrictCloud,
    user: boto3.Session,
    sign_in: SignIn,
    endpoint: FederationEndpoint,
) -> None:
    chain = RoleChain(SessionToken(rolecall.GivenSession(user)))

    with pytest.raises(ConfigError, match="credentials of an IAM user"):
        sign_in(chain.session())

    assert endpoint.asked == []
    assert strict_cloud.calls("GetSessionToken") == 0


def test_without_credentials_botocore_s_own_error_is_raised() -> None:
    with pytest.raises(NoCredentialsError):
        sign_in_url(boto3.Session(region_name="us-east-1"))


@given(text=st.text(st.sampled_from("/\\@:.#?[]%a1-\t\n\u3002\uff0f "), max_size=12))
def test_no_destination_that_is_let_through_leaves_the_console(text: str) -> None:
    """As botocore's and a browser's parsers see it: the host ends before any of ``/?#\\``."""
    place = place_of(None, "eu-west-1", None)
    for destination in (text, f"/{text}", f"https://{text}", f"https:{text}",
                        f"https://console.aws.amazon.com{text}"):  # fmt: skip
        if problems(place, duration=None, destination=destination):
            continue
        url = destination_of(place, destination, None)
        rest = url.removeprefix("https://")
        host = rest.replace("\\", "/").replace("?", "/").replace("#", "/").partition("/")[0]
        assert rest != url
        assert host.removesuffix(":443").endswith("console.aws.amazon.com"), url
        assert "@" not in host
