"""No secret and no sign-in token is in a log, an error, a URL or a header, whatever is answered."""

from __future__ import annotations

import html
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from urllib.parse import quote, unquote_plus

import boto3
import pytest
from botocore.config import Config
from federation_endpoint import Asked, FederationEndpoint, answering

import rolecall
from rolecall import FetchError
from rolecall.console import sign_in_url

SignIn = Callable[..., str]


def shown(error: BaseException) -> Iterator[str]:
    """Yield all that a traceback, a repr or a debugger's look along the chain would tell."""
    yield "".join(traceback.format_exception(error))
    seen: list[BaseException | None] = [error]
    while seen:
        one = seen.pop()
        if one is not None:
            yield from (repr(one), str(one), repr(one.__dict__), repr(one.args))
            for value in one.__dict__.values():
                yield repr(getattr(value, "body", ""))
            seen += [one.__cause__, one.__context__]


def spellings(session: boto3.Session) -> set[str]:
    keys = session.get_credentials().get_frozen_credentials()
    plain = {keys.secret_key, keys.token}
    return plain | {quote(one, safe="") for one in plain} | {html.escape(one) for one in plain}


def test_a_sign_in_leaves_no_secret_behind(
    hub: rolecall.RoleSession,
    sign_in: SignIn,
    endpoint: FederationEndpoint,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        url = sign_in(hub)

    [asked] = endpoint.asked
    secrets = spellings(hub)
    assert "/federation" in caplog.text  # urllib3 did log the request
    assert endpoint.token not in caplog.text
    assert quote(endpoint.token, safe="") not in caplog.text
    for secret in secrets:
        assert secret not in caplog.text
        assert secret not in url
        assert secret not in f"{asked.path} {asked.query} {asked.headers}"
    assert "Authorization" not in asked.headers


def echoed(asked: Asked) -> bytes:
    return asked.body.encode()


def unquoted(asked: Asked) -> bytes:
    return unquote_plus(asked.body).encode()


def escaped(asked: Asked) -> bytes:
    return f"<html><p>You sent {html.escape(unquote_plus(asked.body))}".encode()


def twice_in_json(asked: Asked) -> bytes:
    return json.dumps({"message": f"bad {asked.form['Session']}"}).encode()


def bare(asked: Asked) -> bytes:
    keys = json.loads(asked.form["Session"])
    return f"{keys['sessionKey']} and {keys['sessionToken']}".encode()


@pytest.mark.parametrize("said", [echoed, unquoted, escaped, twice_in_json, bare])
@pytest.mark.parametrize(
    "shape",
    [
        "body 400",
        "body 500",
        "body 200",
        "status line",
        "reason",
        "header",
        "no header",
        "Location",
    ],
)
def test_what_the_endpoint_sends_back_is_not_shown(
    anybody: boto3.Session,
    page: FederationEndpoint,
    caplog: pytest.LogCaptureFixture,
    shape: str,
    said: Callable[[Asked], bytes],
) -> None:
    """A debugging proxy or a web framework's error page repeats what it was sent."""

    def raw(asked: Asked) -> bytes:
        echo = said(asked)
        match shape.split():
            case ["body", status]:
                return answering(f"{status} Said", echo)(asked)
            case ["reason"]:
                return b"HTTP/1.0 400 " + echo + b"\r\n\r\n"
            case ["header"]:
                return b"HTTP/1.0 400 Bad\r\nX-Said: " + echo + b"\r\n\r\n"
            case ["no", "header"]:  # urllib3 warns of it, and quotes it
                return b"HTTP/1.0 400 Bad\r\nno colon " + echo.replace(b":", b"") + b"\r\n\r\n"
            case ["Location"]:
                return b"HTTP/1.0 302 Found\r\nLocation: https://" + echo + b"/\r\n\r\n"
        return echo + b"\r\n\r\n"

    page.raw = raw

    with caplog.at_level(logging.DEBUG), pytest.raises(FetchError) as caught:
        sign_in_url(anybody, endpoint_url=page.url)

    told = "\n".join([*shown(caught.value), caplog.text])
    for secret in spellings(anybody):
        assert secret not in told


def test_a_token_that_comes_with_a_refusal_is_not_shown(
    anybody: boto3.Session, page: FederationEndpoint
) -> None:
    page.raw = answering("500 Oops", b'{"SigninToken": "fake-signin-token"}')

    with pytest.raises(FetchError, match="HTTP 500") as caught:
        sign_in_url(anybody, endpoint_url=page.url)

    assert "fake-signin-token" not in str(caught.value)


def test_a_proxy_s_password_is_not_shown(
    anybody: boto3.Session, page: FederationEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    for proxy in (
        page.url.replace("://", "://fake-user:fake-password@"),
        "http://fake-user:fake-password@[::1/",
        "http://fake-user:fake-password/not-quoted@127.0.0.1/",
        "http://fake-user:fake-password@127.0.0.1:port/",
    ):
        anybody._session.set_default_client_config(Config(proxies={"https": proxy}))
        page.raw = answering("407 Proxy Authentication Required")

        with caplog.at_level(logging.DEBUG), pytest.raises(FetchError) as caught:
            sign_in_url(anybody)

        assert "fake-password" not in "\n".join(shown(caught.value))
