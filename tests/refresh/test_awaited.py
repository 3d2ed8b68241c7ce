"""Sources that must be awaited: on whose event loop, and what becomes of their mistakes."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import NoReturn

import pytest
from drivers import in_a_thread, settle
from programs import Awaiting, run

from rolecall import Credentials, FetchError
from rolecall.refresh import Refresher
from rolecall.refresh.aio import AsyncRefresher, awaited, in_thread
from rolecall.refresh.flight import Askers, on_behalf_of
from rolecall.refresh.threads import MOST_ABANDONED
from rolecall.testing import FakeClock, FakeSource
from rolecall.testing.clock import PATIENCE_SECONDS

pytestmark = pytest.mark.usefixtures("silence")

Make = Callable[..., Refresher]

STALE = timedelta(minutes=41)  # of one hour; a refresh is due after 40 minutes


# ── on whose loop ────────────────────────────────────────────────────────────────────────


def test_it_is_awaited_on_the_loop_of_the_task_that_waits(
    session: AsyncRefresher, awaiting: Awaiting
) -> None:
    async def program() -> asyncio.AbstractEventLoop:
        await asyncio.gather(session.get(), session.get())
        await session.refresh()
        return asyncio.get_running_loop()

    loop = run(program())

    assert awaiting.loops == [loop, loop]


def test_each_program_awaits_on_its_own_loop(
    session: AsyncRefresher, awaiting: Awaiting, clock: FakeClock
) -> None:
    for _ in range(3):
        run(session.get())
        clock.tick(hours=2)

    assert len(set(map(id, awaiting.loops))) == len(awaiting.loops) == 3


def test_a_background_refresh_is_awaited_on_the_loop_that_found_it_due(
    session: AsyncRefresher, awaiting: Awaiting, clock: FakeClock
) -> None:
    async def program() -> asyncio.AbstractEventLoop:
        held = await session.get()
        clock.tick(STALE)
        assert await session.get() is held
        await in_thread(lambda: settle(session.refresher))
        assert await session.get() is not held
        return asyncio.get_running_loop()

    loop = run(program())

    assert awaiting.loops == [loop, loop]


def test_for_a_thread_it_is_awaited_on_a_private_loop_in_the_thread_that_fetches(
    refresher: Refresher, awaiting: Awaiting
) -> None:
    refresher.get()

    assert [thread.name for thread in awaiting.threads] == ["rolecall-refresh"]
    assert awaiting.loops[0].is_closed()


def test_a_source_beneath_a_source_is_awaited_on_the_same_loop(
    make: Make, refresher: Refresher, awaiting: Awaiting
) -> None:
    """A chain: the outer role's flight reads the inner one, in a thread without a loop."""
    outer = AsyncRefresher(make(source=refresher, name="outer"))

    async def program() -> asyncio.AbstractEventLoop:
        await outer.get()
        return asyncio.get_running_loop()

    assert awaiting.loops == [run(program())]


def test_a_coroutine_may_read_another_session_on_the_way(
    make: Make, session: AsyncRefresher, awaiting: Awaiting, source: FakeSource
) -> None:
    other = Awaiting(source)
    other.before = session.get
    outer = AsyncRefresher(make(source=other, name="outer"))

    async def program() -> asyncio.AbstractEventLoop:
        await outer.get()
        return asyncio.get_running_loop()

    loop = run(program())

    assert [*awaiting.loops, *other.loops] == [loop, loop]


def test_work_in_a_thread_awaits_on_the_loop_of_its_task(awaiting: Awaiting) -> None:
    async def program() -> asyncio.AbstractEventLoop:
        await in_thread(awaiting.get)
        return asyncio.get_running_loop()

    assert awaiting.loops == [run(program())]


# ── coroutines that go wrong ─────────────────────────────────────────────────────────────


def test_what_it_raises_reaches_all_who_wait_as_exceptions_of_their_own(
    session: AsyncRefresher, awaiting: Awaiting, clock: FakeClock
) -> None:
    async def fail() -> None:
        raise LookupError("the vault is locked")

    awaiting.before = fail

    async def program() -> list[BaseException]:
        return await asyncio.gather(*[session.get() for _ in range(5)], return_exceptions=True)

    errors = run(program())

    assert [type(error) for error in errors] == [LookupError] * 5
    assert len({id(error) for error in errors}) == 5
    awaiting.before = None
    clock.tick(seconds=5)
    assert run(session.get())


@pytest.mark.parametrize("work", ["get", "refresh"])
def test_a_coroutine_that_cancels_itself_is_told_so_after_a_few_attempts(
    session: AsyncRefresher, awaiting: Awaiting, work: str
) -> None:
    async def cancel() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    awaiting.before = cancel

    with pytest.raises(FetchError, match="the coroutine that fetches was cancelled"):
        run(getattr(session, work)())

    assert len(awaiting.loops) == MOST_ABANDONED
    awaiting.before = None
    assert run(session.get())


