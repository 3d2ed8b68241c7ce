"""Nothing holds the loop up: a detector of blocking calls, and a heart that goes on beating."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import blockbuster.blockbuster as detector
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession
from event_loops import arrival, own_session, silence, turns, with_a_process
from made_parents import World
from scenes import AioAssume, caller_arn, keys_of, run, settle

import rolecall.aio
from rolecall.refresh import Refresher
from rolecall.refresh.aio import AsyncRefresher
from rolecall.refresh.state import read
from rolecall.stores import FileStore
from rolecall.testing import FakeClock, FakeSource, Gate, StrictCloud
from rolecall.testing.clock import PATIENCE_SECONDS

__all__ = ["silence"]

pytestmark = pytest.mark.usefixtures("silence")

SERIAL = "arn:aws:iam::123456789012:mfa/me"
ONCE = AioConfig(retries={"total_max_attempts": 1})

Job = Callable[[], Coroutine[Any, Any, Any]]


def _place() -> str:
    """Return where in rolecall the call was made."""
    frames = traceback.extract_stack()
    names = [f"{Path(frame.filename).name}:{frame.name}" for frame in frames]
    ours = [name for name, frame in zip(names, frames, strict=True) if "rolecall" in frame.filename]
    return ours[-1] if ours else "a place unknown"


class Detector:
    """Notes each call of rolecall that would block a loop, also where it is caught."""

    def __init__(self) -> None:
        self.found: list[str] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        found = self.found

        class Blocking(detector.BlockingError):
            def __init__(self, function: str) -> None:
                super().__init__(function)
                found.append(f"{function} in {_place()}")

        before = detector.BlockingError
        detector.BlockingError = Blocking  # type: ignore[misc]
        # The gates and clocks of rolecall.testing are the tests' own.
        buster = detector.BlockBuster(["rolecall"], excluded_modules=["rolecall.testing"])
        # Where a program's log goes is its own affair, and what its own coroutines do.
        for function in buster.functions.values():
            function.can_block_in("logging/__init__.py", "emit")
            function.can_block_in("rolecall/refresh/aio.py", "_only")
            # What aiobotocore itself reads when a client is made, is read for the parent here.
            function.can_block_in("rolecall/sessions/aio/session.py", "get_component")
            function.can_block_in("rolecall/sessions/inherit.py", "provide")
        buster.activate()
        try:
            yield
        finally:
            buster.deactivate()
            detector.BlockingError = before  # type: ignore[misc]


@pytest.fixture
def nothing_blocks() -> Iterator[None]:
    """Fail a test in which rolecall made a blocking call on an event loop."""
    watch = Detector()
    with watch.watching():
        yield
    assert watch.found == []


# ── the detector notices ─────────────────────────────────────────────────────────────────


class SleepySource(FakeSource):
    def get(self) -> rolecall.Credentials:
        os.stat(".")  # as a store does
        return super().get()


def test_the_detector_notices_a_source_that_is_called_on_the_loop(fake_clock: FakeClock) -> None:
    refresher = Refresher(SleepySource(fake_clock), clock=fake_clock)
    watch = Detector()

    async def on_the_loop() -> None:
        # As a task would read that had no driver of its own.
        _, flight, *_ = refresher._board(read(fake_clock), None, force=True)
        assert flight is not None
        refresher._fly(flight)

    with watch.watching():
        run(on_the_loop())

    assert watch.found[0].startswith("os.stat in threads.py:_fly")


def test_the_detector_notices_who_waits_on_the_loop_with_the_synchronous_driver() -> None:
    """The real clock waits as threads do."""
    watch = Detector()
    source = FakeSource(rolecall.clock.SYSTEM_CLOCK)
    refresher = Refresher(source)

    with Gate() as gate, watch.watching():
        source.before = gate

        async def main() -> None:
            refresher.get()

        with pytest.raises(detector.BlockingError):
            run(main())

    assert watch.found == ["lock.acquire in clock.py:wait"]


def test_it_does_not_mind_the_driver_of_loops() -> None:
    watch = Detector()
    source = FakeSource(rolecall.clock.SYSTEM_CLOCK)
    refresher = Refresher(source)

    async def main() -> None:
        with Gate() as gate:
            source.before = gate
            task = asyncio.create_task(AsyncRefresher(refresher).get())
            await arrival(gate)
        await task

    with watch.watching():
        run(main())

    assert watch.found == []


# ── while everything is used ─────────────────────────────────────────────────────────────


async def use(session: Any, clock: FakeClock, cloud: StrictCloud) -> None:
    """Use *session* in every way that fetches, or may."""
    credentials = await session.get_credentials()
    await caller_arn(session)
    await credentials.whoami()
    await credentials.ensure_valid_for(minutes=10)
    clock.tick(minutes=50)
    await keys_of(session)
    await settle(session)
    clock.tick(hours=2)
    await keys_of(session)
    await credentials.refresh()
    async with session.create_client("sqs", config=ONCE) as sqs:
        cloud.fail("sqs:ListQueues", code="ExpiredToken", times=1)
        await sqs.list_queues()
    async with session.create_client("s3") as s3:
        with pytest.warns(UserWarning, match="presigned URL"):
            await s3.generate_presigned_url("list_buckets", ExpiresIn=7200)
    clock.tick(hours=2)
    cloud.fail("AssumeRole", times=1)
    with pytest.raises(rolecall.AccessDenied):
        await keys_of(session)


def of_a_user(world: World, tmp_path: Path) -> dict[str, Any]:
    return {}


def of_a_synchronous_session(world: World, tmp_path: Path) -> dict[str, Any]:
    return {"session": world.cloud.session()}


def of_an_asynchronous_profile(world: World, tmp_path: Path) -> dict[str, Any]:
    with_a_process(world, tmp_path)
    return {"session": AioSession(profile="it")}


def with_files(world: World, tmp_path: Path) -> dict[str, Any]:
    return {"cache": FileStore(tmp_path / "entries", clock=world.cloud._clock)}


def with_a_callable_for_codes(world: World, tmp_path: Path) -> dict[str, Any]:
    codes = iter(f"{number:06}" for number in range(100))

    def asked() -> str:
        os.stat(".")  # blocks, as a network call for a code does
        return next(codes)

    return {"SerialNumber": SERIAL, "mfa_token_provider": asked}


def with_a_command_for_codes(world: World, tmp_path: Path) -> dict[str, Any]:
    argv = [sys.executable, "-c", "import secrets; print(f'{secrets.randbelow(10**6):06}')"]
    return {"SerialNumber": SERIAL, "mfa_token_provider": argv}


@pytest.mark.parametrize(
    "ways",
    [
        of_a_user,
        of_a_synchronous_session,
        with_a_process,
        of_an_asynchronous_profile,
        with_files,
        with_a_callable_for_codes,
        with_a_command_for_codes,
    ],
)
def test_nothing_that_a_session_does_blocks_the_loop(
    ways: Callable[[World, Path], dict[str, Any]],
    world: World,
    tmp_path: Path,
    aio_assume: AioAssume,
    fake_clock: FakeClock,
    nothing_blocks: None,
) -> None:
    keywords = ways(world, tmp_path)

    async def main() -> None:
        await use(aio_assume(**keywords), fake_clock, world.cloud)

    run(main())


def test_a_hit_in_a_store_of_files_does_not_block_it_either(
    tmp_path: Path,
    aio_assume: AioAssume,
    fake_clock: FakeClock,
    cloud: StrictCloud,
    nothing_blocks: None,
) -> None:
    store = FileStore(tmp_path / "entries", clock=fake_clock)
    run(keys_of(aio_assume(cache=store)))

    run(keys_of(aio_assume(cache=store)))

    assert cloud.calls("AssumeRole") == 1


def test_a_spoke_of_an_asynchronous_hub_does_not_block(
    aio_assume: AioAssume, nothing_blocks: None
) -> None:
    spoke = aio_assume("arn:aws:iam::210987654321:role/Spoke", session=aio_assume())

    assert "assumed-role/Spoke/" in run(caller_arn(spoke))


def test_a_parent_that_is_given_other_credentials_does_not_block(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock, nothing_blocks: None
) -> None:
    """Whose they are must be looked up anew, and not on the loop."""

    async def find() -> AioCredentials:
        await turns()  # or it could be there before anybody has to wait for it
        found: AioCredentials = parent._credentials
        return found

    parent = own_session(cloud, find)
    held = cloud.credentials(user="alice")
    parent.set_credentials(held.access_key, held.secret_key)
    session = aio_assume(session=parent)

    async def main() -> None:
        await keys_of(session)
        held = cloud.credentials(user="bob")
        parent.set_credentials(held.access_key, held.secret_key)
        fake_clock.tick(hours=2)
        await keys_of(session)

    run(main())
    assert cloud.calls("AssumeRole") == 2


# ── a lock that another process holds ────────────────────────────────────────────────────


HOLDS = """
import sys
from datetime import timedelta
from rolecall.stores import FileStore
with FileStore(sys.argv[1]).lock(sys.argv[2], timedelta(seconds=30)) as held:
    print(held, flush=True)
    sys.stdin.readline()
