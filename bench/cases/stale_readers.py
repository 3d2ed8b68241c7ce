"""Who waits while a slow STS is asked for new credentials and the old ones are still good."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from ..benchmark import Ask, Benchmark, Measure, Value, exactly
from ..clock import clock_of_all
from ..libraries import open_role, warm_up

_ROLE = "arn:aws:iam::123456789012:role/Reader"
_STS_SECONDS = 2.0
#: In botocore's advisory window, and in its mandatory one; both stale to rolecall.
_LEFT_MINUTES = (14, 9)

_MEASURES = tuple(
    measure
    for minutes in _LEFT_MINUTES
    for measure in (
        Measure(
            key=f"waited {minutes}",
            title=f"{minutes} min left: readers that waited for STS",
            unit="readers",
            target=exactly(0),
        ),
        Measure(key=f"slowest {minutes}", title=f"{minutes} min left: slowest reader", unit="s"),
        Measure(
            key=f"calls {minutes}",
            title=f"{minutes} min left: STS calls",
            unit="calls",
            target=exactly(1),
        ),
    )
)


BENCHMARK = Benchmark(
    title="Readers of stale credentials",
    about="32 threads read at once while one-hour credentials have 14, then 9 minutes left, and "
    "STS takes 2 s. A refresh is due, but nobody has to wait for it.",
    measures=_MEASURES,
    size={"readers": 32},
    rounds=2,
    scenes={
        "slow": lambda stage: stage.cloud.delay("AssumeRole", timedelta(seconds=_STS_SECONDS)),
    },
)


def measure(library: str, ask: Ask, *, readers: int) -> dict[str, Value]:
    """Return how long readers waited, and the STS calls."""
    parent = warm_up(library)
    clock, leap = clock_of_all(ask)
    session = open_role(library, parent, _ROLE, clock=clock)
    read = session.get_credentials().get_frozen_credentials
    read()
    found: dict[str, Value] = {}
    for minutes in _LEFT_MINUTES:
        ask("slow")
        before = ask("sts")
        leap((60 - minutes) * 60)
        start = threading.Barrier(readers)

        def timed(start: threading.Barrier = start) -> float:
            start.wait()
            began = time.perf_counter()
            read()
            return time.perf_counter() - began

        with ThreadPoolExecutor(readers) as pool:
            waits = [one.result() for one in [pool.submit(timed) for _ in range(readers)]]
        # A refresh beside the readers takes its time; then it is there, and nobody asks again.
        time.sleep(_STS_SECONDS + 0.5)
        ask("recover")
        read()
        found[f"waited {minutes}"] = sum(wait > _STS_SECONDS / 2 for wait in waits)
        found[f"slowest {minutes}"] = max(waits)
        found[f"calls {minutes}"] = ask("sts") - before
    return found
