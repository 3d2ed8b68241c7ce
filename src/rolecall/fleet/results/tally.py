"""What a run came to: counts, and what did not run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from ..targets import Target
from .outcomes import Outcome

#: Why a run ended before all of it ran.
#:
#: ``tolerance``: more targets failed than are tolerated. ``deadline``: its time was up.
#: ``interrupted``: Ctrl-C, or `stop` was called. ``executor``: it takes no more work. ``hung``: too
#: many targets that were given up still hang in their threads. ``journal``: it cannot be written.
Stop = Literal["tolerance", "deadline", "interrupted", "executor", "hung", "journal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a run came to.

    Attributes:
        ok: How many targets succeeded.
        failed: How many failed, by kind.
        skipped: How many the journal says were done before.
        not_run: What was not started.
        stopped: Why not. None: all was.
        elapsed: From the start of the run to its end, or to now.
    """

    ok: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    skipped: int = 0
    not_run: tuple[Target, ...] = ()
    stopped: Stop | None = None
    elapsed: timedelta = timedelta(0)

    @property
    def failures(self) -> int:
        """How many targets failed."""
        return sum(self.failed.values())

    @property
    def all_ok(self) -> bool:
        """Whether everything ran and nothing failed."""
        return not self.failed and not self.not_run

    def __str__(self) -> str:
        parts = [f"{self.ok} ok"]
        if self.failed:
            kinds = ", ".join(f"{kind} {number}" for kind, number in self.failed.items())
            parts.append(f"{self.failures} failed ({kinds})")
        if self.skipped:
            parts.append(f"{self.skipped} done before")
        if self.not_run or self.stopped:
            why = self.stopped or "the plan has no regions for them"
            parts.append(f"{len(self.not_run)} not run ({why})")
        return ", ".join(parts)


class Tally:
    """Counts outcomes, and knows when too many failed.

    Args:
        tolerance: How many targets may fail. None: any number.
    """

    def __init__(self, tolerance: int | None) -> None:
        self._tolerance = tolerance
        self._counted = 0  # of those that count for the tolerance
        self._closed: set[str] = set()  # accounts that could not be entered
        self.ok: int = 0
        self.failed: Counter[str] = Counter()
        self.skipped: int = 0

    def count(self, outcome: Outcome) -> bool:
        """Count *outcome*; return whether more have failed by now than are tolerated."""
        if outcome.error is None:
            self.ok += 1
            return False
        self.failed[outcome.error.kind] += 1
        if outcome.error.kind != "assume_role":
            self._counted += 1
        elif outcome.account.id not in self._closed:
            # Once, however many regions it was to be entered in.
            self._closed.add(outcome.account.id)
            self._counted += 1
        return self.left is not None and self.left < 0

    def summary(
        self, *, not_run: tuple[Target, ...], stopped: Stop | None, seconds: float
    ) -> Summary:
        """Return what it came to."""
        return Summary(
            ok=self.ok,
            failed=dict(self.failed.most_common()),
            skipped=self.skipped,
            not_run=not_run,
            stopped=stopped,
            elapsed=timedelta(seconds=seconds),
        )

    @property
    def left(self) -> int | None:
        """How many more may fail. None: any number."""
        return None if self._tolerance is None else self._tolerance - self._counted
