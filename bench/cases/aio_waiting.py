"""What tasks of asyncio wait for, what their deadlines do, and what several event loops do."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from ..aio_libraries import open_client, open_role, warm_up
from ..benchmark import AIO_LIBRARIES, Ask, Benchmark, Measure, Row, Target, Value, at_most, exactly
from ..clock import clock_of_all

#: In botocore's advisory window, and in its mandatory one; both stale to rolecall.
_LEFT_MINUTES = (14, 9)
_STALE_STS_SECONDS = 0.3
#: No session of AWS's is so short: one that is revoked, or of a service that is no AWS, may be.
_SHORT_SECONDS = 10
_DEADLINE_SECONDS = 0.2
_DEADLINE_STS_SECONDS = 0.5
_TRIES = 3
_LOOPS = 4
_LOOPS_STS_SECONDS = 0.3
#: Nothing takes that long but what never ends.
_HANGS_SECONDS = 5.0

Leap = Callable[[float], None]
Open = Callable[..., Any]


def _in_time(row: Row) -> bool:
    return row.get("rolecall") == 0


BENCHMARK = Benchmark(
    title="asyncio: waiting for STS",
    about="100 tasks read at once while one-hour credentials have 14, then 9 minutes left, and STS "
    "takes 0.3 s: a refresh is due, but nobody has to wait for it. 50 requests, one after the "
    "other, with sessions of 15 minutes; and, one a second on a clock that leaps, with sessions "
    "that AWS ends after 10 s. Six tasks whose credentials have expired read with a deadline of "
    "0.2 s while STS takes 0.5 s, each up to three times: a task that is cancelled takes "
    "aiobotocore's call along. Four threads, each with an event loop of its own, read from one "
    "session that was in use before and has expired: aiobotocore's lock belongs to one loop. Who "
    "has not answered after 5 s *hangs*. aiobotocore is an `AioSession` with "
    "`AioDeferredRefreshableCredentials` put in by hand, as programs do; aioboto3-assume does the "
    "same for aioboto3.",
    measures=(
        *(
            measure
            for minutes in _LEFT_MINUTES
            for measure in (
                Measure(
                    key=f"slowest {minutes}",
                    title=f"{minutes} min left: slowest task",
                    unit="ms",
                    compared=True,
                ),
                Measure(
                    key=f"waited {minutes}",
                    title=f"{minutes} min left: tasks that waited for STS",
                    unit="tasks",
                    target=exactly(0),
                ),
                Measure(
                    key=f"calls {minutes}",
                    title=f"{minutes} min left: STS calls",
                    unit="calls",
                    target=exactly(1),
                ),
            )
        ),
        Measure(
            key="calls 900",
            title="50 requests, 900 s: STS calls",
            unit="calls",
            target=exactly(1),
            compared=True,
        ),
        Measure(
            key="calls short",
            title="50 requests, 10 s: STS calls",
            unit="calls",
            target=at_most(11, "≤ 1 + 2·T/lifetime = 11"),
            compared=True,
        ),
        Measure(
            key="late",
            title="deadlines: tasks that never got credentials",
            unit="tasks",
            # How far they get in 0.6 s is a matter of time, on a machine that is slow enough.
            target=Target(text="0", met=_in_time, is_count=False),
        ),
        Measure(key="late calls", title="deadlines: STS calls", unit="calls", target=exactly(1)),
        Measure(
            key="raised", title="four loops: reads that raised", unit="reads", target=exactly(0)
        ),
        Measure(key="hung", title="four loops: reads that hang", unit="reads", target=exactly(0)),
        Measure(key="loops calls", title="four loops: STS calls", unit="calls", target=exactly(1)),
    ),
    libraries=AIO_LIBRARIES,
    aio=True,
    rounds=3,
    size={"tasks": 100, "requests": 50},
    quick={"tasks": 10, "requests": 5},
    scenes={
        "slow": lambda stage, seconds: stage.cloud.delay("AssumeRole", timedelta(seconds=seconds)),
        "short": lambda stage: setattr(stage.cloud, "lifetime", timedelta(seconds=_SHORT_SECONDS)),
        "long": lambda stage: setattr(stage.cloud, "lifetime", None),
    },
)


def measure(library: str, ask: Ask, *, tasks: int, requests: int) -> dict[str, Value]:
    """Return waits, failures and STS calls."""
    parent = warm_up(library)
    clock, leap = clock_of_all(ask)

    def open_(name: str, **keywords: Any) -> Any:
        arn = f"arn:aws:iam::123456789012:role/{name}"
        return open_role(library, parent, arn, clock=clock, **keywords)

    return {
        **asyncio.run(_stale(open_, ask, leap, tasks)),
        **asyncio.run(_rotating(open_, ask, leap, requests)),
        **asyncio.run(_deadlines(open_, ask, leap)),
        **_loops(open_, ask, leap),  # last: what hangs there hangs for good
    }


async def _stale(open_: Open, ask: Ask, leap: Leap, tasks: int) -> dict[str, Value]:
    read = (await open_("Stale").get_credentials()).get_frozen_credentials
    await read()

    async def timed() -> float:
        began = time.perf_counter()
        await read()
        return time.perf_counter() - began

    found: dict[str, Value] = {}
    for minutes in _LEFT_MINUTES:
        ask("slow", _STALE_STS_SECONDS)
        before = ask("sts")
        leap((60 - minutes) * 60)
        waits = await asyncio.gather(*(timed() for _ in range(tasks)))
        # A refresh beside the readers takes its time; then it is there, and nobody asks again.
        await asyncio.sleep(_STALE_STS_SECONDS + 0.5)
        ask("recover")
        await read()
        found[f"slowest {minutes}"] = max(waits) * 1e3
        found[f"waited {minutes}"] = sum(wait > _STALE_STS_SECONDS / 2 for wait in waits)
        found[f"calls {minutes}"] = ask("sts") - before
    return found


async def _rotating(open_: Open, ask: Ask, leap: Leap, requests: int) -> dict[str, Value]:
    async def calls(name: str, wait: float) -> Value:
        before = ask("sts")
        async with open_client(open_(name, seconds=900), "sts") as sts:
            for _ in range(requests):
                await sts.get_caller_identity()
                leap(wait)
        return float(ask("sts") - before)

    long = await calls("Quarter", 0)
    ask("short")
    short = await calls("Short", 1)
    ask("long")
    return {"calls 900": long, "calls short": short}


async def _deadlines(open_: Open, ask: Ask, leap: Leap) -> dict[str, Value]:
    read = (await open_("Deadline").get_credentials()).get_frozen_credentials
    await read()
    leap(3601)
    ask("slow", _DEADLINE_STS_SECONDS)
    before = ask("sts")

    async def too_late() -> bool:
        for _ in range(_TRIES):
            try:
                await asyncio.wait_for(read(), _DEADLINE_SECONDS)
            except asyncio.TimeoutError:
                continue
            return False
        return True

    late = await asyncio.gather(*(too_late() for _ in range(6)))
    await asyncio.sleep(_DEADLINE_STS_SECONDS)
    ask("recover")
    return {"late": sum(late), "late calls": ask("sts") - before}


def _loops(open_: Open, ask: Ask, leap: Leap) -> dict[str, Value]:
    session = open_("Loops")

    async def read() -> None:
        await (await session.get_credentials()).get_frozen_credentials()

    asyncio.run(read())
    leap(3601)
    ask("slow", _LOOPS_STS_SECONDS)
    before = ask("sts")
    start = threading.Barrier(_LOOPS)
    raised: list[bool] = []

    def run() -> None:
        start.wait()
        try:
            asyncio.run(read())
        except Exception:  # whatever it is, it is counted
            raised.append(True)
        else:
            raised.append(False)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(_LOOPS)]
    for thread in threads:
        thread.start()
    until = time.perf_counter() + _HANGS_SECONDS
    for thread in threads:
        thread.join(max(0, until - time.perf_counter()))
    hung = _LOOPS - len(raised)
    return {"raised": sum(raised), "hung": hung, "loops calls": ask("sts") - before}
