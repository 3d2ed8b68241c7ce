"""Who assumes the role of an asynchronous session: a synchronous session of the same principal.

STS is asked in a thread, so that nothing holds up the loop and the call belongs to none. That takes
a session that can sign there. An asynchronous parent gets a twin: its configuration, and its own
credentials.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiobotocore.session import AioSession
from botocore.credentials import (
    CredentialProvider,
    CredentialResolver,
    ReadOnlyCredentials,
    RefreshableCredentials,
)
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.session import Session

from ...fork import ForkSafeLock
from ...refresh.aio import awaited
from ...sources.origin import from_its_profile
from ...sources.upstream import botocore_session, default_session, is_asynchronous
from ..boto import NoToken
from ..inherit import inherit, link_region, plain_config
from .session import AioRoleSession

_COMPONENT = "rolecall_twin"


def aio_session_of(session: Any) -> AioSession | None:
    """Return the aiobotocore session of an asynchronous *session*; None: it is not asynchronous.

    Raises:
        TypeError: it is no session.
    """
    if not is_asynchronous(session):
        if session is not None:
            botocore_session(session)
        return None
    inner = botocore_session(session)
    assert isinstance(inner, AioSession)
    return inner


def assuming(session: Any) -> Callable[[], Any]:
    """Return what gives the session that signs for *session*; to be called in a thread."""
    if session is None:
        return default_session
    inner = aio_session_of(session)
    if inner is None:
        return lambda: session
    if isinstance(inner, AioRoleSession):
        return inner.synchronous
    return lambda: twin_of(inner)


_components_lock = ForkSafeLock()


class _Twin:
    """A synchronous session, and the credentials object that it was made for."""

    def __init__(self, session: Session, of: Any) -> None:
        self.session = session
        self.of = of


def twin_of(session: AioSession) -> Session:
    """Return a synchronous session of the same principal as *session*, in a thread that fetches.

    The same one for as long as *session* has the same credentials object, so that all roles assumed
    by it share one STS client.
    """
    theirs = awaited(session.get_credentials)
    with _components_lock:
        known = _known(session)
    if known is not None and known.of is theirs:
        return known.session
    made = _Twin(_make(session, theirs), theirs)
    with _components_lock:
        known = _known(session)
        if known is None or known.of is not theirs:
            session.register_component(_COMPONENT, made)
            known = made
    return known.session


def _known(session: AioSession) -> _Twin | None:
    try:
        twin: _Twin = session.get_component(_COMPONENT)
    except ValueError:  # botocore's word for: no such component
        return None
    return twin


def _make(session: AioSession, theirs: Any) -> Session:
    if theirs is not None and from_its_profile(session, theirs):
        # botocore finds the same in the same places. It knows by then whose they are, and renews
        # them without an event loop.
        twin = configured_as(session)
        if _same(twin.get_credentials(), theirs):
            return twin
    twin = configured_as(session)
    provider = _Theirs(theirs)
    twin.register_component("credential_provider", CredentialResolver([provider]))
    return twin


def configured_as(session: Session) -> Session:
    """Return a synchronous session with *session*'s configuration, and no more of an async one."""
    if not is_asynchronous(session):
        return session
    twin = Session()
    twin.register_component("data_loader", session.get_component("data_loader"))
    twin.register_component("token_provider", NoToken())
    inherit(twin, session, plain_config)
    for name, value in session.instance_variables().items():
        twin.set_config_variable(name, value)
    if "region" not in session.instance_variables():
        link_region(twin, session)
    return twin


def _same(ours: Any, theirs: Any) -> bool:
    """Return whether botocore found what aiobotocore did."""
    if getattr(ours, "method", None) != theirs.method:
        return False
    if isinstance(theirs, RefreshableCredentials):
        return isinstance(ours, RefreshableCredentials)
    if type(ours) is not BotocoreCredentials:
        return False
    return (ours.access_key, ours.secret_key, ours.token) == (
        theirs.access_key,
        theirs.secret_key,
        theirs.token,
    )


class _Theirs(CredentialProvider):
    """Hands an asynchronous session's credentials to its twin."""

    CANONICAL_NAME = None

    def __init__(self, theirs: Any) -> None:
        super().__init__()
        self.METHOD = str(getattr(theirs, "method", None))
        self._theirs = theirs

    def load(self) -> BotocoreCredentials | None:
        theirs = self._theirs
        if theirs is None:
            return None
        if isinstance(theirs, RefreshableCredentials) or not isinstance(
            theirs, BotocoreCredentials
        ):
            return Bridged(theirs)
        copied = BotocoreCredentials(
            theirs.access_key, theirs.secret_key, theirs.token, theirs.method
        )
        account = getattr(theirs, "account_id", None)
        if account is not None:
            vars(copied)["account_id"] = account  # the stubs know it as a keyword only
        return copied


class Bridged(BotocoreCredentials):
    """An asynchronous session's credentials, for a thread: awaited on the loop of who waits."""

    def __init__(self, theirs: Any) -> None:
        self._theirs = theirs
        self.method: str = getattr(theirs, "method", None) or "unknown"

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return the current access key, secret key and token, all of one set."""
        frozen: ReadOnlyCredentials = awaited(self._theirs.get_frozen_credentials)
        return frozen

    def __getattr__(self, name: str) -> Any:
        """Return a part of what is current: ``access_key``, ``secret_key``, ``token`` …"""
        if name not in ("access_key", "account_id", "secret_key", "token"):
            raise AttributeError(name)
        return getattr(self.get_frozen_credentials(), name, None)
