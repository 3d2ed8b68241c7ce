"""What becomes of a fetch, and of those who wait, when the event loop it runs on ends."""

from __future__ import annotations

import asyncio
import math
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import wait
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from drivers import in_a_thread, settle
from programs import Awaiting, Program, held_up, in_the_air, run

from rolecall import Credentials
from rolecall.refresh import Event, Refresher, aio, flight
from rolecall.refresh.aio import (
    LOOK_SECONDS,
    MOST_UNANSWERED,
    AsyncRefresher,
    OneAtATime,
    in_thread,
)
from rolecall.refresh.state import Abandonment
from rolecall.sources.coroutine import AsyncCallableSource
from rolecall.testing import FakeClock, FakeSource, Gate
from rolecall.testing.clock import PATIENCE_SECONDS

pytestmark = pytest.mark.usefixtures("silence")

Make = Callable[..., Refresher]

STALE = timedelta(minutes=41)  # of one hour; a refresh is due after 40 minutes


@pytest.fixture
def programs() -> Iterator[Callable[[], Program]]:
    """A function that starts a program; they all end with the test."""
    started: list[Program] = []

    def start() -> Program:
        started.append(Program())
        return started[-1]

    yield start
    for program in started:
        if not program.loop.is_closed():
            program.end()


@pytest.mark.parametrize("ending", ["stopped", "ended"])
def test_if_its_loop_ends_it_is_made_anew_on_another_waiters(
    session: AsyncRefresher,
    awaiting: Awaiting,
    programs: Callable[[], Program],
    clock: FakeClock,
    ending: str,
) -> None:
    first, second = programs(), programs()
    came = held_up(awaiting)
    first.start(session.get)
    came.wait_for_arrival()
    read = second.start(session.get)
    clock.wait_for_waiters(2)
    flight = session.refresher._flight
    assert flight is not None

    first.stop() if ending == "stopped" else first.end()

    assert flight.future.result(PATIENCE_SECONDS) is None, "the same fetch goes on"
    assert read.result(PATIENCE_SECONDS).access_key == "ASIAFAKE000000000001"
    assert awaiting.loops == [first.loop, second.loop]
    assert session.refresher.state.failure is None


def test_what_a_stopped_loop_was_working_on_is_cancelled_if_it_goes_on(
    session: AsyncRefresher, awaiting: Awaiting, programs: Callable[[], Program], clock: FakeClock
) -> None:
    """Else both loops would fetch, and the first one for nobody."""
    first, second = programs(), programs()
    came = held_up(awaiting)
    first.start(session.get)
    came.wait_for_arrival()
    read = second.start(session.get)
    clock.wait_for_waiters(2)
    first.stop()
    read.result(PATIENCE_SECONDS)

    first.go_on()

    ours = asyncio.all_tasks(first.loop) - first.tasks
    assert ours == set()


def test_what_a_stopped_loop_raises_when_it_goes_on_is_nobodys_business(
    session: AsyncRefresher, awaiting: Awaiting, programs: Callable[[], Program], clock: FakeClock
) -> None:
    first, second = programs(), programs()
    came = Gate()

    async def fail_when_cancelled() -> None:
        awaiting.before = None
        came.open()
        came.pass_through()
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("too late")

    awaiting.before = fail_when_cancelled
    first.start(session.get)
    came.wait_for_arrival()
    read = second.start(session.get)
    clock.wait_for_waiters(2)
    first.stop()
    held = read.result(PATIENCE_SECONDS)

    first.go_on()

    assert session.refresher.state.failure is None
    assert session.refresher.get() is held


def test_a_loop_that_was_closed_before_anything_began_is_passed_over(
    session: AsyncRefresher, awaiting: Awaiting, programs: Callable[[], Program], clock: FakeClock
) -> None:
    first, second = programs(), programs()
    awaiting.at_door = door = Gate()
    with door:
        first.start(session.get)
        door.wait_for_arrival()
        read = second.start(session.get)
        clock.wait_for_waiters(2)
        first.end()
        door.open()

        read.result(PATIENCE_SECONDS)

    assert awaiting.loops == [second.loop]


