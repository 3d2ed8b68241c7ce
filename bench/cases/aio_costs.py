"""What sessions of asyncio cost: a read, a first fetch's hold of the event loop, and memory."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from statistics import median
from typing import Any

from ..aio_libraries import open_client, open_role, warm_up
from ..benchmark import AIO_LIBRARIES, AIOBOTOCORE, Ask, Benchmark, Measure, Value, share_of
from ..memory import memory_mb

_BATCHES = 9
_BEAT_SECONDS = 0.001

BENCHMARK = Benchmark(
    title="asyncio: what it costs",
    about="A read is `await credentials.get_frozen_credentials()` of credentials that are fresh "
    "for an hour. The event loop is held up by what is done on it: a task that wakes up every "
    "millisecond is late at most by so much while a program opens its first session and reads its "
    "credentials. 200 sessions are opened, each of a role of its own; the credentials of 100 of "
    "them are read, one after the other; and 20 of these make an S3 client and keep it, which in "
    "aiobotocore and aioboto3-assume have nothing in common with each other.",
    measures=(
        Measure(
            key="read",
            title="one read",
            unit="µs",
            target=share_of(AIOBOTOCORE, 4),
            compared=True,
        ),
        Measure(key="held", title="first fetch: event loop held up for", unit="ms", compared=True),
        Measure(key="unused", title="memory of a session", unit="MB", compared=True),
        Measure(key="used", title="memory that its first fetch adds", unit="MB", compared=True),
        Measure(key="client", title="memory that its client adds", unit="MB", compared=True),
    ),
    libraries=AIO_LIBRARIES,
    aio=True,
    rounds=5,
    size={"reads": 20_000, "sessions": 200, "clients": 20},
    quick={"reads": 200, "sessions": 4, "clients": 2},
)


def measure(library: str, ask: Ask, *, reads: int, sessions: int, clients: int) -> dict[str, Value]:
    """Return milliseconds, megabytes and microseconds."""
    parent = warm_up(library)

    def open_(number: int) -> Any:
        return open_role(library, parent, f"arn:aws:iam::{100000000000 + number}:role/Reader")

    async def all_of_them() -> dict[str, Value]:
        held, session = await _held_up(open_)
        return {
            "held": held,
            **await _memory(open_, sessions, clients),
            "read": await _read((await session.get_credentials()).get_frozen_credentials, reads),
        }

    return asyncio.run(all_of_them())


async def _held_up(open_: Any) -> tuple[float, Any]:
    """Return for how many milliseconds other tasks had to wait at most, and the session."""
    longest, ends = 0.0, False

    async def beat() -> None:
        nonlocal longest
        before = time.perf_counter()
        while not ends:
            await asyncio.sleep(_BEAT_SECONDS)
            now = time.perf_counter()
            longest = max(longest, now - before - _BEAT_SECONDS)
            before = now

    heart = asyncio.create_task(beat())
    await asyncio.sleep(10 * _BEAT_SECONDS)
    session = open_(0)
    await (await session.get_credentials()).get_frozen_credentials()
    ends = True
    await heart
    return longest * 1e3, session


async def _memory(open_: Any, sessions: int, clients: int) -> dict[str, Value]:
    """Return megabytes of each session."""
    before = memory_mb()
    kept = [open_(1 + number) for number in range(sessions)]
    unused = memory_mb()
    used = kept[: sessions // 2]
    for session in used:
        await (await session.get_credentials()).get_frozen_credentials()
    fetched = memory_mb()
    async with AsyncExitStack() as until_the_end:
        for session in used[:clients]:
            await until_the_end.enter_async_context(open_client(session, "s3"))
        return {
            "unused": (unused - before) / sessions,
            "used": (fetched - unused) / len(used),
            "client": (memory_mb() - fetched) / clients,
        }


async def _read(read: Any, reads: int) -> float:
    """Return the microseconds of CPU that one read takes."""
    turns = range(reads)
    batches = []
    for _ in range(_BATCHES):
        began = time.process_time()
        for _ in turns:
            await read()
        batches.append((time.process_time() - began) / reads * 1e6)
    return median(batches)
