"""Handing a session's credentials on to other programs: ahead of the windows that SDKs have."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import (
    ClientError,
    NoCredentialsError,
    SSOError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from ..clock import SYSTEM_CLOCK, Clock
from ..credentials import Credentials
from ..errors import ConfigError, CredentialsExpired, MFARequired, RolecallError
from ..refresh import Refresher, RefreshPolicy
from ..refresh.flight import attended
from ..sources.origin import load_credentials
from ..sources.quote import quote
from ..sources.upstream import botocore_session, expiry_of
from ..stores import Stored
from .boto import RoleSession

#: When credentials that other programs are given are renewed. botocore asks again at every request
#: when less than 15 minutes are left, other SDKs from 5 on: an hour's session is handed out with
#: more than 20. Without jitter, which would take from that; a machine has few of them.
HANDING_POLICY = RefreshPolicy(
    ahead=timedelta(minutes=25),
    margin=timedelta(minutes=20),
    jitter=0.0,
    critical_wait=timedelta(milliseconds=300),
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
        except (RolecallError, ClientError, NoCredentialsError):
            raise
        except (SSOError, TokenRetrievalError, UnauthorizedSSOTokenError) as error:
            profile = self._session.profile or "default"
            raise CredentialsExpired(
                f"the sign-in of profile {profile!r} has ended, or there was none",
                hint=f"aws sso login --profile {profile}",
            ) from error
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
    """A `Source` over another refresher: whoever asks it wants what lives long, and asks nobody.

    Args:
        policy: How much must be left of what is handed on.
    """

    def __init__(self, refresher: Refresher, policy: RefreshPolicy) -> None:
        self._refresher = refresher
        self._policy = policy
        self._last = ""

    def __repr__(self) -> str:
        return f"Newer({self._refresher.name})"

    @property
    def interactive(self) -> bool:
        """Whether somebody at the terminal may have to be asked."""
        return self._refresher.prompts

    def get(self) -> Credentials:
        """Return what the refresher holds, refreshed if that was returned before or is old.

        Raises:
            MFARequired: somebody at the terminal would have to be asked. The refresher is left
                alone, so that the program itself can ask as soon as it wants to.
            FetchError: the refresher's own.
        """
        alone = self._asks and not on_behalf_of_a_person()
        if alone and self._refresher.prompts:
            raise MFARequired(
                f"{self._refresher.name}: an MFA code is needed, which nobody is asked for here",
                hint="use the session itself, which asks",
            )
        held = self._refresher.get()
        if not alone and (held.access_key == self._last or self._is_old(held)):
            held = self._refresher.refresh()
        self._last = held.access_key
        return held

    @property
    def _asks(self) -> bool:
        return bool(getattr(self._refresher.source, "interactive", False))

    def _is_old(self, held: Credentials) -> bool:
        if held.expires_at is None or held.issued_at is None:
            return False
        life = (held.expires_at - held.issued_at).total_seconds()
        left = Stored.left(held, self._refresher.clock).total_seconds()
        return left <= self._policy.windows_for(life).ahead

    def reject(self, access_key: str) -> None:
        """Let the refresher know that a service refused *access_key*."""
        self._refresher.invalidate(access_key)


def on_behalf_of_a_person() -> bool:
    """Return whether whoever fetches may ask somebody at the terminal."""
    return threading.current_thread() is threading.main_thread() or attended.get()


def handing(
    session: Any,
    *,
    policy: RefreshPolicy = HANDING_POLICY,
    own: bool = False,
    clock: Clock = SYSTEM_CLOCK,
) -> Refresher:
    """Return a refresher of *session*'s credentials under *policy*.

    Args:
        own: The session's own, which was made with the policy that is wanted: nobody else uses
            it, so that no failure can hold up a program that would have asked for a code.

    Raises:
        TypeError: it is no session.
        ConfigError: it is asynchronous.
    """
    if isinstance(session, RoleSession):
        its = refresher_of(session)
        if own:
            return its
        return Refresher(Newer(its, policy), policy=policy, clock=its.clock, name=its.name)
    return Refresher(SessionSource(session), policy=policy, clock=clock)


def refresher_of(session: RoleSession) -> Refresher:
    """Return what keeps *session*'s credentials."""
    return session._child.refresher


def local_expiry(credentials: Credentials) -> datetime:
    """Return when *credentials* expire by the local clock, which is what other programs go by.

    Raises:
        ConfigError: they never do: long-term keys, which are not handed on.
    """
    if credentials.token is None:
        raise ConfigError(
            f"{credentials.access_key} is a long-term key, which is not handed to other programs",
            hint="name a role, or a profile whose credentials expire",
        )
    if credentials.expires_at is None:
        raise ConfigError(
            f"nobody knows when {credentials.access_key} expires, so it is not handed to other "
            "programs, which would have to know",
            hint="name a role, or a source that says when its credentials expire",
        )
    return credentials.expires_at - credentials.clock_offset
