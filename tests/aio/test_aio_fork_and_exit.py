"""Forks of asyncio programs, and programs that end while something hangs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from event_loops import gated_parent, in_a_program, silence
from scenes import HUB, AioAssume, caller_arn, keys_of, run

import rolecall.aio
from rolecall.testing import FakeClock, Gate, StrictCloud
from rolecall.testing.clock import PATIENCE_SECONDS

__all__ = ["silence"]

pytestmark = pytest.mark.usefixtures("silence")

Fork = Callable[[Callable[[], object]], Any]


def is_hub(session: Any) -> bool:
    return "assumed-role/Hub/" in run(caller_arn(session))


# ── forks ────────────────────────────────────────────────────────────────────────────────


def test_a_child_serves_what_the_parent_held(
    aio_assume: AioAssume, cloud: StrictCloud, fork: Fork
) -> None:
    session = aio_assume()
    held = run(keys_of(session))

    child = fork(lambda: run(keys_of(session)) == held and is_hub(session))

    assert child.said_yes()
    assert cloud.calls("AssumeRole") == 1


def test_a_child_of_a_running_loop_starts_a_loop_of_its_own(
    aio_assume: AioAssume, cloud: StrictCloud, fork: Fork, fake_clock: FakeClock
) -> None:
    session = aio_assume()

    async def main() -> Any:
        await keys_of(session)
        fake_clock.tick(hours=2)
        return fork(lambda: is_hub(session))

    assert run(main()).said_yes()
    assert cloud.calls("AssumeRole") == 2


def test_a_child_that_is_born_while_sts_is_asked_asks_itself(
    aio_assume: AioAssume, cloud: StrictCloud, fork: Fork
) -> None:
    session = aio_assume()
    with cloud.hold("AssumeRole") as gate:
        program = in_a_program(lambda: keys_of(session))
        gate.wait_for_arrival()
        child = fork(lambda: is_hub(session))
        gate.wait_for_arrival(2)

    assert child.said_yes()
    assert program.result(PATIENCE_SECONDS)
    assert cloud.calls("AssumeRole") == 2


def test_a_child_that_is_born_while_the_session_opens_opens_it_itself(
    aio_assume: AioAssume, cloud: StrictCloud, fork: Fork
) -> None:
    gate = Gate()
    session = aio_assume(session=gated_parent(cloud, gate))

    def opens() -> bool:
        gate.open()
        return is_hub(session)

    program = in_a_program(lambda: keys_of(session))
    gate.wait_for_arrival()
    # The lock of botocore's own loading is held by a thread that the child does not have.
    child = fork(opens)

    assert child.said_yes()
    gate.open()
    assert program.result(PATIENCE_SECONDS)
    assert cloud.calls("AssumeRole") == 2


def test_a_child_that_is_born_while_a_coroutine_hangs_calls_it_itself(
    cloud: StrictCloud, fake_clock: FakeClock, fork: Fork
) -> None:
    begun = threading.Event()
    parent = os.getpid()
    finish: list[Callable[[], object]] = []

    async def fetch() -> rolecall.Credentials:
        if os.getpid() == parent:
            done = asyncio.Event()
            loop = asyncio.get_running_loop()
            finish.append(lambda: loop.call_soon_threadsafe(done.set))
            begun.set()
            await done.wait()
        return cloud.credentials(user="alice")

    session = rolecall.aio.refreshable_session(fetch, clock=fake_clock)
    expected = cloud.credentials(user="alice").access_key
    program = in_a_program(lambda: keys_of(session))
    assert begun.wait(PATIENCE_SECONDS)

    child = fork(lambda: run(keys_of(session)).access_key == expected)

    assert child.said_yes()
    finish[0]()
    assert program.result(PATIENCE_SECONDS).access_key == expected


# ── the end of the program ───────────────────────────────────────────────────────────────

PRELUDE = f"""
import asyncio, threading, rolecall.aio
from aiobotocore.session import AioSession
from scenes import keys_of

session = rolecall.aio.assume_role(AioSession(), {HUB!r})
begun = threading.Event()

async def hangs():
    begun.set()
    await asyncio.get_running_loop().create_future()

own = rolecall.aio.refreshable_session(hangs)

async def leaves(work):
    asyncio.create_task(work)
    await asyncio.to_thread(begun.wait)
"""

#: Programs that end while a fetch of theirs hangs for longer than anybody's patience.
ENDS = {
    "in a task that gave up": """
async def main():
    try:
        await asyncio.wait_for(keys_of(session), 0.5)
    except asyncio.TimeoutError:
        print("left")
asyncio.run(main())
""",
    "in an own coroutine": """
asyncio.run(leaves(keys_of(own)))
print("left")
""",
    "on a loop of its own": """
reads = threading.Thread(target=lambda: own.synchronous().get_credentials().access_key, daemon=True)
reads.start()
begun.wait()
print("left")
""",
    "by an exception": """
async def main():
    asyncio.create_task(keys_of(own))
    await asyncio.to_thread(begun.wait)
    raise SystemExit("left")
asyncio.run(main())
""",
    "on a loop that nobody closed": """
loop = asyncio.new_event_loop()
task = loop.create_task(keys_of(own))
loop.run_until_complete(asyncio.wait_for(asyncio.shield(loop.run_in_executor(None, begun.wait)), 9))
print("left")
task.cancel()
loop.run_until_complete(asyncio.wait([task]))
loop.close()
""",
}


@pytest.mark.parametrize("ends", ENDS)
def test_what_hangs_does_not_delay_the_end_of_the_program(
    ends: str, strict_cloud: StrictCloud
) -> None:
    """Which is far nearer than the minute after which a source counts as lost."""
    environ = {
        **os.environ,
        **strict_cloud.environ(),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    with strict_cloud.hold("AssumeRole"):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PRELUDE + ENDS[ends]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environ,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    assert "left" in done.stdout + done.stderr
    for complaint in ("never", "Traceback", "pending", "ignored", "exception calling"):
        assert complaint not in done.stderr
