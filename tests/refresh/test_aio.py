"""The asyncio driver: deadlines, cancelled tasks and many event loops, with the real asyncio."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from drivers import in_a_thread, settle
from programs import in_the_air, run

from rolecall import Credentials, Unreachable
from rolecall.clock import SYSTEM_CLOCK
from rolecall.refresh import Refresher
from rolecall.refresh.aio import AsyncRefresher, until_done
from rolecall.refresh.flight import attended
from rolecall.testing import FakeClock, FakeSource, Gate
from rolecall.testing.clock import PATIENCE_SECONDS

pytestmark = pytest.mark.usefixtures("silence")

Make = Callable[..., Refresher]

STALE = timedelta(minutes=41)  # of one hour; a refresh is due after 40 minutes
EXPIRED = timedelta(hours=1, seconds=1)

#: How long a caller of the deadline tests waits, and how long the source takes.
DEADLINE_SECONDS, SLOW_SECONDS = 0.2, 0.5


# ── giving up ────────────────────────────────────────────────────────────────────────────


def test_a_cancelled_task_leaves_the_fetch_to_the_others(make: Make, source: FakeSource) -> None:
    session = AsyncRefresher(make(clock=SYSTEM_CLOCK))
    source.before = gate = Gate()

    async def program() -> tuple[list[Credentials], asyncio.Task[Credentials]]:
        first, *others = [asyncio.create_task(session.get()) for _ in range(4)]
        await in_the_air(gate)
        first.cancel()
        await asyncio.wait([first])
        gate.open()
        return list(await asyncio.gather(*others)), first

    with gate:
        got, first = run(program())

    assert first.cancelled()
    assert got == [session.refresher.state.held.credentials] * 3  # type: ignore[union-attr]
    assert source.calls == 1


def test_when_every_task_gives_up_the_answer_is_kept_for_the_next(
    make: Make, source: FakeSource
) -> None:
    session = AsyncRefresher(make(clock=SYSTEM_CLOCK))
    source.before = gate = Gate()

    async def program() -> Credentials:
        tasks = [asyncio.create_task(session.get()) for _ in range(3)]
        await in_the_air(gate)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        flight = session.refresher._flight
        assert flight is not None
        assert not flight.future.done()
        gate.open()
        await until_done(flight.future, PATIENCE_SECONDS)
        return await session.get()

    with gate:
        assert run(program()).access_key == "ASIAFAKE000000000001"
    assert source.calls == 1


def test_a_cancelled_refresh_leaves_the_fetch_in_the_air(make: Make, source: FakeSource) -> None:
    session = AsyncRefresher(make(clock=SYSTEM_CLOCK))
    source.before = gate = Gate()

    async def program() -> Credentials:
        refresh = asyncio.create_task(session.refresh())
        await in_the_air(gate)
        refresh.cancel()
        await asyncio.wait([refresh])
        reader = asyncio.create_task(session.get())
        await asyncio.sleep(0)
        gate.open()
        return await reader

    with gate:
        assert run(program()).access_key == "ASIAFAKE000000000001"
    assert source.calls == 1


class Slow:
    """A source that takes half a second of real time, and knows how long it really took."""

    def __init__(self) -> None:
        self.made = FakeSource(SYSTEM_CLOCK)
        self.took = 0.0

    def get(self) -> Credentials:
        begun = time.monotonic()
        threading.Event().wait(SLOW_SECONDS)
        self.took = time.monotonic() - begun
        return self.made.get()

    @property
    def deadlines(self) -> int:
        """How many deadlines in a row passed in that time: 2, but for a busy machine."""
        return int(self.took / DEADLINE_SECONDS)


async def served_in_time(session: AsyncRefresher) -> bool:
    try:
        await asyncio.wait_for(session.get(), DEADLINE_SECONDS)
    except asyncio.TimeoutError:
        return False
    return True


def test_six_callers_with_short_deadlines_and_a_slow_source_all_succeed_in_the_end() -> None:
    """Real deadlines, for they are the law: in aiobotocore each of them begins anew, for ever."""
    source = Slow()
    session = AsyncRefresher(Refresher(source, name="the session"))

    async def program() -> list[list[bool]]:
        return [
            list(await asyncio.gather(*[served_in_time(session) for _ in range(6)]))
            for _ in range(6)
        ]

    rounds = run(program())

    in_vain = source.deadlines
    assert in_vain >= 2
    assert rounds[:2] == [[False] * 6] * 2
    assert rounds[in_vain:] == [[True] * 6] * (6 - in_vain)
    assert source.made.calls == 1


def test_of_six_callers_one_after_the_other_at_most_two_time_out() -> None:
    source = Slow()
    session = AsyncRefresher(Refresher(source, name="the session"))

    async def program() -> list[bool]:
        return [await served_in_time(session) for _ in range(6)]

    served = run(program())

    assert served.count(False) == source.deadlines
    assert served == sorted(served), "once served, always served"
    assert source.made.calls == 1


# ── the loop goes on ─────────────────────────────────────────────────────────────────────


def test_a_hundred_stale_tasks_return_in_one_turn_of_the_loop(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    session = AsyncRefresher(make())
    held = session.refresher.get()
    clock.tick(STALE)
    source.before = gate = Gate()

    async def program() -> tuple[list[Credentials], int]:
        turns = 0

        def count() -> None:
            nonlocal turns
            turns += 1
            loop.call_soon(count)

        loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(session.get()) for _ in range(100)]
        loop.call_soon(count)
        return list(await asyncio.gather(*tasks)), turns

    with gate:
        got, turns = run(program())
        gate.wait_for_arrival()
        assert not gate.is_open
    settle(session.refresher)

    assert all(credentials is held for credentials in got)
    assert turns <= 3
    assert source.calls == 2


def test_the_source_never_runs_on_the_loop(make: Make, source: FakeSource) -> None:
    session = AsyncRefresher(make())
    asked_in = []
    source.before = lambda: asked_in.append(threading.get_ident())

    async def program() -> None:
        await session.get()
        await session.refresh()

    run(program())

    assert len(asked_in) == 2
    assert threading.get_ident() not in asked_in


def test_a_person_is_asked_in_a_worker_thread_and_only_if_a_task_waits(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    session = AsyncRefresher(make())
    source.interactive = True  # type: ignore[attr-defined]
    asked = []
    source.before = lambda: asked.append((threading.get_ident() == loops_thread, attended.get()))
    loops_thread = threading.get_ident()

    run(session.get())
    clock.tick(STALE)
    run(session.get())  # in the background: nobody waits
    settle(session.refresher)
    run(session.refresh())

    assert asked == [(False, True), (False, False), (False, True)]


def test_where_no_thread_can_be_started_the_source_is_not_called_on_the_loop(
    make: Make, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = AsyncRefresher(make())

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    with pytest.raises(Unreachable, match="no thread can be started"):
        run(session.get())
    assert source.calls == 0


# ── many loops ───────────────────────────────────────────────────────────────────────────


def test_four_threads_with_loops_of_their_own_make_one_call(make: Make, source: FakeSource) -> None:
    session = AsyncRefresher(make(clock=SYSTEM_CLOCK))
    source.before = gate = Gate()
    waiting = threading.Barrier(5)

    async def program() -> list[Credentials]:
        tasks = [asyncio.create_task(session.get()) for _ in range(5)]
        await asyncio.sleep(0)
        await asyncio.wrap_future(in_a_thread(lambda: waiting.wait(PATIENCE_SECONDS)))
        return list(await asyncio.gather(*tasks))

    with gate:
        programs = [in_a_thread(lambda: run(program())) for _ in range(4)]
        waiting.wait(PATIENCE_SECONDS)
        gate.open()
        got = [one for done in programs for one in done.result(PATIENCE_SECONDS)]

    assert len(got) == 20
    assert len({id(one) for one in got}) == 1
    assert source.calls == 1


def test_one_object_serves_three_programs_one_after_the_other(
    make: Make, clock: FakeClock, source: FakeSource
) -> None:
    session = AsyncRefresher(make())

    first, again = run(session.get()), run(session.get())
    clock.tick(EXPIRED)
    last = run(session.get())

    assert first is again
    assert last is not first
    assert source.calls == 2


def test_a_program_that_ended_before_the_answer_came_hears_nothing_of_it(
    make: Make, source: FakeSource
) -> None:
    """Its loop is closed by then; the next program finds the answer."""
    session = AsyncRefresher(make(clock=SYSTEM_CLOCK))
    source.before = gate = Gate()

    async def program() -> None:
        waits = [asyncio.create_task(session.get()) for _ in range(3)]
        assert waits
        await in_the_air(gate)

    with gate:
        run(program())
        gate.open()
        settle(session.refresher)

    assert run(session.get()).access_key == "ASIAFAKE000000000001"
    assert source.calls == 1


def test_a_child_forked_while_a_fetch_is_in_the_air_runs_a_program_of_its_own(
    make: Make, source: FakeSource, fork: Callable[..., Any]
) -> None:
    session = AsyncRefresher(make(clock=SYSTEM_CLOCK))
    source.before = gate = Gate()

    def runs_its_own() -> bool:
        source.before = None
        return run(session.get()).access_key == "ASIAFAKE000000000002"

    with gate:
        reader = in_a_thread(lambda: run(session.get()))
        gate.wait_for_arrival()
        answer = fork(runs_its_own).said_yes()
        gate.open()

        assert answer
        assert reader.result(PATIENCE_SECONDS).access_key == "ASIAFAKE000000000001"
