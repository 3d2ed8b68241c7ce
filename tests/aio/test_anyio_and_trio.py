"""Programs on anyio work as long as asyncio drives them; trio gets a clear answer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
import trio
from event_loops import silence
from scenes import AioAssume, caller_arn, keys_of, settle

import rolecall.aio
from rolecall.errors import ConfigError
from rolecall.testing import FakeClock, Gate, StrictCloud
from rolecall.testing.clock import PATIENCE_SECONDS

__all__ = ["silence"]

pytestmark = pytest.mark.usefixtures("silence")


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Return what *main* returns, run by anyio on asyncio; fail instead of hanging."""

    async def bounded() -> Any:
        with anyio.fail_after(PATIENCE_SECONDS):
            return await main()

    return anyio.run(bounded, backend="asyncio")


async def arrival(gate: Gate) -> None:
    await anyio.to_thread.run_sync(gate.wait_for_arrival)


def test_a_task_group_of_anyio_shares_one_call(aio_assume: AioAssume, cloud: StrictCloud) -> None:
    session = aio_assume()
    arns: list[str] = []

    async def work() -> None:
        arns.append(await caller_arn(session))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(work)

    run(main)

    assert len(arns) == 10
    assert "assumed-role/Hub/" in arns[0]
    assert cloud.calls("AssumeRole") == 1


def test_a_cancelled_scope_leaves_the_fetch_to_the_next_task(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    session = aio_assume()

    async def main() -> None:
        with cloud.hold("AssumeRole") as gate:
            async with anyio.create_task_group() as group:
                group.start_soon(keys_of, session)
                await arrival(gate)
                group.cancel_scope.cancel()
        await settle(session)
        await keys_of(session)

    run(main)

    assert cloud.calls("AssumeRole") == 1


def test_a_task_whose_time_is_up_moves_on_and_the_fetch_does_not_end(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    session = aio_assume()

    async def main() -> None:
        await keys_of(session)
        fake_clock.tick(hours=2)
        with cloud.hold("AssumeRole") as gate:
            # The law is about a real deadline; no answer can come before the gate is open.
            with anyio.move_on_after(0.05) as scope:
                await keys_of(session)
            assert scope.cancelled_caught
            await arrival(gate)
        await settle(session)
        await keys_of(session)

    run(main)

    assert cloud.calls("AssumeRole") == 2


def test_a_scope_that_is_cancelled_while_an_own_coroutine_runs_does_not_end_that(
    cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    """It runs on the loop, but in none of the program's scopes."""
    calls = []

    async def main() -> None:
        begun, go = anyio.Event(), anyio.Event()

        async def fetch() -> rolecall.Credentials:
            calls.append(1)
            begun.set()
            await go.wait()
            return cloud.credentials(user="alice")

        session = rolecall.aio.refreshable_session(fetch, clock=fake_clock)
        async with anyio.create_task_group() as group:
            group.start_soon(keys_of, session)
            await begun.wait()
            group.cancel_scope.cancel()
        go.set()
        await keys_of(session)

    run(main)

    assert calls == [1]


def test_an_own_coroutine_may_use_the_scopes_of_anyio(
    cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    async def fetch() -> rolecall.Credentials:
        found = []

        async def look() -> None:
            found.append(cloud.credentials(user="alice"))

        with anyio.fail_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as group:
                group.start_soon(look)
        return found[0]

    session = rolecall.aio.refreshable_session(fetch, clock=fake_clock)

    async def main() -> Any:
        return await keys_of(session)

    assert run(main).access_key == cloud.credentials(user="alice").access_key


def test_threads_call_the_session_through_a_portal(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    session = aio_assume()
    with anyio.from_thread.start_blocking_portal("asyncio") as portal:
        first = portal.call(caller_arn, session)
    with anyio.from_thread.start_blocking_portal("asyncio") as portal:
        second = portal.call(caller_arn, session)

    assert first == second
    assert cloud.calls("AssumeRole") == 1


def test_a_worker_thread_of_anyio_calls_back_into_the_loop(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    session = aio_assume()

    def work() -> str:
        arn: str = anyio.from_thread.run(caller_arn, session)
        return arn

    async def main() -> str:
        return await anyio.to_thread.run_sync(work)

    assert "assumed-role/Hub/" in run(main)
    assert cloud.calls("AssumeRole") == 1


# ── trio ─────────────────────────────────────────────────────────────────────────────────


async def makes_a_client(session: Any) -> None:
    async with session.create_client("sts"):
        raise AssertionError("a client under trio")


async def asks_for_credentials(session: Any) -> None:
    await session.get_credentials()


USES = [makes_a_client, asks_for_credentials]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("opened", [False, True], ids=["new", "used before"])
def test_trio_is_told_that_it_is_trio(
    use: Callable[[Any], Coroutine[Any, Any, None]],
    opened: bool,
    aio_assume: AioAssume,
    cloud: StrictCloud,
) -> None:
    session = aio_assume()
    if opened:
        anyio.run(keys_of, session, backend="asyncio")

    with pytest.raises(ConfigError, match=r"this is trio's .*trio\.to_thread\.run_sync"):
        trio.run(use, session)

    assert cloud.calls("AssumeRole") == opened


@pytest.mark.parametrize(
    "ask", ["get_frozen_credentials", "refresh", "ensure_valid_for", "whoami", "get_token"]
)
def test_credentials_that_come_to_trio_say_so_too(ask: str, aio_assume: AioAssume) -> None:
    session = aio_assume()

    async def opened() -> Any:
        await keys_of(session)
        return await session.get_credentials()

    credentials = run(opened)

    async def main() -> None:
        await getattr(credentials, ask)()

    with pytest.raises(ConfigError, match="this is trio's"):
        trio.run(main)


def test_a_program_without_any_loop_is_told_what_to_do(aio_assume: AioAssume) -> None:
    with pytest.raises(ConfigError, match=r"none is running here .*asyncio\.run"):
        aio_assume().get_credentials().send(None)


def test_trio_may_use_the_synchronous_session(aio_assume: AioAssume, cloud: StrictCloud) -> None:
    """In a thread, as the hint says; trio keeps its threads for longer than a test may."""
    session = aio_assume()

    async def main() -> str:
        sts = session.synchronous().client("sts")
        return str(sts.get_caller_identity()["Arn"])

    assert "assumed-role/Hub/" in trio.run(main)
    assert cloud.calls("AssumeRole") == 1
