"""While something hangs, a task that only awaits its next turn goes on getting turns."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials
from event_loops import arrival, gated_parent, own_session, silence, turns, with_a_process
from made_parents import World
from scenes import HUB, AioAssume, caller_arn, keys_of, run

import rolecall.aio
from rolecall.testing import FakeClock, Gate, StrictCloud

__all__ = ["silence"]

pytestmark = pytest.mark.usefixtures("silence")

SERIAL = "arn:aws:iam::123456789012:mfa/me"
ONCE = AioConfig(retries={"total_max_attempts": 1})


async def beats(gate: Gate, work: Coroutine[Any, Any, Any]) -> Any:
    """Return what *work* returns; the loop must take many turns before the gate lets it go on.

    Where *work* blocks the loop, the gate is never opened, and fails whoever waits there.
    """
    task = asyncio.create_task(work)
    await arrival(gate)
    await turns()
    assert not gate.is_open
    assert not task.done()
    gate.open()
    return await task


def test_the_loop_turns_while_sts_is_asked_for_the_first_time(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    async def main() -> str:
        return str(await beats(cloud.hold("AssumeRole"), caller_arn(aio_assume())))

    assert "assumed-role/Hub/" in run(main())


def test_the_loop_turns_while_all_that_can_be_awaited_waits_for_sts(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    async def main() -> None:
        session = aio_assume()
        await keys_of(session)
        credentials = await session.get_credentials()
        for work in (
            credentials.get_frozen_credentials,
            credentials.get_access_key,
            credentials.refresh,
            lambda: credentials.ensure_valid_for(minutes=30),
            credentials.whoami,
        ):
            fake_clock.tick(hours=2)
            await beats(cloud.hold("AssumeRole"), work())
            cloud.recover()

        await beats(cloud.hold("GetCallerIdentity"), credentials.whoami())

    run(main())


def test_the_loop_turns_while_a_rejected_key_is_replaced(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    async def main() -> None:
        async with aio_assume().create_client("sqs", config=ONCE) as sqs:
            await sqs.list_queues()
            cloud.fail("sqs:ListQueues", code="ExpiredToken", times=1)

            await beats(cloud.hold("AssumeRole"), sqs.list_queues())

    run(main())
    assert cloud.calls("AssumeRole") == 2


def test_the_loop_turns_while_a_synchronous_parent_looks_its_credentials_up(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    gate = Gate()

    async def main() -> None:
        await beats(gate, keys_of(aio_assume(session=gated_parent(cloud, gate))))

    run(main())


def test_the_loop_turns_while_a_synchronous_role_session_is_refreshed(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    hub = rolecall.assume_role(cloud.session(), HUB, clock=fake_clock)

    async def main() -> None:
        spoke = aio_assume("arn:aws:iam::210987654321:role/Spoke", session=hub)
        await keys_of(spoke)
        fake_clock.tick(hours=2)
        await beats(cloud.hold("AssumeRole"), keys_of(spoke))

    run(main())


def test_the_loop_turns_while_a_callable_is_asked_for_a_code(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    gate = Gate()

    def asked() -> str:
        gate.pass_through()
        return "012345"

    async def main() -> None:
        session = aio_assume(SerialNumber=SERIAL, mfa_token_provider=asked)
        await beats(gate, keys_of(session))

    run(main())


def test_the_loop_turns_while_an_own_plain_callable_blocks(
    cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    gate = Gate()

    def fetch() -> rolecall.Credentials:
        gate.pass_through()
        return cloud.credentials()

    async def main() -> None:
        session = rolecall.aio.refreshable_session(fetch, clock=fake_clock)
        await beats(gate, keys_of(session))

    run(main())


def test_the_loop_turns_while_a_credential_process_runs(
    world: World, tmp_path: Path, aio_assume: AioAssume
) -> None:
    """The process reads a pipe, into which the test writes once the loop has turned."""
    keywords = with_a_process(world, tmp_path)
    printed = (tmp_path / "printed").read_text()
    (tmp_path / "printed").unlink()
    os.mkfifo(tmp_path / "printed")

    async def main() -> None:
        task = asyncio.create_task(keys_of(aio_assume(**keywords)))
        # Opened for writing only once the process has it open for reading.
        pipe = await asyncio.to_thread((tmp_path / "printed").open, "w")
        await turns()
        assert not task.done()
        with pipe:
            pipe.write(printed)
        await task

    run(main())


def test_the_loop_turns_while_a_parents_own_coroutine_waits(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    gate = Gate()

    async def find() -> AioCredentials:
        await asyncio.to_thread(gate.pass_through)
        held = cloud.credentials()
        return AioCredentials(held.access_key, held.secret_key, method="own")

    async def main() -> None:
        await beats(gate, keys_of(aio_assume(session=own_session(cloud, find))))

    run(main())
