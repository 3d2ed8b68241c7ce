"""The only place that composes: a chain becomes sources, refreshers and sessions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from weakref import WeakValueDictionary

from botocore.exceptions import NoCredentialsError
from botocore.session import Session

from ..chain import (
    Origin,
    Profile,
    Role,
    RoleArn,
    RoleChain,
    role_problems,
    session_name,
)
from ..clock import SYSTEM_CLOCK, Clock
from ..errors import ConfigError, InvalidChain
from ..fork import ForkSafeLock
from ..refresh import DEFAULT_POLICY, Listener, Refresher, RefreshPolicy
from ..sources.clients import check_keywords, sts_client
from ..sources.identity import identity
from ..sources.mfa import CodeSource, code_source
from ..sources.origin import DyingSource, load_credentials, signer_of
from ..sources.refusals import invalid, misconfigured
from ..sources.sts import AssumeRole
from ..sources.upstream import botocore_session
from ..stores import as_store, cache_key
from .boto import Child, RoleSession, open_child
from .origins import given_first, open_origin, open_session_token, stored_in_cache
from .parents import is_role_session
from .recipe import Recipe, Region, refuse_types

SESSION_NAME_VARIABLE = "AWS_ROLE_SESSION_NAME"

_COMPONENT = "rolecall_shared"


class _Shared:
    """What sessions that start from one session have in common. Lives as its component.

    Attributes:
        of: The session's credentials: with others it is somebody else.
    """

    def __init__(self, of: Any) -> None:
        self.of = of
        self.lock: ForkSafeLock = ForkSafeLock()  # guards them all
        self.sessions: WeakValueDictionary[Any, RoleSession] = WeakValueDictionary()
        self.refreshers: WeakValueDictionary[Any, Refresher] = WeakValueDictionary()
        self.codes: WeakValueDictionary[Any, CodeSource] = WeakValueDictionary()
        # Kept for as long as the session that they were made from: a code was spent on each.
        self.mfa_sessions: dict[Any, RoleSession] = {}


_components_lock = ForkSafeLock()


def _shared(session: Session) -> _Shared:
    try:
        credentials = load_credentials(session)
    except NoCredentialsError:  # a chain without roles needs none
        credentials = None
    with _components_lock:
        try:
            shared: _Shared = session.get_component(_COMPONENT)
        except ValueError:  # botocore's word for: no such component
            shared = _Shared(credentials)
            session.register_component(_COMPONENT, shared)
        if signer_of(shared.of) != signer_of(credentials):
            shared = _Shared(credentials)
            session.register_component(_COMPONENT, shared)
    return shared


def open_role(
    given: Any, chain: RoleChain, recipe: Recipe, shared: _Shared | None = None
) -> RoleSession:
    """Return a session of the last role of *chain*, assumed by the session *given*."""
    return open_child(child_of(given, chain, recipe, shared))


def child_of(given: Any, chain: RoleChain, recipe: Recipe, shared: _Shared | None = None) -> Child:
    """Return what makes a session of the last role of *chain*, assumed by the session *given*."""
    role = chain.roles[-1]
    caller = given
    if recipe.mfa_session is not None and role.mfa_serial is not None:
        caller = _mfa_session(given, role.mfa_serial, recipe.mfa_session, recipe)
        role = replace(role, mfa_serial=None)
    parent = botocore_session(caller)
    refresher = None
    if shared is not None:
        with shared.lock:
            refresher = shared.refreshers.get((chain.roles, recipe.key))
    if refresher is None:
        refresher = _refresher(given, parent, role, chain, recipe)
        if shared is not None:
            with shared.lock:
                refresher = shared.refreshers.setdefault((chain.roles, recipe.key), refresher)
    return Child(
        refresher=refresher,
        parent=caller,
        shown_parent=given,
        method="assume-role",
        identity=lambda: cache_key(
            role.request() | _chosen_name(role),
            source=identity(parent),
            partition="",
            endpoint=recipe.sts_client_kwargs.get("endpoint_url"),
        ),
        features=("CREDENTIALS_STS_ASSUME_ROLE",),
        recipe=recipe,
        chain=chain,
    )


def _refresher(
    given: Any, parent: Session, role: Role, chain: RoleChain, recipe: Recipe
) -> Refresher:
    hop = len(chain.roles) - 1
    codes = None if role.mfa_serial is None else _codes(parent, role.mfa_serial, recipe)
    environ = os.environ  # noqa: TID251 - border
    name = role.session_name or session_name(environ)
    # A name that somebody chose belongs to the key of a cached session, for it is in audit trails;
    # one that was made up does not.
    made_up = not role.session_name and not environ.get(SESSION_NAME_VARIABLE)
    source = AssumeRole(
        lambda: sts_client(parent, recipe.sts_client_kwargs),
        role,
        # Made up once: a session keeps its name over all its rotations.
        session_name=name,
        hop=hop,
        token_codes=codes,
        parent=DyingSource(parent, recipe.clock),
        pace=recipe.pace,
        clock=recipe.clock,
    )
    stored = stored_in_cache(
        source,
        recipe,
        parent,
        role.request() if made_up else {**role.request(), "RoleSessionName": name},
        operation="AssumeRole",
        # Not validated, on the caller's wish: STS will say what is wrong.
        partition=partition_in(role.arn) or "aws",
        generated_session_name=made_up,
        # Not where an MFA session stands between: the AWS CLI knows no such thing.
        chain=chain if chain.roles[-1] == role else None,
        start=given,
    )
    return recipe.refresher(stored, source.what)


def _chosen_name(role: Role) -> dict[str, str]:
    """Return the session name that the environment gives, where *role* has none."""
    name = os.environ.get(SESSION_NAME_VARIABLE)  # noqa: TID251 - border
    return {"RoleSessionName": name} if name and not role.session_name else {}


def _codes(parent: Session, serial: str, recipe: Recipe) -> CodeSource:
    """Return what gives the codes of one device: one for all roles, for a code works once."""
    if recipe.mfa_token_provider is None and recipe.token_code is not None:
        return code_source(recipe.token_code, serial, clock=recipe.clock)
    if recipe.token_code is not None:
        asked = _codes(parent, serial, replace(recipe, token_code=None))
        return given_first(recipe, serial, asked)
    shared = _shared(parent)
    key = (serial, _who(recipe.mfa_token_provider), id(recipe.clock))
    with shared.lock:
        found = shared.codes.get(key)
        if found is None:
            found = code_source(recipe.mfa_token_provider, serial, clock=recipe.clock)
            shared.codes[key] = found
    return found


def partition_in(arn: object) -> str | None:
    """Return the partition in a role's ARN; None: it is no role's ARN."""
    try:
        return RoleArn.parse(str(arn)).partition
    except ValueError:
        return None


def _mfa_session(given: Any, serial: str, duration: timedelta, recipe: Recipe) -> RoleSession:
    """Return *given*'s one session with MFA, from which any number of roles are assumed."""
    shared = _shared(botocore_session(given))
    # Any two callables count as one: it is one device, and a lambda is another at each call.
    who = callable(recipe.mfa_token_provider) or _who(recipe.mfa_token_provider)
    key = (serial, duration, who, id(recipe.clock))
    with shared.lock:
        found = shared.mfa_sessions.get(key)
    if found is not None and not _wants_code(found, recipe):
        return found
    # Made outside the lock, for it may look credentials up. Two threads at once make two; one
    # of them is used, and a session that nobody uses asks for no code.
    made = open_session_token(given, duration, serial, replace(recipe, region_name=None), None)
    with shared.lock:
        if shared.mfa_sessions.get(key) is found:
            shared.mfa_sessions[key] = made
        return shared.mfa_sessions[key]


