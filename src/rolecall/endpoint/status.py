"""What a running endpoint says of itself, for ``rolecall top``: everything but the keys."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import RolecallError
from ..refresh.state import read
from ..sources.quote import quote
from ..stores import private
from .private_files import runtime_directory

if TYPE_CHECKING:
    from .app import Served


class Status:
    """The page that says how the roles of an endpoint are."""

    def __init__(self, served: Iterable[Served]) -> None:
        self._served = tuple(served)

    async def answer(self) -> tuple[int, Mapping[str, Any]]:
        """Return what is known now; nothing is fetched for it."""
        return 200, {"roles": [row(one) for one in self._served]}


def row(served: Served) -> Mapping[str, Any]:
    """Return what is known of one role; no secret."""
    refresher = served.refresher
    state, now = refresher.state, read(refresher.clock)
    held = state.held
    expires: datetime | None = None
    lifetime: float | None = None
    if held is not None and held.credentials.expires_at is not None:
        credentials = held.credentials
        dies_at = held.credentials.expires_at
        expires = dies_at - credentials.clock_offset
        if credentials.issued_at is not None:
            lifetime = (dies_at - credentials.issued_at).total_seconds()
    return {
        "name": served.name,
        "role_arn": served.role_arn,
        "account_id": served.account_id,
        "access_key": None if held is None else held.credentials.access_key,
        "state": refresher.phase.name.lower(),
        "expires_at": None if expires is None else _as_text(expires),
        "remaining_seconds": None if held is None else _left(held.left(now)),
        "lifetime_seconds": lifetime,
        "refreshes": 0 if held is None else held.generation - 1,
        "last_error": None if state.failure is None else _told(state.failure.error),
    }


def _left(seconds: float) -> float | None:
    return None if seconds == float("inf") else round(max(0.0, seconds), 1)


def _told(error: BaseException) -> str:
    return error.message if isinstance(error, RolecallError) else quote(error).text


def _as_text(instant: datetime) -> str:
    return instant.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An endpoint that somebody runs, as it has noted itself.

    Attributes:
        what: The command line's own words for it: ``exec deploy``, ``serve``.
        token: Opens its status page only.
        file: The note.
    """

    pid: int
    what: str
    url: str
    token: str = field(repr=False)
    file: Path


@contextmanager
def noted(what: str, url: str, token: str, environ: Mapping[str, str]) -> Iterator[None]:
    """Note inside ``with`` that an endpoint runs, in a file of this user's."""
    folder = _folder(environ)
    owner = os.getpid()
    # A process may have several, each with a port of its own.
    file = folder / f"{owner}-{urlsplit(url).port}.json"
    text = json.dumps({"pid": os.getpid(), "what": what, "url": url, "token": token})
    with suppress(OSError):  # then `top` does not see it
        private.make_directory(folder, exclusive=True)
        private.replace(file, text.encode("ascii"))
    try:
        yield
    finally:
        if os.getpid() == owner:  # not a forked child, which leaves the same ``with``
            with suppress(OSError):
                file.unlink(missing_ok=True)


def running(environ: Mapping[str, str]) -> list[Running]:
    """Return the endpoints of this user that have noted themselves; some may be gone."""
    found = []
    for file in sorted(_folder(environ).glob("*.json")):
        with suppress(OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
            values = json.loads(private.read(file))
            found.append(
                Running(
                    pid=int(values["pid"]),
                    what=str(values["what"]),
                    url=str(values["url"]),
                    token=str(values["token"]),
                    file=file,
                )
            )
    return found


def forget(one: Running) -> None:
    """Delete the note of an endpoint that is gone."""
    with suppress(OSError):
        one.file.unlink(missing_ok=True)


def _folder(environ: Mapping[str, str]) -> Path:
    return runtime_directory(environ) / "endpoints"
