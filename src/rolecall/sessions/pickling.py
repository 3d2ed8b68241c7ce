"""What travels of a session: its chain and how it was made; never a key."""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from botocore.session import Session

from ..chain import GivenSession, Origin, RoleChain, SessionToken, WebIdentity
from ..errors import ConfigError, StoreError
from ..fork import ForkSafeLock
from ..refresh import DEFAULT_POLICY
from ..sources.identity import fingerprint
from ..sources.upstream import botocore_session
from ..stores import AwsCliStore, FileStore, JSONFileCache, KeyringStore, RedisStore
from .bind import open_role, open_start
from .boto import RoleSession, open_child
from .origins import surroundings
from .parents import chain_of
from .recipe import Recipe

log: logging.Logger = logging.getLogger("rolecall")

#: A worker is sent the sessions of a job again and again, seldom of more roles than this at a time.
MOST_ARRIVED = 32


def travelling(session: RoleSession) -> tuple[Any, ...]:
    """Return what `pickle` keeps of *session*.

    Raises:
        ConfigError: it cannot be made again in another process, and why.
    """
    chain = session.chain
    if chain is None:
        raise ConfigError(
            "a session made from a callable cannot be pickled: its credentials come from this "
            "process",
            hint="make the session where it is used, or pickle a RoleChain",
        )
    origin: Any = chain.origin.of if isinstance(chain.origin, SessionToken) else chain.origin
    if isinstance(origin, GivenSession):
        raise ConfigError(
            f"{chain}: a session that starts from explicit keys or a callable cannot be pickled: "
            "the keys would have to travel",
            hint="start from a profile, the environment or a web identity, which another process "
            "finds for itself",
        )
    hops: list[RoleSession] = []
    root: Any = session
    for _ in chain.roles:
        hops.append(root)
        root = root.assume_role_parent_session
    inner = botocore_session(root)
    origin_options = _portable(root) if isinstance(root, RoleSession) else {}
    parts = (
        chain,
        origin_options,
        variables_of(inner),
        [(_portable(hop), _hop_variables(hop)) for hop in reversed(hops)],
        _start(root),
    )
    return _reopen, (*parts, hashlib.sha256(pickle.dumps(parts)).hexdigest())


def packed(session: Any) -> tuple[Any, ...]:
    """Return what makes any session again in another process, as a function and its arguments.

    Raises:
        ConfigError: it starts from explicit keys, or has them from elsewhere.
    """
    if isinstance(session, RoleSession):
        return travelling(session)
    chain = chain_of(session)
    if isinstance(chain.origin, GivenSession):
        raise ConfigError(
            "a session that was given explicit keys cannot be sent to another process: the keys "
            "would have to travel",
            hint="start from a profile, the environment or a web identity, which another process "
            "finds for itself",
        )
    inner = botocore_session(session)
    return _reopen_start, (chain.origin, variables_of(inner), _start(session))


def _start(session: Any) -> str | None:
    """Return whose credentials *session* starts from: the account, as far as it can be told."""
    while isinstance(session, RoleSession) and session.chain is not None:
        if session.chain.roles:
            # Where botocore, too, would have assumed a profile's roles: the last one's account.
            return f"account:{session.chain.roles[-1].arn.split(':')[4]}"
        if isinstance(session.chain.origin, WebIdentity):
            return f"role:{session.get_credentials()._refresher.name}"
        session = session.assume_role_parent_session
    return fingerprint(botocore_session(session))


def _portable(session: RoleSession) -> dict[str, Any]:
    """Return the keywords that make *session* again, without those that are the default."""
    recipe = session._recipe
    chain = session.chain
    what = chain.roles[-1].arn if chain is not None and chain.roles else chain
    if recipe.token_code is not None:
        raise ConfigError(
            f"{what}: a session with a TokenCode cannot be pickled: the code works once, here",
            hint="give mfa_token_provider as a command (an argv list)",
        )
    if callable(recipe.mfa_token_provider):
        raise ConfigError(
            f"{what}: a session whose mfa_token_provider is a callable cannot be pickled",
            hint="give a command (an argv list), or make the session where it is used",
        )
    portable = {
        "policy": recipe.policy,
        "on_event": recipe.on_event,
        "sts_client_kwargs": dict(recipe.sts_client_kwargs),
        "inherit_config": recipe.inherit_config,
        "mfa_token_provider": recipe.mfa_token_provider,
        "mfa_session": recipe.mfa_session,
        "cache": travelling_cache(recipe.cache),
    }
    defaults: dict[str, Any] = {
        **dict.fromkeys(portable),
        "policy": DEFAULT_POLICY,
        "sts_client_kwargs": {},
        "inherit_config": True,
    }
    portable = {name: value for name, value in portable.items() if value != defaults[name]}
    for name, value in portable.items():
        try:
            pickle.dumps(value)
        except Exception as error:  # whatever an object's own pickling raises
            raise ConfigError(
                f"{what}: the session cannot be pickled because its {name} cannot: "
                f"{type(error).__name__}",
                hint=f"give {name} what pickles, such as a module's function, or make the "
                "session where it is used",
            ) from None
    return portable