def _wants_code(session: RoleSession, recipe: Recipe) -> bool:
    """Return whether *session* has nothing that is valid, and *recipe* brings a new code."""
    if recipe.mfa_token_provider is not None:
        return False  # it asks for codes itself
    if recipe.token_code == session._recipe.token_code:
        return False  # one code for several roles: it is the session that spends it
    return session.get_credentials().state in ("empty", "expired")


def _who(provider: Any) -> Any:
    """Return what tells one source of codes from another: a command's words, or the object."""
    asks = getattr(provider, "asks", provider)  # what a coroutine function is wrapped in
    return tuple(asks) if isinstance(asks, (list, tuple)) else id(asks)


def open_chain(
    chain: RoleChain,
    *,
    region_name: Region = None,
    refresh_policy: RefreshPolicy | None = None,
    on_event: Listener | None = None,
    sts_client_kwargs: Mapping[str, Any] | None = None,
    inherit_config: bool = True,
    store: Any = None,
    cache: Any = None,
    mfa_token_provider: Any = None,
    mfa_session: timedelta | None = None,
    clock: Clock = SYSTEM_CLOCK,
    profile: str | None = None,
) -> Any:
    """Return a session of *chain*'s last role; keywords as for `rolecall.assume_role`.

    *store* is what *cache* is there. With the configuration of *profile* (region, endpoints …) all
    is made, if it is given; else with that of the chain's origin.

    Chains from one origin share the sessions and refreshers of what they have in common, so that a
    hub role is assumed once for any number of spokes.

    Raises:
        InvalidChain: the chain breaks documented limits; also botocore's ParamValidationError.
        NoCredentialsError: there are none at the origin (botocore's).
        ConfigError: a profile does not add up.
        TypeError: *store* and *cache* are both given, or not what a session can be kept in.
    """
    _, child = preparing(
        chain,
        region_name=region_name,
        refresh_policy=refresh_policy,
        on_event=on_event,
        sts_client_kwargs=sts_client_kwargs,
        inherit_config=inherit_config,
        store=store,
        cache=cache,
        mfa_token_provider=mfa_token_provider,
        mfa_session=mfa_session,
        clock=clock,
        profile=profile,
    )
    opened = child()
    return open_child(opened) if isinstance(opened, Child) else opened


