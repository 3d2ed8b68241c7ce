"""The cache of the AWS command line interface: one MFA code serves it and us.

Its entries are named for the arguments of AssumeRole, not for who assumes. So most of this is about
when not to use it: see `AwsCliStore.key_of`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

from ..chain import Profile, Role, RoleArn, RoleChain, chain_of_profile
from ..clock import SYSTEM_CLOCK, Clock
from ..credentials import Credentials
from ..errors import ConfigError, InvalidChain
from ..fork import ForkSafeLock
from .complaints import Complaints
from .entry import from_document, storable
from .file import FileStore

DIRECTORY = "~/.aws/cli/cache"

Profiles = Mapping[str, Mapping[str, Any]]
_Path = tuple[str, tuple[Role, ...]]

#: More roles than one program assumes; of those that were asked for longest ago, the name of the
#: role in an entry is not checked.
_MOST_ROLES = 4096

_ASSUMED_ROLE = re.compile(r"arn:([^:]+):sts::([^:]*):assumed-role/([^/]+)/[^/]+")

#: What a profile has that gives credentials by itself. One that has none of these gives what the
#: machine has, such as an instance's role; the AWS CLI takes none of that from a source_profile.
_OWN_CREDENTIALS = (
    "aws_access_key_id", "credential_process", "login_session", "sso_session", "sso_start_url",
)  # fmt: skip


class AwsCliStore:
    """A `Store` in the AWS CLI's own cache and format: it finds our sessions there, and we its.

    The name of an entry says which role, not who assumes it: two configurations of one user with
    the same role share. So only sessions that a profile of the configuration describes are kept
    (see `key_of`); all others are fetched each time. Files are checked and written as by
    `FileStore`, and nothing is taken from or put into a directory that others can write into.

    Args:
        path: Directory of the entries; ``~`` is the home directory. None: ``~/.aws/cli/cache``,
            which is where the AWS CLI looks.
        environ: Where ``HOME``, and the ``XDG_`` variables for the locks, are looked up.
    """

    __slots__ = ("__weakref__", "_clock", "_complaints", "_files", "_given", "_lock", "_roles")

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._given = None if path is None else os.fspath(path)
        self._files = FileStore(
            DIRECTORY if self._given is None else self._given, environ=environ, clock=clock
        )
        self._clock = clock
        self._complaints = Complaints()
        self._lock = ForkSafeLock()  # guards _roles
        self._roles: dict[str, RoleArn] = {}  # of the keys that `key_of` gave, oldest first

    @property
    def path(self) -> Path:
        """The directory of the entries."""
        return self._files.path

    @property
    def locks(self) -> Path:
        """The directory of the locks. The AWS CLI has none, and knows nothing of ours."""
        return self._files.locks

    def __repr__(self) -> str:
        return f"AwsCliStore({str(self.path)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # As it was given: the other machine has directories of its own.
        return type(self), (self._given,)

    def key_of(
        self, chain: RoleChain, *, session_name: str | None, config: Mapping[str, Any]
    ) -> str | None:
        """Return the AWS CLI's key of the session of *chain*'s last role; None: use no entry.

        There is one only where a profile of *config* describes this very chain: the same roles with
        the same arguments, from the own credentials of the same profile, of the same STS. And where
        no other profile has the same role and arguments from elsewhere, for the AWS CLI would keep
        both under one key.

        Args:
            session_name: The last role's; None: it was made up.
            config: botocore's ``session.full_config``.
        """
        if not chain.roles:
            return None
        profiles: Profiles = config.get("profiles", {})
        named = replace(chain.roles[-1], session_name=session_name)
        wanted = _path(RoleChain(chain.origin, *chain.roles[:-1], named), profiles)
        if wanted is None:
            return None
        endpoint = _sts_endpoint(wanted[0], config)
        others = {}
        key = None
        for name, path, its_key in _described(named.arn, profiles):
            if path == wanted and _sts_endpoint(name, config) == endpoint:
                key = its_key
            else:
                others[its_key] = name
        if key is None:
            return None
        if key in others:
            self._complaints.say(
                f"shared by {others[key]}",
                "%r: profile %r has %s, too, from other credentials or another STS, and the AWS "
                "CLI keeps one session for both: not using its cache",
                self,
                others[key],
                named.arn,
            )
            return None
        self._remember(key, named.arn)
        return key

    def explain_unused(self, role: object) -> None:
        """Say once that sessions without a key of the AWS CLI's, such as *role*'s, are not kept."""
        self._complaints.say(
            "unused",
            "%r: no profile describes %s, with these arguments and a source_profile: its session "
            "is not kept",
            self,
            role,
        )

    def get(self, key: str) -> Credentials | None:
        """Return what is stored under *key*; None if nothing is that can be trusted."""
        if self._open_to_others():
            return None
        try:
            document = self._files.read_document(key)
        except KeyError:
            return None
        if not isinstance(document, Mapping):
            return None
        # Nothing else of it: a part that looks like ours is somebody's joke.
        known = {name: document[name] for name in _MEMBERS if name in document}
        found = from_document(known, key, self._clock)
        if found is None or not storable(found):
            return None
        role = self._roles.get(key)
        if role is not None and not _is_of(role, found, known):
            self._complaints.say(
                "role", "%r: the entry %.12s… is not a session of %s", self, key, role
            )
            return None
        return found

    def put(self, key: str, credentials: Credentials) -> None:
        """Keep *credentials* under *key*, unless they are long-term keys."""
        if storable(credentials) and not self._open_to_others():
            self._files.write_document(key, _document(credentials))

    def delete(self, key: str) -> None:
        """Forget what is stored under *key*, if anything is."""
        self._files.delete(key)

    def lock(self, key: str, timeout: timedelta) -> AbstractContextManager[bool | None]:
        """Hold the lock of *key* among processes of ours, or go on without it after *timeout*."""
        return self._files.lock(key, timeout)

    def _remember(self, key: str, arn: str) -> None:
        try:
            role = RoleArn.parse(arn)
        except ValueError:
            return  # another cloud's, perhaps: there is nothing to compare
        with self._lock:
            self._roles.pop(key, None)
            self._roles[key] = role
            if len(self._roles) > _MOST_ROLES:
                del self._roles[next(iter(self._roles))]

    def _open_to_others(self) -> bool:
        """Return whether others could swap entries, whose names are not in them; complain if so."""
        if not _others_may_write(self.path):
            return False
        self._complaints.say(
            "directory", "%r is not used: others may write into that directory", self
        )
        return True


_MEMBERS = ("Credentials", "AssumedRoleUser")


def _document(credentials: Credentials) -> dict[str, Any]:
    assert credentials.expires_at is not None
    expires_at = credentials.expires_at.astimezone(timezone.utc).isoformat()
    inner = {
        "AccessKeyId": credentials.access_key,
        "SecretAccessKey": credentials.secret_key,
        "SessionToken": credentials.token,
        # As STS writes it, and so as the AWS CLI 1 does.
        "Expiration": expires_at.replace("+00:00", "Z"),
    }
    if credentials.account_id is not None:
        inner["AccountId"] = credentials.account_id
    return {"Credentials": inner}


def _path(chain: RoleChain, profiles: Profiles) -> _Path | None:
    """Return the profile whose own credentials *chain* starts from, and all roles after it.

    None: it starts from elsewhere.
    """
    origin, roles = chain.origin, chain.roles
    if isinstance(origin, Profile) and not origin.own_keys:
        # It may itself be a chain.
        try:
            before = chain_of_profile(origin.name, profiles, {})
        except (ConfigError, InvalidChain):
            return None
        origin, roles = before.origin, (*before.roles, *roles)
    if not isinstance(origin, Profile):
        return None
    own = profiles.get(origin.name, {})
    if not any(name in own for name in _OWN_CREDENTIALS):
        return None
    # An empty name is none, to the AWS CLI as to us.
    return origin.name, tuple(replace(one, session_name=one.session_name or None) for one in roles)


def _described(arn: str, profiles: Profiles) -> Iterator[tuple[str, _Path | None, str]]:
    """Yield each profile whose role is *arn*, with its path and the AWS CLI's key.

    What does not add up is left out: the AWS CLI does not use it either.
    """
    for name, values in profiles.items():
        if values.get("role_arn") != arn:
            continue
        try:
            chain = chain_of_profile(name, profiles, {})
        except (ConfigError, InvalidChain):
            continue
        if chain.roles:
            role = chain.roles[-1]
        else:
            # Assumed with a web identity's token, which not every version has in its key.
            role = Role(arn, session_name=values.get("role_session_name"))
        yield name, _path(chain, profiles), _key(role)


def _sts_endpoint(name: str, config: Mapping[str, Any]) -> object:
    """Return the STS endpoint that the profile *name* has been given; None: AWS's own."""
    profile = config["profiles"].get(name, {})
    services = config.get("services", {}).get(profile.get("services"), {})
    sts = services.get("sts")
    given = sts.get("endpoint_url") if isinstance(sts, Mapping) else None
    return given or profile.get("endpoint_url")


