"""Values as JSON has them: what results are written as."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timezone
from decimal import Decimal
from enum import Enum
from numbers import Integral, Real
from typing import Any

#: Deeper is no data: JSON readers give up at about a thousand.
_DEEPEST = 100


def json_text(value: Any) -> str:
    """Return *value* as compact JSON; what JSON has no word for as `plain` says."""
    return json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False)


def plain(value: Any) -> Any:
    """Return *value* as what JSON has: text, numbers, booleans, None, lists and dicts.

    Instants and days become ISO 8601 (UTC where they are aware), bytes base64, sets sorted lists,
    dataclasses dicts, members of an enumeration their values, `Decimal` a number where a float
    holds it exactly and text where not, infinite numbers None, and everything else ``str()``.
    """
    return _plain(value, ())


def _plain(value: Any, above: tuple[int, ...]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return _plain(value.value, above)
    if isinstance(value, str):
        return encodable(str(value))
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, Real):
        number = float(value)
        return number if math.isfinite(number) else None
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    if id(value) in above or len(above) >= _DEEPEST:
        return "…"
    return _container(value, (*above, id(value)))


def _container(value: Any, above: tuple[int, ...]) -> Any:
    if isinstance(value, Mapping):
        return {_key(key): _plain(one, above) for key, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name, None), above) for one in fields(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(one, above) for one in value]
    if isinstance(value, Set):
        return sorted((_plain(one, above) for one in value), key=_order)
    try:
        return encodable(str(value))
    except Exception:  # one value that cannot be told must not end the table
        return f"<{type(value).__name__}>"


def _order(made: Any) -> tuple[str, Any]:
    if isinstance(made, (int, float)):
        return "", made
    return type(made).__name__, made if isinstance(made, str) else json.dumps(made, sort_keys=True)


def _key(key: Any) -> str:
    made = plain(key)
    return made if isinstance(made, str) else json.dumps(made)


def _decimal(value: Decimal) -> Any:
    if not value.is_finite():
        return None
    number = float(value)
    if value == value.to_integral_value() and abs(value) < 10**18:
        return int(value)
    return number if math.isfinite(number) and Decimal(repr(number)) == value else str(value)


def instant_text(instant: datetime) -> str:
    """Return *instant* as ISO 8601, UTC where it is aware; always with microseconds.

    Readers guess the format of a column from its first cell.
    """
    if instant.tzinfo is None:
        return instant.isoformat(timespec="microseconds")
    text = instant.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="microseconds")
    return f"{text}Z"


def encodable(text: str) -> str:
    """Return *text* with lone surrogates, which UTF-8 has none of, as ``\\udc80``."""
    return text.encode("utf-8", "backslashreplace").decode()
