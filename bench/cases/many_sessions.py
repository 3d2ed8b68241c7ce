"""What a session costs a program that keeps sixty of them."""

from __future__ import annotations

import time

from ..benchmark import AARL, Ask, Benchmark, Measure, Value, share_of
from ..libraries import open_role, warm_up
from ..memory import memory_mb

BENCHMARK = Benchmark(
    title="Sixty sessions",
    about="60 roles in 60 accounts, each a session that is kept with its S3 client; then one call "
    "with each. Imports are not counted. *All in all* is sessions, clients and the first calls, "
    "which assume the roles.",
    measures=(
        Measure(
            key="cpu",
            title="CPU of a session with its client",
            unit="ms",
            target=share_of(AARL, 6),
            compared=True,
        ),
        Measure(
            key="memory",
            title="memory of a session with its client",
            unit="MB",
            target=share_of(AARL, 10),
            compared=True,
        ),
        Measure(key="all cpu", title="CPU, all in all", unit="ms", compared=True),
        Measure(key="all memory", title="memory, all in all", unit="MB", compared=True),
    ),
    size={"sessions": 60},
)


def measure(library: str, ask: Ask, *, sessions: int) -> dict[str, Value]:
    """Return CPU and memory for each of the sessions."""
    parent = warm_up(library)
    kept = []
    memory, began = memory_mb(), time.process_time()
    for number in range(sessions):
        arn = f"arn:aws:iam::{100000000000 + number}:role/Reader"
        session = open_role(library, parent, arn)
        kept.append((session, session.client("s3")))
    made = time.process_time() - began
    grown = memory_mb() - memory
    began = time.process_time()
    for _, s3 in kept:
        s3.list_buckets()
    used = time.process_time() - began
    return {
        "cpu": made / sessions * 1e3,
        "memory": grown / sessions,
        "all cpu": (made + used) / sessions * 1e3,
        "all memory": (memory_mb() - memory) / sessions,
    }
