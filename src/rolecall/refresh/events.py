"""What a refresher tells those who watch it: facts only, never a secret."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

EventKind = Literal[
    "refreshed", "refresh_failed", "invalidated", "expired_served", "fetch_lost", "late_answer"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to one session's credentials.

    A listener is called on the thread that fetches, before those who wait for the fetch go on: what
    takes long there holds them up. ``invalidated``, ``expired_served`` and ``fetch_lost`` are told
    where they were noticed, which may be on an event loop. What it raises is logged and goes no
    further.

    Attributes:
        kind: ``refreshed``: new credentials are in use. ``refresh_failed``: see `error`; what is
            held stays in use. ``invalidated``: a service rejected `access_key` as expired.
            ``expired_served``: the policy let expired credentials out. ``fetch_lost``: the source
            did not answer in time and is asked anew. ``late_answer``: a lost fetch answered after
            all; used only if fresher than what is held.
        name: What the session is called, its role's ARN mostly.
        access_key: Access key id of the credentials now held. None: none are.
        expires_at: When those expire, by AWS's clock. None: never, or none are held.
        next_attempt: Seconds until the source is asked again, after a failure.
        error: Why an attempt failed.
    """

    kind: EventKind
    name: str
    access_key: str | None = None
    expires_at: datetime | None = None
    next_attempt: float | None = None
    error: BaseException | None = None


Listener = Callable[[Event], object]
