"""Where web identity tokens come from: a file that something renews, or a callable."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable

from ..errors import ConfigError, FetchError
from .quote import quote

#: [STS AssumeRoleWithWebIdentity, WebIdentityToken]
LONGEST_TOKEN = 20_000
SHORTEST_TOKEN = 4

#: What of a token is another in each one that the same party is given: its times and numbers, and
#: the pod that asked. All else may be in a trust policy's conditions, also what only one provider
#: has. [RFC 7519, OpenID Connect Core, Kubernetes]
_PASSING_CLAIMS = frozenset(
    {
        "at_hash", "auth_time", "c_hash", "exp", "iat", "jti", "kubernetes.io", "nbf", "nonce",
        "s_hash",
    }
)  # fmt: skip


class TokenFile:
    """The token in a file, read anew each time: EKS and CI systems renew it in place."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __repr__(self) -> str:
        return f"TokenFile({self._path!r})"

    def __call__(self) -> str:
        """Return the token, without the newline that editors put at the end.

        Raises:
            ConfigError: the file is missing, unreadable, empty or no token.
        """
        try:
            with open(os.path.expanduser(self._path), "rb") as file:
                content = file.read(LONGEST_TOKEN + 64)
        except OSError as error:
            raise ConfigError(
                f"the web identity token file {self._path} cannot be read: {error.strerror}",
                hint="check AWS_WEB_IDENTITY_TOKEN_FILE or token_file, and what is to write it",
            ) from None
        return _checked(content, f"the web identity token file {self._path}")


def called_token(fetch: Callable[[], object]) -> Callable[[], str]:
    """Return a callable that asks *fetch* for a token and checks it."""

    def token() -> str:
        got: object = None
        trouble: FetchError | None = None
        cause: Exception | None = None
        try:
            got = fetch()
        except Exception as error:
            said = quote(error)
            trouble = FetchError(f"the web identity token callable raised {said.text}")
            cause = error if said.clean else None
        if trouble is not None:
            # Out here, so that an exception that quotes the token is no context of ours either.
            raise trouble from cause
        if hasattr(got, "__await__"):
            close = getattr(got, "close", None)
            if close is not None:
                close()
            raise ConfigError("the web identity token callable returned a coroutine, not a str")
        if not isinstance(got, (str, bytes)):
            raise ConfigError(
                f"the web identity token callable returned {type(got).__name__}, not a str"
            )
        content = got.encode() if isinstance(got, str) else got
        return _checked(content, "what the web identity token callable returned")

    return token


def subject_of(token: str) -> str:
    """Return a digest of who *token* is about: the same for all tokens that one party is given.

    Not verified, as STS does that. A token that does not say is one of its own.
    """
    claims: object = None
    parts = token.split(".")
    if len(parts) == 3:
        try:
            claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        except (ValueError, RecursionError):
            claims = None
    if not isinstance(claims, dict) or not claims.get("iss") or not claims.get("sub"):
        claims = {"token": token}
    telling = {name: value for name, value in claims.items() if name not in _PASSING_CLAIMS}
    return hashlib.sha256(json.dumps(telling, sort_keys=True).encode()).hexdigest()


def subject_in(path: str) -> str:
    """Return `subject_of` the token in the file *path*.

    Raises:
        ConfigError: there is none.
    """
    return subject_of(TokenFile(path)())


def _checked(content: bytes, what: str) -> str:
    token = content.strip()
    if not token:
        raise ConfigError(f"{what} is empty", hint="check what is to provide the token")
    if len(token) > LONGEST_TOKEN or len(token) < SHORTEST_TOKEN:
        raise ConfigError(
            f"{what} is no token: it has {len(token)} bytes, a token has {SHORTEST_TOKEN} to "
            f"{LONGEST_TOKEN}"
        )
    try:
        text = token.decode("ascii")
    except UnicodeDecodeError:
        raise ConfigError(f"{what} is no token: it has bytes that no token has") from None
    if any(sign.isspace() for sign in text):
        raise ConfigError(f"{what} is no token: it has white space inside")
    return text
