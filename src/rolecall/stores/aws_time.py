"""What time it is by AWS's clock, for who finds a session that another process saved.

The local clock may have been set since, or belong to another machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, TypeGuard

from ..clock import Clock
from ..credentials import NO_TIME
from ..sources.sts import AGREEING_SECONDS

#: No clock that is this far off makes a signature that AWS takes.
MOST_OFFSET_SECONDS = 366 * 24 * 3600.0

#: Tells which boot of which machine this is; see `this_boot`.
Boot = Callable[[], "str | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """An instant on two clocks: AWS's, and one that nobody can set.

    Attributes:
        boot: Which boot of which machine the second clock belongs to. None: not known.
        boottime: Seconds on that clock.
        aws_time: Seconds since the epoch by AWS's clock.
    """

    boot: str | None
    boottime: float
    aws_time: float

    @classmethod
    def now(cls, clock: Clock, offset: timedelta, *, boot: Boot | None = None) -> Anchor:
        """Return this instant, where AWS's clock is *offset* ahead of the local one."""
        return cls(
            boot=(boot or this_boot)(),
            boottime=clock.boottime(),
            aws_time=clock.time() + offset.total_seconds(),
        )

    @property
    def is_here(self) -> bool:
        """Whether it is of this very boot of this machine."""
        return self.boot is not None and self.boot == this_boot()

    def offset(self, clock: Clock, noted: timedelta, *, boot: Boot | None = None) -> timedelta:
        """Return how far AWS's clock is ahead of the local one now; *noted*: how far it was.

        Where that cannot be told, what makes a session's life shorter: a fetch too many at worst.
        """
        since = clock.boottime() - self.boottime
        found = self.aws_time + since - clock.time()
        if self.boot == (here := (boot or this_boot)()) and since >= 0:
            if abs(found - noted.total_seconds()) <= AGREEING_SECONDS:
                return noted
            if here is not None and abs(found) <= AGREEING_SECONDS:
                return NO_TIME  # it was wrong and has been set right
            if here is not None and abs(found) <= MOST_OFFSET_SECONDS:
                # Where it seems to have been set forward, the other clock may have stood still: a
                # virtual machine's does while its host sleeps.
                return max(timedelta(seconds=found), noted)
            if abs(found) <= MOST_OFFSET_SECONDS:
                # No boot is known here, but no more time has passed than since this one's start.
                return max(timedelta(seconds=found), noted, NO_TIME)
        # Another machine, or the same after a restart, or after something that its clocks do not
        # tell: what was noted may hold no more.
        return max(noted, NO_TIME)

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return {"boot": self.boot, "boottime": self.boottime, "aws_time": self.aws_time}

    @classmethod
    def from_document(cls, document: object) -> Anchor | None:
        """Return the anchor in *document*; None if it is none."""
        if not isinstance(document, Mapping):
            return None
        boot, boottime = document.get("boot"), document.get("boottime")
        aws_time = document.get("aws_time")
        if not (boot is None or isinstance(boot, str)):
            return None
        if not (_number(boottime) and _number(aws_time)):
            return None
        return cls(boot=boot, boottime=float(boottime), aws_time=float(aws_time))


def offset_by(expires_at: datetime, remaining: timedelta, clock: Clock) -> timedelta:
    """Return the offset by another machine's word that a session lives on for *remaining*.

    Never negative: a word that is wrong shall not lengthen its life.
    """
    ahead = _ahead_seconds(expires_at, remaining, clock)
    return timedelta(seconds=ahead) if ahead > AGREEING_SECONDS else NO_TIME


def least_offset(expires_at: datetime, remaining: timedelta, clock: Clock) -> timedelta:
    """Return the least that AWS's clock is ahead, where a session lives on for *remaining*."""
    return timedelta(seconds=_ahead_seconds(expires_at, remaining, clock) - AGREEING_SECONDS)


def _ahead_seconds(expires_at: datetime, remaining: timedelta, clock: Clock) -> float:
    return expires_at.timestamp() - remaining.total_seconds() - clock.time()


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and abs(value) < 1e12  # nor NaN


@lru_cache(maxsize=1)
def this_boot(proc: str = "/proc") -> str | None:
    """Return what all processes have in common whose boot-time clocks agree. None: not known.

    Known on Linux only.
    """
    try:
        with open(f"{proc}/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
    except (OSError, ValueError):
        return None
    if not boot:
        return None
    try:
        # A container may count from an instant of its own.
        return f"{boot} {os.readlink(f'{proc}/self/ns/time')}"
    except OSError:
        return boot
