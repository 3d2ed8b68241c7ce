"""OidcIssuer's tokens can be verified with the keys it publishes, and with no others."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from rolecall.testing.clock import FakeClock
from rolecall.testing.oidc import OidcIssuer


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def issuer(clock: FakeClock) -> Iterator[OidcIssuer]:
    with OidcIssuer(clock=clock) as running:
        yield running


def fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def number(part: str) -> int:
    return int.from_bytes(decoded(part), "big")


def verified(issuer: OidcIssuer, token: str) -> dict[str, Any]:
    """Return the claims of *token* as a relying party finds them that starts from the issuer."""
    discovery = fetch(f"{issuer.url}/.well-known/openid-configuration")
    assert discovery["issuer"] == issuer.url
    header, payload, signature = token.split(".")
    key_id = json.loads(decoded(header))["kid"]
    keys = {key["kid"]: key for key in fetch(discovery["jwks_uri"])["keys"]}
    if key_id not in keys:
        raise LookupError(key_id)
    public = RSAPublicNumbers(number(keys[key_id]["e"]), number(keys[key_id]["n"])).public_key()
    public.verify(decoded(signature), f"{header}.{payload}".encode(), PKCS1v15(), SHA256())
    claims: dict[str, Any] = json.loads(decoded(payload))
    return claims


def test_a_token_says_what_it_was_minted_with(issuer: OidcIssuer, clock: FakeClock) -> None:
    token = issuer.mint(
        subject="fake-pod", audience="fake-audience", expires_in=timedelta(minutes=5), team="data"
    )

    claims = verified(issuer, token)

    now = int(clock.time())
    assert (claims["iss"], claims["sub"], claims["aud"]) == (
        issuer.url,
        "fake-pod",
        "fake-audience",
    )
    assert (claims["iat"], claims["exp"], claims["team"]) == (now, now + 300, "data")


def test_a_claim_that_was_changed_voids_the_signature(issuer: OidcIssuer) -> None:
    header, payload, signature = issuer.mint(subject="fake-pod").split(".")
    claims = {**json.loads(decoded(payload)), "sub": "admin"}
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()

    with pytest.raises(InvalidSignature):
        verified(issuer, f"{header}.{forged}.{signature}")


def test_every_token_is_another(issuer: OidcIssuer) -> None:
    assert issuer.mint(subject="fake-pod") != issuer.mint(subject="fake-pod")


def test_a_negative_life_makes_an_expired_token(issuer: OidcIssuer, clock: FakeClock) -> None:
    claims = verified(issuer, issuer.mint(subject="fake-pod", expires_in=timedelta(seconds=-1)))

    assert claims["exp"] < clock.time()


def test_any_claim_can_be_overridden(issuer: OidcIssuer) -> None:
    token = issuer.mint(subject="fake-pod", iss="https://other.example.com")

    assert verified(issuer, token)["iss"] == "https://other.example.com"


def test_after_a_rotation_old_tokens_can_still_be_verified(issuer: OidcIssuer) -> None:
    old_key, old = issuer.key_id, issuer.mint(subject="old")

    new_key = issuer.rotate()

    assert old_key != new_key == issuer.key_id
    assert verified(issuer, old)["sub"] == "old"
    assert verified(issuer, issuer.mint(subject="new"))["sub"] == "new"


def test_after_a_rotation_that_forgets_old_tokens_are_void(issuer: OidcIssuer) -> None:
    old = issuer.mint(subject="old")

    issuer.rotate(forget=True)

    with pytest.raises(LookupError):
        verified(issuer, old)


def test_another_issuers_key_does_not_verify(issuer: OidcIssuer) -> None:
    with OidcIssuer() as other:
        token = other.mint(subject="fake-pod", iss=issuer.url)

    with pytest.raises(LookupError):
        verified(issuer, token)


def test_private_keys_are_not_published(issuer: OidcIssuer) -> None:
    (key,) = fetch(issuer.jwks_url)["keys"]

    assert set(key) == {"kty", "kid", "use", "alg", "n", "e"}


def test_it_tells_what_was_asked_for(issuer: OidcIssuer) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(f"{issuer.url}/elsewhere")
    caught.value.close()
    fetch(issuer.jwks_url)

    assert caught.value.code == 404
    assert issuer.requests == ["/elsewhere", "/jwks"]


def test_stopping_leaves_no_thread_and_minting_goes_on() -> None:
    before = set(threading.enumerate())

    with OidcIssuer() as issuer:
        url = issuer.url

    assert set(threading.enumerate()) == before
    assert issuer.mint(subject="fake-pod")
    with pytest.raises(urllib.error.URLError):
        fetch(url)


def test_an_issuer_that_never_started_has_no_name() -> None:
    with pytest.raises(RuntimeError, match="has not been started"):
        OidcIssuer().mint(subject="fake-pod")


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)

    with pytest.raises(ImportError, match=r"pip install 'rolecall\[testing\]' cryptography"):
        OidcIssuer()


def test_importing_it_loads_neither_cryptography_nor_cheroot() -> None:
    program = (
        "import sys; import rolecall.testing.oidc; "
        "print([name for name in ('cryptography', 'cheroot', 'boto3') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == "[]"