def preparing(
    chain: RoleChain,
    *,
    region_name: Region = None,
    refresh_policy: RefreshPolicy | None = None,
    on_event: Listener | None = None,
    sts_client_kwargs: Mapping[str, Any] | None = None,
    inherit_config: bool = True,
    store: Any = None,
    cache: Any = None,
    mfa_token_provider: Any = None,
    mfa_session: timedelta | None = None,
    clock: Clock = SYSTEM_CLOCK,
    profile: str | None = None,
) -> tuple[Recipe, Callable[[], Any]]:
    """Check the arguments of `open_chain`; return the last hop's recipe, and what opens it.

    That gives a `Child`, or a session of the origin where the chain has no roles.
    """
    environ = os.environ  # noqa: TID251 - border
    refuse_types(
        region_name=region_name,
        mfa_session=mfa_session,
        refresh_policy=refresh_policy,
        on_event=on_event,
        sts_client_kwargs=sts_client_kwargs,
    )
    if store is not None and cache is not None:
        raise TypeError("store and cache are two names of one thing: give one")
    store = cache if store is None else store
    if store is not None:
        as_store(store)  # TypeError at the call, not at the first fetch
    try:
        chain.validate()
    except InvalidChain as error:
        raise invalid(error) from None
    recipe = Recipe(
        policy=(refresh_policy or DEFAULT_POLICY).with_environ(environ),
        on_event=on_event,
        sts_client_kwargs=check_keywords(sts_client_kwargs),
        inherit_config=inherit_config,
        cache=store,
        mfa_token_provider=mfa_token_provider,
        mfa_session=mfa_session,
        clock=clock,
    )
    last = replace(recipe, region_name=region_name)
    variables = None if profile is None else {"profile": profile}
    return last, lambda: _open(chain, last, recipe, environ, variables)


def _open(
    chain: RoleChain,
    last: Recipe,
    others: Recipe,
    environ: Mapping[str, str],
    variables: Mapping[str, Any] | None,
) -> Any:
    origin = open_start(chain.origin, others, environ, variables)
    if chain.roles and is_role_session(botocore_session(origin), environ):
        # Only now it shows that the origin is itself a role, as of a profile that is a chain.
        found = role_problems(chain.roles[0], 0, chained=True)
        if found:
            raise invalid(InvalidChain(found))
    return _follow(origin, chain, last, others)


def _follow(origin: Any, chain: RoleChain, last: Recipe, others: Recipe) -> Any:
    """Return what makes a session of *chain*'s last role, assumed hop by hop from *origin*.

    That is *origin* itself where there are no roles.
    """
    shared = _shared(botocore_session(origin))
    session = origin
    for number, _ in enumerate(chain.roles, 1):
        prefix = RoleChain(chain.origin, *chain.roles[:number])
        if number == len(chain.roles):
            return child_of(session, prefix, last, shared)
        session = _prefix_session(session, prefix, others, shared)
    return session


def _prefix_session(given: Any, prefix: RoleChain, recipe: Recipe, shared: _Shared) -> RoleSession:
    key = (prefix.roles, recipe.key)
    with shared.lock:
        found = shared.sessions.get(key)
    if found is not None:
        return found
    made = open_role(given, prefix, recipe, shared)
    with shared.lock:
        return shared.sessions.setdefault(key, made)


def open_start(
    origin: Origin,
    recipe: Recipe,
    environ: Mapping[str, str],
    variables: Mapping[str, Any] | None = None,
) -> Any:
    """Return the session that *origin* stands for; a profile that is itself a chain is followed.

    botocore would assume that profile's roles, too, but refresh them by its own rules. As with
    botocore, all its STS calls are made with the configuration of the profile that was named.

    Raises:
        ConfigError: the profile or the origin does not add up.
    """
    if not isinstance(origin, Profile) or origin.own_keys:
        return open_origin(origin, recipe=recipe, environ=environ, variables=variables)
    looked_up = Session(profile=origin.name)
    for name in ("config_file", "credentials_file"):
        if variables and name in variables:
            looked_up.set_config_variable(name, variables[name])
    config = looked_up.full_config
    try:
        chain = RoleChain.from_profile(origin.name, environ=environ, config=config)
    except ConfigError as error:
        raise misconfigured(error, missing=origin.name not in config["profiles"]) from None
    if chain.origin == origin and not chain.roles:
        return open_origin(origin, recipe=recipe, environ=environ, variables=variables)
    start = chain.origin
    if isinstance(start, Profile):
        # A source profile without credentials is an error; it is not the machine's own role.
        start = Profile(start.name, own_keys=True)
    opened = open_origin(
        start,
        recipe=recipe,
        environ=environ,
        variables={**(variables or {}), "profile": origin.name},
    )
    load_credentials(botocore_session(opened))
    followed = _follow(opened, RoleChain(start, *chain.roles), recipe, recipe)
    return open_child(followed) if isinstance(followed, Child) else followed
