"""Where a chain starts: the botocore session of an origin, and what is known of its credentials."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from weakref import WeakKeyDictionary

from botocore.credentials import Credentials as BotocoreCredentials
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    UnknownCredentialError,
)
from botocore.session import Session

from ..clock import Clock
from ..errors import CredentialsExpired, RolecallError
from ..fork import ForkSafeLock
from .answer import read_instant
from .quote import quote
from .upstream import made_by, profile_of, web_identity_of

log: logging.Logger = logging.getLogger("rolecall")

#: Keys under which tools that write temporary keys into ``~/.aws/credentials`` note their expiry:
#: AWS CLI and aws-mfa, saml2aws, aws-google-auth, gimme-aws-creds.
EXPIRY_KEYS = (
    "aws_expiration",
    "aws_session_expiration",
    "aws_credential_expiration",
    "expiration",
    "x_security_token_expires",
    "aws_session_token_expiration",
)

#: From here on a source that cannot refresh is warned about: the length of the shortest session.
RUNNING_OUT = timedelta(minutes=15)

#: botocore's names of the credentials that another process finds for itself.
SHIPPABLE_METHODS = frozenset(
    {
        "assume-role",
        "assume-role-with-web-identity",
        "boto-config",
        "config-file",
        "container-role",
        "custom-process",
        "env",
        "iam-role",
        "login",
        "shared-credentials-file",
        "sso",
    }
)

#: Those whose credentials are known by what the profile says, as their keys are not lasting.
PROFILE_METHODS = frozenset(
    {"assume-role", "assume-role-with-web-identity", "custom-process", "login", "sso"}
)

#: Those among them, and of ours, that are a role's session: what they assume is role chaining.
SESSION_METHODS = frozenset(
    {"assume-role", "assume-role-with-web-identity", "container-role", "iam-role", "sso"}
)

# botocore's own loading is not safe to run twice at once. One lock a session, since a provider may
# take its time (credential_process, IMDS) or be a program's own that uses rolecall itself.
_loading: WeakKeyDictionary[Session, ForkSafeLock] = WeakKeyDictionary()
_loading_lock = ForkSafeLock()  # guards _loading


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """What can be told about source credentials without a network call; no secret.

    Attributes:
        method: Where botocore found them, in its words: ``env``, ``shared-credentials-file`` …
        profile: The profile in use, if one was named.
        access_key: Access key id.
        temporary: Whether they have a session token.
        refreshes: Whether they renew themselves.
        expires_at: When they expire, where a tool noted it beside them.
    """

    method: str
    profile: str | None
    access_key: str
    temporary: bool
    refreshes: bool
    expires_at: datetime | None = None

    @property
    def dies(self) -> bool:
        """Whether they expire and cannot renew themselves."""
        return self.temporary and not self.refreshes

    def __str__(self) -> str:
        where = f"{self.method}, profile {self.profile!r}" if self.profile else self.method
        return f"{self.access_key} ({where})"


def load_credentials(session: Session) -> Any:
    """Return *session*'s credentials object, loaded by one thread at a time.

    Raises:
        NoCredentialsError: there are none; botocore's own.
    """
    if getattr(session, "loads_safely", False):
        credentials = session.get_credentials()
    else:
        with _loading_lock:
            guard = _loading.get(session)
            if guard is None:
                guard = _loading[session] = ForkSafeLock(threading.RLock)
        with guard:
            credentials = session.get_credentials()
    if credentials is None:
        raise NoCredentialsError()
    return credentials


def signer_of(credentials: Any) -> object:
    """Return what tells *credentials* from others: their keys, or the object if those change.

    Comparable as long as the object is kept.
    """
    if credentials is None or type(credentials) is not BotocoreCredentials:
        return id(credentials)
    parts = (credentials.access_key, credentials.secret_key, credentials.token or "")
    return hashlib.sha256("\0".join(map(str, parts)).encode()).digest()


def from_its_profile(session: Session, credentials: Any = None) -> bool:
    """Return whether *session*'s credentials are what botocore makes of its configuration.

    Not so: credentials somebody put in, or a provider of somebody's own, under botocore's name.

    Args:
        credentials: What an asynchronous session says its credentials are.
    """
    makers = ("aiobotocore.",)
    if credentials is None:
        makers = ("botocore.",)
        credentials = load_credentials(session)
        its_word: Callable[[], bool] | None = getattr(session, "from_its_profile", None)
        if its_word is not None:  # an asynchronous session's twin
            return its_word()
    method = str(getattr(credentials, "method", None))
    if method not in SHIPPABLE_METHODS:
        return False
    try:
        provider = session.get_component("credential_provider").get_provider(method)
    except UnknownCredentialError:
        return False
    if not type(provider).__module__.startswith(makers):
        return False
    if method == "assume-role" and "role_arn" not in session.get_scoped_config():
        return False
    # Known by their key, all others: whoever put them in.
    if method not in PROFILE_METHODS or not isinstance(credentials, RefreshableCredentials):
        return True
    return made_by(provider, credentials) and _as_it_was(session, provider, credentials)


def _as_it_was(session: Session, provider: Any, credentials: Any) -> bool:
    """Return whether *session*'s profile and environment still say what made *credentials*."""
    if profile_of(provider) != (session.profile or "default"):
        return False
    if provider.METHOD != "assume-role-with-web-identity":
        return True
    values = web_identity_values(session)
    named = values.get("role_arn"), values.get("web_identity_token_file")
    return named == web_identity_of(credentials)


