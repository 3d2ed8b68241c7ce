"""Telling what happened to one session's credentials: to the log, and to whoever listens."""

from __future__ import annotations

import logging
from typing import Any

from .events import Event, EventKind, Listener
from .flight import Flight
from .state import Instant, State

log: logging.Logger = logging.getLogger("rolecall")
log.addHandler(logging.NullHandler())


class Teller:
    """Tells the ``rolecall`` logger and one listener; never called with a lock held."""

    def __init__(self, name: str, listener: Listener | None) -> None:
        self._name = name
        self._listener = listener

    def refreshed(self, state: State) -> None:
        """Tell that new credentials are in use."""
        assert state.held is not None
        new = state.held.credentials
        log.info("%s: refreshed; %s expires at %s", self._name, new.access_key, new.expires_at)
        self._tell("refreshed", state)

    def failed(self, state: State, now: Instant) -> None:
        """Tell that the last attempt failed, why, and when the next one may be made."""
        failure = state.failure
        assert failure is not None
        pause = failure.until - now.boot
        log.warning(
            "%s: refresh failed, next attempt in %.0f s at the earliest: %s: %s",
            self._name,
            pause,
            type(failure.error).__name__,
            failure.error,
        )
        self._tell("refresh_failed", state, error=failure.error, next_attempt=pause)

    def lost(self, flight: Flight | None, state: State) -> None:
        """Tell that *flight*, if there is one, was given up."""
        if flight is None:
            return
        log.warning(
            "%s: the source has not answered within %g s and is asked anew",
            self._name,
            flight.as_seen.limit,
        )
        self._tell("fetch_lost", state)

    def late_answer(self, state: State) -> None:
        """Tell that a flight that was given up has answered after all."""
        self._tell("late_answer", state)

    def invalidated(self, state: State, access_key: str) -> None:
        """Tell that a service rejected *access_key*."""
        log.warning("%s: a service rejected %s as expired", self._name, access_key)
        self._tell("invalidated", state)

    def expired_served(self, state: State) -> None:
        """Tell that the policy let expired credentials out."""
        log.warning("%s: expired credentials are served, as the policy says", self._name)
        self._tell("expired_served", state)

    def _tell(self, kind: EventKind, state: State, **more: Any) -> None:
        if self._listener is None:
            return
        held = None if state.held is None else state.held.credentials
        event = Event(
            kind=kind,
            name=self._name,
            access_key=None if held is None else held.access_key,
            expires_at=None if held is None else held.expires_at,
            **more,
        )
        try:
            self._listener(event)
        except Exception:  # a listener's mistake must not cost anyone their credentials
            log.exception("%s: on_event raised for %s", self._name, kind)
