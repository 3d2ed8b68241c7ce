"""What one call in each of two hundred accounts costs."""

from __future__ import annotations

import time

from ..benchmark import (
    AARL_THREADS,
    COVE,
    FLEET_LIBRARIES,
    Ask,
    Benchmark,
    Measure,
    Value,
    share_of_each,
)
from ..fleet_libraries import list_buckets, require, run_in_each, warm_up
from ..memory import peak_mb
from ..organization import SCENES

_ACCOUNTS = 200

BENCHMARK = Benchmark(
    title="A fleet: one call in each of 200 accounts",
    about=f"{_ACCOUNTS} accounts of an organization, 20 threads, a function that makes an S3 "
    "client and lists buckets: `rolecall.fleet.fan_out`, `botocove.cove` with the accounts' ids, "
    "and a `ThreadPoolExecutor` over `aws_assume_role_lib.assume_role`, as programs write it. "
    "No session is kept. Imports are not counted. AWS checks signatures, and lists no buckets "
    "without thinking, so that wall time is the libraries', not the server's. *Peak* is by how "
    "much the run raises the most memory that the process ever had.",
    measures=(
        Measure(
            key="cpu",
            title="CPU",
            unit="s",
            target=share_of_each(8, COVE, AARL_THREADS),
            compared=True,
        ),
        Measure(
            key="wall",
            title="wall time",
            unit="s",
            target=share_of_each(8, COVE, AARL_THREADS),
            compared=True,
        ),
        Measure(key="peak", title="peak of memory", unit="MB", compared=True),
    ),
    libraries=FLEET_LIBRARIES,
    rounds=1,
    size={"accounts": _ACCOUNTS},
    quick={"accounts": 4},
    scenes=SCENES,
)


def measure(column: str, ask: Ask, *, accounts: int) -> dict[str, Value]:
    """Return what the run cost."""
    ids = ask("organization", accounts)
    ask("buckets")
    parent = warm_up(column)
    peak = peak_mb()
    cpu, wall = time.process_time(), time.perf_counter()
    failed = run_in_each(column, parent, ids, list_buckets, workers=20)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    require(failed)
    if ask("reached", "ListBuckets") != accounts:
        raise RuntimeError(f"{ask('reached', 'ListBuckets')} of {accounts} accounts were asked")
    return {"cpu": cpu, "wall": wall, "peak": peak_mb() - peak}
