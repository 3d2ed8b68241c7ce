"""The asynchronous session itself: an `AioSession` over the same machinery as a boto3 session."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from typing import Any, cast

import boto3
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentialResolver
from aiobotocore.session import AioSession
from botocore.config import Config
from botocore.credentials import CredentialProvider
from botocore.exceptions import NoCredentialsError
from botocore.session import Session

from ..._version import __version__
from ...chain import RoleChain
from ...chain.opened import AioChainSession
from ...fork import tell_after_fork
from ...refresh import Refresher
from ...refresh.aio import in_thread, running_loop
from ...sources.clients import sts_client
from ...sources.origin import load_credentials
from ...sources.redaction import redact_logs
from ...sources.upstream import botocore_session
from ..boto import Child, NoToken, RoleSession, note_features, set_region
from ..inherit import inherit
from ..pickling import arrived, give_variables, packed, variables_of
from ..recipe import Region
from .beside import CredentialsBesideTheLoop
from .credentials import AioRefreshingCredentials
from .events import AioPresigning, AioRejections
from .opening import Opening


class AioRoleSession(AioChainSession, AioSession):
    """An `aiobotocore.session.AioSession` that acts as a role and never expires.

    It may be used from any number of event loops and threads, one after the other or at once, and
    pickles as a boto3 session of ours does: without keys.

    Attributes:
        assume_role_parent_session: The session that assumes the role; None for one opened by a
            chain.
        chain: Origin and roles; None until the session is used where they depend on what its
            parent's credentials are.
    """

    assume_role_parent_session: Any
    _opening: Opening
    _features: tuple[str, ...]
    _chain: RoleChain | None

    #: Whose loader of service descriptions it is to share. None: it does.
    _loader_of: Session | None = None

    #: Its chain as far as it is known at the call: enough to check what is assumed from it.
    leads_here: RoleChain | None = None

    def get_component(self, name: str) -> Any:
        """Return a component; the loader is the parent's, which reads its configuration for it."""
        if name == "data_loader" and self._loader_of is not None:
            self.register_component(name, self._loader_of.get_component(name))
            self._loader_of = None
        return super().get_component(name)

    async def get_credentials(self) -> AioRefreshingCredentials:  # type: ignore[override]
        """Return the session's one credentials object.

        Without any role, that of a chain has the same names, but is botocore's; None: there is
        none where the chain starts.

        Raises:
            NoCredentialsError: whoever assumes the role has none (botocore's).
            ConfigError: no asyncio event loop runs here.
        """
        running_loop()
        await self._opening.opened()
        note_features(self._features)
        return cast(AioRefreshingCredentials, await super().get_credentials())

    @property
    def chain(self) -> RoleChain | None:
        """Origin and roles, as far as they are known."""
        child = self._opening.child
        return child.chain if isinstance(child, Child) else self._chain

    def synchronous(self) -> boto3.Session:
        """Return the boto3 session with the same credentials; blocks until it is open.

        Raises:
            as `get_credentials`.
        """
        session: boto3.Session = self._opening.wait()
        return session

    def __repr__(self) -> str:
        # The address belongs in it: fsspec takes two file systems with equal options for one.
        return f"<AioRoleSession {self._opening.name} at {id(self):#x}>"

    def __reduce__(self) -> tuple[Any, ...]:
        session, name, variables = self.synchronous(), self._opening.name, variables_of(self)
        if isinstance(session, RoleSession):
            return around, (session, name, variables)
        # A chain without roles: a session of boto3's own would take its keys along.
        open_, arguments = packed(session)
        return _around_packed, (open_, arguments, name, variables)

    def __deepcopy__(self, memo: dict[int, Any]) -> AioRoleSession:
        return self

    def __copy__(self) -> AioRoleSession:
        return self


