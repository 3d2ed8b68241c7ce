"""How many accounts fail when STS answers fewer calls a second than a fleet could make."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from ..benchmark import (
    BOTOCORE_CLIENT,
    FLEET_LIBRARIES,
    ROLECALL,
    Ask,
    Benchmark,
    Measure,
    Value,
    exactly,
)
from ..fleet_libraries import read_credentials, run_in_each, warm_up
from ..organization import SCENES

_RATE = 50
_TOLD = 45


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """One way to go over the accounts.

    Attributes:
        mode: Of botocore's retries. None: boto3's own choice.
        keywords: For rolecall alone; empty: all libraries go this way.
    """

    title: str
    workers: int
    mode: str | None = None
    keywords: dict[str, Any] = field(default_factory=dict)


_WAYS = {
    "few": _Way(title="20 threads", workers=20),
    "many": _Way(title="50 threads", workers=50),
    "legacy": _Way(title="50 threads, AWS_RETRY_MODE=legacy", workers=50, mode="legacy"),
    "told": _Way(title=f"50 threads, sts_rate={_TOLD}", workers=50, keywords={"sts_rate": _TOLD}),
}

BENCHMARK = Benchmark(
    title="A fleet: STS limited",
    about=f"400 accounts; STS answers {_RATE} AssumeRole calls a second and {_RATE} at once, and "
    "Throttling beyond that. (Figures made up; AWS documents none.) The function reads its keys "
    "and makes no client, which would keep the peers below any limit. In botocore's column threads "
    "share one client of STS and make no session: whoever is fast and has no pace of its own. "
    "Retries are boto3's default, which is `standard` by now, and `legacy`, which it was.",
    measures=tuple(
        measure
        for key, way in _WAYS.items()
        for measure in (
            Measure(
                key=f"failed {key}",
                title=f"{way.title}: accounts that failed",
                unit="accounts",
                target=exactly(0),
            ),
            Measure(
                key=f"refused {key}",
                title=f"{way.title}: calls that STS refused",
                unit="calls",
            ),
        )
    ),
    libraries=(*FLEET_LIBRARIES, BOTOCORE_CLIENT),
    rounds=1,
    size={"accounts": 400},
    quick={"accounts": 4},
    scenes=SCENES,
)


def measure(column: str, ask: Ask, *, accounts: int) -> dict[str, Value]:
    """Return the failures of each way."""
    ids = ask("organization", accounts)
    found: dict[str, Value] = {}
    for key, way in _WAYS.items():
        if way.keywords and column != ROLECALL:
            continue
        if way.mode is None:
            os.environ.pop("AWS_RETRY_MODE", None)
        else:
            os.environ["AWS_RETRY_MODE"] = way.mode
        ask("limit", _RATE, _RATE)
        refused, answered = ask("refused", "Throttling"), ask("answered", "AssumeRole")
        failed = run_in_each(
            column,
            warm_up(column),  # a session that has not read its settings yet
            ids,
            read_credentials,
            workers=way.workers,
            **way.keywords,
        )
        if ask("answered", "AssumeRole") - answered < accounts - len(failed):
            raise RuntimeError("roles were not assumed that should have been")
        found[f"failed {key}"] = len(failed)
        found[f"refused {key}"] = ask("refused", "Throttling") - refused
    return found
