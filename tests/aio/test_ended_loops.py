"""Loops that end or stop while something is in the air: the next one goes on, without a word."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import pytest
from aiobotocore.credentials import AioCredentials, AioRefreshableCredentials
from aiobotocore.session import AioSession
from event_loops import (
    arrival,
    gated_parent,
    in_a_program,
    own_session,
    silence,
)
from scenes import AioAssume, aio_session_of, caller_arn, keys_of, run

import rolecall.aio
from rolecall.refresh import Event
from rolecall.testing import FakeClock, Gate, StrictCloud
from rolecall.testing.clock import PATIENCE_SECONDS

__all__ = ["silence"]

pytestmark = pytest.mark.usefixtures("silence")


@pytest.mark.parametrize("kind", ["synchronous", "asynchronous"])
def test_a_run_that_ends_while_sts_is_asked_leaves_the_answer_to_the_next_run(
    aio_assume: AioAssume,
    cloud: StrictCloud,
    user: boto3.Session,
    aio_user: AioSession,
    kind: str,
) -> None:
    session = aio_assume(session=user if kind == "synchronous" else aio_user)

    async def leaves(gate: Gate) -> asyncio.Task[Any]:
        task = asyncio.create_task(keys_of(session))
        await arrival(gate)
        return task

    with cloud.hold("AssumeRole") as gate:
        assert run(leaves(gate)).cancelled()
    run(caller_arn(session))

    assert cloud.calls("AssumeRole") == 1


def test_a_run_that_ends_while_the_session_opens_leaves_it_to_the_next_run(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    gate = Gate()
    session = aio_assume(session=gated_parent(cloud, gate))

    async def leaves() -> asyncio.Task[Any]:
        task = asyncio.create_task(keys_of(session))
        await arrival(gate)
        return task

    assert run(leaves()).cancelled()
    gate.open()
    run(caller_arn(session))

    assert gate.arrived == 1
    assert cloud.calls("AssumeRole") == 1


class Hangs:
    """A coroutine function that hangs on the loops of its first calls, then gives an answer.

    Attributes:
        begun: The loops on which it was called, as they come.
    """

    def __init__(self, answer: Callable[[], Any], times: int = 1) -> None:
        self.begun: queue.Queue[asyncio.AbstractEventLoop] = queue.Queue()
        self.calls = 0
        self._answer = answer
        self._times = times

    async def __call__(self) -> Any:
        self.calls += 1
        loop = asyncio.get_running_loop()
        hangs = self.calls <= self._times
        self.begun.put(loop)
        if hangs:
            await loop.create_future()
        return self._answer()

    async def on(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the next call."""
        return await asyncio.to_thread(self.begun.get, True, PATIENCE_SECONDS)


def bridged(cloud: StrictCloud, hangs: list[Hangs]) -> AioSession:
    """Return a foreign session that only its own coroutine can renew, which hangs at first."""

    def answer() -> dict[str, Any]:
        held = cloud.credentials()
        # aiobotocore tells time by the machine's clock.
        soon = datetime.now(timezone.utc) + timedelta(hours=1)
        return {
            "access_key": held.access_key,
            "secret_key": held.secret_key,
            "token": None,
            "expiry_time": soon.isoformat(),
        }

    hangs.append(Hangs(answer))
    session: AioSession = aio_session_of(cloud, user=None)
    session._credentials = AioRefreshableCredentials(
        "fake",
        "fake-secret",
        "fake-token",
        datetime(2020, 1, 1, tzinfo=timezone.utc),
        refresh_using=hangs[0],
        method="custom",
    )
    return session


@pytest.fixture
def hanging() -> list[Hangs]:
    return []


def role_of_a_bridged_parent(
    assume: AioAssume, cloud: StrictCloud, clock: FakeClock, hanging: list[Hangs]
) -> Any:
    return assume(session=bridged(cloud, hanging))


def own_coroutine(
    assume: AioAssume, cloud: StrictCloud, clock: FakeClock, hanging: list[Hangs]
) -> Any:
    hanging.append(Hangs(lambda: cloud.credentials(user="alice")))
    return rolecall.aio.refreshable_session(
        hanging[0], base_session=aio_session_of(cloud, user=None), clock=clock
    )


def role_of_a_slow_look_up(
    assume: AioAssume, cloud: StrictCloud, clock: FakeClock, hanging: list[Hangs]
) -> Any:
    held = cloud.credentials()
    hanging.append(Hangs(lambda: AioCredentials(held.access_key, held.secret_key, method="own")))
    return assume(session=own_session(cloud, hanging[0]))


COROUTINES = [role_of_a_bridged_parent, own_coroutine, role_of_a_slow_look_up]


