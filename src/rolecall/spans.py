"""Lengths of time as people write them: ``45m``, ``1h30m``, ``900``."""

from __future__ import annotations

import re
from datetime import timedelta

_SPAN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?:in)?)?(?:(\d+)s)?")


def span(text: str) -> timedelta:
    """Return the length of time that *text* says: ``45m``, ``1h30m``, ``900``.

    Raises:
        ValueError: it says none.
    """
    if text.isascii() and text.isdigit() and len(text) < 10:
        return timedelta(seconds=int(text))
    match = _SPAN.fullmatch(text) if text.isascii() and len(text) < 30 else None
    if not text or match is None:
        raise ValueError(f"{text}: must be a time such as 45m, 1h30m or 900 (seconds)")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    try:
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        raise ValueError(f"{text}: is too long") from None


def length(name: str, given: timedelta | float | str | None) -> timedelta | None:
    """Return the length of time given as *name*: a timedelta, seconds, or text as for `span`.

    Raises:
        TypeError: it is something else.
        ValueError: it is no length of time, or not positive.
    """
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (timedelta, int, float, str)):
        raise TypeError(f"{name} must be a timedelta, seconds, or text such as '1h', got {given!r}")
    try:
        found = (
            given
            if isinstance(given, timedelta)
            else span(given)
            if isinstance(given, str)
            else timedelta(seconds=given)
        )
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name}: {error}") from None
    if found <= timedelta(0):
        raise ValueError(f"{name} must be positive, got {given!r}")
    return found