def test_a_loop_that_came_meanwhile_is_as_good(
    session: AsyncRefresher, awaiting: Awaiting, programs: Callable[[], Program], clock: FakeClock
) -> None:
    """Three programs end one after the other; whoever waits last is served, by one flight."""
    several = [programs() for _ in range(4)]
    came = held_up(awaiting)
    several[0].start(session.get)
    came.wait_for_arrival()
    flight = session.refresher._flight
    assert flight is not None
    for number, (ending, program) in enumerate(pairwise(several), 2):
        last = number == len(several)
        came = Gate() if last else held_up(awaiting)
        read = program.start(session.get)
        clock.wait_for_waiters(number)
        ending.end()
        if not last:
            came.wait_for_arrival()

    assert flight.future.result(PATIENCE_SECONDS) is None
    assert read.result(PATIENCE_SECONDS)
    assert awaiting.loops == [program.loop for program in several]


def test_if_all_loops_ended_nothing_is_recorded_and_the_next_program_is_served_at_once(
    make: Make, awaiting: Awaiting, source: FakeSource
) -> None:
    told: list[Event] = []
    session = AsyncRefresher(make(source=awaiting, on_event=told.append))
    came = held_up(awaiting)

    async def cut_off() -> None:
        tasks = [asyncio.create_task(session.get()) for _ in range(3)]
        assert tasks
        await in_the_air(came)

    run(cut_off())

    assert run(session.get()).access_key == "ASIAFAKE000000000001"
    assert session.refresher.state.failure is None
    assert [event.kind for event in told] == ["refreshed"]
    assert source.calls == 1


def test_a_background_refresh_that_its_program_left_is_no_failure(
    session: AsyncRefresher, awaiting: Awaiting, clock: FakeClock
) -> None:
    held = run(session.get())
    clock.tick(STALE)
    came = held_up(awaiting)

    async def cut_off() -> Credentials:
        served = await session.get()
        await in_the_air(came)
        return served

    assert run(cut_off()) is held
    settle(session.refresher)
    assert session.refresher.state.failure is None
    clock.tick(timedelta(seconds=2))

    async def program() -> Credentials:
        assert await session.get() is held
        await in_thread(lambda: settle(session.refresher))
        return await session.get()

    assert run(program()) is not held


def test_programs_that_are_shorter_than_a_refresh_do_not_each_begin_one(
    session: AsyncRefresher, awaiting: Awaiting, clock: FakeClock
) -> None:
    """A source would be called for nothing as often as they come; what is held is served."""
    held = run(session.get())
    clock.tick(timedelta(minutes=40))
    begun = asyncio.Event()

    async def before() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def program() -> Credentials:
        nonlocal begun
        begun = asyncio.Event()
        served = await session.get()
        if session.refresher._flight is not None:
            await begun.wait()
        return served

    awaiting.before = before
    for _ in range(18 * 60):
        clock.tick(timedelta(seconds=1))
        assert run(program()) is held
        settle(session.refresher)
    attempts = len(awaiting.loops) - 1
    awaiting.before = None
    clock.tick(timedelta(minutes=3))

    assert 3 <= attempts <= 40  # of 1,080 programs
    assert session.refresher.state.failure is None
    assert run(session.get()) is not held, "what has expired is waited for"


def test_a_loop_that_stays_refreshes_beside_programs_that_do_not(
    session: AsyncRefresher, awaiting: Awaiting, programs: Callable[[], Program], clock: FakeClock
) -> None:
    held = run(session.get())
    clock.tick(timedelta(minutes=40))
    stays = programs()
    came = held_up(awaiting)

    async def cut_off() -> None:
        assert await session.get() is held
        await in_the_air(came)

    run(cut_off())
    settle(session.refresher)
    clock.tick(timedelta(seconds=0.5))
    for seconds, calls in ((0, 1), (0.4, 1), (0.6, 2)):  # a pause of ten minutes has begun
        session.refresher._state = replace(
            session.refresher.state,
            abandoned=Abandonment(until=clock.boottime() + 600, until_wall=math.inf, count=9),
        )
        clock.tick(timedelta(seconds=seconds))
        assert stays.start(session.get).result(PATIENCE_SECONDS)
        settle(session.refresher)
        assert len(awaiting.loops) == calls + 1, seconds

    assert awaiting.loops[-1] is stays.loop
    assert run(session.get()) is not held