@pytest.mark.parametrize("make", COROUTINES)
def test_what_was_awaited_on_a_loop_that_ended_begins_anew_on_the_next(
    make: Callable[..., Any],
    aio_assume: AioAssume,
    cloud: StrictCloud,
    fake_clock: FakeClock,
    hanging: list[Hangs],
    events: list[Event],
) -> None:
    session = make(aio_assume, cloud, fake_clock, hanging)
    (hangs,) = hanging

    async def leaves() -> asyncio.Task[Any]:
        task = asyncio.create_task(keys_of(session))
        assert await hangs.on() is asyncio.get_running_loop()
        return task

    assert run(leaves()).cancelled()
    arn = run(caller_arn(session))

    assert "role/Hub/" in arn or arn.endswith("user/alice")
    assert "refresh_failed" not in [event.kind for event in events]
    assert hangs.calls >= 2


# Not the bridged parent: aiobotocore's own lock stays with the task that the stopped loop has.
@pytest.mark.parametrize("make", [own_coroutine, role_of_a_slow_look_up])
def test_a_loop_that_was_stopped_and_not_closed_holds_up_no_other(
    make: Callable[..., Any],
    aio_assume: AioAssume,
    cloud: StrictCloud,
    fake_clock: FakeClock,
    hanging: list[Hangs],
) -> None:
    session = make(aio_assume, cloud, fake_clock, hanging)
    (hangs,) = hanging
    stopped = asyncio.new_event_loop()
    task = stopped.create_task(keys_of(session))

    assert stopped.run_until_complete(asyncio.wait_for(hangs.on(), PATIENCE_SECONDS)) is stopped
    run(keys_of(session))

    # And where it goes on, its task gets what was fetched meanwhile.
    stopped.run_until_complete(asyncio.wait_for(task, PATIENCE_SECONDS))
    stopped.run_until_complete(stopped.shutdown_default_executor())
    assert asyncio.all_tasks(stopped) == set()
    stopped.close()


def test_nobody_complains_of_what_a_coroutine_raises_when_its_stopped_loop_goes_on(
    cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    class Clumsy(Hangs):
        async def __call__(self) -> Any:
            try:
                return await super().__call__()
            except asyncio.CancelledError:
                raise LookupError("cancelled, and says it badly") from None

    clumsy = Clumsy(lambda: cloud.credentials(user="alice"))
    session = rolecall.aio.refreshable_session(clumsy, clock=fake_clock)
    stopped = asyncio.new_event_loop()
    task = stopped.create_task(keys_of(session))
    stopped.run_until_complete(asyncio.wait_for(clumsy.on(), PATIENCE_SECONDS))

    run(keys_of(session))

    stopped.run_until_complete(asyncio.wait_for(task, PATIENCE_SECONDS))
    stopped.run_until_complete(stopped.shutdown_default_executor())
    stopped.close()


def test_loops_that_end_one_after_the_other_hand_the_coroutine_on(
    cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    hangs = Hangs(lambda: cloud.credentials(user="alice"), times=2)
    session = rolecall.aio.refreshable_session(hangs, clock=fake_clock)
    leave: dict[asyncio.AbstractEventLoop, asyncio.Event] = {}

    async def program() -> Any:
        enough = leave[asyncio.get_running_loop()] = asyncio.Event()
        task = asyncio.create_task(keys_of(session))
        leaving = asyncio.create_task(enough.wait())
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None

    programs = [in_a_program(program) for _ in range(3)]
    fake_clock.wait_for_waiters(3)
    ran_on = []
    for _ in range(2):
        ran_on.append(hangs.begun.get(timeout=PATIENCE_SECONDS))
        ran_on[-1].call_soon_threadsafe(leave[ran_on[-1]].set)
    ran_on.append(hangs.begun.get(timeout=PATIENCE_SECONDS))
    got = [program.result(PATIENCE_SECONDS) for program in programs]

    assert len(set(ran_on)) == 3
    assert got.count(None) == 2
    assert hangs.calls == 3


def test_a_loop_that_comes_while_the_others_coroutine_hangs_takes_over(
    cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    """It waits for the same flight, whose loop ends only then."""
    hangs = Hangs(lambda: cloud.credentials(user="alice"))
    session = rolecall.aio.refreshable_session(hangs, clock=fake_clock)
    leave = threading.Event()

    async def first() -> None:
        task = asyncio.create_task(keys_of(session))
        await asyncio.to_thread(leave.wait, PATIENCE_SECONDS)
        assert not task.done()

    leaving = in_a_program(first)
    assert hangs.begun.get(timeout=PATIENCE_SECONDS)
    taking_over = in_a_program(lambda: keys_of(session))
    fake_clock.wait_for_waiters(2)
    leave.set()

    assert leaving.result(PATIENCE_SECONDS) is None
    assert taking_over.result(PATIENCE_SECONDS)
    assert hangs.calls == 2


def test_a_coroutine_that_is_cancelled_by_hand_is_an_error_and_no_hang(
    cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    calls = []

    async def fetch() -> None:
        calls.append(1)
        raise asyncio.CancelledError

    session = rolecall.aio.refreshable_session(fetch, clock=fake_clock)
    with pytest.raises(rolecall.FetchError, match="was cancelled"):
        run(keys_of(session))

    assert 1 < len(calls) < 10
