"""The same readers in four ways: threads, tasks on one loop, a loop for each, and all at once."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Literal, Protocol

from rolecall import Credentials
from rolecall.refresh import Refresher
from rolecall.refresh.aio import AsyncRefresher
from rolecall.testing.clock import PATIENCE_SECONDS

Work = Literal["get", "refresh"]


class Driver(Protocol):
    """A way in which readers read and wait."""

    def do(self, work: Work, refresher: Refresher) -> Credentials:
        """Return what one reader gets."""
        ...

    def start(self, work: Work, refresher: Refresher, count: int) -> list[Future[Credentials]]:
        """Let *count* readers begin."""
        ...

    def close(self) -> None:
        """End what the readers ran on; fail if it has something to complain about."""
        ...


class Readers:
    """Those who read from one refresher, all by the same driver."""

    def __init__(self, driver: Driver, refresher: Refresher) -> None:
        self.refresher = refresher
        self._driver = driver

    def get(self) -> Credentials:
        """Return what one more reader gets."""
        return self._driver.do("get", self.refresher)

    def refresh(self) -> Credentials:
        """Return what somebody gets who wants new credentials."""
        return self._driver.do("refresh", self.refresher)

    def start(self, count: int = 1) -> list[Future[Credentials]]:
        """Let *count* readers begin."""
        return self._driver.start("get", self.refresher, count)

    def start_refresh(self) -> Future[Credentials]:
        """Let somebody begin who wants new credentials."""
        return self._driver.start("refresh", self.refresher, 1)[0]

    def settle(self) -> None:
        """Wait until no fetch is in the air."""
        settle(self.refresher)


def settle(refresher: Refresher) -> None:
    """Wait until no fetch of *refresher* is in the air."""
    flight = refresher._flight
    if flight is not None:
        flight.future.result(PATIENCE_SECONDS)


def in_a_thread(work: Callable[[], Any]) -> Future[Any]:
    """Start *work* in a daemon thread; what became of it is in the future."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            done = work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(done)

    threading.Thread(target=run, name="reader", daemon=True).start()
    return future


class ThreadDriver:
    """Every reader is a thread."""

    def do(self, work: Work, refresher: Refresher) -> Credentials:
        done: Credentials = getattr(refresher, work)()
        return done

    def start(self, work: Work, refresher: Refresher, count: int) -> list[Future[Credentials]]:
        return [in_a_thread(partial(self.do, work, refresher)) for _ in range(count)]

    def close(self) -> None:
        pass


class AsyncioDriver:
    """Every reader is a task on one event loop, which has a thread of its own."""

    def __init__(self) -> None:
        self._complaints: list[dict[str, Any]] = []
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda _, context: self._complaints.append(context))
        self._tasks: set[asyncio.Task[Credentials]] = set()  # a loop holds them only weakly
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop", daemon=True)
        self._thread.start()

    def do(self, work: Work, refresher: Refresher) -> Credentials:
        return self.start(work, refresher, 1)[0].result(PATIENCE_SECONDS)

    def start(self, work: Work, refresher: Refresher, count: int) -> list[Future[Credentials]]:
        futures: list[Future[Credentials]] = [Future() for _ in range(count)]

        def begin() -> None:
            for future in futures:
                task = self._loop.create_task(getattr(AsyncRefresher(refresher), work)())
                self._tasks.add(task)
                task.add_done_callback(partial(self._hand_over, future))

        self._loop.call_soon_threadsafe(begin)
        return futures

    def _hand_over(self, future: Future[Credentials], task: asyncio.Task[Credentials]) -> None:
        self._tasks.discard(task)
        error = task.exception()
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(task.result())

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        left = len(self._tasks)
        self._loop.close()
        assert (left, self._complaints) == (0, [])


class LoopsDriver:
    """Every reader is an asyncio program of its own, in a thread of its own if it is started."""

    def __init__(self) -> None:
        self._complaints: list[dict[str, Any]] = []

    def do(self, work: Work, refresher: Refresher) -> Credentials:
        return asyncio.run(self._program(work, refresher))

    async def _program(self, work: Work, refresher: Refresher) -> Credentials:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: self._complaints.append(context)
        )
        done: Credentials = await getattr(AsyncRefresher(refresher), work)()
        return done

    def start(self, work: Work, refresher: Refresher, count: int) -> list[Future[Credentials]]:
        return [in_a_thread(partial(self.do, work, refresher)) for _ in range(count)]

    def close(self) -> None:
        assert self._complaints == []


class MixedDriver:
    """Readers of every kind read from the same refresher, in turns."""

    def __init__(self) -> None:
        self._drivers: list[Driver] = [AsyncioDriver(), ThreadDriver(), LoopsDriver()]
        self._turns = itertools.cycle(self._drivers)

    def do(self, work: Work, refresher: Refresher) -> Credentials:
        return next(self._turns).do(work, refresher)

    def start(self, work: Work, refresher: Refresher, count: int) -> list[Future[Credentials]]:
        return [next(self._turns).start(work, refresher, 1)[0] for _ in range(count)]

    def close(self) -> None:
        for driver in self._drivers:
            driver.close()


#: How the shared scenarios are read.
DRIVERS: dict[str, Callable[[], Driver]] = {
    "threads": ThreadDriver,
    "asyncio": AsyncioDriver,
    "loops": LoopsDriver,
    "mixed": MixedDriver,
}
