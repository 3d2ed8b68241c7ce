"""Opening the sessions of accounts: one set of credentials an account, one light session a target.

All share one loader of botocore's service models, which are most of what a session costs, and the
STS client of the session that assumes the roles.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...chain import Role, RoleChain
from ...clock import Clock
from ...errors import ConfigError
from ...fork import ForkSafeLock
from ...refresh import Refresher
from ...sessions.bind import child_of
from ...sessions.boto import Child, RoleSession, open_child
from ...sessions.handing import SessionSource
from ...sessions.parents import chain_of
from ...sessions.recipe import Recipe
from ...sources.clients import sts_client
from ...sources.identity import identity
from ...sources.upstream import botocore_session
from ..roles import Way
from .pacing import Pace


class OneAtATime:
    """A botocore loader that lets one thread load at a time.

    botocore's keeps what it has loaded, but twenty threads that all miss the same model each load
    it: half of what such a run has in memory at its peak.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        # Reentrant, for loading a model asks for its version first.
        self._lock: ForkSafeLock = ForkSafeLock(threading.RLock)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # whoever copies it looks for these before there is a loader
            raise AttributeError(name)
        found = getattr(self._loader, name)
        if not callable(found):
            return found

        def alone(*arguments: Any, **keywords: Any) -> Any:
            with self._lock:
                return found(*arguments, **keywords)

        # Looked up once: the next time it is found without this method.
        self.__dict__[name] = alone
        return alone


class Opener:
    """Opens sessions of accounts, from one session and the chains that are assumed from elsewhere.

    Args:
        base: The session that was given.
        recipe: What the sessions of accounts are made by, beside their role.
        openings: Keywords for the sessions of chains that start from elsewhere.
    """

    def __init__(
        self, base: Any, *, recipe: Recipe, openings: Mapping[str, Any] | None = None
    ) -> None:
        self.base = base
        self._recipe = recipe
        self._openings = dict(openings or {})
        self._lock: ForkSafeLock = ForkSafeLock()  # guards the two below
        self._parents: dict[RoleChain, Any] = {}
        self._loaders: dict[int, OneAtATime] = {}
        # Held while STS is asked, so that it is asked once.
        self._own_lock: ForkSafeLock = ForkSafeLock()
        self._own: dict[RoleChain | None, str] = {}
        self._hanging: set[threading.Thread] = set()

    @property
    def clock(self) -> Clock:
        """The clock that sessions are refreshed by."""
        return self._recipe.clock

    def hangs(self, thread: threading.Thread) -> None:
        """Note that *thread* hangs in a target that was given up."""
        with self._lock:
            self._hanging.add(thread)

    def hanging(self) -> int:
        """Return how many threads hang in targets that were given up, in all of this process."""
        with self._lock:
            self._hanging = {thread for thread in self._hanging if thread.is_alive()}
            return len(self._hanging)

    def end(self) -> None:
        """Assume no more roles."""
        if isinstance(self._recipe.pace, Pace):
            self._recipe.pace.end()

    def drop(self, account_id: str) -> None:
        """Assume no role in an account that waits for its turn at STS now."""
        if isinstance(self._recipe.pace, Pace):
            self._recipe.pace.drop(account_id)

    def parent(self, chain: RoleChain | None) -> Any:
        """Return the session that assumes roles for *chain*, the same each time."""
        if chain is None:
            return self.base
        with self._lock:
            found = self._parents.get(chain)
            if found is None:
                found = self._parents[chain] = chain.session(**self._openings)
            return found

    def account(self, way: Way, account_id: str) -> Child:
        """Return what sessions of one account are opened from; nothing is fetched yet.

        Raises:
            ConfigError: it is to be entered without a role, and the session is of another one.
            NoCredentialsError: there are none to start from (botocore's).
        """
        parent = self.parent(way.parent)
        if way.role is not None:
            return child_of(parent, _chain(parent, way.role), self._recipe)
        self._check_own(way, account_id)
        return _itself(parent, self._recipe)

    def session(self, child: Child, region: str | None) -> RoleSession:
        """Return a session for one target."""
        recipe = replace(child.recipe, region_name=region)
        loader = botocore_session(child.parent).get_component("data_loader")
        if not isinstance(loader, OneAtATime):
            with self._lock:
                # By its id, which stays its own: what is kept here holds it.
                loader = self._loaders.setdefault(id(loader), OneAtATime(loader))
        return open_child(replace(child, recipe=recipe), loader=loader)

    def _check_own(self, way: Way, account_id: str) -> None:
        with self._own_lock:
            if way.parent not in self._own:
                inner = botocore_session(self.parent(way.parent))
                answer = sts_client(inner, self._recipe.sts_client_kwargs).get_caller_identity()
                self._own[way.parent] = str(answer["Account"])
            own = self._own[way.parent]
        if own != account_id:
            raise ConfigError(
                f"no role is named for account {account_id}, and the session is of {own}",
                hint="name a role, or leave the account out",
            )


def _chain(parent: Any, role: Role) -> RoleChain:
    return chain_of(parent) + role


def _itself(parent: Any, recipe: Recipe) -> Child:
    """Return what opens sessions with the very credentials of *parent*."""
    if isinstance(parent, RoleSession):
        return replace(parent._child, parent=parent, shown_parent=parent.assume_role_parent_session)
    return Child(
        refresher=Refresher(SessionSource(parent), policy=recipe.policy, clock=recipe.clock),
        parent=parent,
        method="session",
        identity=lambda: identity(botocore_session(parent)),
        features=(),
        recipe=recipe,
        chain=None,
    )
