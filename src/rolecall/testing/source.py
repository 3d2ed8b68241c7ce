"""A source of made-up credentials that counts, fails and waits as a test tells it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from ..clock import Clock
from ..credentials import NO_TIME, Credentials

#: What a test may search logs, reprs and tracebacks for.
FAKE_SECRET = "fake-secret-key-do-not-leak"
FAKE_TOKEN = "fake-session-token-do-not-leak"


class FakeSource:
    """A `Source` whose answers a test chooses; the keys are numbered: ``ASIAFAKE000000000001``.

    Attributes:
        calls: How often credentials were asked for.
        lifetime: How long the next answer lives by AWS's clock.
        error: Raised instead of an answer while it is set.
        answer: Handed out instead of a made-up answer while it is set.
        before: Called before each answer, a `Gate` for one; outside any lock.
        offset: AWS's clock minus the local one.
        account_id: The account the answers belong to.
    """

    def __init__(self, clock: Clock, lifetime: timedelta = timedelta(hours=1)) -> None:
        self.clock = clock
        self.lifetime = lifetime
        self.calls: int = 0
        self.error: BaseException | None = None
        self.answer: Credentials | None = None
        self.before: Callable[[], object] | None = None
        self.offset = NO_TIME
        self.account_id: str | None = "123456789012"
        self._lock = threading.Lock()  # guards calls

    def get(self) -> Credentials:
        """Return the next made-up credentials, or raise `error`."""
        with self._lock:
            self.calls += 1
            number = self.calls
        sent = datetime.fromtimestamp(self.clock.time(), timezone.utc)
        if self.before is not None:
            self.before()
        if self.error is not None:
            raise self.error
        return self.answer or self.make(number, sent)

    def make(self, number: int, issued: datetime) -> Credentials:
        """Return credentials number *number*, issued at the local instant *issued*."""
        return Credentials(
            access_key=f"ASIAFAKE{number:012d}",
            secret_key=f"{FAKE_SECRET}-{number}",
            token=f"{FAKE_TOKEN}-{number}",
            expires_at=issued + self.offset + self.lifetime,
            account_id=self.account_id,
            clock_offset=self.offset,
        )
