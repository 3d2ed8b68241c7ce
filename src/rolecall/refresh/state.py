"""What a refresher knows at one instant, as immutable values.

Instants are float seconds on the boot clock; see `Instant` for why there are two clocks.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import NamedTuple

from ..clock import Clock
from ..credentials import Credentials


class Phase(str, enum.Enum):
    """How far credentials are on their way to expiry."""

    EMPTY = "empty"
    FRESH = "fresh"
    STALE = "stale"
    CRITICAL = "critical"
    EXPIRED = "expired"

    def __str__(self) -> str:
        return self.value


class Instant(NamedTuple):
    """One reading of both clocks.

    The boot clock never goes back and counts a suspended machine; but a sandbox may freeze it.
    The wall clock goes on while frozen, but people set it. Taking the later of the two means a
    clock set back never lengthens a life, and a freeze never hides one.
    """

    boot: float
    wall: float


def read(clock: Clock) -> Instant:
    """Return what both of *clock*'s hands show."""
    return Instant(clock.boottime(), clock.time())


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Credentials and the instants at which their phases begin, on the boot clock.

    Attributes:
        credentials: What readers get.
        wall_offset: Wall clock minus boot clock when they were received.
        dead_at: When AWS stops accepting them. Infinite: never.
        refresh_at: From here on a refresh is due.
        block_at: From here on readers wait for it.
        fresh_until_wall: `refresh_at` on the wall clock, to spare the hot path a subtraction.
        lifetime: Seconds from the request to `dead_at`.
        rejected: Whether a service said that the key is expired.
        generation: Counts the rotations of one refresher, from 1.
    """

    credentials: Credentials
    wall_offset: float
    dead_at: float
    refresh_at: float
    block_at: float
    fresh_until_wall: float
    lifetime: float
    rejected: bool = False
    generation: int = 1

    def now(self, instant: Instant) -> float:
        """Return the later of both clocks, on the boot clock's scale."""
        return max(instant.boot, instant.wall - self.wall_offset)

    def left(self, instant: Instant) -> float:
        """Return the seconds until expiry; 0 or less: expired or rejected."""
        return 0.0 if self.rejected else self.dead_at - self.now(instant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The last attempt's failure, and until when the source is left alone, by either clock."""

    error: BaseException
    until: float
    until_wall: float
    count: int
    permanent: bool

    def pauses(self, now: Instant) -> bool:
        """Return whether the source is to be left alone at *now*; a frozen sandbox ends it too."""
        return now.boot < self.until and now.wall < self.until_wall


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandonment:
    """The last attempt ended with the event loops of all who waited, and so did `count` in a row.

    Not a failure: nothing is known of the source. But where loops are shorter than it takes, each
    of them would begin an attempt in vain.
    """

    until: float
    until_wall: float
    count: int

    def pauses(self, now: Instant) -> bool:
        """Return whether what is held is served at *now* without another attempt."""
        return now.boot < self.until and now.wall < self.until_wall


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything a reader needs, in one immutable object that is published at once."""

    held: Held | None = None
    failure: Failure | None = None
    abandoned: Abandonment | None = None
    rejections: int = 0
    rejected_at: float = -math.inf


EMPTY = State()


@dataclass(frozen=True, slots=True)
class Flying:
    """A fetch that is in progress, as the rules see it.

    Attributes:
        started: When it was sent.
        limit: Seconds after which it counts as lost.
        critical_until: Until when (boot clock) critical readers wait for it. None: nobody has yet.
    """

    started: Instant
    limit: float
    critical_until: float | None = None

    def lost(self, now: Instant) -> bool:
        """Return whether it took longer than its own time-outs allow.

        By either clock: a frozen sandbox stops one of them, and its connections are dead.
        """
        return max(now.boot - self.started.boot, now.wall - self.started.wall) > self.limit

    def remaining(self, now: Instant) -> float:
        """Return the seconds after which it will count as lost."""
        return max(0.0, self.started.boot + self.limit - now.boot)


def phase(held: Held | None, now: Instant) -> Phase:
    """Return how far *held* is at *now*."""
    if held is None:
        return Phase.EMPTY
    if held.rejected:
        return Phase.EXPIRED
    moment = held.now(now)
    if moment < held.refresh_at:
        return Phase.FRESH
    if moment < held.block_at:
        return Phase.STALE
    if moment < held.dead_at:
        return Phase.CRITICAL
    return Phase.EXPIRED
