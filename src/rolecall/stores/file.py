"""A store in files, for all processes of one user on one machine."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ..clock import SYSTEM_CLOCK, Clock
from ..credentials import Credentials
from . import private
from .complaints import Complaints, reason
from .entry import from_document, storable, to_document
from .locks import FileLocks, caches, digest, expanded

#: Keys that are a file name on every system, whether or not it tells capitals apart. All others
#: go by their hash.
_PLAIN_KEY = re.compile(r"(?!sha256-)[a-z0-9][a-z0-9_-]{0,127}")

#: Names that keys of ours and of the AWS CLI have as files: a digest, whatever is in the file. A
#: directory that somebody chose may have other files with .json at the end.
_DIGEST_FILE = re.compile(r"(?:(?:sha256-)?[0-9a-f]{64}|[0-9a-f]{40})\.json")

#: What a process that was killed while it wrote an entry leaves behind.
_TORN_FILE = re.compile(r"\.[a-z0-9_]{8}\.tmp")

#: Nobody takes so long to write an entry.
_TORN_AFTER_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One entry in the directory of a `FileStore`.

    Attributes:
        key: None: not known, for the file cannot be read.
        credentials: None: it cannot be read or trusted, and is a miss to whoever asks for it.
        role: The ARN that STS gave with them, in what other tools have written.
    """

    path: Path
    key: str | None
    credentials: Credentials | None
    role: str | None = None


class FileStore:
    """A `Store` that keeps each session in a file of mode 0600, whole at every moment.

    An entry that is corrupt, a link, larger than 64 KiB, somebody else's or open to others is a
    miss, and is replaced. A write that fails (a full or read-only disk) is logged once and fails
    nothing. Locks are files outside the directory; a process that dies frees its own. On Windows,
    which has neither user ids nor modes, only the form of an entry is checked.

    Args:
        path: Directory of the entries, made with mode 0700; ``~`` is the home directory. None:
            ``$XDG_CACHE_HOME/rolecall``.
        environ: Where ``HOME`` and the ``XDG_`` variables are looked up.
    """

    __slots__ = ("__weakref__", "_clock", "_complaints", "_given", "_locks", "path")

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if environ is None:
            environ = os.environ  # noqa: TID251 - border
        self._given = None if path is None else os.fspath(path)
        if self._given == "":
            raise ValueError("path must name a directory, got an empty string")
        self.path: Path = caches(environ) if path is None else expanded(path, environ)
        self._clock = clock
        self._complaints = Complaints()
        self._locks = FileLocks(os.path.realpath(self.path), environ, self._complaints)

    @property
    def locks(self) -> Path:
        """The directory of the locks."""
        return self._locks.path

    def __repr__(self) -> str:
        return f"FileStore({str(self.path)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # As it was given: the other machine has directories of its own.
        return type(self), (self._given,)

    def get(self, key: str) -> Credentials | None:
        """Return what is stored under *key*; None if nothing is that can be trusted."""
        try:
            return from_document(self.read_document(key), key, self._clock)
        except KeyError:
            return None

    def put(self, key: str, credentials: Credentials) -> None:
        """Keep *credentials* under *key*, unless they are long-term keys."""
        if storable(credentials):
            self.write_document(key, to_document(credentials, key, self._clock))

    def delete(self, key: str) -> None:
        """Forget what is stored under *key*, if anything is."""
        try:
            self._file(key).unlink(missing_ok=True)
        except OSError as error:
            self._complain("deleted", key, error)

    def lock(self, key: str, timeout: timedelta) -> AbstractContextManager[bool | None]:
        """Hold the lock of *key* among processes, or go on without it after *timeout*."""
        return self._locks.lock(key, timeout)

    def entries(self) -> Iterator[Kept]:
        """Yield what is stored, expired or not; files that are not the store's are left out."""
        for path in self._files():
            try:
                document = json.loads(private.read(path))
            except FileNotFoundError:
                continue  # somebody was quicker
            except (OSError, ValueError, RecursionError):
                document = None
            ours = document.get("rolecall") if isinstance(document, Mapping) else None
            key = ours.get("key") if isinstance(ours, Mapping) else path.stem
            if not isinstance(key, str) or self._file(key) != path:
                key = None
            found = None if key is None else from_document(document, key, self._clock)
            if found is not None or _DIGEST_FILE.fullmatch(path.name):
                yield Kept(path=path, key=key, credentials=found, role=_role_in(document))

    def discard(self, entry: Kept) -> bool:
        """Delete the file of *entry*; return whether it was there, and is gone."""
        try:
            entry.path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            self._complain("deleted", entry.path.stem, error)
            return False
        return True

    def sweep(self) -> None:
        """Delete what processes that were killed while they wrote an entry have left behind."""
        sweep(self.path, self._clock)

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self.path.iterdir() if path.suffix == ".json")
        except OSError:  # it is not there, or not ours
            return []

    def read_document(self, key: str) -> Any:
        """Return the JSON value stored under *key*.

        Raises:
            KeyError: nothing is that can be read and trusted.
        """
        try:
            return json.loads(private.read(self._file(key)))
        except FileNotFoundError:
            pass
        except OSError as error:
            self._complain("read", key, error)
        except (ValueError, RecursionError):
            self._complaints.say("corrupt", "%r: the entry %.12s… is not JSON", self, key)
        raise KeyError(key)

    def write_document(self, key: str, value: Any) -> None:
        """Store a JSON-able *value* under *key*; datetimes become ISO 8601 text.

        Raises:
            ValueError: *value* is not JSON-able.
        """
        try:
            data = json.dumps(value, default=_iso).encode("ascii")
        except (TypeError, ValueError, RecursionError):
            data = b""
        if not data:  # out here: an exception's context would hold the value
            raise ValueError(f"a value of type {type(value).__name__} cannot be stored as JSON")
        try:
            if len(data) > private.MOST_BYTES:
                raise OSError(f"it is larger than {private.MOST_BYTES} bytes")
            private.make_directory(self.path)
            private.replace(self._file(key), data)
        except OSError as error:
            self._complain("written", key, error)

    def _file(self, key: str) -> Path:
        plain = _PLAIN_KEY.fullmatch(key)
        return self.path / f"{key if plain else f'sha256-{digest(key)}'}.json"

    def _complain(self, what: str, key: str, error: OSError) -> None:
        self._complaints.say(
            what, "%r: the entry %.12s… cannot be %s: %s", self, key, what, reason(error)
        )


