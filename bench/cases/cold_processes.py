"""How often STS is asked by processes that start together and could share one session."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from ..benchmark import (
    AARL_CACHE,
    BOTOCORE_CACHE,
    ROLECALL_FILE,
    ROLECALL_REDIS,
    Ask,
    Benchmark,
    Measure,
    Value,
    exactly,
    library_of,
)
from ..libraries import open_role, warm_up
from ..stores import new_place, open_cache

_ROLE = "arn:aws:iam::123456789012:role/Reader"
_STS_SECONDS = 0.3

BENCHMARK = Benchmark(
    title="Stores: sixteen cold processes",
    about="16 processes have imported what they need and opened one store, which is empty. At the "
    "same moment each opens a session of the same role and reads its credentials; STS takes 0.3 s. "
    "botocore has no lock: whoever finds nothing asks STS. Here ×3 is three times what rolecall "
    "needs with files.",
    measures=(
        Measure(key="calls", title="STS calls", unit="calls", target=exactly(1), compared=True),
        Measure(key="seconds", title="until the last one had credentials", unit="s", compared=True),
    ),
    libraries=(ROLECALL_FILE, ROLECALL_REDIS, AARL_CACHE, BOTOCORE_CACHE),
    reference=ROLECALL_FILE,
    rounds=3,
    size={"processes": 16},
    quick={"processes": 3},
    scenes={
        "slow": lambda stage: stage.cloud.delay("AssumeRole", timedelta(seconds=_STS_SECONDS)),
    },
)


def measure(column: str, ask: Ask, *, processes: int) -> dict[str, Value]:
    """Return the STS calls, and how long it took."""
    place = new_place(column, ask)
    open_role(library_of(column), warm_up(library_of(column)), _ROLE)  # a profile is written here
    ask("slow")
    with ExitStack() as ended:
        workers = []
        for _ in range(processes):
            worker = subprocess.Popen(
                [sys.executable, "-m", __name__, column],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            workers.append(ended.enter_context(worker))
            ended.callback(worker.kill)
            _say(worker, json.dumps(place))
        for worker in workers:
            _hear(worker, "ready")
        began = time.perf_counter()
        for worker in workers:
            _say(worker, "go")
        for worker in workers:
            _hear(worker, "done")
        took = time.perf_counter() - began
    calls = ask("sts")
    _read(column, open_cache(column, place))
    if ask("sts") != calls:
        raise RuntimeError("the processes left nothing in the store")
    return {"calls": calls, "seconds": took}


def _say(worker: subprocess.Popen[str], line: str) -> None:
    assert worker.stdin is not None
    worker.stdin.write(line + "\n")
    worker.stdin.flush()


def _hear(worker: subprocess.Popen[str], word: str) -> None:
    assert worker.stdout is not None
    heard = worker.stdout.readline().strip()
    if heard != word:
        raise RuntimeError(f"a process was to say {word!r}, it said {heard!r}")


def _read(column: str, cache: Any) -> None:
    library = library_of(column)
    session = open_role(library, warm_up(library), _ROLE, cache=cache)
    if not session.get_credentials().get_frozen_credentials().token:
        raise RuntimeError("no credentials of a role")


def work(column: str) -> None:
    """Be one of the processes."""
    place = json.loads(sys.stdin.readline())
    warm_up(library_of(column))
    cache = open_cache(column, place)
    print("ready", flush=True)
    sys.stdin.readline()
    _read(column, cache)
    print("done", flush=True)


if __name__ == "__main__":
    work(sys.argv[1])