def _key(role: Role) -> str:
    """Return the AWS CLI's name of *role*, as a profile describes it."""
    arguments: dict[str, Any] = {"RoleArn": role.arn}
    if role.session_name:
        arguments["RoleSessionName"] = role.session_name
    if role.external_id is not None:
        arguments["ExternalId"] = role.external_id
    if role.mfa_serial is not None:
        arguments["SerialNumber"] = role.mfa_serial
    if role.duration is not None:
        arguments["DurationSeconds"] = int(role.duration.total_seconds())
    # [botocore, credentials.py, BaseAssumeRoleCredentialFetcher._create_cache_key]
    text = json.dumps(arguments, sort_keys=True)
    return hashlib.sha1(text.encode("ascii"), usedforsecurity=False).hexdigest()


def _is_of(role: RoleArn, found: Credentials, document: Mapping[str, Any]) -> bool:
    """Return whether nothing in *document*, where *found* was, says that it is not of *role*."""
    if found.account_id is not None and found.account_id != role.account_id:
        return False
    user = document.get("AssumedRoleUser")
    arn = user.get("Arn") if isinstance(user, Mapping) else None
    said = _ASSUMED_ROLE.fullmatch(arn) if isinstance(arn, str) else None
    if said is None:
        return True  # we write none, and other clouds have forms of their own
    # IAM keeps names apart by more than their capitals.
    return (said[1], said[2], said[3].casefold()) == (
        role.partition,
        role.account_id,
        role.name.casefold(),
    )


def _others_may_write(directory: Path) -> bool:
    if not hasattr(os, "geteuid"):
        return False
    try:
        found = os.stat(directory)
    except OSError:
        return False  # not there, or whoever uses it will say what is wrong
    if found.st_mode & stat.S_IWOTH:
        return True
    # The AWS CLI makes it by the umask, which lets the group write where each user has one.
    return bool(found.st_mode & stat.S_IWGRP) and not _own_group(found.st_gid)


def _own_group(number: int) -> bool:
    """Return whether the group *number* is this user's own, with nobody else in it."""
    import grp
    import pwd

    try:
        me = pwd.getpwuid(os.geteuid())
        group = grp.getgrgid(number)
    except KeyError:
        return False
    own = me.pw_gid == number and group.gr_name == me.pw_name
    return own and set(group.gr_mem) <= {me.pw_name}