class JSONFileCache:
    """A directory of JSON files behind a mapping's face, as boto3 users know it.

    Takes the place of botocore's class of that name, as ``cache=`` here and there. Given to
    rolecall it is a `FileStore`: entries are checked, and processes fetch once between them.

    Args:
        dir_path: Directory, made with mode 0700 if it is not there; ``~`` is the home directory.
    """

    __slots__ = ("__weakref__", "store")

    def __init__(
        self, dir_path: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None
    ) -> None:
        #: The same directory as a `Store`.
        self.store: FileStore = FileStore(os.fspath(dir_path), environ=environ)

    def __repr__(self) -> str:
        return f"JSONFileCache({str(self.store.path)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.store.__reduce__()[1]

    def __contains__(self, key: str) -> bool:
        try:
            self.store.read_document(key)
        except KeyError:
            return False
        return True

    def __getitem__(self, key: str) -> Any:
        return self.store.read_document(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.store.write_document(key, value)

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self.store.delete(key)


def sweep(directory: Path, clock: Clock = SYSTEM_CLOCK) -> None:
    """Delete half-written entries from *directory*, whose writers must have died."""
    with suppress(OSError):
        for path in directory.iterdir():
            if not _TORN_FILE.fullmatch(path.name):
                continue
            with suppress(OSError):
                found = path.lstat()
                mine = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
                old = found.st_mtime < clock.time() - _TORN_AFTER_SECONDS
                if mine and old and stat.S_ISREG(found.st_mode):
                    path.unlink()


def _role_in(document: object) -> str | None:
    """Return who STS said that the credentials of *document* are, if it is there."""
    user = document.get("AssumedRoleUser") if isinstance(document, Mapping) else None
    arn = user.get("Arn") if isinstance(user, Mapping) else None
    return arn if isinstance(arn, str) else None


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON-able")
