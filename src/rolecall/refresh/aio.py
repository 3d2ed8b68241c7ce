"""The asyncio driver of the refresh rules: tasks wait where threads would, and hold up no loop.

The rules, the state and the flights are those of the thread driver, for an object of ours may be
read from several event loops and threads at once. A source is called in a thread of its own; what
it must await runs on the event loop of one of those who wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import wait as wait_for_any
from typing import Any, TypeVar

from ..clock import SYSTEM_CLOCK, Clock, SystemClock
from ..credentials import Credentials
from ..errors import ConfigError, FetchError, Unreachable
from ..fork import ForkSafeLock, tell_after_fork
from .flight import (
    Abandoned,
    Askers,
    Flight,
    anew,
    asked_by,
    attended,
    is_ending,
    leaving,
    on_behalf_of,
    serves,
)
from .threads import MOST_ABANDONED, Refresher

T = TypeVar("T")

#: How often a thread looks whether the loop that works for it still runs: one that was stopped
#: tells nobody.
LOOK_SECONDS = 0.25

#: A loop that has not answered for so many looks, about a second, is held up.
MOST_UNANSWERED = 4

#: How long a synchronous call on an event loop waits for another one.
PATIENCE_SECONDS = 60.0

#: A call that has taken that much of it is not joined any more, but made anew.
MOST_OF_IT = 0.9

#: asyncio's own name, which its gather() sets too. Where it is gone, there is a line in the log.
_COMPLAINS = "_log_destroy_pending"

#: So often a coroutine that is closed may wait for something more, which it is refused.
MOST_LAST_WORDS = 16

#: Loops that stopped before these tasks of theirs had ended: weakly, as what is dropped is closed.
_unfinished: list[
    tuple[weakref.ref[asyncio.AbstractEventLoop], weakref.ref[asyncio.Task[None]]]
] = []


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that runs in this thread.

    Raises:
        ConfigError: none does; trio is named where it runs instead.
    """
    if is_on_a_loop():
        return asyncio.get_running_loop()
    trio: Any = sys.modules.get("trio")
    in_trio = trio is not None and trio.lowlevel.in_trio_run()
    raise ConfigError(
        "rolecall.aio works on asyncio's event loop, and "
        + ("this is trio's" if in_trio else "none is running here"),
        hint="under trio use rolecall.assume_role in trio.to_thread.run_sync, or run the program "
        "on asyncio, as anyio can"
        if in_trio
        else "await it inside asyncio.run(…)",
    )


def is_on_a_loop() -> bool:
    """Return whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class AsyncRefresher:
    """An `AsyncSource` over a `Refresher`, for any number of tasks on any number of event loops.

    A task that is cancelled, or that waits no longer, leaves the fetch alone: it belongs to nobody.

    Args:
        person: Whether its fetches may ask somebody at the terminal.
    """

    __slots__ = ("_person", "refresher")

    def __init__(self, refresher: Refresher, *, person: bool = True) -> None:
        self.refresher: Refresher = refresher
        self._person = person

    def __repr__(self) -> str:
        return f"AsyncRefresher({self.refresher.name}, {self.refresher.phase})"

    async def get(self) -> Credentials:
        """Return credentials that are valid now; at once unless they are about to expire.

        Raises:
            FetchError: none are valid and none can be had.
            ConfigError: no asyncio event loop runs here.
        """
        loop = running_loop()
        held = self.refresher.fresh()
        if held is not None:
            return held
        for _ in range(MOST_ABANDONED):
            asked = self.refresher.ask(loop, person=self._person)
            if isinstance(asked, Credentials):
                return asked
            flight, seconds = asked
            await self._until_landed(flight, seconds)
            longer = self.refresher.longer(flight)
            if longer is not None:
                await self._until_landed(flight, longer)
            try:
                return self.refresher.outcome(flight)
            except Abandoned:
                continue
        raise self.refresher.cancelled()

    async def refresh(self) -> Credentials:
        """Fetch new credentials now, or join the fetch in progress, and return them.

        Raises:
            FetchError: the source failed. What is held stays in use.
        """
        loop = running_loop()
        for _ in range(MOST_ABANDONED):
            flight, seconds = self.refresher.start(loop)
            await self._until_landed(flight, seconds)
            try:
                self.refresher.check(flight)
            except Abandoned:
                continue
            return await self.get()
        raise self.refresher.cancelled()

    async def _until_landed(self, flight: Flight, seconds: float) -> None:
        await until_done(flight.future, seconds, self.refresher.clock)


async def until_done(
    future: Future[Any], timeout: float | None, clock: Clock = SYSTEM_CLOCK
) -> None:
    """Wait until *future* is done or *timeout* seconds have passed; never cancel it."""
    if future.done():
        return
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not woken.done():
            woken.set_result(None)

    def tell(_: object = None) -> None:
        with contextlib.suppress(RuntimeError):  # closed, and whoever waited there is gone
            loop.call_soon_threadsafe(wake)

    def watch() -> None:
        try:
            clock.wait(future, timeout)
        finally:
            tell()

    if isinstance(clock, SystemClock):
        timer = None if timeout is None else loop.call_later(timeout, wake)
        future.add_done_callback(tell)
        try:
            await woken
        finally:
            if timer is not None:
                timer.cancel()
    else:
        # A clock of somebody's own knows how to wait in a thread only.
        start_thread(watch, "rolecall-clock")
        await woken


def start_thread(run: Callable[[], object], name: str) -> None:
    """Run *run* in a daemon thread: it outlives the loop and does not delay the exit."""
    threading.Thread(target=run, name=name, daemon=True).start()


async def in_thread(work: Callable[[], T]) -> T:
    """Return what *work* returns, called in a thread of its own.

    Cancelling this does not end *work*. What it fetches that must be awaited runs on this loop.
    """
    askers = Askers()
    askers.add(running_loop())
    future = working(work, askers)
    await until_done(future, None)
    try:
        return future.result()
    except Abandoned:
        raise FetchError("a coroutine that the answer depends on was cancelled") from None


def working(work: Callable[[], T], askers: Askers) -> Future[T]:
    """Start *work* in a thread of its own, on behalf of *askers*."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            with on_behalf_of(askers, person=True):
                done = work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(done)

    start_thread(run, "rolecall-worker")
    return future