def web_identity_values(session: Session) -> dict[str, str]:
    """Return what botocore makes of the web identity of *session*'s profile or environment."""
    scoped: Mapping[str, Any] = session.get_scoped_config()
    named = session.instance_variables().get("profile") is not None
    environ = {} if named else os.environ  # noqa: TID251 - border
    found = {
        "web_identity_token_file": environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"),
        "role_arn": environ.get("AWS_ROLE_ARN"),
        "role_session_name": environ.get("AWS_ROLE_SESSION_NAME"),
    }
    known = {key: str(value or scoped.get(key) or "") for key, value in found.items()}
    return {key: value for key, value in known.items() if value}


def facts(session: Session) -> SourceFacts:
    """Return what is known of *session*'s credentials, without fetching any."""
    credentials = load_credentials(session)
    static = type(credentials) is BotocoreCredentials
    return SourceFacts(
        method=str(getattr(credentials, "method", None) or "unknown"),
        profile=session.profile,
        access_key=str(credentials.access_key) if static else "",
        temporary=static and bool(credentials.token),
        refreshes=not static,
        expires_at=_noted_expiry(session, credentials) if static else None,
    )


def _noted_expiry(session: Session, credentials: Any) -> datetime | None:
    if credentials.method not in ("shared-credentials-file", "config-file"):
        return None
    scoped: Mapping[str, Any] = session.get_scoped_config()
    for key in EXPIRY_KEYS:
        if scoped.get(key):
            written = str(scoped[key]).strip().replace(" ", "T", 1)
            # Tools write UTC, some without saying so.
            for text in (written, f"{written}Z"):
                try:
                    return read_instant(text)
                except ValueError:
                    continue
    return None


class DyingSource:
    """Warns once when source credentials that cannot renew themselves are about to expire."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._credentials = load_credentials(session)
        self._clock = clock
        self._warned = False

    @property
    def interactive(self) -> bool:
        """Whether a person at the terminal must first be asked for them, as far as is known.

        Whoever reads, on an event loop perhaps, asks this: nothing is looked up.
        """
        return bool(getattr(self._credentials, "interactive", False))

    def check(self) -> None:
        """Warn if they run out soon, unless that was said before."""
        if self._warned:
            return
        known = facts(self._session)
        if not known.dies or known.expires_at is None:
            return
        left = known.expires_at - datetime.fromtimestamp(self._clock.time(), timezone.utc)
        if left <= RUNNING_OUT:
            self._warned = True
            state = "expired" if left <= timedelta(0) else "expire"
            message = (
                f"the source credentials {known} {state} at {known.expires_at.isoformat()} and "
                "cannot renew themselves: role sessions made from them last no longer than their "
                "current hour; sign in again"
            )
            try:
                warnings.warn(message, RuntimeWarning, stacklevel=2)
            except RuntimeWarning:  # python -W error: that must not fail the fetch
                log.warning("%s", message)

    def fetch(self) -> None:
        """Have them ready, renewed if need be.

        Raises:
            CredentialsExpired: they cannot be renewed; neither it nor its cause shows a secret.
            RolecallError, ClientError, BotoCoreError: whoever renews them raised that.
        """
        trouble: CredentialsExpired | None = None
        cause: Exception | None = None
        self._credentials = load_credentials(self._session)  # it may have been given others
        try:
            self._credentials.get_frozen_credentials()
        except (RolecallError, ClientError, BotoCoreError):
            raise
        except Exception as error:  # a refresh function of the program's own, or botocore's own
            said = quote(error)
            trouble = CredentialsExpired(
                f"the source credentials ({getattr(self._credentials, 'method', 'unknown')}) "
                f"cannot be had: {said.text}"
            )
            cause = error if said.clean else None
        if trouble is not None:
            raise trouble from cause

    def hint(self) -> str:
        """Return what to do about source credentials that AWS says are expired."""
        known = facts(self._session)
        if not known.dies:
            return ""
        when = f" at {known.expires_at.isoformat()}" if known.expires_at else ""
        return (
            f"the source credentials {known} expired{when} and cannot renew themselves: sign in "
            "again, or use a source that renews itself (a profile with sso_session, "
            "credential_process or role_arn)"
        )
