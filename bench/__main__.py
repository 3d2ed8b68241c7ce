"""The command line: ``python -m bench [--quick] [--only CASE]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from . import cases
from .benchmark import LIBRARIES, Benchmark, Row, Value
from .libraries import REDIS_PARTS, installed, needed
from .page import page
from .stage import ROOT, play
from .table import Result, table

PAGE = ROOT / "docs" / "benchmarks.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print tables, and write the page; 1: a count missed its target, 2: usage."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure rolecall and its peers side by side, and write docs/benchmarks.md.",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="two benchmarks at their smallest, with the libraries there are; no page is written",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=cases.NAMES,
        help="measure this alone; may be repeated; no page is written",
    )
    parser.add_argument("--rounds", type=int, help="how often, instead of what each is worth")
    chosen = parser.parse_args(arguments)

    versions = installed()
    missing = [name for name in (*LIBRARIES, *REDIS_PARTS) if name not in versions]
    if missing and not chosen.quick:
        print(f"not installed: {', '.join(missing)}: pip install -e '.[bench]'", file=sys.stderr)
        return 2

    results = []
    for name in chosen.only or (cases.QUICK if chosen.quick else cases.NAMES):
        benchmark: Benchmark = import_module(f".cases.{name}", __package__).BENCHMARK
        result = _run(name, benchmark, list(versions), quick=chosen.quick, rounds=chosen.rounds)
        results.append(result)
        print(f"\n{benchmark.title}\n")
        print("\n".join(table(result)), flush=True)

    if not (chosen.quick or chosen.only):
        PAGE.write_text(page(results, versions), encoding="utf-8")
        print(f"\nwrote {PAGE.relative_to(ROOT)}")
    missed = [title for result in results for title in result.missed()]
    broken = [title for result in results for title in result.missed(counts_only=True)]
    if missed:
        print("\ntargets missed: " + "; ".join(missed), file=sys.stderr)
    return 1 if broken else 0


def _run(
    name: str, benchmark: Benchmark, installed: Sequence[str], *, quick: bool, rounds: int | None
) -> Result:
    size = benchmark.quick if quick else benchmark.size
    turns = rounds or (1 if quick else benchmark.rounds)
    asked = [one for one in benchmark.libraries if set(needed(one)) <= set(installed)]
    found: dict[str, dict[str, list[Value]]] = {}
    for turn in range(turns):
        # Another one first each time, and there and back: no library always comes after the same.
        order = asked[turn % len(asked) :] + asked[: turn % len(asked)]
        for library in order if turn % 2 == 0 else reversed(order):
            for key, value in play(name, benchmark, library, size).items():
                found.setdefault(key, {}).setdefault(library, []).append(value)
    rows: dict[str, Row] = {
        measure.key: {
            library: measure.of_rounds(values)
            for library, values in found.get(measure.key, {}).items()
        }
        for measure in benchmark.measures
    }
    return Result(benchmark=benchmark, rows=rows)


if __name__ == "__main__":
    sys.exit(main())
