"""What the asyncio driver is made of, where it refuses to work, and that it leaves nothing."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from drivers import in_a_thread, settle
from programs import in_the_air, run

from rolecall.clock import SYSTEM_CLOCK
from rolecall.errors import ConfigError, Unreachable
from rolecall.refresh import Refresher
from rolecall.refresh.aio import AsyncRefresher, in_thread, until_done
from rolecall.testing import FakeClock, FakeSource, Gate
from rolecall.testing.clock import PATIENCE_SECONDS

pytestmark = pytest.mark.usefixtures("silence")

Make = Callable[..., Refresher]

EXPIRED = timedelta(hours=1, seconds=1)


# ── no asyncio ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("work", ["get", "refresh"])
def test_without_an_event_loop_it_says_so(make: Make, source: FakeSource, work: str) -> None:
    session = AsyncRefresher(make())

    with pytest.raises(ConfigError, match="none is running here") as caught:
        getattr(session, work)().send(None)

    assert "asyncio.run" in caught.value.hint
    assert source.calls == 0


@pytest.mark.parametrize("inside", [True, False])
def test_under_trio_it_names_trio(
    make: Make, monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    trio = SimpleNamespace(lowlevel=SimpleNamespace(in_trio_run=lambda: inside))
    monkeypatch.setitem(sys.modules, "trio", trio)  # type: ignore[arg-type]

    with pytest.raises(ConfigError) as caught:
        AsyncRefresher(make()).get().send(None)

    assert ("this is trio's" in str(caught.value)) is inside
    assert ("trio.to_thread.run_sync" in caught.value.hint) is inside


# ── its parts ────────────────────────────────────────────────────────────────────────────


def test_a_wait_ends_with_the_future(clock: FakeClock) -> None:
    for some_clock in (clock, SYSTEM_CLOCK):
        future: Future[int] = Future()

        async def program(future: Future[int] = future, some_clock: Any = some_clock) -> bool:
            waiter = asyncio.create_task(until_done(future, None, some_clock))
            await asyncio.sleep(0)
            assert not waiter.done()
            future.set_result(1)
            await waiter
            return future.done()

        assert run(program())
        assert run(until_done(future, 0, some_clock)) is None, "it is done already"


def test_a_wait_ends_with_its_timeout_and_leaves_the_future_alone(clock: FakeClock) -> None:
    future: Future[int] = Future()

    async def program() -> None:
        waiter = asyncio.create_task(until_done(future, 30, clock))
        await asyncio.wrap_future(in_a_thread(clock.wait_for_waiters))
        clock.tick(29)
        assert not waiter.done()
        clock.tick(2)
        await waiter
        await until_done(future, 0.01, SYSTEM_CLOCK)  # real time: it is the law here

    run(program())

    assert not future.done()
    assert not future.cancelled()


def test_a_cancelled_wait_leaves_the_future_alone() -> None:
    future: Future[int] = Future()

    async def program() -> None:
        waiter = asyncio.create_task(until_done(future, None))
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.wait([waiter])
        assert waiter.cancelled()
        future.set_result(1)

    run(program())

    assert future.result(0) == 1


def test_work_in_a_thread_gives_its_result_or_its_exception() -> None:
    async def program() -> tuple[int, str]:
        thread = await in_thread(threading.get_ident)
        try:
            await in_thread(lambda: {}["missing"])
        except KeyError as error:
            return thread, str(error)
        raise AssertionError("nothing was raised")

    thread, said = run(program())

    assert thread != threading.get_ident()
    assert said == "'missing'"


def test_work_in_a_thread_goes_on_when_its_task_is_cancelled() -> None:
    gate, ended = Gate(), threading.Event()

    def work() -> None:
        gate.pass_through()
        ended.set()

    async def program() -> None:
        task = asyncio.create_task(in_thread(work))
        await in_the_air(gate)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    with gate:
        run(program())
        assert not ended.is_set()
    assert ended.wait(PATIENCE_SECONDS)


def test_work_in_a_thread_needs_a_loop() -> None:
    with pytest.raises(ConfigError, match="none is running here"):
        in_thread(int).send(None)


# ── leaving nothing behind ───────────────────────────────────────────────────────────────


def test_debug_mode_has_nothing_to_say(make: Make, source: FakeSource) -> None:
    session = AsyncRefresher(make(clock=SYSTEM_CLOCK))

    async def program() -> None:
        # How slow the machine is, is no law of ours.
        asyncio.get_running_loop().slow_callback_duration = PATIENCE_SECONDS
        await asyncio.gather(*[session.get() for _ in range(5)])
        source.error = Unreachable("down")
        with pytest.raises(Unreachable):
            await session.refresh()
        source.before = gate
        cut_off = asyncio.create_task(session.refresh())
        await in_the_air(gate)
        assert not cut_off.done()

    with Gate() as gate:
        run(program(), debug=True)
    settle(session.refresher)


def test_a_thousand_rotations_leave_nothing_behind(make: Make, clock: FakeClock) -> None:
    session = AsyncRefresher(make())

    async def rotate(times: int) -> None:
        for _ in range(times):
            clock.tick(EXPIRED)
            await asyncio.gather(session.get(), session.get())

    async def program() -> int:
        await rotate(100)
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.take_snapshot()
            await rotate(1000)
            gc.collect()
            after = tracemalloc.take_snapshot()
        finally:
            tracemalloc.stop()
        return sum(entry.size_diff for entry in after.compare_to(before, "filename"))

    threads = threading.active_count()
    growth = asyncio.run(program())

    assert growth < 200_000, f"{growth} bytes more after 1,000 rotations"
    assert threading.active_count() <= threads + 3
