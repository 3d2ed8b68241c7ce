"""What memory a fleet takes: with every session kept, and with none however many there are."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from ..benchmark import (
    AARL_THREADS,
    COVE,
    FLEET_LIBRARIES,
    ROLECALL,
    Ask,
    Benchmark,
    Measure,
    Row,
    Target,
    Value,
    share_of_each,
)
from ..fleet_libraries import require, run_in_each, warm_up
from ..memory import memory_mb, peak_mb
from ..organization import SCENES

_FEW = 200
_MANY = (500, 1000)
_TOLERANCE = 10


def _flat(row: Row) -> bool:
    value = row.get(ROLECALL, "")
    return not isinstance(value, str) and abs(value - 100) <= _TOLERANCE


BENCHMARK = Benchmark(
    title="A fleet: memory",
    about=f"The same function. *Kept*: a program that puts the session of each of {_FEW} accounts, "
    "with its client, into a list. *Not kept*: the most memory that the process ever had, with "
    f"{_FEW} accounts, and with {_MANY[0]} and {_MANY[1]:,} in processes of their own, which the "
    "peers were spared: it takes them minutes.",
    measures=(
        Measure(
            key="kept",
            title=f"{_FEW} sessions kept: memory",
            unit="MB",
            target=share_of_each(10, COVE, AARL_THREADS),
            compared=True,
        ),
        *(
            Measure(
                key=f"flat {accounts}",
                title=f"{accounts:,} accounts, not kept: peak in % of that with {_FEW}",
                unit="%",
                target=Target(text="100 ± 10", met=_flat, is_count=False),
            )
            for accounts in _MANY
        ),
    ),
    libraries=FLEET_LIBRARIES,
    rounds=1,
    size={"few": _FEW, "many": _MANY},
    quick={"few": 2, "many": ()},
    scenes=SCENES,
)


def measure(column: str, ask: Ask, *, few: int, many: list[int]) -> dict[str, Value]:
    """Return what each run had grown by, a process each, and the shares of the longer ones."""
    ids = ask("organization", max([few, *many]))
    ask("buckets")
    found: dict[str, Value] = {"kept": _apart(column, ids[:few], kept=True)["grown"]}
    if column == ROLECALL:
        peak = _apart(column, ids[:few], kept=False)["peak"]
        for accounts in many:
            more = _apart(column, ids[:accounts], kept=False)["peak"]
            found[f"flat {accounts}"] = more / peak * 100
    return found


def _apart(column: str, accounts: list[str], *, kept: bool) -> dict[str, float]:
    """Run in *accounts* in a process of its own, and return what it measured."""
    asked = json.dumps({"column": column, "accounts": accounts, "kept": kept})
    command = [sys.executable, "-m", __name__]
    done = subprocess.run(command, input=asked, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def work(column: str, accounts: list[str], *, kept: bool) -> dict[str, float]:
    """Be the process: return the peak of memory, and what has come and stayed, in MB."""
    sessions: list[Any] = []

    def function(session: Any) -> None:
        s3 = session.client("s3")
        s3.list_buckets()
        if kept:
            sessions.append((session, s3))

    parent = warm_up(column)
    before = memory_mb()
    require(run_in_each(column, parent, accounts, function, workers=20))
    return {"grown": memory_mb() - before, "peak": peak_mb()}


if __name__ == "__main__":
    _out, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    print(json.dumps(work(**json.load(sys.stdin))), file=_out)
