"""The command line: ``python -m bench [--quick] [--only CASE] [--aio-python PATH]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

from . import cases
from .benchmark import Benchmark, Row, Value
from .environments import AIO_PYTHON, Environment, beside, here
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
    parser.add_argument(
        "--aio-python",
        default=str(AIO_PYTHON),
        metavar="PATH",
        help="the Python of an environment with asyncio's libraries; else that of `make bench`",
    )
    chosen = parser.parse_args(arguments)

    names = chosen.only or (cases.QUICK if chosen.quick else cases.NAMES)
    benchmarks: dict[str, Benchmark] = {
        name: import_module(f".cases.{name}", __package__).BENCHMARK for name in names
    }
    ours, aios = here(), beside(chosen.aio_python)
    where = {name: aios if one.aio else ours for name, one in benchmarks.items()}
    complaints = _complaints(benchmarks, where)
    print("\n".join(complaints), end="\n" if complaints else "", file=sys.stderr)
    nothing = [name for name, one in benchmarks.items() if not _asked(one, where[name])]
    if nothing or (complaints and not chosen.quick):
        return 2

    results = []
    for name, benchmark in benchmarks.items():
        result = _run(name, benchmark, where[name], quick=chosen.quick, rounds=chosen.rounds)
        results.append(result)
        print(f"\n{benchmark.title}\n")
        print("\n".join(table(result)), flush=True)

    if not (chosen.quick or chosen.only):
        PAGE.write_text(page(results, ours.versions, aios.versions), encoding="utf-8")
        print(f"\nwrote {PAGE.relative_to(ROOT)}")
    missed = [title for result in results for title in result.missed()]
    broken = [title for result in results for title in result.missed(counts_only=True)]
    if missed:
        print("\ntargets missed: " + "; ".join(missed), file=sys.stderr)
    return 1 if broken else 0


def _asked(benchmark: Benchmark, where: Environment) -> list[str]:
    return [one for one in benchmark.libraries if not where.missing(benchmark, one)]


def _complaints(benchmarks: Mapping[str, Benchmark], where: Mapping[str, Environment]) -> list[str]:
    """Return what to say of libraries that are not where they should be, a line an environment."""
    missing: dict[Environment, dict[str, None]] = {}
    for name, benchmark in benchmarks.items():
        for column in benchmark.libraries:
            for one in where[name].missing(benchmark, column):
                missing.setdefault(where[name], {})[one] = None
    return [
        f"not installed{place.which}: {', '.join(names)}: {place.mend}"
        for place, names in missing.items()
    ]


def _run(
    name: str, benchmark: Benchmark, where: Environment, *, quick: bool, rounds: int | None
) -> Result:
    size = benchmark.quick if quick else benchmark.size
    turns = rounds or (1 if quick else benchmark.rounds)
    asked = _asked(benchmark, where)
    found: dict[str, dict[str, list[Value]]] = {}
    for turn in range(turns):
        # Another one first each time, and there and back: no library always comes after the same.
        order = asked[turn % len(asked) :] + asked[: turn % len(asked)]
        for library in order if turn % 2 == 0 else reversed(order):
            for key, value in play(name, benchmark, library, size, where.python).items():
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