def test_a_coroutine_that_cancels_itself_for_a_thread_is_a_failure(
    refresher: Refresher, awaiting: Awaiting
) -> None:
    async def cancel() -> None:
        raise asyncio.CancelledError

    awaiting.before = cancel

    with pytest.raises(FetchError, match="CancelledError"):
        refresher.get()
    assert len(awaiting.loops) == 1


@pytest.mark.parametrize("beneath", ["a session", "work in a thread"])
def test_a_coroutine_that_cancels_itself_beneath_something_else_is_given_up_as_soon(
    make: Make, refresher: Refresher, awaiting: Awaiting, beneath: str
) -> None:
    async def cancel() -> None:
        raise asyncio.CancelledError

    awaiting.before = cancel
    outer = AsyncRefresher(make(source=refresher, name="outer"))

    with pytest.raises(FetchError, match=r"[Cc]ancelled"):
        run(outer.get() if beneath == "a session" else in_thread(refresher.get))

    assert len(awaiting.loops) <= MOST_ABANDONED**2


def test_work_in_a_thread_whose_coroutine_is_cancelled_is_told_so(awaiting: Awaiting) -> None:
    async def cancel() -> None:
        raise asyncio.CancelledError

    awaiting.before = cancel

    with pytest.raises(FetchError, match="was cancelled"):
        run(in_thread(awaiting.get))


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_ends_its_program_and_is_told_to_the_next(
    session: AsyncRefresher,
    awaiting: Awaiting,
    clock: FakeClock,
    interruption: type[BaseException],
) -> None:
    async def interrupt() -> None:
        raise interruption

    awaiting.before = interrupt
    with pytest.raises(interruption):
        asyncio.run(session.get())
    settle(session.refresher)
    awaiting.before = None

    with pytest.raises(FetchError, match=f"interrupted by {interruption.__name__}"):
        run(session.get())
    clock.tick(seconds=5)
    assert run(session.get())


@pytest.mark.parametrize("way", ["itself", "a task", "a thread", "refresh"])
def test_a_coroutine_that_reads_its_own_session_is_told_so_at_once(
    session: AsyncRefresher, awaiting: Awaiting, way: str
) -> None:
    ways: dict[str, Callable[[], Awaitable[Credentials]]] = {
        "itself": session.get,
        "a task": lambda: asyncio.create_task(session.get()),
        "a thread": lambda: asyncio.to_thread(session.refresher.get),
        "refresh": session.refresh,
    }
    awaiting.before = ways[way]

    with pytest.raises(FetchError, match="uses the very session") as caught:
        run(session.get())

    assert not caught.value.retryable
    assert len(awaiting.loops) == 1


def test_a_coroutine_that_reads_its_own_valid_session_gets_what_is_held(
    session: AsyncRefresher, awaiting: Awaiting, clock: FakeClock
) -> None:
    held = run(session.get())
    clock.tick(STALE)
    got: list[Credentials] = []

    async def read() -> None:
        got.append(await session.get())

    awaiting.before = read

    assert run(session.refresh()) is not held
    assert got == [held]


def test_where_no_thread_can_be_started_a_coroutine_does_not_lock_its_loop(
    session: AsyncRefresher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source is then called on the loop's own thread, which cannot run it meanwhile."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "rolecall-refresh":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)

    with pytest.raises(FetchError):
        in_a_thread(lambda: run(session.get())).result(PATIENCE_SECONDS)


def test_a_synchronous_call_on_the_loop_that_it_needs_is_refused() -> None:
    async def program() -> None:
        askers = Askers()
        askers.add(asyncio.get_running_loop())
        with on_behalf_of(askers, person=False), pytest.raises(FetchError, match="very event loop"):
            awaited(asyncio.sleep)

    run(program())


def test_a_loop_that_makes_no_tasks_fails_the_fetch_and_does_not_hang(
    session: AsyncRefresher,
) -> None:
    """A task factory is the program's own."""

    def refuse(loop: asyncio.AbstractEventLoop, work: object, **_: object) -> NoReturn:
        raise RuntimeError("fake: no more tasks")

    async def program() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)  # where the callback's own error goes
        loop.set_task_factory(refuse)  # type: ignore[arg-type]
        try:
            with pytest.raises(RuntimeError, match="no more tasks"):
                await session.get()
        finally:
            loop.set_task_factory(None)

    run(program())


def test_variables_that_it_sets_are_its_own(session: AsyncRefresher, awaiting: Awaiting) -> None:
    whose = contextvars.ContextVar("whose", default="nobody's")

    async def change() -> None:
        whose.set("the source's")

    awaiting.before = change

    async def program() -> str:
        whose.set("the program's")
        await session.get()
        await session.refresh()
        return whose.get()

    assert run(program()) == "the program's"
