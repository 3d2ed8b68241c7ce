"""One call of a source, which belongs to nobody who waits for it, and how its failure is told."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from ..errors import FetchError, RolecallError
from .state import Flying

#: With more than these, those that have ended are left out.
MOST_ASKERS = 16


#: What asyncio sets when asyncio.run, or whoever closes a loop well, is about to close it. Where
#: they are gone, what was begun on a loop at its very end is closed with it.
_ENDING = ("_asyncgens_shutdown_called", "_executor_shutdown_called")

#: Event loop → which of these were set when somebody on it last asked: where it goes on, they stay.
_known: WeakKeyDictionary[Any, tuple[bool, ...]] = WeakKeyDictionary()

#: Event loops that cancelled what they were to await: they are ending, or so it must be taken,
#: until somebody on them asks again. Whatever is begun on one that ends would never end itself.
leaving: WeakSet[Any] = WeakSet()


def is_ending(loop: Any) -> bool:
    """Return whether *loop* has ended, or is being shut down since somebody on it last asked."""
    flags = _flags(loop)
    return not loop.is_running() or (any(flags) and flags != _known.get(loop))


def _flags(loop: Any) -> tuple[bool, ...]:
    return tuple(bool(getattr(loop, name, False)) for name in _ENDING)


def serves(loop: Any) -> bool:
    """Return whether what must be awaited may be begun on *loop*."""
    return bool(loop.is_running()) and loop not in leaving


class Askers:
    """Those who wait for a fetch: the event loop of one of them runs what must be awaited.

    Event loops are held as they come, so that this file needs no asyncio.
    """

    __slots__ = ("_members", "_threads", "had_loops")

    def __init__(self) -> None:
        # Appended to, copied and replaced only, each in one step: no lock.
        self._members: list[Any] = []
        self._threads = False
        self.had_loops: bool = False

    def add(self, member: Any) -> None:
        """Add an event loop, the askers of the fetch that this one is made for, or (None) a thread.

        A thread has no event loop: what it waits for may run anywhere. A loop adds itself.
        """
        if member is not None and not isinstance(member, Askers):
            leaving.discard(member)
            _known[member] = _flags(member)
        if member is None:
            self._threads = True
        elif member is not self and member not in self._members:
            self.had_loops = self.had_loops or not isinstance(member, Askers) or member.had_loops
            if len(self._members) >= MOST_ASKERS:
                # Short-lived loops, one after the other: those that ended are nobody any more.
                self._members = [one for one in self._members if _is_there(one)]
            self._members.append(member)

    @property
    def threads(self) -> bool:
        """Whether somebody among them has no event loop."""
        inner = [member for member in list(self._members) if isinstance(member, Askers)]
        return self._threads or any(member.threads for member in inner)

    @property
    def loops(self) -> list[Any]:
        """All event loops that were ever among them, in the order in which they came."""
        found: dict[int, Any] = {}
        for member in list(self._members):
            for loop in member.loops if isinstance(member, Askers) else [member]:
                found.setdefault(id(loop), loop)
        return list(found.values())

    @property
    def gone(self) -> bool:
        """Whether there were event loops among them only, and none of them serves any more."""
        if self.threads or not self.had_loops:
            return False
        return not any(serves(loop) for loop in self.loops)


def _is_there(member: Any) -> bool:
    return not member.gone if isinstance(member, Askers) else bool(member.is_running())


class Abandoned(BaseException):
    """The event loops of all who waited ended, and a coroutine with them: nothing is known.

    No `Exception`, for no source in between may take it for a failure.
    """


class Flight:
    """One call of the source. It belongs to nobody who waits for it."""

    __slots__ = ("as_seen", "askers", "attended", "future", "thread")

    def __init__(self, as_seen: Flying) -> None:
        self.as_seen: Flying = as_seen
        self.future: Future[BaseException | None] = Future()
        self.thread: int | None = None  # whose stack the source is called on
        self.askers: Askers = Askers()
        self.attended: bool = False  # whether somebody waits who may be asked for something


#: For whom the code that runs is fetching. None: for whoever called it.
asked_by: ContextVar[Askers | None] = ContextVar("asked_by", default=None)

#: The flights that the code that runs is a part of.
aboard: ContextVar[tuple[Flight, ...]] = ContextVar("aboard", default=())

#: Whether a person may be asked in this thread although it is not the main one.
attended: ContextVar[bool] = ContextVar("attended", default=False)


@contextmanager
def on_behalf_of(askers: Askers, *, person: bool) -> Iterator[None]:
    """Let what is fetched inside be fetched for *askers*; *person*: one of them may be asked."""
    by, may_ask = asked_by.set(askers), attended.set(person)
    try:
        yield
    finally:
        attended.reset(may_ask)
        asked_by.reset(by)


def anew(error: BaseException) -> BaseException:
    """Return an exception equal to *error*, without its traceback.

    A stored instance that is raised again and again grows its traceback without bound.
    """
    if isinstance(error, RolecallError):
        return error.copy()
    if isinstance(error, Exception):
        try:
            again = copy.copy(error)
        except Exception:  # an exception of somebody's own that cannot be copied
            return FetchError(f"{type(error).__name__}: {error}")
        again.__traceback__ = None
        return again
    return FetchError(f"the fetch was interrupted by {type(error).__name__}")