def awaited(make: Callable[[], Awaitable[T]], *, once: bool = False, anywhere: bool = False) -> T:
    """Return what an awaitable gives, from a thread that fetches: for sources, never on a loop.

    It is awaited on an event loop of those who wait for the fetch, where its other resources are
    likely to belong. If that loop ends meanwhile, or is held up, it is made anew for another's.
    Where a thread without a loop waits, it gets one of its own in the end.

    Args:
        once: *make* cannot make another one.
        anywhere: It needs nothing of any loop: a loop of its own is better than one held up.

    Raises:
        Abandoned: all loops of those who waited have ended.
    """
    askers = asked_by.get() or Askers()
    here = asyncio.get_running_loop() if is_on_a_loop() else None
    tried: list[Any] = []
    held_up = False

    def left() -> list[Any]:
        return [loop for loop in askers.loops if loop not in tried]

    def elsewhere() -> bool:
        others = any(serves(loop) for loop in left())
        return not once and (anywhere or askers.threads or others)

    while left():
        loop = left()[0]
        if loop is here:
            raise FetchError(
                "a coroutine cannot be awaited by a synchronous call on the very event loop that "
                "it needs",
                hint="await the session's credentials instead, or make the call in a thread",
            )
        tried.append(loop)
        if serves(loop):
            answer: list[T] = []
            task = _ended_on(loop, make, answer, elsewhere)
            if task is not None and not task.cancelled():
                error = task.exception()
                if error is None:
                    return answer[0]
                if not (isinstance(error, Exception) and is_ending(loop)):
                    raise error
                # At the end of a loop all kinds of things fail that are no failure of the source.
            held_up = held_up or (task is None and loop.is_running())
            if once:
                raise Abandoned
    if not askers.had_loops or askers.threads or (held_up and anywhere):
        return _on_its_own(make)
    raise Abandoned


def _on_its_own(make: Callable[[], Awaitable[T]]) -> T:
    answer: list[T] = []
    if is_on_a_loop():
        # A synchronous call, such as pickling, from a program on asyncio.
        working(lambda: asyncio.run(_only(make, answer)), Askers()).result(PATIENCE_SECONDS)
    else:
        asyncio.run(_only(make, answer))
    return answer[0]


async def _only(make: Callable[[], Awaitable[T]], answer: list[T]) -> None:
    """Put what *make* gives into *answer*: asyncio's debug log shows what a task returns."""
    answer.append(await make())


