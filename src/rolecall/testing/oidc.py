"""A small, real OpenID Connect issuer on loopback: discovery, signing keys, signed tokens."""

from __future__ import annotations

import base64
import json
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ..clock import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from .cloud.server import LoopbackServer

_DISCOVERY = "/.well-known/openid-configuration"
_KEYS = "/jwks"

# What AWS's own guides use for web identities.
_AUDIENCE = "sts.amazonaws.com"

_THREADS = 4


class OidcIssuer:
    """An issuer of web identity tokens whose signatures can be verified.

    ::

        with OidcIssuer() as issuer:
            token = issuer.mint(subject="repo:octo/hello", expires_in=timedelta(minutes=5))
    """

    def __init__(self, *, clock: Clock = SYSTEM_CLOCK) -> None:
        _require_libraries()
        self._clock = clock
        self._lock = threading.Lock()  # guards the three below
        self._keys: dict[str, RSAPrivateKey] = {}
        self._signing = ""
        self._requests: list[str] = []
        self._server: LoopbackServer | None = None
        self._url: str | None = None
        self.rotate()

    def __repr__(self) -> str:
        return f"OidcIssuer({self._url if self._server else 'not running'})"

    def __enter__(self) -> OidcIssuer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen on a free loopback port; done on entering a ``with`` block."""
        from .cloud.server import LoopbackServer

        if self._server is not None:
            raise RuntimeError(f"{self!r} is running already")
        self._server = LoopbackServer(self._answer, threads=_THREADS)
        self._server.start()
        self._url = self._server.url

    def stop(self) -> None:
        """Stop listening; tokens can still be minted, but nobody can look up the keys."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    @property
    def url(self) -> str:
        """The issuer's name, which is also where it is; kept after `stop`."""
        if self._url is None:
            raise RuntimeError("OidcIssuer has not been started: use it in a with block")
        return self._url

    @property
    def jwks_url(self) -> str:
        """Where the public keys are."""
        return self.url + _KEYS

    @property
    def key_id(self) -> str:
        """The ``kid`` of the key that signs now."""
        return self._signing

    @property
    def requests(self) -> list[str]:
        """The paths that were asked for, oldest first."""
        with self._lock:
            return list(self._requests)

    def rotate(self, *, forget: bool = False) -> str:
        """Sign with a new key from now on and return its ``kid``.

        Args:
            forget: Publish the old keys no more, so that what they signed is void.
        """
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        with self._lock:
            if forget:
                self._keys.clear()
            self._signing = f"fake-key-{uuid.uuid4().hex[:8]}"
            self._keys[self._signing] = key
            return self._signing

    def mint(
        self,
        *,
        subject: str,
        audience: str = _AUDIENCE,
        expires_in: timedelta = timedelta(hours=1),
        **claims: Any,
    ) -> str:
        """Return a token, a JWT signed with RS256.

        Args:
            expires_in: A negative one makes a token that has expired.
            claims: More claims, or other values for the usual ones, such as ``iss``.
        """
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        now = int(self._clock.time())
        payload = {
            "iss": self.url,
            "sub": subject,
            "aud": audience,
            "iat": now,
            "nbf": now,
            "exp": now + int(expires_in.total_seconds()),
            "jti": uuid.uuid4().hex,
            **claims,
        }
        with self._lock:
            key_id, key = self._signing, self._keys[self._signing]
        header = {"alg": "RS256", "typ": "JWT", "kid": key_id}
        signed = f"{_encoded_json(header)}.{_encoded_json(payload)}"
        return f"{signed}.{_encoded(key.sign(signed.encode(), PKCS1v15(), SHA256()))}"

    def _answer(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        path = str(environ["PATH_INFO"])
        with self._lock:
            self._requests.append(path)
        found = {_DISCOVERY: self._discovery, _KEYS: self._published}.get(path)
        status = HTTPStatus.OK if found else HTTPStatus.NOT_FOUND
        body = json.dumps(found() if found else {"error": "not_found"}).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(f"{status.value} {status.phrase}", headers)
        return [body]

    def _discovery(self) -> Mapping[str, Any]:
        return {
            "issuer": self.url,
            "jwks_uri": self.jwks_url,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def _published(self) -> Mapping[str, Any]:
        with self._lock:
            keys = dict(self._keys)
        return {"keys": [_public(key_id, key) for key_id, key in keys.items()]}


def _public(key_id: str, key: RSAPrivateKey) -> Mapping[str, str]:
    numbers = key.public_key().public_numbers()
    return {
        "kty": "RSA",
        "kid": key_id,
        "use": "sig",
        "alg": "RS256",
        "n": _encoded_number(numbers.n),
        "e": _encoded_number(numbers.e),
    }


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _encoded_json(value: Mapping[str, Any]) -> str:
    return _encoded(json.dumps(value).encode())


def _encoded_number(number: int) -> str:
    return _encoded(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _require_libraries() -> None:
    try:
        import cheroot.wsgi  # noqa: F401 - is it installed?
        import cryptography  # noqa: F401 - is it installed?
    except ImportError as error:
        raise ImportError(
            f"OidcIssuer needs cheroot and cryptography ({error}): "
            "pip install 'rolecall[testing]' cryptography"
        ) from error
