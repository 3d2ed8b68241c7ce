"""Whose session an entry of the shared store is, as far as profiles tell without any call."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..chain import CredentialSource, Profile, SessionToken, chain_of_profile
from ..errors import RolecallError
from .config_files import account_of

if TYPE_CHECKING:
    from ..chain import Origin
    from ..credentials import Credentials
    from ..stores import Store

log: logging.Logger = logging.getLogger("rolecall")

#: Keys that stand in a profile, and sign-ins of which the profile says whose they are. All others
#: (a credential_process, an instance) would have to be run or asked.
_TELLING = ("aws_access_key_id", "sso_session", "sso_start_url")
_ASKED_FIRST = ("credential_process", "login_session", "web_identity_token_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRole:
    """One session that a profile would have stored.

    Attributes:
        key: Of the store.
        name: Of what is stored: the role's ARN, or what it is where it is no role's.
        own: Whether it is the profile's own, not one on the way to it.
    """

    profile: str
    key: str
    name: str
    own: bool
    store: Store

    def get(self) -> Credentials | None:
        """Return what is stored, expired or not; None if nothing is."""
        return self.store.get(self.key)


def stored_roles(
    names: Iterable[str],
    profiles: Mapping[str, Mapping[str, Any]],
    environ: Mapping[str, str],
    *,
    accounts: Collection[str | None] = (None,),
) -> Iterator[StoredRole]:
    """Yield what the profiles *names* have stored, or would; nothing is called, run or asked.

    Profiles of which that cannot be told so are left out.

    Args:
        accounts: Of which something is stored; None among them: that is not known of all. To find
            a key out takes as long as reading the files does, and some people have a thousand
            roles in as many accounts.
    """
    for name in names:
        account = account_of(profiles[name])
        if not accounts or not (account is None or account in accounts or None in accounts):
            continue
        try:
            chain = chain_of_profile(name, profiles, environ)
            # Of what is neither a role nor a user nothing is stored, and there may be hundreds.
            stores = bool(chain.roles) or "aws_access_key_id" in profiles[name]
            if stores and not chain.problems() and _is_told(chain.origin, profiles, environ):
                yield from _of_profile(name, environ)
        except Exception as error:  # whatever is wrong with one: the list is of the others
            said = error if isinstance(error, RolecallError) else type(error).__name__
            log.debug("profile %r: what is stored of it cannot be told: %s", name, said)


def _is_told(
    origin: Origin, profiles: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str]
) -> bool:
    """Return whether who assumes is written down, so that nothing has to be run or asked."""
    if isinstance(origin, SessionToken):
        origin = origin.of
    if isinstance(origin, CredentialSource):
        return origin.name == "Environment" and bool(environ.get("AWS_ACCESS_KEY_ID"))
    if not isinstance(origin, Profile):
        return False
    values = profiles.get(origin.name, {})
    asked_first = any(key in values for key in _ASKED_FIRST)
    return not asked_first and any(key in values for key in _TELLING)


def _of_profile(name: str, environ: Mapping[str, str]) -> Iterator[StoredRole]:
    from ..sessions import RoleSession
    from ..sessions.handing import refresher_of
    from ..stores import Stored
    from .naming import open_named
    from .options import Asked

    session: Any = open_named(Asked(role=name), environ).session
    own = True
    while isinstance(session, RoleSession):
        refresher = refresher_of(session)
        stored = refresher.source
        if isinstance(stored, Stored):
            arn = session.chain.roles[-1].arn if session.chain and session.chain.roles else None
            yield StoredRole(
                profile=name,
                key=stored.key,
                name=arn or refresher.name,
                own=own,
                store=stored.store,
            )
        own = False
        session = session._child.parent
