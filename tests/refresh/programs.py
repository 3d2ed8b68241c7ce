"""Event loops that a test starts and ends as it likes, and a source that runs on them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from drivers import in_a_thread

from rolecall import Credentials
from rolecall.refresh.aio import awaited
from rolecall.testing import FakeSource, Gate
from rolecall.testing.clock import PATIENCE_SECONDS

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """Return what *work* returns, on an event loop of its own; fail instead of hanging."""
    return asyncio.run(asyncio.wait_for(work, PATIENCE_SECONDS), debug=debug)


async def in_the_air(gate: Gate) -> None:
    """Wait, without holding the loop up, until somebody has come to *gate*."""
    await asyncio.wrap_future(in_a_thread(gate.wait_for_arrival))


class Program:
    """An event loop that runs in a thread of its own until it is told how to end."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._task_of: dict[Future[Any], asyncio.Task[Any]] = {}

    @property
    def tasks(self) -> set[asyncio.Task[Any]]:
        """The tasks that were started here."""
        return set(self._task_of.values())

    def start(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Start what *work* makes as a task, as soon as the loop comes to it."""
        future: Future[T] = Future()

        def hand_over(task: asyncio.Task[T]) -> None:
            if task.cancelled():
                future.cancel()
                future.set_running_or_notify_cancel()
            elif task.exception() is not None:
                future.set_exception(task.exception())
            else:
                future.set_result(task.result())

        def begin() -> None:
            task = self.loop.create_task(work())
            task.add_done_callback(hand_over)
            self._task_of[future] = task

        self.loop.call_soon_threadsafe(begin)
        return future

    def cancel(self, started: Future[Any]) -> None:
        """Cancel the task that *started* stands for, and wait until it has ended."""
        self.loop.call_soon_threadsafe(self._task_of[started].cancel)
        wait([started], PATIENCE_SECONDS)

    def stop(self) -> None:
        """Let the loop stop where it is, and leave it so."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_SECONDS)

    def go_on(self) -> None:
        """Let a stopped loop take a few more turns, here."""
        for _ in range(3):
            self.loop.run_until_complete(asyncio.sleep(0))

    def end(self) -> None:
        """Cancel everything and close the loop, as asyncio.run does."""
        if self.loop.is_running():
            self.stop()
        self.loop.run_until_complete(_cancel_all())
        self.loop.close()
        self._task_of.clear()  # their tracebacks keep what they waited for


async def _cancel_all() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


class Awaiting:
    """A source whose answers are awaited; it notes on which loops.

    Attributes:
        before: Awaited before each answer.
        at_door: Called in the thread that fetches, before anything is awaited.
    """

    def __init__(self, made: FakeSource) -> None:
        self.made = made
        self.loops: list[asyncio.AbstractEventLoop] = []
        self.threads: list[threading.Thread] = []
        self.before: Callable[[], Awaitable[Any]] | None = None
        self.at_door: Callable[[], object] | None = None

    def get(self) -> Credentials:
        if self.at_door is not None:
            self.at_door()
        return awaited(self.fetch)

    async def fetch(self) -> Credentials:
        self.loops.append(asyncio.get_running_loop())
        self.threads.append(threading.current_thread())
        await asyncio.sleep(0)
        if self.before is not None:
            await self.before()
        return self.made.get()


def held_up(awaiting: Awaiting) -> Gate:
    """Let the next answer wait until its loop ends; the one after it is given. Tells who came."""
    gate = Gate()

    async def before() -> None:
        awaiting.before = None
        gate.open()
        gate.pass_through()
        await asyncio.Event().wait()

    awaiting.before = before
    return gate
