"""What becomes of accounts whose function outlives its session."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from ..benchmark import FLEET_LIBRARIES, Ask, Benchmark, Measure, Value, exactly
from ..fleet_libraries import run_in_each, warm_up
from ..organization import SCENES

#: AWS's shortest is 15 minutes, its longest when roles are chained an hour: this is an hour in
#: which every second counts for half of one.
_LIFETIME_SECONDS = 2
_LIFETIMES = 5
_BETWEEN_SECONDS = 0.25

BENCHMARK = Benchmark(
    title="A fleet: a job over five lifetimes",
    about=f"AWS ends sessions after {_LIFETIME_SECONDS} s. In each of 20 accounts a function goes "
    f"on listing buckets for a little more than {_LIFETIMES} such lifetimes. botocove hands out "
    "keys, which die.",
    measures=(
        Measure(key="failed", title="accounts that failed", unit="accounts", target=exactly(0)),
        Measure(key="calls", title="AssumeRole calls", unit="calls"),
    ),
    libraries=FLEET_LIBRARIES,
    rounds=1,
    size={"accounts": 20, "lifetimes": _LIFETIMES},
    quick={"accounts": 2, "lifetimes": 1},
    scenes={
        **SCENES,
        "short": lambda stage: setattr(
            stage.cloud, "lifetime", timedelta(seconds=_LIFETIME_SECONDS)
        ),
    },
)


def measure(column: str, ask: Ask, *, accounts: int, lifetimes: int) -> dict[str, Value]:
    """Return the failures, and how often roles were assumed."""
    ids = ask("organization", accounts)
    ask("buckets")
    ask("short")

    def function(session: Any) -> None:
        s3 = session.client("s3")
        until = time.perf_counter() + (lifetimes + 0.5) * _LIFETIME_SECONDS
        while time.perf_counter() < until:
            s3.list_buckets()
            time.sleep(_BETWEEN_SECONDS)

    failed = run_in_each(column, warm_up(column), ids, function, workers=accounts)
    return {"failed": len(failed), "calls": ask("sts")}