class _Provider(CredentialProvider):
    """Hands out one credentials object, always the same."""

    CANONICAL_NAME = None
    METHOD = "rolecall"

    def __init__(self, opening: Opening, sts_client_kwargs: Mapping[str, Any]) -> None:
        super().__init__()
        self._opening = opening
        self._sts_client_kwargs = sts_client_kwargs
        self._lock = threading.Lock()  # guards _made
        self._made: Any = None
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Forget the parent's lock."""
        self._lock = threading.Lock()

    async def load(self) -> Any:  # aiobotocore awaits it
        if self._made is not None:
            return self._made
        opened = await self._opening.opened()
        child = child_in(opened)
        made: Any = None
        if child is not None:
            made = AioRefreshingCredentials(child, lambda: self._opening.session, child.method)
        else:
            inner = botocore_session(opened)
            theirs = await in_thread(lambda: _found(inner))
            if theirs is None:
                return None  # as aiobotocore does; it asks again
            client = functools.partial(sts_client, inner, self._sts_client_kwargs)
            made = CredentialsBesideTheLoop(theirs, client)
        with self._lock:
            if self._made is None:
                self._made = made
            return self._made


def child_in(opened: Any) -> Child | None:
    """Return what makes the session that was *opened*; None: not known, or it is botocore's own."""
    if isinstance(opened, RoleSession):
        return opened._child
    return opened if isinstance(opened, Child) else None


def _found(session: Session) -> Any:
    try:
        return load_credentials(session)
    except NoCredentialsError:
        return None


def open_aio_child(
    opening: Opening,
    *,
    parent: Session,
    features: tuple[str, ...],
    region_name: Region,
    inherit_config: bool,
    shown_parent: Any = None,
    chain: RoleChain | None = None,
    sts_client_kwargs: Mapping[str, Any] | None = None,
) -> AioRoleSession:
    """Return an asynchronous session with the credentials of what *opening* opens.

    Args:
        parent: The session whose configuration it takes over.
        features: botocore's user-agent feature ids.
        shown_parent: What the child calls its parent.
        sts_client_kwargs: Those of the client that says who botocore's own credentials are.
    """
    redact_logs()
    child = AioRoleSession()
    child._opening = opening
    child._features = features
    child._chain = child.leads_here = chain
    child.assume_role_parent_session = shown_parent
    child.user_agent_extra = " ".join(
        filter(None, [child.user_agent_extra, f"rolecall/{__version__}"])
    )
    child._loader_of = parent
    child.register_component("token_provider", NoToken())
    if inherit_config:
        inherit(child, parent, _aio_config)
    set_region(child, parent, region_name, inherit_config=inherit_config)
    if isinstance(region_name, str):
        child.set_config_variable("region", region_name)
    asks = dict(sts_client_kwargs or {})
    if isinstance(region_name, str):
        asks.setdefault("region_name", region_name)
    provider = _Provider(opening, asks)
    child.register_component("credential_provider", AioCredentialResolver([provider]))

    def refresher() -> Refresher | None:
        made_of = child_in(opening.child)
        return None if made_of is None else made_of.refresher

    AioRejections(refresher).register(child)
    AioPresigning(refresher).register(child)
    return child


def _aio_config(config: Config) -> Config:
    if isinstance(config, AioConfig):
        return config
    return AioConfig().merge(config)  # type: ignore[arg-type]  # it takes botocore's as well


def _around_packed(
    open_: Callable[..., Any], arguments: tuple[Any, ...], name: str, variables: Mapping[str, Any]
) -> AioRoleSession:
    return around(open_(*arguments), name, variables, RoleChain(arguments[0]))


def around(
    session: Any, name: str, variables: Mapping[str, Any], chain: RoleChain | None = None
) -> AioRoleSession:
    """Return an asynchronous session with the credentials and configuration of *session*.

    The same one for the same credentials: s3fs takes a file system that arrives a second time for
    the first one if its session looks the same.
    """
    inner = botocore_session(session)
    ours = isinstance(session, RoleSession)
    key = (session._child if ours else session, name, repr(sorted(variables.items())))
    known: AioRoleSession | None = arrived.get(key)
    if known is not None:
        return known
    child = open_aio_child(
        Opening(lambda: session._child if ours else session, name),
        parent=inner,
        features=getattr(inner, "features", ()),
        region_name=None,
        inherit_config=True,
        shown_parent=session.assume_role_parent_session if ours else None,
        chain=session.chain if ours else chain,
    )
    give_variables(child, variables)
    arrived.put(key, child)
    return child
