"""Asynchronous sessions: `assume_role` and its companions for asyncio programs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict, overload

import boto3
from aiobotocore.session import AioSession
from botocore.config import Config
from botocore.exceptions import ProfileNotFound
from botocore.session import Session

from ...chain import GivenSession, Origin, Profile, RoleChain, SessionToken
from ...clock import SYSTEM_CLOCK, Clock
from ...errors import ConfigError, InvalidChain
from ...refresh import Listener, RefreshPolicy
from ...sources.coroutine import AsyncCallableSource, Awaited
from ...sources.custom import is_async
from ...sources.mfa import code_source, is_async_generator
from ...sources.refusals import invalid, misconfigured
from ...sources.upstream import botocore_session, default_session
from ..assume import MFATokenProvider, Order, carry_out, fetching, taken
from ..assume import assume_role as _assume_role
from ..bind import preparing
from ..boto import Child
from ..inherit import plain_config
from ..parents import SignedFor
from ..recipe import Region
from .credentials import AioRefreshingCredentials
from .opening import Opening
from .parents import aio_session_of, assuming, configured_as
from .session import AioRoleSession, open_aio_child

if TYPE_CHECKING:
    import aioboto3
    from typing_extensions import Unpack

    from .of_aioboto3 import AioBoto3RoleSession

__all__ = [
    "AioRefreshingCredentials",
    "AioRoleSession",
    "assume_role",
    "open_aio_chain",
    "refreshable_session",
]


class Keywords(TypedDict, total=False):
    """The keywords of `rolecall.assume_role`."""

    RoleSessionName: str | None
    PolicyArns: Iterable[str | Mapping[str, str]] | None
    Policy: str | Mapping[str, Any] | Sequence[Any] | None
    DurationSeconds: int | timedelta | None
    Tags: Mapping[str, str] | Iterable[Mapping[str, str]] | None
    TransitiveTagKeys: Iterable[str] | None
    ExternalId: str | None
    SerialNumber: str | None
    TokenCode: str | None
    SourceIdentity: str | None
    region_name: Region
    validate: bool
    cache: Any
    additional_kwargs: Mapping[str, Any] | None
    mfa_token_provider: MFATokenProvider | Callable[[], Awaitable[str]] | None
    mfa_session: timedelta | None
    refresh_policy: RefreshPolicy | None
    on_event: Listener | None
    sts_client_kwargs: Mapping[str, Any] | None
    inherit_config: bool
    clock: Clock


@overload
def assume_role(  # type: ignore[overload-overlap]  # it is a boto3 session, too
    session: aioboto3.Session, RoleArn: str, **keywords: Unpack[Keywords]
) -> AioBoto3RoleSession: ...


@overload
def assume_role(
    session: AioSession | boto3.Session | Session | None, RoleArn: str, **keywords: Unpack[Keywords]
) -> AioRoleSession: ...


def assume_role(session: Any, RoleArn: str, **keywords: Any) -> Any:
    """Return an asynchronous session that acts as the role *RoleArn* and never expires.

    Nothing is looked up or called here, so it needs no event loop and no ``await``. Keywords are
    those of `rolecall.assume_role`; *mfa_token_provider* may be a coroutine function here.

    Args:
        session: Who assumes the role: an aiobotocore or aioboto3 session, or a boto3 or botocore
            one; None: boto3's default session.

    Returns:
        An `aioboto3.Session` for one of those, else an `aiobotocore.session.AioSession`.

    Raises:
        InvalidChain: arguments break documented limits; also botocore's ParamValidationError.
            What depends on whose credentials *session* has shows at the first use, as does
            NoCredentialsError.
        ConfigError: *sts_client_kwargs* cannot be used.
        TypeError: an argument is of the wrong kind.
    """
    try:
        given = _SIGNATURE.bind(session, RoleArn, **keywords)
    except TypeError as error:
        raise TypeError(f"assume_role() {error}") from None
    given.apply_defaults()
    if session is None:
        session = default_session()  # boto3's of now, not of the first use
    inner = aio_session_of(session)
    order = taken(RoleArn, **_off_the_loop(given.kwargs))
    found = list(order.problems)
    as_far_as_known = None
    if order.role is not None:
        before = inner.leads_here if isinstance(inner, AioRoleSession) else None
        as_far_as_known = (before or RoleChain(GivenSession(session))) + order.role
        found = [*(as_far_as_known.problems() if order.validate else ()), *found]
    if found:
        raise invalid(InvalidChain(found))
    signing = assuming(session)
    child = open_aio_child(
        Opening(lambda: _carried_out(order, session, signing()), str(RoleArn)),
        parent=botocore_session(session),
        features=("CREDENTIALS_STS_ASSUME_ROLE",),
        region_name=order.recipe.region_name,
        inherit_config=order.recipe.inherit_config,
        shown_parent=session,
    )
    child.leads_here = as_far_as_known
    return _face(session, child)


def _carried_out(order: Order, session: Any, signer: Any) -> Child:
    """Carry out *order* with what signs for *session*, which is what its chain names."""
    child = carry_out(order, signer)
    if child.chain is None or child.chain.origin != GivenSession(signer):
        return child
    return replace(child, chain=RoleChain(SignedFor(session, signer), *child.chain.roles))


_SIGNATURE = inspect.signature(_assume_role)
assume_role.__signature__ = _SIGNATURE.replace(  # type: ignore[attr-defined]  # for help()
    return_annotation="AioRoleSession | aioboto3.Session"
)


class RefreshableKeywords(TypedDict, total=False):
    """The keywords of `rolecall.refreshable_session`, but for the session."""

    region_name: str | None
    name: str | None
    method: str
    refresh_policy: RefreshPolicy | None
    on_event: Listener | None
    inherit_config: bool
    clock: Clock


@overload
def refreshable_session(  # type: ignore[overload-overlap]  # it is a boto3 session, too
    fetch: Callable[[], object],
    *,
    base_session: aioboto3.Session,
    **keywords: Unpack[RefreshableKeywords],
) -> AioBoto3RoleSession: ...


@overload
def refreshable_session(
    fetch: Callable[[], object],
    *,
    base_session: AioSession | boto3.Session | Session | None = None,
    **keywords: Unpack[RefreshableKeywords],
) -> AioRoleSession: ...


def refreshable_session(
    fetch: Callable[[], object],
    *,
    region_name: str | None = None,
    base_session: Any = None,
    name: str | None = None,
    method: str = "custom-refreshable",
    refresh_policy: RefreshPolicy | None = None,
    on_event: Listener | None = None,
    inherit_config: bool = True,
    clock: Clock = SYSTEM_CLOCK,
) -> Any:
    """Return an asynchronous session whose credentials come from *fetch*, called ahead of expiry.

    Args:
        fetch: As for `rolecall.refreshable_session`, or a coroutine function. That one runs on the
            event loop of a task that waits for it, and so may use what belongs to that loop. A
            plain function runs in a thread, and may block.
        base_session: Whose configuration is taken over; the result is an `aioboto3.Session` if it
            is one. None: a new session's.

    Raises:
        TypeError: *fetch* is not callable.
    """
    aio_session_of(base_session)
    base = AioSession() if base_session is None else base_session
    source = AsyncCallableSource(fetch, name=name, clock=clock)
    inner = botocore_session(base)
    opened = fetching(
        source,
        region_name=region_name,
        refresh_policy=refresh_policy,
        on_event=on_event,
        inherit_config=inherit_config,
        clock=clock,
        method=method,
    )
    child = open_aio_child(
        Opening(lambda: opened(configured_as(inner)), source.name),
        parent=inner,
        features=("CREDENTIALS_CODE",),
        region_name=region_name,
        inherit_config=inherit_config,
        shown_parent=base,
    )
    return _face(base, child)


def open_aio_chain(chain: RoleChain, **keywords: Any) -> AioRoleSession:
    """Return an asynchronous session of *chain*'s last role; keywords as for `open_chain`.

    It shares its credentials with the boto3 sessions of the same chain.

    Raises:
        InvalidChain: the chain breaks documented limits; also botocore's ParamValidationError.
            What depends on the origin's credentials shows at the first use.
        TypeError: an argument is of the wrong kind.
    """
    try:
        inspect.signature(preparing).bind(chain, **keywords)
    except TypeError as error:
        raise TypeError(f"aio_session() {error}") from None
    keywords = _off_the_loop(keywords)
    recipe, open_ = preparing(chain, **keywords)
    first = _first(chain.origin)
    if isinstance(first, GivenSession) and aio_session_of(first.session) is not None:
        open_ = functools.partial(_open_from, assuming(first.session), chain, keywords)
    return open_aio_child(
        Opening(open_, str(chain)),
        parent=_configuration(first),
        features=("CREDENTIALS_STS_ASSUME_ROLE",) if chain.roles else (),
        region_name=recipe.region_name,
        inherit_config=recipe.inherit_config,
        chain=chain,
        sts_client_kwargs=recipe.sts_client_kwargs,
    )


def _first(origin: Origin) -> Origin:
    """Return where *origin* itself starts from."""
    return origin.of if isinstance(origin, SessionToken) else origin


def _open_from(signing: Callable[[], Any], chain: RoleChain, keywords: Mapping[str, Any]) -> Any:
    """Open *chain* with what signs for the asynchronous session that it starts from."""
    given = _first(chain.origin)
    assert isinstance(given, GivenSession)
    first = SignedFor(given.session, signing())
    origin: Origin = first
    if isinstance(chain.origin, SessionToken):
        origin = SessionToken(first, chain.origin.duration, chain.origin.mfa_serial)
    _, open_ = preparing(RoleChain(origin, *chain.roles), **keywords)
    return open_()


def _configuration(origin: Origin) -> Session:
    """Return a session with the configuration of what a chain starts from.

    Raises:
        ConfigError: its profile does not exist; also botocore's ProfileNotFound.
    """
    if isinstance(origin, GivenSession):
        return botocore_session(origin.session)
    session = Session(profile=origin.name if isinstance(origin, Profile) else None)
    try:
        session.get_component("data_loader")  # reads the configuration
    except ProfileNotFound:
        try:
            RoleChain.from_profile(session.profile, config=session.full_config)
        except ConfigError as error:
            raise misconfigured(error, missing=True) from None
        raise
    return session


def _face(like: Any, session: AioRoleSession) -> Any:
    """Return *session* as what *like* is: of aioboto3 or of aiobotocore."""
    if not any(kind.__module__.partition(".")[0] == "aioboto3" for kind in type(like).__mro__):
        return session
    from .of_aioboto3 import AioBoto3RoleSession  # aioboto3, which not everybody has

    return AioBoto3RoleSession(session)


def _off_the_loop(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return *keywords* as a thread and a synchronous STS client can use them."""
    changed = dict(keywords)
    provider = keywords.get("mfa_token_provider")
    if callable(provider) and is_async(provider) and not is_async_generator(provider):
        changed["mfa_token_provider"] = Awaited(provider)
    if provider is not None:
        code_source(changed["mfa_token_provider"], "")  # refuses what gives no codes
    client = keywords.get("sts_client_kwargs")
    if isinstance(client, Mapping) and isinstance(client.get("config"), Config):
        changed["sts_client_kwargs"] = {**client, "config": plain_config(client["config"])}
    return changed
