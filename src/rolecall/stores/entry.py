"""What a stored session looks like as JSON: botocore's own format, and a part of ours.

::

    {"Credentials": {"AccessKeyId": …, "SecretAccessKey": …, "SessionToken": …,
                     "Expiration": "2030-01-01T01:00:00+00:00", "AccountId": …},
     "rolecall": {"schema": 1, "key": …, "clock_offset_seconds": 0.0, "anchor": …}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ..clock import SYSTEM_CLOCK, Clock
from ..credentials import Credentials
from ..errors import FetchError
from ..sources.answer import read_answer, read_instant
from .aws_time import MOST_OFFSET_SECONDS, Anchor, least_offset, offset_by

#: Goes up when an older version must not read what a newer one wrote.
SCHEMA = 1


def storable(credentials: Credentials) -> bool:
    """Return whether a store may keep *credentials*: role sessions, never long-term keys."""
    return credentials.expires_at is not None and bool(credentials.token)


def to_document(credentials: Credentials, key: str, clock: Clock = SYSTEM_CLOCK) -> dict[str, Any]:
    """Return *credentials*, which are `storable`, as JSON-able values."""
    assert credentials.expires_at is not None
    inner = {
        "AccessKeyId": credentials.access_key,
        "SecretAccessKey": credentials.secret_key,
        "SessionToken": credentials.token,
        "Expiration": credentials.expires_at.isoformat(),
    }
    if credentials.account_id is not None:
        inner["AccountId"] = credentials.account_id
    ours: dict[str, Any] = {
        "schema": SCHEMA,
        # So that a file copied or linked to another's name is not taken for the other's.
        "key": key,
        "clock_offset_seconds": credentials.clock_offset.total_seconds(),
        "anchor": Anchor.now(clock, credentials.clock_offset).to_document(),
    }
    if credentials.issued_at is not None:
        ours["issued_at"] = credentials.issued_at.isoformat()
    return {"Credentials": inner, "rolecall": ours}


def from_document(
    document: object,
    key: str,
    clock: Clock = SYSTEM_CLOCK,
    *,
    remaining: timedelta | None = None,
) -> Credentials | None:
    """Return the credentials in *document*; None if it is not an entry of *key*.

    A document without our part, such as one that botocore wrote, is taken as it is.

    Args:
        remaining: How long they live on by the store's own clock, of what another machine wrote.
    """
    if not isinstance(document, Mapping) or "Credentials" not in document:
        return None
    ours = document.get("rolecall", {"schema": SCHEMA, "key": key})
    if not isinstance(ours, Mapping) or ours.get("schema") != SCHEMA or ours.get("key") != key:
        return None
    offset = ours.get("clock_offset_seconds", 0.0)
    if not isinstance(offset, (int, float)) or not abs(offset) <= MOST_OFFSET_SECONDS:
        return None
    try:
        credentials = read_answer(document, who="the entry")
        issued_at = read_instant(ours["issued_at"]) if "issued_at" in ours else None
    except (FetchError, ValueError):
        return None
    noted = timedelta(seconds=offset)
    anchor = Anchor.from_document(ours.get("anchor"))
    expires_at = credentials.expires_at
    if remaining is None or expires_at is None:
        noted = noted if anchor is None else anchor.offset(clock, noted)
    elif anchor is None or not anchor.is_here:
        noted = offset_by(expires_at, remaining, clock)
    else:
        # The store has seen time pass that a machine which was paused has not.
        noted = max(anchor.offset(clock, noted), least_offset(expires_at, remaining, clock))
    found = replace(credentials, clock_offset=noted, issued_at=issued_at)
    return found if _usable(found) else None


def _usable(credentials: Credentials) -> bool:
    """Return whether a request can be signed with them and their life be reckoned with."""
    texts = (credentials.access_key, credentials.secret_key, credentials.token or "")
    if not all(text.isascii() and text.isprintable() for text in texts):
        return False  # they go into headers
    if credentials.expires_at is not None:
        try:
            _ = credentials.expires_at - credentials.clock_offset
        except OverflowError:
            return False
    return True


def to_text(credentials: Credentials, key: str, clock: Clock = SYSTEM_CLOCK) -> str:
    """Return *credentials*, which are `storable`, as ASCII text for a store that keeps text."""
    return json.dumps(to_document(credentials, key, clock), separators=(",", ":"))


def from_text(
    text: str | bytes,
    key: str,
    clock: Clock = SYSTEM_CLOCK,
    *,
    remaining: timedelta | None = None,
) -> Credentials | None:
    """Return the credentials in *text*, as `from_document` does."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return from_document(document, key, clock, remaining=remaining)
