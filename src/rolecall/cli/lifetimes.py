"""Lengths of time as people write and read them, and sessions that shall live so long."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..spans import span

if TYPE_CHECKING:
    from ..refresh import Refresher


def shown(left: timedelta) -> str:
    """Return *left* for people: ``2 h 5 min``, ``14 min``, ``8 s``."""
    seconds = int(left.total_seconds())
    if seconds <= 0:
        return "expired"
    if seconds < 60:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    hours = minutes // 60
    if hours < 1:
        return f"{minutes} min"
    return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"


def ensure(refresher: Refresher, text: str | None) -> None:
    """Refresh until as much life is left as *text*, of ``--refresh-before``, says.

    Raises:
        ConfigError: it says no length of time, or even a new session does not live that long.
    """
    if text is None:
        return
    try:
        wanted = span(text)
    except ValueError as error:
        raise ConfigError(f"--refresh-before {error}") from None
    for _ in range(2):  # what another process had stored is newer, but not new
        left = refresher.remaining
        if left is None or left >= wanted:
            return
        refresher.refresh()
    left = refresher.remaining
    if left is not None and left < wanted:
        raise ConfigError(
            f"--refresh-before {text}: new sessions live {shown(left)}, not {shown(wanted)}",
            hint="give a longer --duration, as far as the role allows (1 h when chaining)",
        )
