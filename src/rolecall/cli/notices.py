"""What is said while a child runs: that its credentials could not be renewed, and what to do."""

from __future__ import annotations

import sys
import threading

from ..credentials import Credentials
from ..errors import MFARequired
from ..refresh import Event, Refresher
from ..sources.mfa import is_asking
from .endings import say, told

#: STS answers within a second; then a person begins to wonder.
WONDER_SECONDS = 3.0


def fetched(refresher: Refresher) -> Credentials:
    """Return what *refresher* gives; tell a person at the terminal if that takes long.

    Raises:
        FetchError: the refresher's own.
    """

    def tell() -> None:
        if not is_asking() and sys.stderr is not None and sys.stderr.isatty():
            say(f"waiting for {refresher.name}; Ctrl-C ends it")

    timer = threading.Timer(WONDER_SECONDS, tell)
    timer.daemon = True
    timer.start()
    try:
        return refresher.get()
    finally:
        timer.cancel()


class Notices:
    """A listener that says each new trouble once, and no more: the child has the terminal."""

    def __init__(self) -> None:
        self._whoami: str | None = None
        self._said: str | None = None

    def begin(self, whoami: str) -> None:
        """Say what happens from now on; before, the command itself says it.

        Args:
            whoami: The command line that asks for a code for the same role.
        """
        self._whoami = whoami

    def __call__(self, event: Event) -> None:
        """Take what happened to one of the chain's sessions."""
        if self._whoami is None:
            return
        if event.kind == "refreshed":
            if self._said is not None:
                say(f"{event.name}: renewed again")
            self._said = None
        elif event.kind == "refresh_failed" and event.error is not None:
            text = told(event.error)
            if isinstance(event.error, MFARequired):
                text = (
                    f"{event.error.message}\n  hint: run `{self._whoami}` in another terminal, "
                    "which asks for a code; the new session is used here as well"
                )
            if text != self._said:
                self._said = text
                say(f"not renewed: {text}")
