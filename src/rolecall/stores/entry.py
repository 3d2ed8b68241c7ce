"""What a stored session looks like as JSON: botocore's own format, and a part of ours.

::

    {"Credentials": {"AccessKeyId": …, "SecretAccessKey": …, "SessionToken": …,
                     "Expiration": "2030-01-01T01:00:00+00:00", "AccountId": …},
     "rolecall": {"schema": 1, "key": …, "clock_offset_seconds": 0.0}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ..credentials import Credentials
from ..errors import FetchError
from ..sources.answer import read_answer, read_instant

#: Goes up when an older version must not read what a newer one wrote.
SCHEMA = 1

#: No clock that is this far off makes a signature that AWS takes.
_MOST_OFFSET_SECONDS = 366 * 24 * 3600.0


def storable(credentials: Credentials) -> bool:
    """Return whether a store may keep *credentials*: role sessions, never long-term keys."""
    return credentials.expires_at is not None and bool(credentials.token)


def to_document(credentials: Credentials, key: str) -> dict[str, Any]:
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
    }
    if credentials.issued_at is not None:
        ours["issued_at"] = credentials.issued_at.isoformat()
    return {"Credentials": inner, "rolecall": ours}


def from_document(document: object, key: str) -> Credentials | None:
    """Return the credentials in *document*; None if it is not an entry of *key*.

    A document without our part, such as one that botocore wrote, is taken as it is.
    """
    if not isinstance(document, Mapping) or "Credentials" not in document:
        return None
    ours = document.get("rolecall", {"schema": SCHEMA, "key": key})
    if not isinstance(ours, Mapping) or ours.get("schema") != SCHEMA or ours.get("key") != key:
        return None
    offset = ours.get("clock_offset_seconds", 0.0)
    if not isinstance(offset, (int, float)) or not abs(offset) <= _MOST_OFFSET_SECONDS:
        return None
    try:
        credentials = read_answer(document, who="the entry")
        issued_at = read_instant(ours["issued_at"]) if "issued_at" in ours else None
    except (FetchError, ValueError):
        return None
    return replace(credentials, clock_offset=timedelta(seconds=offset), issued_at=issued_at)
