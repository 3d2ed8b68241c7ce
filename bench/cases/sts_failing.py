"""What API calls pay while STS fails and the credentials are still good."""

from __future__ import annotations

import time
from datetime import timedelta
from statistics import median
from typing import Any

from ..benchmark import PEERS, ROLECALL, Ask, Benchmark, Measure, Value, exactly
from ..clock import clock_of_all
from ..libraries import open_role, warm_up

_ROLE = "arn:aws:iam::123456789012:role/Reader"


def _fail(stage: Any) -> None:
    stage.cloud.delay("AssumeRole", timedelta(seconds=1))
    stage.cloud.fail("AssumeRole", code="ServiceUnavailable", status=503)


BENCHMARK = Benchmark(
    title="STS failing",
    about="STS takes 1 s to answer 503 while one-hour credentials have 14, then "
    "9 minutes left; a program goes on listing buckets. *Added* is an API call's time beyond what "
    "it took before.",
    measures=(
        Measure(key="before", title="an API call while STS works", unit="ms", compared=True),
        Measure(key="added", title="14 min left: added to an API call", unit="s"),
        Measure(
            key="slowed",
            title="14 min left: API calls slowed by 1 s or more",
            unit="calls",
            target=exactly(0),
        ),
        Measure(
            key="failed",
            title="9 min left: API calls that failed",
            unit="calls",
            target=exactly(0),
        ),
        # Not compared: who waits for STS gives it more time to be asked in.
        Measure(key="attempts", title="requests STS got meanwhile", unit="requests"),
    ),
    libraries=(ROLECALL, *PEERS),
    rounds=2,
    size={"calls": 2},
    scenes={"down": _fail},
)


def measure(library: str, ask: Ask, *, calls: int) -> dict[str, Value]:
    """Return what an outage of STS did to API calls."""
    parent = warm_up(library)
    clock, leap = clock_of_all(ask)
    session = open_role(library, parent, _ROLE, clock=clock)
    s3 = session.client("s3")
    s3.list_buckets()
    before = median(_timed(s3)[0] for _ in range(10))
    ask("down")
    made = ask("sts")
    leap(46 * 60)
    advisory = [_timed(s3) for _ in range(calls)]
    if not all(worked for _, worked in advisory):
        raise RuntimeError("an API call failed with 14 min left")
    leap(5 * 60)
    mandatory = [_timed(s3) for _ in range(calls)]
    added = [took - before for took, _ in advisory]
    return {
        "before": before * 1e3,
        "added": max(0.0, median(added)),
        "slowed": sum(one >= 1 for one in added),
        "failed": sum(not worked for _, worked in mandatory),
        "attempts": ask("sts") - made,
    }


def _timed(s3: Any) -> tuple[float, bool]:
    began = time.perf_counter()
    try:
        s3.list_buckets()
    except Exception:  # whatever a library makes of it
        return time.perf_counter() - began, False
    return time.perf_counter() - began, True
