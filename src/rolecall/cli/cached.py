"""What is stored for all programs: the sessions of the store, and `credential-process`' answers."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, FetchError
from ..sources.answer import read_answer
from ..sources.identity import account_of_key
from ..stores import AwsCliStore, FileStore, MemoryStore, open_store, private
from ..stores.file import Kept, sweep
from . import warm
from .config_files import Profiles
from .options import OPTIONS
from .printed import local_end, seconds_left
from .stored_roles import StoredRole, stored_roles

if TYPE_CHECKING:
    from ..credentials import Credentials

SESSION = "session"
ANSWER = "credential-process"

#: Sixteen hexadecimal digits: `warm.name_of`.
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """One thing that is stored; no secret.

    Attributes:
        kind: `SESSION` or `ANSWER`.
        where: File, or key in the store.
        access_key_id: None: it cannot be read.
        role: ARN of the role, or what it is where it is none. None: not known.
        profiles: Those that lead to it.
        expires_at: By the local clock.
        seconds_left: Negative since it expired.
        delete: Deletes it; returns whether it is gone.
    """

    kind: str
    where: str
    access_key_id: str | None = None
    account: str | None = None
    role: str | None = None
    profiles: tuple[str, ...] = ()
    expires_at: datetime | None = None
    seconds_left: int | None = None
    delete: Callable[[], bool] = field(repr=False)

    @property
    def is_over(self) -> bool:
        """Whether it is of no more use to anybody."""
        return self.access_key_id is None or (
            self.seconds_left is not None and self.seconds_left <= 0
        )


class Cache:
    """All that is stored, as the environment says where.

    Attributes:
        name: Of the store, for people.
        complete: Whether it can be listed. Else only what the profiles lead to is known.

    Raises:
        ConfigError: there is no such store, or what it needs is missing.
        StoreError: the desktop has no keyring that keeps secrets.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._store = open_store(environ=environ)
        self._files = files_of(self._store, environ)
        # Of a program's memory nothing is left for another one to see.
        self.complete: bool = self._files is not None or isinstance(self._store, MemoryStore)
        self.name: str = repr(self._store) if self._files is None else str(self._files.path)

    def entries(self) -> list[Cached]:
        """Return what is stored, what ends first before what ends later."""
        known: dict[str, list[StoredRole]] = {}
        accounts: set[str | None] = {None}
        if self._files is not None:
            accounts = accounts_in(self._files)
        for one in self._known(accounts):
            known.setdefault(one.key, []).append(one)
        found = list(self._sessions(known))
        found += _answers(self._environ)
        return sorted(found, key=lambda one: (one.seconds_left or 0, one.where))

    def sweep(self) -> None:
        """Delete what processes that were killed while they stored something have left behind."""
        if self._files is not None:
            self._files.sweep()
        place = warm.directory(self._environ)
        if place is not None:
            sweep(Path(place))

    def _known(self, accounts: set[str | None]) -> Iterator[StoredRole]:
        profiles: Profiles
        try:
            from ..chain.config_file import read_profiles

            profiles = read_profiles(self._environ)
        except ConfigError:  # a broken file costs no more than the names of the roles
            return
        yield from stored_roles(profiles, profiles, self._environ, accounts=accounts)

    def _sessions(self, known: Mapping[str, list[StoredRole]]) -> Iterator[Cached]:
        if self._files is not None:
            for kept in self._files.entries():
                yield _of_file(self._files, kept, known.get(kept.key or "", []))
            return
        for key, roles in known.items():
            credentials = self._store.get(key)
            if credentials is not None:
                yield _cached(
                    credentials,
                    kind=SESSION,
                    where=key,
                    role=roles[0].name,
                    profiles=_profiles(roles),
                    delete=lambda key=key: self._delete(key),
                )

    def _delete(self, key: str) -> bool:
        self._store.delete(key)
        return self._store.get(key) is None


def files_of(store: object, environ: Mapping[str, str]) -> FileStore | None:
    """Return the files that *store* keeps its entries in; None: it keeps them elsewhere."""
    if isinstance(store, AwsCliStore):
        return FileStore(store.path, environ=environ)
    return store if isinstance(store, FileStore) else None


def accounts_in(files: FileStore) -> set[str | None]:
    """Return the accounts of which *files* have sessions; None among them: not known of all."""
    kept = [one.credentials for one in files.entries()]
    return {one.account_id or account_of_key(one.access_key) for one in kept if one is not None}


def _profiles(roles: list[StoredRole]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.profile for one in roles))


def _of_file(files: FileStore, kept: Kept, roles: list[StoredRole]) -> Cached:
    def delete() -> bool:
        return files.discard(kept)

    where = str(kept.path)
    if kept.credentials is None:
        return Cached(kind=SESSION, where=where, delete=delete)
    return _cached(
        kept.credentials,
        kind=SESSION,
        where=where,
        role=roles[0].name if roles else kept.role,
        profiles=_profiles(roles),
        delete=delete,
    )


def _cached(credentials: Credentials, **values: Any) -> Cached:
    return Cached(
        access_key_id=credentials.access_key,
        account=credentials.account_id or account_of_key(credentials.access_key),
        expires_at=local_end(credentials),
        seconds_left=seconds_left(credentials),
        **values,
    )


def _answers(environ: Mapping[str, str]) -> Iterator[Cached]:
    """Yield what `credential-process` printed lately, from where it looks first."""
    place = warm.directory(environ)
    if place is None:
        return
    try:
        paths = sorted(Path(place).iterdir())
    except OSError:  # there are none
        return
    for path in paths:
        if len(path.name) == 16 and _HEX.issuperset(path.name):
            yield _answer(path)


def _answer(path: Path) -> Cached:
    def delete() -> bool:
        try:
            path.unlink(missing_ok=True)
        except OSError:
            return False
        return True

    try:
        text = private.read(path).decode("utf-8", "surrogateescape")
        magic, _, _, asked, answer = text.split("\n", 4)
        words = ast.literal_eval(asked)[0]
        credentials = read_answer(json.loads(answer), who="the entry")
        if magic != warm.MAGIC:
            raise ValueError
    except (OSError, ValueError, SyntaxError, TypeError, IndexError, RecursionError, FetchError):
        return Cached(kind=ANSWER, where=str(path), delete=delete)
    role = _role_in(words)
    is_arn = role is not None and role.startswith("arn:")
    return _cached(
        credentials,
        kind=ANSWER,
        where=str(path),
        role=role,
        profiles=() if role is None or is_arn else (role,),
        delete=delete,
    )


def _role_in(words: object) -> str | None:
    """Return the role among the words of a command line; the values of options may be secret."""
    if not isinstance(words, (list, tuple)):
        return None
    flags = {option.flag for option in OPTIONS} | {"--environment"}
    rest = iter(words)
    for word in rest:
        if not isinstance(word, str):
            return None
        if word == "--":
            following = next(rest, None)
            return following if isinstance(following, str) else None
        if not word.startswith("-"):
            return word
        if word in flags:
            next(rest, None)
    return None
