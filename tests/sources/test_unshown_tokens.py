"""Tokens that a callable or botocore's log would show, and that nobody gets to see."""

from __future__ import annotations

import io
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

import rolecall
from rolecall import Credentials, FetchError, RoleChain, WebIdentity
from rolecall.refresh import Refresher
from rolecall.sources.redaction import redact
from rolecall.sources.web_identity import called_token
from rolecall.testing import FakeClock, StrictCloud

ROLE = "arn:aws:iam::123456789012:role/Hub"
BODY = "eyJzdWIiOiJmYWtlIn0"
JWT = f"eyJhbGciOiJSUzI1NiJ9.{BODY}.c2lnbmF0dXJlLWZha2UtMDEyMzQ1Njc4OUFCQ0RFRkdISUpLTE1OT1A"


def direct() -> str:
    raise ValueError(f"bad answer from issuer: id_token={JWT}")


def chained() -> str:
    try:
        direct()
    except ValueError as error:
        raise RuntimeError("the issuer is broken") from error
    return ""


def while_handling() -> str:
    try:
        direct()
    except ValueError:
        raise RuntimeError("the issuer is broken")  # noqa: B904 - the context is the point
    return ""


def shown(error: BaseException) -> str:
    """Return all that a traceback, a repr or a debugger's look along the chain would tell."""
    parts = ["".join(traceback.format_exception(error))]
    seen: list[BaseException | None] = [error]
    while seen:
        one = seen.pop()
        if one is not None:
            parts += [repr(one), str(one), repr(one.__dict__)]
            seen += [one.__cause__, one.__context__]
    return "\n".join(parts)


@pytest.mark.parametrize("fetch", [direct, chained, while_handling])
def test_what_a_token_callable_raises_does_not_show_the_token(
    fetch: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(FetchError, match="raised") as caught:
        called_token(fetch)()

    assert BODY not in shown(caught.value)
    assert BODY not in caplog.text


def test_what_a_token_callable_raises_without_a_token_is_its_cause() -> None:
    def fetch() -> str:
        raise OSError("the metadata server is away")

    with pytest.raises(FetchError, match="raised OSError: the metadata server is away") as caught:
        called_token(fetch)()

    assert isinstance(caught.value.__cause__, OSError)


def test_a_session_does_not_show_the_token_either(
    strict_cloud: StrictCloud,
    fake_clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", strict_cloud.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    session = RoleChain(WebIdentity(role_arn=ROLE, token=chained)).session(clock=fake_clock)

    with caplog.at_level(logging.DEBUG), pytest.raises(FetchError) as caught:
        session.get_credentials().get_frozen_credentials()

    refresher: Refresher = session.get_credentials()._refresher
    failure = refresher.state.failure
    assert failure is not None
    assert BODY not in shown(caught.value) + shown(failure.error) + caplog.text


# ── botocore's log ───────────────────────────────────────────────────────────────────────

VALUE = "fake-value/with+every=sign"


@pytest.mark.parametrize(
    "text",
    [
        "x-amz-s3session-token:%s\nhost:bucket",
        "'x-amz-s3session-token': b'%s'",
        "'ProvidedContexts.member.1.ContextAssertion': '%s'",
        "'ContextAssertion': '%s'}",
        "'ExternalId': '%s', 'RoleArn'",
        "ExternalId=%s&RoleArn=x",
        '{"refreshToken": "%s"}',
        '{"id_token":"%s"}',
        "'WebIdentityToken': '%s'",
    ],
)
def test_what_only_the_service_may_read_keeps_its_name_and_loses_its_value(text: str) -> None:
    assert redact(text % VALUE) == text % "***"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged at DEBUG."""
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield heard
    root.removeHandler(handler)
    root.setLevel(level)


def test_a_session_of_s3_express_is_not_in_botocores_log(
    fake_clock: FakeClock, log: io.StringIO
) -> None:
    """Its token goes in a header of its own, and the keys come in the body of an answer."""
    token, secret = "FAKE-EXPRESS-TOKEN", "FAKE-EXPRESS-SECRET"
    sent: list[str] = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        sent.append(str(request.headers.get("x-amz-s3session-token")))
        body = "<ListBucketResult/>"
        if "?session" in request.url:
            body = (
                '<CreateSessionResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                "<Credentials><AccessKeyId>ASIAFAKEEXPRESS</AccessKeyId>"
                f"<SecretAccessKey>{secret}</SecretAccessKey>"
                f"<SessionToken>{token}</SessionToken>"
                "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
                "</CreateSessionResult>"
            )
        return AWSResponse(request.url, 200, {}, Body(body.encode()))

    keys = Credentials(
        access_key="ASIAFAKE000000000001",
        secret_key="FAKE-ROLE-SECRET",
        token="FAKE-ROLE-TOKEN",
    )
    parent = boto3.Session(region_name="us-east-1")
    session = rolecall.refreshable_session(lambda: keys, base_session=parent, clock=fake_clock)
    s3 = session.client("s3")
    s3.meta.events.register("before-send.s3", answer)

    s3.list_objects_v2(Bucket="bucket--use1-az4--x-s3")

    assert any(token in one for one in sent), "it was signed with the express session"
    heard = log.getvalue()
    assert "x-amz-s3session-token" in heard.lower()
    for hidden in (token, secret, "FAKE-ROLE-SECRET", "FAKE-ROLE-TOKEN"):
        assert hidden not in heard


class Body(io.BytesIO):
    """An answer as urllib3 hands it over."""

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self.read()


def test_an_external_id_is_not_in_botocores_log(
    strict_cloud: StrictCloud, fake_clock: FakeClock, log: io.StringIO
) -> None:
    passphrase = "FAKE-EXTERNAL-ID"
    session = rolecall.assume_role(
        strict_cloud.session(), ROLE, ExternalId=passphrase, clock=fake_clock
    )

    session.client("s3").list_buckets()

    heard = log.getvalue()
    assert "ExternalId" in heard
    assert passphrase not in heard
