"""What the federation endpoint may answer instead of a token, and what is made of it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from federation_endpoint import INVALID, FederationEndpoint, answering

import rolecall
from rolecall import AccessDenied, FetchError, Throttled, Unreachable
from rolecall.console import sign_in_url
from rolecall.console.federation import LARGEST_ANSWER
from rolecall.testing import StrictCloud

SignIn = Callable[..., str]


def plain(session: rolecall.RoleSession) -> boto3.Session:
    """Return a session with the keys that *session* has now, which knows nothing of them."""
    keys = session.get_credentials().get_frozen_credentials()
    return boto3.Session(keys.access_key, keys.secret_key, keys.token, region_name="eu-west-1")


def test_keys_that_were_revoked_are_refused(
    strict_cloud: StrictCloud, hub: rolecall.RoleSession, sign_in: SignIn
) -> None:
    strict_cloud.revoke(hub.get_credentials().access_key)

    with pytest.raises(AccessDenied, match=INVALID) as caught:
        sign_in(hub)

    assert "check that the credentials are a role's, valid" in caught.value.hint
    assert caught.value.context["status"] == 400
    assert "console sign-in as arn:aws:iam::123456789012:role/Hub: 127.0.0.1" in str(caught.value)


def test_a_user_s_session_of_the_environment_is_refused_by_aws_with_what_to_do(
    user: boto3.Session, sign_in: SignIn
) -> None:
    keys = user.client("sts").get_session_token()["Credentials"]
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])

    with pytest.raises(AccessDenied, match="Only federation tokens") as caught:
        sign_in(session)

    assert "assume a role with these credentials" in caught.value.hint


def test_a_duration_that_aws_does_not_take_is_the_hint(
    hub: rolecall.RoleSession, sign_in: SignIn
) -> None:
    """Whose keys they are cannot be told, so that the duration is sent."""
    spoke = rolecall.assume_role(hub, "arn:aws:iam::210987654321:role/Spoke")

    with pytest.raises(AccessDenied, match=INVALID) as caught:
        sign_in(plain(spoke), duration=3600)

    assert "leave duration out" in caught.value.hint


@pytest.mark.parametrize(
    ("status", "body", "kind", "retryable", "says"),
    [
        ("400 Bad Request",
         b"<html><head><title>t</title></head><body><h1>Bad</h1>\n<p>Tokens &amp; keys</body>",
         AccessDenied, False, "says HTTP 400: Bad Tokens & keys ("),
        ("403 Forbidden", b'{"message": "No \xff\x00way"}', AccessDenied, False,
         'says HTTP 403: {"message": "No \ufffd way"} ('),
        ("404 Not Found", b"x" * 1000, FetchError, False, f"says HTTP 404: {'x' * 200} ("),
        ("429 Too Many Requests", b"", Throttled, True, "says HTTP 429 ("),
        ("500 Internal Server Error", b"oops", Unreachable, True, "says HTTP 500: oops ("),
        ("503 Service Unavailable", b"", Unreachable, True, "says HTTP 503 ("),
        ("200 OK", b"<html>sign in to the wifi", Unreachable, True, "answered no sign-in token"),
        ("200 OK", b"[" * 30_000, Unreachable, True, "answered no sign-in token"),
        ("200 OK", b"[]", Unreachable, True, "answered no sign-in token"),
        ("200 OK", b'{"SigninToken": ""}', Unreachable, True, "answered no sign-in token"),
        ("200 OK", b'{"SigninToken": 5}', Unreachable, True, "answered no sign-in token"),
        ("200 OK", b'{"SigninToken": "a\\nb"}', Unreachable, True, "answered no sign-in token"),
        ("200 OK", b"", Unreachable, True, "answered no sign-in token"),
        ("200 OK", b'{"SigninToken": "%s"}' % (b"x" * LARGEST_ANSWER), Unreachable, True,
         "answered more than 65536 bytes"),
        ("400 Bad Request", b"x" * 200_000, Unreachable, True, "answered more than 65536 bytes"),
    ],
)  # fmt: skip
def test_what_is_no_token_is_told_in_words(
    anybody: boto3.Session,
    page: FederationEndpoint,
    status: str,
    body: bytes,
    kind: type[FetchError],
    retryable: bool,
    says: str,
) -> None:
    page.raw = answering(status, body)

    with pytest.raises(FetchError) as caught:
        sign_in_url(anybody, endpoint_url=page.url)

    assert type(caught.value) is kind
    assert caught.value.retryable is retryable
    assert says in str(caught.value)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 Other", "307 T", "308 P"])
def test_keys_are_not_sent_on(
    anybody: boto3.Session, page: FederationEndpoint, status: str
) -> None:
    page.raw = answering(status, b"", f"Location: {page.url}/elsewhere")

    with pytest.raises(Unreachable, match=r"redirects \(HTTP 30.\), and keys are not sent on"):
        sign_in_url(anybody, endpoint_url=page.url)

    assert [asked.path for asked in page.asked] == ["/federation"]


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.0 200 OK\r\nContent-Le", b"no HTTP at all\r\n\r\n"]
)
def test_an_answer_that_breaks_off_is_unreachable_and_not_asked_for_again(
    anybody: boto3.Session, page: FederationEndpoint, answer: bytes
) -> None:
    """It may have been a token: who sends keys a second time should be the caller."""
    page.raw = lambda _: answer

    with pytest.raises(Unreachable):
        sign_in_url(anybody, endpoint_url=page.url)

    assert len(page.asked) == 1


def test_a_body_that_breaks_off_is_no_token(
    anybody: boto3.Session, page: FederationEndpoint
) -> None:
    body = json.dumps({"SigninToken": "fake"}).encode()
    page.raw = lambda _: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n" + body

    with pytest.raises(Unreachable):
        sign_in_url(anybody, endpoint_url=page.url)


def test_nobody_there_is_unreachable(anybody: boto3.Session) -> None:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))  # bound, and not listening
        url = f"http://127.0.0.1:{place.getsockname()[1]}"

        with pytest.raises(Unreachable, match="EndpointConnectionError") as caught:
            sign_in_url(anybody, endpoint_url=url)

    assert caught.value.context["endpoint"] == f"{url}/federation"


def test_what_does_not_speak_tls_gets_no_keys(
    anybody: boto3.Session, page: FederationEndpoint
) -> None:
    with pytest.raises(Unreachable, match="SSLError"):
        sign_in_url(anybody, endpoint_url=page.url.replace("http:", "https:"))

    assert page.asked == []


def test_the_session_s_proxies_are_used_for_tls_only(
    anybody: boto3.Session, page: FederationEndpoint
) -> None:
    """Plain HTTP goes to this machine only: a proxy would read the keys in it."""
    proxies = {"https": page.url, "http": "http://127.0.0.1:1"}
    anybody._session.set_default_client_config(Config(proxies=proxies))
    page.raw = answering("403 Forbidden")

    with pytest.raises(Unreachable, match="ProxyConnectionError"):
        sign_in_url(anybody)  # a look-up of AWS's own host would be an offence here
    with pytest.raises(AccessDenied):
        sign_in_url(anybody, endpoint_url=page.url)

    host = "eu-west-1.signin.aws.amazon.com:443"
    assert [(asked.method, asked.path) for asked in page.asked] == [
        ("CONNECT", host),
        ("CONNECT", host),  # the second try, as no connection came about
        ("POST", "/federation"),
    ]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody else has signed, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fake")])
    now = datetime.now(timezone.utc)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "fake.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + built.public_bytes(Encoding.PEM)
    )
    return file


def test_a_proxy_that_may_forward_gets_no_keys_either(
    anybody: boto3.Session, certificate: Path
) -> None:
    """It would read what it forwards: signed requests as a rule, but here the keys themselves."""
    with FederationEndpoint(None, certificate=certificate) as proxy:
        config = Config(
            proxies={"https": proxy.url},
            proxies_config={
                "proxy_use_forwarding_for_https": True,
                "proxy_ca_bundle": str(certificate),
            },
        )
        anybody._session.set_default_client_config(config)
        proxy.raw = answering("403 Forbidden")

        with pytest.raises(Unreachable):
            sign_in_url(anybody)

    assert {asked.method for asked in proxy.asked} == {"CONNECT"}


def test_tls_is_verified_with_the_session_s_bundle_and_always(
    strict_cloud: StrictCloud,
    hub: rolecall.RoleSession,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FederationEndpoint(strict_cloud, certificate=certificate) as endpoint:
        for bundle in (None, False):
            hub._session.set_config_variable("ca_bundle", bundle)
            with pytest.raises(Unreachable, match="SSLError"):
                sign_in_url(hub, endpoint_url=endpoint.url)
        refused = list(endpoint.asked)
        hub._session.set_config_variable("ca_bundle", str(certificate))
        by_session = sign_in_url(hub, endpoint_url=endpoint.url)
        hub._session.set_config_variable("ca_bundle", None)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        by_environment = sign_in_url(hub, endpoint_url=endpoint.url)

    assert refused == []
    assert by_session == by_environment
    assert len(endpoint.asked) == 2
