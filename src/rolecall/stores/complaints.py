"""Say once that a store gives trouble: a warning a call would drown the program's own log."""

from __future__ import annotations

import logging

log: logging.Logger = logging.getLogger("rolecall")


class Complaints:
    """Warn of each kind of trouble once; what comes after it goes to DEBUG.

    Nothing here may hold a secret: say the type of a foreign exception, not its message.
    """

    __slots__ = ("_said",)

    def __init__(self) -> None:
        self._said: set[str] = set()

    def say(self, kind: str, message: str, *args: object) -> None:
        """Log *message*, as a warning if it is the first of its *kind*."""
        level = logging.DEBUG if kind in self._said else logging.WARNING
        self._said.add(kind)
        log.log(level, message, *args)


def reason(error: Exception) -> str:
    """Return why an operation of the system failed; never what was written."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