"""


class ToldStore(FileStore):
    """A store of files that says which lock it is about to wait for."""

    before: Callable[[str], object] = staticmethod(lambda _: None)

    def lock(self, key: str, timeout: timedelta) -> Any:
        self.before(key)
        return super().lock(key, timeout)


def test_the_loop_turns_while_another_process_holds_the_lock_of_a_store(
    tmp_path: Path,
    aio_assume: AioAssume,
    fake_clock: FakeClock,
    cloud: StrictCloud,
    nothing_blocks: None,
) -> None:
    store = ToldStore(tmp_path / "entries", clock=fake_clock)
    processes: list[subprocess.Popen[str]] = []
    held = Gate()

    def hold(key: str) -> None:
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        one = subprocess.Popen(
            [sys.executable, "-c", HOLDS, str(store.path), key],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        )
        processes.append(one)
        assert one.stdout is not None
        assert one.stdout.readline().strip() == "True"
        held.open()
        held.pass_through()

    store.before = hold  # type: ignore[method-assign]

    session = aio_assume(cache=store)

    async def main() -> None:
        task = asyncio.create_task(keys_of(session))
        await arrival(held)
        await turns()
        assert not task.done()
        assert cloud.calls("AssumeRole") == 0
        for one in processes:
            await asyncio.to_thread(one.communicate, "\n", PATIENCE_SECONDS)
        await task

    try:
        run(main())
    finally:
        for one in processes:
            one.kill()
            one.communicate()
    assert len(processes) == 1
    assert cloud.calls("AssumeRole") == 1
