"""Standard error during a run: whole lines, and a bar below them where somebody looks."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ...sources.redaction import Redacting
from ..endings import say

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ...fleet import Summary


class Screen:
    """What is said while a run goes on, by any thread, line by line.

    Whatever becomes of standard error, a closed pipe or a full disk, nothing is raised: what is
    said is lost, and the run goes on.

    Args:
        bar: Whether a bar is wanted; it is shown at a terminal that can move its cursor.
    """

    def __init__(self, *, bar: bool) -> None:
        self._wanted = bar
        self._lock = threading.RLock()  # held while a line is written, or the bar comes or goes
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def line(self, text: str) -> None:
        """Write one line, above the bar."""
        with self._lock, _unheard():
            if sys.stderr is None:
                return
            if self._bar is not None:
                self._bar.console.print(text, soft_wrap=True)
            else:
                sys.stderr.write(f"{text}\n")
                sys.stderr.flush()

    def say_when_possible(self, *lines: str) -> None:
        """Say something of our own without waiting for whoever does not read it."""
        threading.Thread(
            target=self.say, args=lines, name="rolecall-each-said", daemon=True
        ).start()

    def say(self, *lines: str) -> None:
        """Say something of our own, above the bar."""
        with self._lock, _unheard():
            if self._bar is None:
                say(*lines)
                return
            for one in lines:
                self.line(f"rolecall: {one}")

    def __enter__(self) -> Screen:
        if self._wanted and sys.stderr is not None and sys.stderr.isatty():
            bar = _bar()
            if not bar.console.is_dumb_terminal:
                with self._lock:
                    self._bar = bar
                    self._task = bar.add_task("", total=None, failed="", rate="")
                    bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Take the bar away, if there is one."""
        with self._lock:
            bar, self._bar = self._bar, None
            if bar is not None:
                with _unheard():
                    bar.stop()  # which shows the cursor again

    def tell(self, summary: Summary, total: int) -> None:
        """Show how far a run is.

        Args:
            total: How many targets there are, as far as that is known by now.
        """
        with self._lock:
            if self._bar is None or self._task is None:
                return
            done = summary.ok + summary.failures + summary.skipped
            failed = f"{summary.failures} failed" if summary.failures else ""
            seconds = summary.elapsed.total_seconds()
            rate = (done - summary.skipped) / seconds if seconds > 0 else 0.0
            self._bar.update(
                self._task,
                completed=done,
                total=max(done, total),
                failed=failed,
                rate=f"{rate:.1f}/s" if rate else "",
            )


def _unheard() -> suppress:
    """Let what cannot be written be lost. A file that was closed is a ValueError."""
    return suppress(OSError, ValueError)


class _Said(logging.Handler):
    """Says what is logged."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen
        self.addFilter(Redacting())

    def emit(self, record: logging.LogRecord) -> None:
        """Say *record*."""
        self._screen.say(record.getMessage())


@contextmanager
def warnings_said(screen: Screen) -> Iterator[None]:
    """Say the fleet's warnings meanwhile: of regions, of tags, of a journal."""
    logger, handler = logging.getLogger("rolecall.fleet"), _Said(screen)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("[red]{task.fields[failed]}"),
        TextColumn("{task.fields[rate]}"),
        TimeLeft(),
        # Without markup: [brackets] in what a program says are no style.
        console=Console(file=sys.stderr, highlight=False, markup=False, emoji=False),
        transient=True,
        # What is printed on standard output stays there.
        redirect_stdout=False,
        redirect_stderr=False,
    )
