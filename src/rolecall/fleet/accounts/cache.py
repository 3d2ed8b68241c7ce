"""What was read of an organization, kept on disk for a while: one file for each principal."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import astuple
from datetime import timedelta
from pathlib import Path
from typing import Any

from ...clock import SYSTEM_CLOCK, Clock
from ...stores import private
from ...stores.complaints import Complaints, reason
from ...stores.file import sweep
from ...stores.locks import caches, digest, expanded
from ..targets import Account
from .directory import Directory, Unit

#: Changes with what a file looks like; others are not read.
VERSION = 1

#: 10,000 accounts with all the tags that they may have are less.
MOST_BYTES = 256 * 1024 * 1024


class OrganizationCache:
    """A directory with a file of mode 0600 for each principal that read an organization.

    A file that cannot be used is as if it were not there, and said so once in the log: it is torn,
    from the future, of another version, somebody else's, or open to others.

    Args:
        folder: None: ``$XDG_CACHE_HOME/rolecall/organizations``.
        kept_for: How long what was read is good.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        kept_for: timedelta,
        *,
        environ: Mapping[str, str],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.path: Path = (
            caches(environ) / "organizations" if folder is None else expanded(folder, environ)
        )
        self._seconds = kept_for.total_seconds()
        self._clock = clock
        self._complaints = Complaints()

    def file(self, whose: str) -> Path:
        """Return where what *whose* says, which is not shown, is kept."""
        return self.path / f"{digest(whose)}.json"

    def load(self, whose: str) -> Directory | None:
        """Return what was read not too long ago; None: nothing that can be used."""
        path = self.file(whose)
        try:
            found = _from_document(json.loads(private.read(path, MOST_BYTES)), path.stem)
            age = self._clock.time() - found.read_at
            if age < 0:
                raise ValueError("it is from the future")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            self._complain("used", error)
            return None
        return found if age < self._seconds else None

    def save(self, whose: str, directory: Directory) -> None:
        """Keep *directory*; a disk that is full or read-only fails nothing."""
        path = self.file(whose)
        try:
            data = json.dumps(_to_document(directory, path.stem)).encode("ascii")
            if len(data) > MOST_BYTES:
                raise OSError(f"it is larger than {MOST_BYTES} bytes")
            private.make_directory(self.path)
            sweep(self.path, self._clock)
            private.replace(path, data)
        except OSError as error:
            self._complain("written", error)

    def forget(self, whose: str) -> None:
        """Delete what is kept, if anything is."""
        try:
            self.file(whose).unlink(missing_ok=True)
        except OSError as error:
            self._complain("deleted", error)

    def _complain(self, what: str, error: Exception) -> None:
        why = reason(error) if isinstance(error, OSError) else _why(error)
        self._complaints.say(
            what, "%s: what was read of an organization cannot be %s: %s", self.path, what, why
        )


def _why(error: Exception) -> str:
    # Not what a parser of JSON says, which may quote the file.
    return str(error) if type(error) is ValueError else "it is not what rolecall wrote"


def _to_document(directory: Directory, key: str) -> dict[str, Any]:
    units = directory.units
    return {
        "rolecall": {"organization": VERSION, "key": key},
        "read_at": directory.read_at,
        "management": directory.management,
        "accounts": {
            one.id: [one.name, one.email, one.state] for one in directory.accounts.values()
        },
        "units": None if units is None else [[*astuple(unit)] for unit in units.values()],
        "parents": dict(directory.parents),
        "tags": {id: dict(tags) for id, tags in directory.tags.items()},
    }


def _from_document(given: Any, key: str) -> Directory:
    """Return the directory in a file's JSON value.

    Raises:
        ValueError: it is not what `_to_document` makes of one.
    """
    head = given.get("rolecall") if isinstance(given, dict) else None
    if not isinstance(head, dict) or "organization" not in head:
        raise ValueError("it is not what rolecall wrote")
    if head["organization"] != VERSION:
        raise ValueError("another version of rolecall wrote it")
    if head.get("key") != key:
        raise ValueError("it is another principal's")
    try:
        return _directory(given)
    except (KeyError, TypeError, AttributeError):
        raise ValueError("it is not what rolecall wrote") from None


def _directory(given: dict[str, Any]) -> Directory:
    accounts = {
        _text(id): Account(_text(id), name=_text(name), email=_text(email), state=_maybe(state))
        for id, (name, email, state) in given["accounts"].items()
    }
    units: dict[str, Unit] | None = None
    if given["units"] is not None:
        units = {}
        for id, name, parent in given["units"]:
            # In this order they were read: from the roots down. So there is no ring of them.
            if parent is not None and parent not in units:
                raise ValueError("it is not what rolecall wrote")
            units[_text(id)] = Unit(_text(id), _text(name), _maybe(parent))
    return Directory(
        read_at=_number(given["read_at"]),
        management=_maybe(given["management"]),
        accounts=accounts,
        units=units,
        parents=_texts(given["parents"]),
        tags={_text(id): _texts(tags) for id, tags in given["tags"].items()},
    )


def _is(kind: type, what: Callable[[Any], Any] = lambda value: value) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(kind.__name__)
        return what(value)

    return check


_text: Callable[[Any], str] = _is(str)
_number: Callable[[Any], float] = _is(float)


def _maybe(value: Any) -> str | None:
    return None if value is None else _text(value)


def _texts(value: Any) -> dict[str, str]:
    return {_text(key): _text(one) for key, one in value.items()}
