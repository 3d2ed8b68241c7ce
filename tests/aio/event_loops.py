"""Programs of asyncio beside the test: loops in threads, parents that keep one waiting, an ear."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import boto3
import pytest
from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession
from botocore.credentials import CredentialProvider, CredentialResolver
from botocore.credentials import Credentials as BotocoreCredentials
from made_parents import World
from scenes import aio_session_of, run
from written_profiles import become, write

from rolecall.testing import FakeClock, Gate, StrictCloud
from rolecall.testing.clock import PATIENCE_SECONDS

#: The loggers on which Python tells of coroutines, tasks and callbacks that came to grief.
COMPLAINING = ("asyncio", "concurrent.futures", "aiobotocore")

#: Turns of a loop that is held up by nobody; it takes them in a blink.
MANY_TURNS = 500


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


@pytest.fixture
def silence() -> Iterator[None]:
    """Fail a test after which asyncio complains: never retrieved, still pending, a bad callback.

    Of a coroutine that was never awaited Python warns, which fails a test anyway.
    """
    heard = _Heard()
    for name in COMPLAINING:
        logging.getLogger(name).addHandler(heard)
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("rolecall-"):
            thread.join(PATIENCE_SECONDS)
    gc.collect()  # it complains of what it finds when that is collected
    for name in COMPLAINING:
        logging.getLogger(name).removeHandler(heard)
    assert heard.said == [], "\n".join(heard.said)


def in_a_thread(work: Callable[[], Any]) -> Future[Any]:
    """Start *work* in a daemon thread; what became of it is in the future."""
    future: Future[Any] = Future()

    def begin() -> None:
        try:
            done = work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(done)

    threading.Thread(target=begin, name="program", daemon=True).start()
    return future


def in_a_program(main: Callable[[], Coroutine[Any, Any, Any]]) -> Future[Any]:
    """Start a thread with an event loop of its own."""
    return in_a_thread(lambda: run(main()))


async def turns(count: int = MANY_TURNS) -> None:
    """Return after *count* turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def arrival(gate: Gate, count: int = 1) -> None:
    """Return once *count* have come to *gate*; the loop goes on meanwhile."""
    await asyncio.to_thread(gate.wait_for_arrival, count)


async def waiting(clock: FakeClock, count: int) -> None:
    """Return once *count* wait on *clock*; the loop goes on meanwhile."""
    await asyncio.to_thread(clock.wait_for_waiters, count)


class GatedProvider(CredentialProvider):
    """Finds a user's keys once a gate is open, which keeps the thread that asks."""

    METHOD = "fake-vault"
    CANONICAL_NAME = METHOD

    def __init__(self, cloud: StrictCloud, gate: Gate) -> None:
        super().__init__()
        self._cloud = cloud
        self._gate = gate

    def load(self) -> BotocoreCredentials:
        self._gate.pass_through()
        held = self._cloud.credentials()
        return BotocoreCredentials(held.access_key, held.secret_key, method=self.METHOD)


def gated_parent(cloud: StrictCloud, gate: Gate) -> boto3.Session:
    """Return a synchronous session whose credentials are found once *gate* is open."""
    session: Any = cloud.session()
    session._session._credentials = None
    resolver = CredentialResolver([GatedProvider(cloud, gate)])
    session._session.register_component("credential_provider", resolver)
    return session  # type: ignore[no-any-return]


class OwnSession(AioSession):
    """A program's own kind of session, whose credentials the test's coroutine finds."""

    find: Callable[[], Coroutine[Any, Any, AioCredentials]]

    async def get_credentials(self) -> AioCredentials:
        return await self.find()


def own_session(
    cloud: StrictCloud, find: Callable[[], Coroutine[Any, Any, AioCredentials]]
) -> OwnSession:
    """Return a session of *cloud* whose credentials *find* finds each time that it is asked."""
    session = OwnSession()
    for name, value in aio_session_of(cloud).instance_variables().items():
        session.set_config_variable(name, value)
    session.find = find
    return session


def with_a_process(world: World, tmp_path: Path) -> dict[str, Any]:
    """Return what takes keys from a profile whose credential_process prints a file."""
    held = world.cloud.credentials(user="alice")
    printed = tmp_path / "printed"
    printed.write_text(
        f'{{"Version": 1, "AccessKeyId": "{held.access_key}", '
        f'"SecretAccessKey": "{held.secret_key}"}}'
    )
    become(world.monkeypatch, world.cloud, None)
    write(world.home, f"[profile it]\ncredential_process = cat {printed}\nregion = us-east-1\n")
    return {"session": boto3.Session(profile_name="it")}
