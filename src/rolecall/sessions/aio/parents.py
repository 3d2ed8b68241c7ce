"""Who assumes the role of an asynchronous session: a synchronous session of the same principal.

STS is asked in a thread, so that nothing holds up the loop and the call belongs to none. That takes
a session that can sign there. An asynchronous parent gets a twin: its configuration, and its own
credentials.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
from aiobotocore.session import AioSession
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.credentials import ReadOnlyCredentials, RefreshableCredentials
from botocore.session import Session

from ...fork import ForkSafeLock
from ...refresh.aio import OneAtATime, awaited
from ...sources.origin import from_its_profile
from ...sources.upstream import botocore_session, credentials_of, is_asynchronous
from ..boto import NoToken
from ..inherit import inherit, link_region, plain_config
from .session import AioRoleSession

_COMPONENT = "rolecall_twin"


def aio_session_of(session: Any) -> AioSession | None:
    """Return the aiobotocore session of an asynchronous *session*; None: it is not asynchronous.

    Raises:
        TypeError: it is no session.
    """
    if session is not None and not isinstance(session, (Session, boto3.Session)):
        # Asked first: a client, for one, is aiobotocore's, too.
        raise TypeError(
            "session must be an aiobotocore, aioboto3, boto3 or botocore Session or None, got "
            f"{type(session).__name__}"
        )
    if not is_asynchronous(session):
        return None
    inner = botocore_session(session)
    assert isinstance(inner, AioSession)
    return inner


def assuming(session: Any) -> Callable[[], Any]:
    """Return what gives the session that signs for *session*; to be called in a thread."""
    inner = aio_session_of(session)
    if inner is None:
        return lambda: session
    if isinstance(inner, AioRoleSession):
        return inner.synchronous
    return lambda: twin_of(inner)


_components_lock = ForkSafeLock()


def twin_of(session: AioSession) -> Session:
    """Return a synchronous session of the same principal as *session*.

    One for each, so that all roles assumed by it share one STS client.
    """
    with _components_lock:
        try:
            twin: Twin = session.get_component(_COMPONENT)
        except ValueError:  # botocore's word for: no such component
            twin = Twin(session)
            session.register_component(_COMPONENT, twin)
    return twin


class Twin(Session):
    """A synchronous session with an asynchronous one's configuration and credentials.

    Its credentials are for threads that fetch: they may have to be awaited.
    """

    #: Looking them up may have to wait for an event loop: `load_credentials` holds no lock over it.
    loads_safely = True

    def __init__(self, original: AioSession) -> None:
        super().__init__()
        self._original = original
        self._known: tuple[Any, Any] = (None, None)  # theirs, and ours of them
        self._look_up = OneAtATime(lambda: awaited(original.get_credentials, anywhere=True))
        # Not the profile's name: what botocore does where one is named explicitly is another thing.
        _configure(self, original, profile=False)

    @property
    def profile(self) -> str | None:
        """The profile in use, if one is named."""
        return self._original.profile

    @property
    def full_config(self) -> dict[str, Any]:
        """What the original has read, even if the file is another by now."""
        return self._original.full_config

    def get_scoped_config(self) -> dict[str, Any]:
        """Return the values of the original's profile."""
        return self._original.get_scoped_config()

    def get_credentials(self) -> Any:
        """Return the original's credentials for a thread.

        The same object for as long as the original has the same.
        """
        before, ours = self._known
        # Others where a program gave them to the original; None: not looked up yet.
        if before is not None and credentials_of(self._original, before) is before:
            return ours
        theirs = self._look_up()
        with _components_lock:
            if self._known[0] is not theirs:
                self._known = theirs, None if theirs is None else _for_threads(theirs)
            return self._known[1]

    def from_its_profile(self) -> bool:
        """Return whether they are what aiobotocore makes of the configuration."""
        return from_its_profile(self._original, self._known[0])


def _for_threads(theirs: Any) -> BotocoreCredentials:
    if isinstance(theirs, RefreshableCredentials) or not isinstance(theirs, BotocoreCredentials):
        return Bridged(theirs)
    copied = BotocoreCredentials(theirs.access_key, theirs.secret_key, theirs.token, theirs.method)
    account = getattr(theirs, "account_id", None)
    if account is not None:
        vars(copied)["account_id"] = account  # the stubs know it as a keyword only
    return copied


def configured_as(session: Session) -> Session:
    """Return a synchronous session with *session*'s configuration, and no more of an async one."""
    if not is_asynchronous(session):
        return session
    configured = Session()
    _configure(configured, session)
    return configured


def _configure(twin: Session, original: Session, *, profile: bool = True) -> None:
    twin.register_component("data_loader", original.get_component("data_loader"))
    twin.register_component("token_provider", NoToken())
    inherit(twin, original, plain_config, profile=profile)
    for name, value in original.instance_variables().items():
        twin.set_config_variable(name, value)
    if "region" not in original.instance_variables():
        link_region(twin, original)


class Bridged(BotocoreCredentials):
    """An asynchronous session's credentials, for a thread: awaited on the loop of who waits."""

    def __init__(self, theirs: Any) -> None:
        self.original = theirs
        self.method: str = getattr(theirs, "method", None) or "unknown"
        # Once for all roles: aiobotocore's lock belongs to the first loop on which two meet at it.
        self._freeze = OneAtATime(lambda: awaited(theirs.get_frozen_credentials, anywhere=True))

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return the current access key, secret key and token, all of one set."""
        frozen: ReadOnlyCredentials = self._freeze()
        return frozen

    def __getattr__(self, name: str) -> Any:
        """Return a part of what is current: ``access_key``, ``secret_key``, ``token`` …"""
        if name not in ("access_key", "account_id", "secret_key", "token"):
            raise AttributeError(name)
        return getattr(self.get_frozen_credentials(), name, None)
