"""What `rolecall.testing.demo` shows: a picture in a terminal, lines of text elsewhere."""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TextIO

#: A picture needs room; a bar needs some columns to say anything.
FEWEST_COLUMNS, MOST_COLUMNS, FEWEST_ROWS = 64, 100, 20
MOST_PLAIN_LINES = 18

_GREEN, _YELLOW, _RED, _BOLD, _DIM = "32", "33", "31", "1", "2"
_COLOURS = {"fresh": _GREEN, "stale": _YELLOW, "critical": _RED, "expired": _RED, "empty": _DIM}


class Signs(NamedTuple):
    """What a picture is made of."""

    left: str
    gone: str
    calls: str
    renewed: str
    died: str


_SIGNS = Signs("█", "░", "━", "◆", "✗")
_ASCII_SIGNS = Signs("#", ".", "-", "*", "x")


class Shown(Protocol):
    """What there is to see of one session.

    Attributes:
        renewed_at: Seconds into the phase at which it got credentials, the first ones included.
        died_at: Seconds into the phase of the first call that failed. None: none has.
        reason: The error code of that call.
    """

    name: str
    service: str
    calls: int
    errors: int
    last_call: float
    died_at: float | None
    reason: str
    renewed_at: list[float]

    @property
    def rotations(self) -> int:
        """How often its credentials were replaced."""
        ...

    def left(self) -> float:
        """Return the seconds its credentials still live."""
        ...

    def state(self) -> str:
        """Return ``fresh``, ``stale``, ``critical`` or ``expired``."""
        ...


class Plain:
    """A line of text every second or so: for files, pipes and small terminals."""

    def __init__(self, out: TextIO, *, every: float) -> None:
        self._out = out
        self._every = every
        self._due = 0.0

    def say(self, text: str = "") -> None:
        """Write a line of words."""
        encoding = getattr(self._out, "encoding", None) or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding), file=self._out, flush=True)

    @property
    def legend(self) -> str:
        """What the signs mean."""
        return "life left, and totals"

    def show(self, workers: Sequence[Shown], elapsed: float, *, last: bool = False) -> None:
        """Write a line about *workers*, if one is due or this is the *last*."""
        if elapsed < self._due and not last:
            return
        self._due = 0.0 if last else elapsed + self._every
        lives = "  ".join(f"{one.name} {max(0.0, one.left()):.1f} s left" for one in workers)
        self.say(f"  {elapsed:4.1f} s  {lives}  {totals(workers)}")

    def close(self) -> None:
        """Do nothing: lines need no tidying up."""


class Animated(Plain):
    """A picture that is drawn over itself, with one bar for each session."""

    def __init__(
        self, out: TextIO, *, columns: int, seconds: float, lifetime: float, colour: bool
    ) -> None:
        super().__init__(out, every=0.0)
        self._columns = min(columns - 1, MOST_COLUMNS)
        self._seconds = seconds
        self._lifetime = lifetime
        self._colour = colour
        unicode = (getattr(out, "encoding", None) or "").lower().startswith("utf")
        self._signs = _SIGNS if unicode else _ASCII_SIGNS
        self._drawn = 0
        self._out.write("\x1b[?25l")  # hide the cursor

    @property
    def legend(self) -> str:
        """What the signs mean."""
        signs = self._signs
        return f"{signs.left} life left, {signs.calls} calls, {signs.renewed} new credentials"

    def show(self, workers: Sequence[Shown], elapsed: float, *, last: bool = False) -> None:
        """Draw *workers* over what was drawn before; the *last* picture stays."""
        reason = "".join(f", {one.reason}" for one in workers if one.reason)
        footer = f"  {elapsed:4.1f} s: {totals(workers)}{self._paint(reason, _RED)}"
        lines = [*map(self._row, workers), footer]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self._out.write(up + "".join(f"\r{line}\x1b[K\n" for line in lines))
        self._out.flush()
        self._drawn = 0 if last else len(lines)

    def close(self) -> None:
        """Show the cursor again."""
        self._out.write("\x1b[?25h")
        self._out.flush()

    def _row(self, one: Shown) -> str:
        columns = max(8, self._columns // 5)
        left = max(0.0, one.left())
        filled = min(columns, math.ceil(columns * left / self._lifetime))
        bar = self._paint(self._signs.left * filled, _COLOURS[one.state()])
        rest = self._paint(self._signs.gone * (columns - filled), _DIM)
        before, after = f"  {one.name:<8} {one.service:<9}", f"  {one.calls:4} calls"
        between = f" {left:4.1f} s  "
        track = self._track(one, self._columns - len(before + between + after) - columns)
        return before + bar + rest + between + track + after

    def _track(self, one: Shown, columns: int) -> str:
        signs = self._signs

        def column(moment: float) -> int:
            return max(0, min(columns - 1, int(moment / self._seconds * columns)))

        track = [signs.calls if at <= column(one.last_call) else " " for at in range(columns)]
        for moment in tuple(one.renewed_at):
            track[column(moment)] = self._paint(signs.renewed, _BOLD)
        if one.died_at is not None:
            track[column(one.died_at)] = self._paint(signs.died, _RED)
        return "".join(track)

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and text else text


def totals(workers: Sequence[Shown]) -> str:
    """Return the sums over *workers* in words."""
    numbers = zip(sums(workers), ("call", "rotation", "error"), strict=True)
    return ", ".join(f"{number} {what}{'' if number == 1 else 's'}" for number, what in numbers)


def sums(workers: Sequence[Shown]) -> tuple[int, int, int]:
    """Return the calls, rotations and errors of *workers* together."""
    return (
        sum(one.calls for one in workers),
        sum(one.rotations for one in workers),
        sum(one.errors for one in workers),
    )


def screen_for(out: TextIO, options: argparse.Namespace, environ: Mapping[str, str]) -> Plain:
    """Return what suits *out*: a picture where it is a terminal with room for one."""
    columns, rows = shutil.get_terminal_size()
    dumb = environ.get("TERM", "") == "dumb"
    if options.plain or dumb or not out.isatty() or columns < FEWEST_COLUMNS or rows < FEWEST_ROWS:
        whole = options.seconds + 2 * options.lifetime
        return Plain(out, every=max(1.0, whole / MOST_PLAIN_LINES))
    return Animated(
        out,
        columns=columns,
        seconds=options.seconds,
        lifetime=options.lifetime,
        colour=not environ.get("NO_COLOR"),
    )