def test_a_loop_that_was_only_read_from_takes_a_fetch_over(
    session: AsyncRefresher, awaiting: Awaiting, programs: Callable[[], Program], clock: FakeClock
) -> None:
    held = run(session.get())
    clock.tick(STALE)
    first, second = programs(), programs()
    came = held_up(awaiting)
    first.start(session.get).result(PATIENCE_SECONDS)
    came.wait_for_arrival()
    flying = session.refresher._flight
    assert flying is not None
    assert second.start(session.get).result(PATIENCE_SECONDS) is held

    first.end()

    assert flying.future.result(PATIENCE_SECONDS) is None
    assert awaiting.loops[1:] == [first.loop, second.loop]


def test_a_loop_that_is_dropped_without_being_closed_is_not_kept(
    session: AsyncRefresher, awaiting: Awaiting, programs: Callable[[], Program]
) -> None:
    program = programs()
    came = held_up(awaiting)
    program.start(session.get)
    came.wait_for_arrival()
    program.stop()
    settle(session.refresher)
    assert aio._unfinished

    # All that is kept of it; the test's own program must close it.
    assert all(isinstance(one, weakref.ref) for pair in aio._unfinished for one in pair)
    program.end()
    aio._close_unfinished()

    assert aio._unfinished == []


def test_what_a_coroutine_says_to_its_being_closed_is_not_for_others(
    make: Make, awaiting: Awaiting
) -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except BaseException:
            raise asyncio.CancelledError from None

    loop = asyncio.new_event_loop()
    task = loop.create_task(stubborn())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    aio._unfinished.append((weakref.ref(loop), weakref.ref(task)))
    task._log_destroy_pending = False  # type: ignore[attr-defined]

    assert run(AsyncRefresher(make(source=awaiting)).get())
    assert aio._unfinished == []


def test_who_has_nothing_asks_at_once_though_another_program_left(
    session: AsyncRefresher, awaiting: Awaiting, clock: FakeClock
) -> None:
    run(session.get())
    clock.tick(timedelta(hours=2))
    came = held_up(awaiting)

    async def cut_off() -> None:
        task = asyncio.create_task(session.get())
        assert task
        await in_the_air(came)

    run(cut_off())
    settle(session.refresher)

    assert run(session.get()).access_key == "ASIAFAKE000000000002"


def test_a_thread_that_waits_beside_a_loop_that_ends_is_served_on_a_private_one(
    session: AsyncRefresher, awaiting: Awaiting, programs: Callable[[], Program], clock: FakeClock
) -> None:
    program = programs()
    came = held_up(awaiting)
    program.start(session.get)
    came.wait_for_arrival()
    read = in_a_thread(session.refresher.get)
    clock.wait_for_waiters(2)

    program.end()

    assert read.result(PATIENCE_SECONDS).access_key == "ASIAFAKE000000000001"
    assert awaiting.loops[0] is program.loop
    assert awaiting.threads[1].name == "rolecall-refresh"


def test_a_chain_whose_loops_all_ended_records_no_failure_anywhere(
    make: Make, refresher: Refresher, awaiting: Awaiting, programs: Callable[[], Program]
) -> None:
    outer = AsyncRefresher(make(source=refresher, name="outer"))
    program = programs()
    came = held_up(awaiting)
    program.start(outer.get)
    came.wait_for_arrival()
    flight = outer.refresher._flight
    assert flight is not None

    program.end()
    flight.future.result(PATIENCE_SECONDS)

    assert (outer.refresher.state.failure, refresher.state.failure) == (None, None)
    assert run(outer.get())


class _OneForAll:
    """A source for several threads at once, as a parent that several roles share is."""

    def __init__(self, awaiting: Awaiting) -> None:
        self.get = OneAtATime(awaiting.get)