def travelling_cache(cache: Any) -> Any:
    """Return *cache* if it is to be had elsewhere, too: a directory is; a dict, or a key, is not.

    A session without it is as good; it only asks STS once more.
    """
    if not isinstance(cache, (JSONFileCache, FileStore, AwsCliStore, KeyringStore, RedisStore)):
        return None
    try:
        return _Travelling(*cache.__reduce__())
    except TypeError:  # their own word: they hold what must not travel
        return None


class _Travelling:
    """A cache on its way: opened where it arrives, if it is to be had there."""

    def __init__(self, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._made_by = make, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, self._made_by


def _arrived(make: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return make(*arguments)
    except (ConfigError, StoreError) as error:
        log.warning("the store of a pickled session is not to be had here: %s", error)
        return None


def variables_of(session: Session) -> dict[str, Any]:
    """Return the configuration variables that were set on *session*; the chain has its profile."""
    return {
        name: value for name, value in session.instance_variables().items() if name != "profile"
    }


def give_variables(session: Session, variables: Mapping[str, Any]) -> None:
    """Set configuration *variables* on *session*."""
    for name, value in variables.items():
        session.set_config_variable(name, value)


def _hop_variables(session: RoleSession) -> dict[str, Any]:
    """Return them for one hop, with the region it has, wherever it has it from."""
    variables = variables_of(botocore_session(session))
    if session.region_name is not None:
        variables["region"] = session.region_name
    return variables


def _reopen(
    chain: RoleChain,
    origin_options: Mapping[str, Any],
    origin_variables: Mapping[str, Any],
    hops: list[tuple[Mapping[str, Any], Mapping[str, Any]]],
    before: str | None,
    stamp: str,
) -> RoleSession:
    """Make a session again from what was pickled of it.

    However often it arrives here, as with each task of a worker, it has the same credentials.

    Raises:
        ConfigError: the credentials found here are of another account.
        NoCredentialsError: there are none (botocore's).
    """
    environ = os.environ  # noqa: TID251 - border
    key = (stamp, surroundings(environ))
    known = arrived.get(key)
    if known is not None:
        again = open_child(known)
        give_variables(botocore_session(again), hops[-1][1] if hops else {})
        return again
    session: Any = open_start(chain.origin, Recipe(**origin_options), environ, origin_variables)
    _refuse_another(chain, before, session)
    for number, (options, variables) in enumerate(hops, 1):
        prefix = RoleChain(chain.origin, *chain.roles[:number])
        session = open_role(session, prefix, Recipe(**options))
        give_variables(botocore_session(session), variables)
    assert isinstance(session, RoleSession)
    arrived.put(key, session._child)
    return session


def _reopen_start(origin: Origin, variables: Mapping[str, Any], before: str | None) -> Any:
    """Open an origin here that `packed` was given elsewhere.

    Raises:
        ConfigError: the credentials found here are of another account.
        NoCredentialsError: there are none (botocore's).
    """
    session = open_start(origin, Recipe(), os.environ, variables)  # noqa: TID251 - border
    _refuse_another(RoleChain(origin), before, session)
    return session


def _refuse_another(chain: RoleChain, before: str | None, session: Any) -> None:
    here = _start(session)
    if before is not None and here != before:
        raise ConfigError(
            f"{chain}: the credentials found here are not of the account that the pickled "
            f"session started from ({before}, here {here})",
            hint="give this process the same profile or environment",
        )


class Latest:
    """The things that were put here last, and no more than some of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = ForkSafeLock()  # guards _held
        self._held: OrderedDict[Any, Any] = OrderedDict()

    def get(self, key: Any) -> Any:
        """Return what was put under *key*; None: nothing, or too long ago."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: Any, thing: Any) -> None:
        """Keep *thing*, instead of what was asked for the longest time ago if need be."""
        with self._lock:
            self._held[key] = thing
            self._held.move_to_end(key)
            if len(self._held) > self._most:
                self._held.popitem(last=False)


#: What unpickled sessions have in common, by what was pickled and where it arrived.
arrived: Latest = Latest(MOST_ARRIVED)
