"""What a crew's threads do, and what comes of it."""

from __future__ import annotations

import math
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from ...sessions.boto import Child, refuse_calls
from ...sources.upstream import botocore_session
from ..errands import Errand
from ..results.failures import failure_of, release
from ..results.outcomes import Failure, Outcome
from ..targets import Target
from .opening import Opener

#: Threads that hang are replaced, but not without end: each has a stack, and whatever it waits for.
_MOST_LOST = 100


class Late(TimeoutError):
    """The target was given up, so its session calls AWS no more."""


class Stay:
    """One account while there is work in it: its credentials live as long as this."""

    def __init__(self, errand: Errand) -> None:
        self.errand = errand
        self.begun = False  # whether some function was called in it
        self._lock = threading.Lock()  # held while it is opened, which happens once
        self._child: Child | None = None

    def child(self, opener: Opener) -> Child:
        """Return what the account's sessions are opened from."""
        with self._lock:
            if self._child is None:
                self._child = opener.account(self.errand.way, self.errand.account.id)
            return self._child


@dataclass(slots=True, eq=False)
class Task:
    """One thing that a thread does.

    Attributes:
        asks: Ask which regions are enabled, instead of doing the work.
        failed: What came of the attempt before; None: this is the first one.
        begun: Its function was called.
        over: It was given up: what comes of it is of no interest any more.
        thread: Which has begun it.
        result: What came of it, for whoever is about to give it up.
    """

    stay: Stay
    target: Target
    asks: bool = False
    attempt: int = 1
    failed: Outcome | None = None
    begun: bool = False
    began: float = 0.0
    began_wall: float = 0.0
    deadline: float = math.inf
    over: bool = False
    thread: threading.Thread | None = None
    result: Result | None = None

    def is_over(self) -> bool:
        """Whether it was given up by now."""
        return self.over

    def again(self, failed: Outcome) -> Task:
        """Return the same, to be tried once more after it *failed*."""
        return Task(self.stay, self.target, self.asks, self.attempt + 1, failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a task, on its way from a thread."""

    value: Any = None
    error: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How a crew works.

    Attributes:
        threads: Targets at once, at most.
        timeout: Seconds for one target. None: as long as it takes.
        attempts: How often a target is tried where another try may help.
    """

    threads: int
    timeout: float | None = None
    attempts: int = 1

    @property
    def most_lost(self) -> int:
        """How many threads may hang in targets that were given up."""
        return max(_MOST_LOST, 10 * self.threads)


def finished(value: Any) -> Any:
    """Return *value*, which is what a function came to.

    Raises:
        TypeError: it is something of which nothing has run yet.
    """
    if isawaitable(value) or isinstance(value, (Iterator, AsyncIterator)):
        if isinstance(value, (Coroutine, Generator)):
            value.close()  # or Python complains that it never ran
        raise TypeError(
            f"the function returned {type(value).__name__}, of which nothing has run: have it "
            "return a list, or what asyncio.run gives"
        )
    return value


def told(error: BaseException, region: str | None) -> Failure:
    """Return what is told of *error*, whose every attribute may raise: it is a stranger's."""
    try:
        found = failure_of(error, region=region)
        release(error)
        return found
    except BaseException:
        with suppress(BaseException):
            error.__traceback__ = None
        return Failure(kind="function", type=type(error).__name__, code=None, message="")


def refuse_when_over(session: Any, over: Callable[[], bool]) -> None:
    """Let *session*'s clients make no more calls once it is *over*."""

    def refuse(**_: Any) -> None:
        if over():
            raise Late("the target was given up: its session makes no more calls")

    refuse_calls(botocore_session(session), refuse)
