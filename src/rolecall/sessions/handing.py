"""Handing a session's credentials on to other programs: ahead of the windows that SDKs have."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ..clock import SYSTEM_CLOCK, Clock
from ..credentials import Credentials
from ..errors import ConfigError, CredentialsExpired, RolecallError
from ..refresh import Refresher, RefreshPolicy
from ..sources.origin import load_credentials
from ..sources.quote import quote
from ..sources.upstream import botocore_session, expiry_of
from .boto import RoleSession

#: When credentials that other programs are given are renewed. botocore asks again at every request
#: when less than 15 minutes are left, other SDKs from 5 on: an hour's session is handed out with
#: more than 20. Without jitter, which would take from that; a machine has few of them.
HANDING_POLICY = RefreshPolicy(
    ahead=timedelta(minutes=25), jitter=0.0, critical_wait=timedelta(milliseconds=300)
)


class SessionSource:
    """A `Source` of what any boto3 or botocore session has, whoever renews it."""

    def __init__(self, session: Any) -> None:
        self._session = botocore_session(session)

    def __repr__(self) -> str:
        return f"SessionSource({self._session.profile or 'the environment'})"

    def get(self) -> Credentials:
        """Return the session's current credentials.

        Raises:
            NoCredentialsError: there are none (botocore's).
            CredentialsExpired: they cannot be renewed.
        """
        trouble: CredentialsExpired | None = None
        cause: Exception | None = None
        credentials = load_credentials(self._session)
        try:
            frozen = credentials.get_frozen_credentials()
        except (RolecallError, ClientError, BotoCoreError):
            raise
        except Exception as error:  # botocore's own RuntimeError, or a program's refresh function
            said = quote(error)
            trouble = CredentialsExpired(f"{self!r}: they cannot be had: {said.text}")
            cause = error if said.clean else None
        if trouble is not None:
            raise trouble from cause
        return Credentials(
            access_key=frozen.access_key,
            secret_key=frozen.secret_key,
            token=frozen.token,
            expires_at=expiry_of(credentials),
            account_id=getattr(frozen, "account_id", None),
        )


class Newer:
    """A `Source` over another refresher: whoever asks it again wants what is newer."""

    def __init__(self, refresher: Refresher) -> None:
        self._refresher = refresher
        self._last = ""

    def __repr__(self) -> str:
        return f"Newer({self._refresher.name})"

    @property
    def interactive(self) -> bool:
        """Whether somebody at the terminal may have to be asked."""
        return self._refresher.prompts

    def get(self) -> Credentials:
        """Return what the refresher holds, refreshed if that was returned before."""
        held = self._refresher.get()
        if held.access_key == self._last:
            held = self._refresher.refresh()
        self._last = held.access_key
        return held

    def reject(self, access_key: str) -> None:
        """Let the refresher know that a service refused *access_key*."""
        self._refresher.invalidate(access_key)


def handing(
    session: Any, *, policy: RefreshPolicy = HANDING_POLICY, clock: Clock = SYSTEM_CLOCK
) -> Refresher:
    """Return a refresher of *session*'s credentials under *policy*; its own if that is its policy.

    Raises:
        TypeError: it is no session.
        ConfigError: it is asynchronous.
    """
    if isinstance(session, RoleSession):
        own = refresher_of(session)
        if own.policy == policy:
            return own
        return Refresher(Newer(own), policy=policy, clock=own.clock, name=own.name)
    return Refresher(SessionSource(session), policy=policy, clock=clock)


def refresher_of(session: RoleSession) -> Refresher:
    """Return what keeps *session*'s credentials."""
    return session._child.refresher


def local_expiry(credentials: Credentials) -> datetime:
    """Return when *credentials* expire by the local clock, which is what other programs go by.

    Raises:
        ConfigError: they never do: long-term keys, which are not handed on.
    """
    if credentials.expires_at is None or credentials.token is None:
        raise ConfigError(
            f"{credentials.access_key} is a long-term key, which is not handed to other programs",
            hint="name a role, or a profile whose credentials expire",
        )
    return credentials.expires_at - credentials.clock_offset
