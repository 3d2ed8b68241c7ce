"""What reading fresh credentials costs, as each request does to sign itself."""

from __future__ import annotations

import time
from statistics import median

from ..benchmark import BOTOCORE, Ask, Benchmark, Measure, Value, share_of
from ..libraries import open_role, warm_up

_ROLE = "arn:aws:iam::123456789012:role/Reader"
_BATCHES = 9

BENCHMARK = Benchmark(
    title="Hot path",
    about="`get_frozen_credentials()` of credentials that are fresh for an hour.",
    measures=(
        Measure(
            key="read",
            title="one read",
            unit="µs",
            target=share_of(BOTOCORE, 8),
            compared=True,
        ),
    ),
    rounds=5,
    size={"reads": 20_000},
    quick={"reads": 200},
)


def measure(library: str, ask: Ask, *, reads: int) -> dict[str, Value]:
    """Return the microseconds of CPU that one read takes."""
    read = open_role(library, warm_up(library), _ROLE).get_credentials().get_frozen_credentials
    read()
    turns = range(reads)
    batches = []
    for _ in range(_BATCHES):
        began = time.process_time()
        for _ in turns:
            read()
        batches.append((time.process_time() - began) / reads * 1e6)
    return {"read": median(batches)}