@pytest.mark.parametrize("shared", [False, True], ids=["a chain", "one for all"])
def test_what_a_program_ends_is_not_begun_again_for_it(
    make: Make, awaiting: Awaiting, shared: bool
) -> None:
    """Its loop takes a few turns more. A fetch gets nowhere in them, and keeps what it holds."""
    inner: Any = _OneForAll(awaiting) if shared else make(source=awaiting, name="inner")
    outer = AsyncRefresher(make(source=inner, name="outer"))
    lock = threading.Lock()
    begun = Gate()

    async def before() -> None:
        with lock:
            begun.open()
            begun.pass_through()
            await asyncio.Event().wait()

    async def last_words() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.wrap_future(in_a_thread(lambda: settle(outer.refresher)))

    async def program() -> None:
        tasks = [asyncio.create_task(last_words()), asyncio.create_task(outer.get())]
        assert tasks
        await in_the_air(begun)

    awaiting.before = before
    asyncio.run(program())
    awaiting.before = None

    assert len(awaiting.loops) == 1
    assert not lock.locked()
    assert outer.refresher.state.failure is None
    assert run(outer.get())


def test_a_loop_that_lives_on_after_all_its_tasks_were_cancelled_is_asked_again(
    make: Make, awaiting: Awaiting, programs: Callable[[], Program]
) -> None:
    outer = AsyncRefresher(make(source=make(source=awaiting, name="inner"), name="outer"))
    program = programs()
    came = held_up(awaiting)
    read = program.start(outer.get)
    came.wait_for_arrival()
    flight = outer.refresher._flight
    assert flight is not None

    program.loop.call_soon_threadsafe(
        lambda: [task.cancel() for task in asyncio.all_tasks(program.loop)]
    )
    wait([read, flight.future], PATIENCE_SECONDS)

    assert program.start(outer.get).result(PATIENCE_SECONDS)
    assert awaiting.loops == [program.loop, program.loop]


@pytest.mark.parametrize("name", flight._ENDING)
def test_asyncio_says_that_a_loop_is_about_to_be_closed(name: str) -> None:
    loop = asyncio.new_event_loop()
    assert getattr(loop, name) is False

    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()

    assert getattr(loop, name) is True


