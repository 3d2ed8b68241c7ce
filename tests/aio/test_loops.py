"""One session for any number of tasks, loops and threads: one call, and nobody hangs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from event_loops import (
    arrival,
    gated_parent,
    in_a_program,
    in_a_thread,
    silence,
    waiting,
)
from scenes import AioAssume, caller_arn, keys_of, run, settle

import rolecall.aio
from rolecall.refresh import Event
from rolecall.testing import FakeClock, Gate, StrictCloud
from rolecall.testing.clock import PATIENCE_SECONDS

__all__ = ["silence"]

pytestmark = pytest.mark.usefixtures("silence")


# ── tasks of one loop ────────────────────────────────────────────────────────────────────


def test_a_hundred_tasks_on_stale_credentials_return_while_sts_is_held(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    async def main() -> None:
        session = aio_assume()
        held = await keys_of(session)
        fake_clock.tick(minutes=50)

        with cloud.hold("AssumeRole") as gate:
            got = await asyncio.gather(*(keys_of(session) for _ in range(100)))
            assert not gate.is_open
            await arrival(gate)
        await settle(session)

        assert got == [held] * 100
        assert await keys_of(session) != held

    run(main())
    assert cloud.calls("AssumeRole") == 2


def test_clients_go_on_with_stale_credentials_while_sts_is_held(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    async def main() -> None:
        session = aio_assume()
        async with session.create_client("sts") as sts:
            await sts.get_caller_identity()
            fake_clock.tick(minutes=50)

            with cloud.hold("AssumeRole") as gate:
                await asyncio.gather(*(sts.get_caller_identity() for _ in range(20)))
                assert not gate.is_open
        await settle(session)

    run(main())
    assert cloud.calls("AssumeRole") == 2


def test_a_cold_start_of_fifty_tasks_is_one_opening_and_one_call(
    aio_assume: AioAssume, cloud: StrictCloud, events: list[Event]
) -> None:
    gate = Gate()

    async def main() -> set[str]:
        session = aio_assume(session=gated_parent(cloud, gate))
        tasks = [asyncio.create_task(caller_arn(session)) for _ in range(50)]
        await arrival(gate)
        gate.open()
        return set(await asyncio.gather(*tasks))

    (arn,) = run(main())

    assert "assumed-role/Hub/" in arn
    assert gate.arrived == 1
    assert cloud.calls("AssumeRole") == 1
    assert [event.kind for event in events] == ["refreshed"]


def test_fifty_tasks_that_find_the_session_expired_share_one_call(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    async def main() -> None:
        session = aio_assume()
        await keys_of(session)
        fake_clock.tick(hours=2)

        with cloud.hold("AssumeRole"):
            tasks = [asyncio.create_task(keys_of(session)) for _ in range(50)]
            await waiting(fake_clock, 50)
        assert len(set(await asyncio.gather(*tasks))) == 1

    run(main())
    assert cloud.calls("AssumeRole") == 2


# ── cancelled tasks ──────────────────────────────────────────────────────────────────────


async def cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_task_that_is_cancelled_while_the_session_opens_leaves_it_to_the_next(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    gate = Gate()

    async def main() -> None:
        session = aio_assume(session=gated_parent(cloud, gate))
        first = asyncio.create_task(keys_of(session))
        await arrival(gate)
        await cancel(first)

        second = asyncio.create_task(keys_of(session))
        gate.open()
        await second

    run(main())
    assert gate.arrived == 1
    assert cloud.calls("AssumeRole") == 1


def test_a_task_that_is_cancelled_while_sts_answers_leaves_the_answer_to_the_next(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    async def main() -> None:
        session = aio_assume()
        with cloud.hold("AssumeRole") as gate:
            first = asyncio.create_task(keys_of(session))
            await arrival(gate)
            await cancel(first)
            second = asyncio.create_task(keys_of(session))
            await waiting(fake_clock, 2)
        await second

    run(main())
    assert cloud.calls("AssumeRole") == 1


def test_a_task_that_is_cancelled_does_not_take_its_coroutine_along(
    cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    async def main() -> None:
        go = asyncio.Event()
        begun = asyncio.Event()
        calls = []

        async def fetch() -> rolecall.Credentials:
            calls.append(1)
            begun.set()
            await go.wait()
            return cloud.credentials(user="alice")

        session = rolecall.aio.refreshable_session(fetch, clock=fake_clock)
        first = asyncio.create_task(keys_of(session))
        await begun.wait()
        await cancel(first)
        second = asyncio.create_task(keys_of(session))
        await waiting(fake_clock, 2)
        go.set()
        await second

        assert calls == [1]

    run(main())


# ── several loops ────────────────────────────────────────────────────────────────────────


def test_four_threads_with_loops_of_their_own_share_one_call(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    session = aio_assume()
    with cloud.hold("AssumeRole"):
        programs = [in_a_program(lambda: keys_of(session)) for _ in range(4)]
        fake_clock.wait_for_waiters(4)  # all of them wait for the one call that is held

    assert len({program.result(PATIENCE_SECONDS) for program in programs}) == 1
    assert cloud.calls("AssumeRole") == 1


def test_four_threads_with_clients_of_their_own_share_one_call_in_each_life(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    session = aio_assume()
    for life in range(1, 4):
        with cloud.hold("AssumeRole"):
            programs = [in_a_program(lambda: caller_arn(session)) for _ in range(4)]
            fake_clock.wait_for_waiters(4)

        arns = {program.result(PATIENCE_SECONDS) for program in programs}
        assert len(arns) == 1
        assert cloud.calls("AssumeRole") == life
        fake_clock.tick(hours=2)


def test_threads_without_a_loop_and_tasks_wait_for_the_same_call(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    session = aio_assume()
    with cloud.hold("AssumeRole"):
        theirs = in_a_thread(
            lambda: session.synchronous().get_credentials().get_frozen_credentials()
        )
        ours = in_a_program(lambda: keys_of(session))
        fake_clock.wait_for_waiters(2)

    assert theirs.result(PATIENCE_SECONDS) == ours.result(PATIENCE_SECONDS)
    assert cloud.calls("AssumeRole") == 1


def test_one_session_serves_one_run_after_the_other_through_rotations(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    session = aio_assume()
    keys = []
    for _ in range(3):
        assert "assumed-role/Hub/" in run(caller_arn(session))
        keys.append(run(keys_of(session)))
        fake_clock.tick(hours=2)

    assert len(set(keys)) == 3
    assert cloud.calls("AssumeRole") == 3