def _ended_on(
    loop: asyncio.AbstractEventLoop,
    make: Callable[[], Awaitable[T]],
    answer: list[T],
    elsewhere: Callable[[], bool],
) -> asyncio.Task[None] | None:
    """Return the ended task that put what *make* gives into *answer*; None: *loop* ended before.

    Or it is held up, perhaps by somebody who waits for this very fetch without awaiting it, and
    *elsewhere* there is another.
    """
    ended: Future[asyncio.Task[None] | None] = Future()
    tasks: list[asyncio.Task[None]] = []  # a loop itself holds its tasks only weakly

    def begin() -> None:
        if ended.done():
            return
        if is_ending(loop):
            give_up()
            return
        work = _only(make, answer)
        try:
            tasks.append(loop.create_task(work))
        except BaseException as error:  # a task factory of the program's
            work.close()
            ended.set_exception(error)
            raise
        tasks[0].add_done_callback(report)

    def report(task: asyncio.Task[None]) -> None:
        if task.cancelled():
            if not ended.done():  # else it was we who cancelled it
                leaving.add(loop)
        else:
            task.exception()  # or asyncio complains that nobody looked at it
        with contextlib.suppress(InvalidStateError):  # the loop counted as ended already
            ended.set_result(task)

    def give_up() -> None:
        with contextlib.suppress(InvalidStateError):
            ended.set_result(None)

    _close_unfinished()
    try:
        loop.call_soon_threadsafe(begin)  # in a copy of this thread's context
    except RuntimeError:
        give_up()  # closed
    unanswered = 0
    answered = threading.Event()
    answered.set()
    while not wait_for_any([ended], LOOK_SECONDS).done:
        unanswered = 0 if answered.is_set() else unanswered + 1
        if not loop.is_running() or (unanswered >= MOST_UNANSWERED and elsewhere()):
            give_up()
            with contextlib.suppress(RuntimeError):  # closed
                loop.call_soon_threadsafe(_end, tasks)
        elif answered.is_set():
            answered.clear()
            with contextlib.suppress(RuntimeError):  # closed
                loop.call_soon_threadsafe(answered.set)
    for task in tasks:
        if not task.done():
            # asyncio would complain of it, and it is the one task here that nobody waits for.
            setattr(task, _COMPLAINS, False)
            _unfinished.append((weakref.ref(loop), weakref.ref(task)))
    _close_unfinished()
    return ended.result()


def _close_unfinished() -> None:
    """Close what began on a loop that had ended all its tasks already, and was closed meanwhile.

    It holds what it holds, such as the lock of its parent's credentials, until it is closed.
    """
    for one in list(_unfinished):
        loop, task = one[0](), one[1]()
        if loop is not None and task is not None and not (task.done() or loop.is_closed()):
            continue
        with contextlib.suppress(ValueError):  # another thread was quicker
            _unfinished.remove(one)
            if loop is not None and task is not None and not task.done():
                _close(task)


def _close(task: asyncio.Task[None]) -> None:
    coroutine = task.get_coro()
    if not inspect.iscoroutine(coroutine):
        return
    for _ in range(MOST_LAST_WORDS):
        # It cannot await anything any more; whatever it says to that is nobody's business here.
        with contextlib.suppress(BaseException):
            coroutine.close()
        if inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED:
            break


def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


class OneAtATime:
    """A call that several threads want at once, made once for all of them.

    Args:
        make: What they want; what it awaits may run on the event loop of any who waits.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._lock = ForkSafeLock()  # guards the next three; never held over a call
        self._future: Future[Any] | None = None
        self._since = 0.0  # when it began
        self._askers = Askers()
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Forget what a thread of the parent had begun."""
        self._future = None

    def __call__(self) -> Any:
        """Return what the call gives.

        Raises:
            FetchError: whoever makes it for all has not come back within a minute; else what it
                raised. Abandoned: all who asked for this thread's fetch are gone.
        """
        for _ in range(MOST_ABANDONED):
            with self._lock:
                future, now = self._future, SYSTEM_CLOCK.boottime()
                # One that hangs is given up, as a fetch is.
                first = future is None or now - self._since > MOST_OF_IT * PATIENCE_SECONDS
                if future is None or first:
                    future = self._future = Future()
                    self._since = now
                    self._askers = Askers()
                self._askers.add(asked_by.get())
                askers = self._askers
            if first:
                self._lead(future, askers)
            elif not SYSTEM_CLOCK.wait(future, PATIENCE_SECONDS):
                self._forget(future)  # the next one makes the call anew
                raise Unreachable(f"what was asked for has not come within {PATIENCE_SECONDS:g} s")
            error = future.exception()
            if error is None:
                return future.result()
            if not isinstance(error, Abandoned):
                raise anew(error) from error
            mine = asked_by.get()
            if mine is not None and mine.gone:
                raise Abandoned
        raise FetchError("a coroutine that the answer depends on was cancelled")

    def _lead(self, future: Future[Any], askers: Askers) -> None:
        try:
            with on_behalf_of(askers, person=attended.get()):
                made = self._make()
        except BaseException as error:
            self._forget(future)
            future.set_exception(error)
        else:
            self._forget(future)
            future.set_result(made)

    def _forget(self, future: Future[Any]) -> None:
        with self._lock:
            if self._future is future:
                self._future = None
                self._askers = Askers()  # an event loop is not to be kept
