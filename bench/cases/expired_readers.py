"""What fifty threads do to an STS that refuses, once their credentials are gone."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from ..benchmark import PEERS, ROLECALL, Ask, Benchmark, Measure, Value, exactly
from ..clock import clock_of_all
from ..libraries import open_role, warm_up

_ROLE = "arn:aws:iam::123456789012:role/Reader"
_THREADS = 50


def _refuse(stage: Any) -> None:
    stage.cloud.delay("AssumeRole", timedelta(seconds=0.2))
    stage.cloud.fail("AssumeRole")


BENCHMARK = Benchmark(
    title="Readers of expired credentials, STS refusing",
    about="50 threads read at once; STS answers AccessDenied after 0.2 s. Those who wait share one "
    "answer, or ask one after the other.",
    measures=(
        Measure(key="calls", title="STS calls", unit="calls", target=exactly(1), compared=True),
        Measure(
            key="refused",
            title="threads that got ClientError",
            unit="threads",
            target=exactly(_THREADS),
        ),
        Measure(key="seconds", title="until the last one knew", unit="s", compared=True),
    ),
    libraries=(ROLECALL, *PEERS),
    rounds=2,
    size={"readers": _THREADS},
    scenes={"refuse": _refuse},
)


def measure(library: str, ask: Ask, *, readers: int) -> dict[str, Value]:
    """Return the STS calls, who was refused, and how long it took."""
    from botocore.exceptions import ClientError

    parent = warm_up(library)
    clock, leap = clock_of_all(ask)
    session = open_role(library, parent, _ROLE, clock=clock)
    read = session.get_credentials().get_frozen_credentials
    read()
    ask("refuse")
    before = ask("sts")
    leap(3601)
    start = threading.Barrier(readers + 1)

    def refused() -> bool:
        start.wait()
        try:
            read()
        except ClientError:
            return True
        return False

    with ThreadPoolExecutor(readers) as pool:
        threads = [pool.submit(refused) for _ in range(readers)]
        start.wait()
        began = time.perf_counter()
        count = sum(one.result() for one in threads)
        took = time.perf_counter() - began
    return {"calls": ask("sts") - before, "refused": count, "seconds": took}
