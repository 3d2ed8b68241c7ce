"""Under which key a session is stored: who asks for what, of whom."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .entry import SCHEMA

#: Sets that STS takes as lists: their order means nothing.
_SETS = frozenset({"PolicyArns", "ProvidedContexts", "Tags", "TransitiveTagKeys"})


def cache_key(
    request: Mapping[str, Any],
    *,
    source: str,
    partition: str,
    endpoint: str | None = None,
    operation: str = "AssumeRole",
    generated_session_name: bool = False,
) -> str:
    """Return the key of the session that *request* gives: 64 hexadecimal digits.

    Args:
        request: The STS arguments as boto3 spells them. Their order does not matter, nor that of
            tags, policies and the keys of ``Policy``; ``TokenCode`` does not count.
        source: Who asks: an access key id, a profile with its account, or, for a later hop of a
            chain, the key of the hop before. Two principals never share a session.
        partition: ``aws``, ``aws-cn``, …
        endpoint: The STS endpoint, if one was given.
        operation: ``AssumeRole``, ``GetSessionToken``, …
        generated_session_name: Whether ``RoleSessionName`` was made up, so that it may differ
            from process to process.

    Raises:
        ValueError: *source* is empty: the session would be anybody's.
    """
    if not source:
        raise ValueError("source must say who assumes the role, got an empty string")
    left_out = {"TokenCode"} | ({"RoleSessionName"} if generated_session_name else set())
    parts = {
        "schema": SCHEMA,
        "operation": operation,
        "request": {
            name: _normal(name, value)
            for name, value in request.items()
            if name not in left_out and value is not None
        },
        "source": source,
        "partition": partition,
        "endpoint": endpoint,
    }
    return hashlib.sha256(_canonical(parts).encode("ascii")).hexdigest()


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _normal(name: str, value: Any) -> Any:
    if name == "Policy":
        return _parsed(value)
    if name == "Tags" and isinstance(value, Mapping):
        value = [{"Key": key, "Value": text} for key, text in value.items()]
    if name == "PolicyArns":
        value = [{"arn": one} if isinstance(one, str) else one for one in value]
    if name in _SETS:
        return sorted((_plain(one) for one in value), key=_canonical)
    return _plain(value)


def _parsed(policy: Any) -> Any:
    if not isinstance(policy, str):
        return _plain(policy)
    try:
        return json.loads(policy)
    except ValueError:
        return policy


def _plain(value: Any) -> Any:
    """Return *value* with any mapping or sequence as the one that `json` knows."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value