def test_a_loop_that_goes_on_after_it_was_shut_down_is_served(
    session: AsyncRefresher, awaiting: Awaiting
) -> None:
    """As programs do that keep one loop, and clean up after each call on it."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())

    got = loop.run_until_complete(asyncio.wait_for(session.get(), PATIENCE_SECONDS))
    loop.close()

    assert got.access_key == "ASIAFAKE000000000001"
    assert awaiting.loops == [loop]


def test_what_comes_when_a_loop_is_about_to_be_closed_is_not_begun(
    session: AsyncRefresher, awaiting: Awaiting
) -> None:
    """`asyncio.run` shuts down generators when all tasks have ended, and then closes."""
    awaiting.at_door = door = Gate()

    async def last_words() -> AsyncIterator[None]:
        try:
            yield
        finally:
            door.open()
            await asyncio.wrap_future(in_a_thread(lambda: settle(session.refresher)))

    async def program() -> None:
        words = last_words()
        await anext(words)
        kept.append(words)
        task = asyncio.create_task(session.get())
        assert task
        await in_the_air(door)

    kept: list[Any] = []
    with door:
        asyncio.run(program())

    assert awaiting.loops == []
    assert session.refresher.state.failure is None
    assert run(session.get())


def test_what_fails_because_its_loop_is_about_to_be_closed_is_no_failure(
    session: AsyncRefresher, awaiting: Awaiting
) -> None:
    """Such as a look at DNS, which needs a thread of the loop, and there are no more."""

    async def too_late() -> None:
        loop = asyncio.get_running_loop()
        await loop.shutdown_default_executor()
        await loop.run_in_executor(None, int)

    awaiting.before = too_late

    loop = asyncio.new_event_loop()
    loop.run_until_complete(_one_flight(session))
    loop.close()
    awaiting.before = None

    assert session.refresher.state.failure is None
    assert run(session.get())


async def _one_flight(session: AsyncRefresher) -> None:
    """Let one fetch begin for whoever waits here, and be there until it has ended."""
    task = asyncio.create_task(session.get())
    await asyncio.sleep(0)
    flight = session.refresher._flight
    assert flight is not None
    await asyncio.wrap_future(flight.future)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# ── what is made only once ───────────────────────────────────────────────────────────────


def test_an_awaitable_that_cannot_be_made_anew_is_asked_for_again(
    make: Make, awaiting: Awaiting, programs: Callable[[], Program], clock: FakeClock
) -> None:
    """A plain function that returns a coroutine: another one comes from calling it again."""
    source = AsyncCallableSource(lambda: awaiting.fetch(), clock=clock)
    session = AsyncRefresher(make(source=source))
    first, second = programs(), programs()
    came = held_up(awaiting)
    first.start(session.get)
    came.wait_for_arrival()
    read = second.start(session.get)
    clock.wait_for_waiters(2)

    first.end()

    assert read.result(PATIENCE_SECONDS).access_key == "ASIAFAKE000000000001"
    assert awaiting.loops == [first.loop, second.loop]


def test_a_coroutine_whose_loop_ended_before_it_began_leaves_no_warning(
    make: Make, awaiting: Awaiting, programs: Callable[[], Program], clock: FakeClock
) -> None:
    door = Gate()

    def fetch() -> Coroutine[Any, Any, Credentials]:
        door.pass_through()
        return awaiting.fetch()

    session = AsyncRefresher(make(source=AsyncCallableSource(fetch, clock=clock)))
    program = programs()
    with door:
        program.start(session.get)
        door.wait_for_arrival()
        program.end()
    settle(session.refresher)

    assert awaiting.loops == []
    assert session.refresher.state.failure is None
    assert run(session.get())


def test_a_loop_that_closes_right_after_it_began_leaves_no_warning(
    make: Make, awaiting: Awaiting
) -> None:
    """`asyncio.run` cancels what it finds, and closes; it never finds what begins meanwhile."""
    awaiting.at_door = door = Gate()
    session = AsyncRefresher(make(source=awaiting))
    begun = threading.Event()
    lock = threading.Lock()

    async def program() -> None:
        async def last_words() -> None:
            begins = loop.create_future()

            async def before() -> None:
                with lock:
                    begins.set_result(None)
                    begun.set()
                    try:
                        await asyncio.Event().wait()
                    finally:
                        await asyncio.sleep(1)  # which is refused

            awaiting.before = before
            try:
                await asyncio.Event().wait()
            finally:
                door.open()
                await begins

        loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(last_words()), asyncio.create_task(session.get())]
        assert tasks
        await in_the_air(door)

    with door:
        asyncio.run(program())
    settle(session.refresher)
    awaiting.before = None

    assert begun.is_set()
    assert not lock.locked()
    assert session.refresher.state.failure is None
    assert run(session.get())


# ── a loop that is held up ───────────────────────────────────────────────────────────────


def test_a_loop_that_is_held_up_by_who_waits_for_the_fetch_hands_it_to_another(
    session: AsyncRefresher, awaiting: Awaiting
) -> None:
    """As a handler that calls a synchronous file system, whose loop is in another thread."""
    started = threading.Event()

    async def begin() -> None:
        started.set()
        await asyncio.sleep(0)

    awaiting.before = begin

    async def program() -> tuple[Credentials, Credentials]:
        waiting = asyncio.create_task(session.get())
        await asyncio.sleep(0)
        theirs = in_a_thread(lambda: run(session.get())).result(PATIENCE_SECONDS)  # held up here
        return theirs, await waiting

    first, second = run(program())

    assert first is second
    assert started.is_set()


def test_a_loop_that_is_held_up_by_a_synchronous_reader_gets_a_loop_of_its_own(
    refresher: Refresher, awaiting: Awaiting
) -> None:
    session = AsyncRefresher(refresher)

    async def program() -> tuple[Credentials, Credentials]:
        waiting = asyncio.create_task(session.get())
        await asyncio.sleep(0)
        theirs = in_a_thread(refresher.get).result(PATIENCE_SECONDS)  # held up here
        return theirs, await waiting

    first, second = run(program())

    assert first is second


def test_a_loop_that_is_held_up_keeps_the_fetch_where_nobody_else_waits(
    session: AsyncRefresher, awaiting: Awaiting
) -> None:
    async def program() -> None:
        begun, released = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            begun.set()
            await released.wait()

        awaiting.before = wait
        waiting = asyncio.create_task(session.get())
        await begun.wait()
        # Longer than it takes to be counted as held up.
        in_a_thread(lambda: threading.Event().wait(LOOK_SECONDS * (MOST_UNANSWERED + 2))).result(
            PATIENCE_SECONDS
        )
        released.set()
        await waiting

    run(program())

    assert len(awaiting.loops) == 1
