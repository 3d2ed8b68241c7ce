"""The benchmark runs, its tables say what they should, and it never judges by the clock."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from rolecall.testing import FakeClock

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"

COLUMNS = (
    "",
    "rolecall",
    "aws-assume-role-lib",
    "boto3-refresh-session",
    "boto3-assume",
    "botocore",
    "target",
    "",
)


def rows_of(text: str) -> list[list[str]]:
    """Return the cells of each line of the Markdown tables in *text*."""
    return [
        [cell.strip() for cell in line[1:-1].split("|")]
        for line in text.splitlines()
        if line.startswith("|") and line.endswith("|")
    ]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Import a module of the benchmark, which is beside the tests and not installed."""
    monkeypatch.syspath_prepend(str(ROOT))

    def load(name: str) -> Any:
        return __import__(f"bench.{name}", fromlist=["*"])

    return load


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmark, and return how it ended and what it said."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def run_quickly(*arguments: str) -> list[list[str]]:
    """Run the benchmark at its smallest, and return the cells that it prints."""
    done = bench("--quick", *arguments)
    assert done.returncode == 0, done.stderr
    return rows_of(done.stdout)


def test_a_quick_run_prints_its_tables_and_leaves_the_page_alone() -> None:
    before = PAGE.read_bytes() if PAGE.exists() else None

    rows = run_quickly()

    assert {len(row) for row in rows} == {len(COLUMNS)}
    assert [tuple(row) for row in rows if row[1] == "rolecall"] == [COLUMNS, COLUMNS]
    values = {row[0]: row[1:] for row in rows}
    assert {"STS calls", "CPU of an API call", "one read"} <= set(values)
    assert values["STS calls"][0] == "1"
    assert values["STS calls"][-2:] == ["1", "met"]
    assert values["one read"][0].endswith(" µs")
    assert (PAGE.read_bytes() if PAGE.exists() else None) == before


def test_a_hit_is_measured_in_every_store_beside_botocores() -> None:
    columns, _, hit = run_quickly("--only", "store_hits")

    cells = dict(zip(columns, hit, strict=True))
    for store in ("rolecall memory", "rolecall file", "rolecall Redis", "botocore JSONFileCache"):
        assert " µs" in cells[store], store


def test_processes_that_start_together_make_one_sts_call_with_rolecalls_stores() -> None:
    columns, _, calls, _ = run_quickly("--only", "cold_processes")

    cells = dict(zip(columns[:-1], calls[:-1], strict=True))
    assert cells["rolecall file"] == "1"
    assert cells["rolecall Redis"] == "1 (×1.00)"
    # How many of them find nothing there is chance; it is measured, whatever it is.
    assert cells["botocore JSONFileCache"][0].isdigit()
    assert calls[-2:] == ["1", "met"]


def test_a_fleet_assumes_one_role_an_account_and_the_hub_once() -> None:
    columns, _, *rows = run_quickly("--only", "fleet_calls")

    assert columns[1:-2] == ["rolecall", "botocove", "aws-assume-role-lib threads"]
    assert [row[1] for row in rows] == ["1", "1", "1"]
    assert {row[-1] for row in rows} == {"met"}


def test_the_limit_of_sts_lets_a_burst_through_and_then_so_many_a_second(
    module: Callable[[str], Any],
) -> None:
    clock = FakeClock()
    bucket = module("organization").Bucket(50, 3, clock)

    at_once = [bucket.take() for _ in range(5)]
    clock.tick(seconds=0.05)  # two tokens and a half
    later = [bucket.take() for _ in range(3)]
    clock.tick(seconds=3600)
    much_later = [bucket.take() for _ in range(5)]

    assert at_once == [True, True, True, False, False]
    assert later == [True, True, False]
    assert much_later == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("botocove", "threads", "said"),
    [(16.0, 16.0, "met"), (15.9, 16.0, "**not met**"), (16.0, 15.9, "**not met**")],
)
def test_a_share_of_each_is_met_when_it_is_of_all_of_them(
    module: Callable[[str], Any], botocove: float, threads: float, said: str
) -> None:
    held_to = module("benchmark").share_of_each(8, "botocove", "threads")
    row = {"rolecall": 2.0, "botocove": botocove, "threads": threads}

    cells = rows_of("\n".join(module("table").table(result(module, "s", held_to, **row))))[-1]

    assert cells[-2:] == ["≤ 1/8 of each", said]


def result(module: Callable[[str], Any], unit: str, target: Any, **row: Any) -> Any:
    """Return the result of a made-up benchmark of one measure, whose key is ``size``."""
    bench = module("benchmark")
    measure = bench.Measure(key="size", title="Size", unit=unit, target=target, compared=True)
    benchmark = bench.Benchmark(title="Made up", about="Nothing is done.", measures=(measure,))
    return module("table").Result(benchmark=benchmark, rows={"size": row})


def test_a_cell_shows_a_value_and_how_many_times_rolecalls_it_is(
    module: Callable[[str], Any],
) -> None:
    row = {"rolecall": 2.0, "botocore": 31.0, "boto3-assume": "AttributeError"}

    cells = rows_of("\n".join(module("table").table(result(module, "ms", None, **row))))[-1]

    assert cells == ["Size", "2.00 ms", "–", "–", "AttributeError", "31.0 ms (×15.5)", "", ""]


@pytest.mark.parametrize(("botocore", "said"), [(16.0, "met"), (15.9, "**not met**")])
def test_a_share_is_met_up_to_its_limit(
    module: Callable[[str], Any], botocore: float, said: str
) -> None:
    share = module("benchmark").share_of("botocore", 8)

    cells = rows_of(
        "\n".join(
            module("table").table(result(module, "µs", share, rolecall=2.0, botocore=botocore))
        )
    )[-1]

    assert cells[-2:] == ["≤ 1/8 of botocore", said]


def of_stores(module: Callable[[str], Any], target: Any, **row: Any) -> Any:
    """Return a made-up result of stores, compared with botocore's; ``_`` stands for a space."""
    made = result(module, "calls", target)
    stores = ("rolecall file", "rolecall Redis", "botocore JSONFileCache")
    benchmark = replace(made.benchmark, libraries=stores, reference=stores[-1])
    values = {column.replace("_", " "): value for column, value in row.items()}
    return replace(made, benchmark=benchmark, rows={"size": values})


def test_stores_are_columns_of_a_table_of_their_own(module: Callable[[str], Any]) -> None:
    made = of_stores(module, None, rolecall_file=4, rolecall_Redis=24, botocore_JSONFileCache=16)

    head, _, cells = rows_of("\n".join(module("table").table(made)))

    assert head == ["", "rolecall file", "rolecall Redis", "botocore JSONFileCache", "target", ""]
    assert cells == ["Size", "4 (×0.25)", "24 (×1.50)", "16", "", ""]


@pytest.mark.parametrize(
    ("target", "file", "redis", "missed"),
    [
        (("exactly", 1), 1, 1, []),
        (("exactly", 1), 1, 2, ["Size"]),
        (("exactly", 1), 2, 1, ["Size"]),
        (("at_most", 3), 1, 3, []),
        (("at_most", 3), 1, 4, ["Size"]),
        (("share_of", "botocore JSONFileCache", 4), 1, 4, []),
        (("share_of", "botocore JSONFileCache", 4), 1, 5, ["Size"]),
    ],
)
def test_a_target_is_to_be_met_with_every_store_of_rolecalls(
    module: Callable[[str], Any],
    target: tuple[Any, ...],
    file: int,
    redis: int,
    missed: list[str],
) -> None:
    name, *arguments = target
    held_to = getattr(module("benchmark"), name)(*arguments)

    made = of_stores(
        module, held_to, rolecall_file=file, rolecall_Redis=redis, botocore_JSONFileCache=16
    )

    assert missed == made.missed()


def test_only_the_store_in_redis_needs_more_than_its_library(
    module: Callable[[str], Any],
) -> None:
    needed = module("environments").needed
    stores = module("cases.store_hits").BENCHMARK

    assert needed(stores, "botocore JSONFileCache") == ("botocore",)
    assert needed(stores, "rolecall file") == ("rolecall",)
    assert {"rolecall", "redis", "cryptography"} < set(needed(stores, "rolecall Redis"))


def test_rolecall_needs_aiobotocore_for_asyncio_alone(module: Callable[[str], Any]) -> None:
    needed = module("environments").needed

    assert needed(module("cases.hot_path").BENCHMARK, "rolecall") == ("rolecall",)
    assert needed(module("cases.aio_costs").BENCHMARK, "rolecall") == ("rolecall", "aiobotocore")


def test_asyncio_is_measured_in_an_environment_of_its_own(module: Callable[[str], Any]) -> None:
    cases = module("cases")

    apart = {name for name in cases.NAMES if module(f"cases.{name}").BENCHMARK.aio}

    assert apart == {name for name in cases.NAMES if name.startswith("aio_")}


@pytest.mark.parametrize("quick", [[], ["--quick"]])
def test_without_the_libraries_of_asyncio_the_run_says_so_before_it_starts(
    quick: list[str], tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing")

    done = bench("--only", "aio_costs", "--aio-python", missing, *quick)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        f"not installed for {missing}: rolecall, aiobotocore, aioboto3-assume, aioboto3: `make"
    )
    assert done.stderr.count("\n") == 1


def test_an_interpreter_that_lacks_one_library_is_asked_which(
    module: Callable[[str], Any], tmp_path: Path
) -> None:
    """The interpreter is another program: its versions count, not those here."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho \'{"rolecall": "0.1", "aiobotocore": "2.25.1"}\'\n')
    python.chmod(0o755)
    costs = module("cases.aio_costs").BENCHMARK

    there = module("environments").beside(str(python))

    assert there.versions == {"rolecall": "0.1", "aiobotocore": "2.25.1"}
    assert there.missing(costs, "rolecall") == []
    assert there.missing(costs, "aiobotocore") == []
    assert there.missing(costs, "aioboto3-assume") == ["aioboto3-assume", "aioboto3"]


def test_the_versions_of_another_interpreter_are_those_it_has(
    module: Callable[[str], Any],
) -> None:
    there = module("environments").beside(sys.executable).versions

    assert there["botocore"] == version("botocore")
    assert "rolecall" in there


def test_a_redis_that_does_not_start_says_why(module: Callable[[str], Any], tmp_path: Path) -> None:
    server = module("redis_server").redis_server(tmp_path / "missing")

    with pytest.raises(RuntimeError, match="No such file or directory"), server:
        pass


def test_a_missed_count_fails_the_run_and_a_missed_time_does_not(
    module: Callable[[str], Any],
) -> None:
    bench = module("benchmark")

    count = result(module, "calls", bench.exactly(1), rolecall=2)
    time = result(module, "ms", bench.share_of("botocore", 8), rolecall=2.0, botocore=2.0)

    assert count.missed(counts_only=True) == ["Size"]
    assert time.missed() == ["Size"]
    assert time.missed(counts_only=True) == []


@pytest.mark.parametrize(("unit", "expected"), [("calls", 9), ("ms", 2)])
def test_of_several_rounds_the_worst_count_counts_and_the_median_time(
    module: Callable[[str], Any], unit: str, expected: float
) -> None:
    measure = module("benchmark").Measure(key="size", title="Size", unit=unit)

    assert measure.of_rounds([1, 9, 2]) == expected


def test_the_page_names_versions_and_not_the_machine(module: Callable[[str], Any]) -> None:
    page = module("page").page(
        [result(module, "calls", None, rolecall=1)],
        {"rolecall": "1.2.3", "botocore": "4.5.6"},
        {"rolecall": "1.2.3", "aiobotocore": "7.8.9"},
    )

    assert "Measured: rolecall 1.2.3, botocore 4.5.6; " in page
    assert "asyncio: rolecall 1.2.3, aiobotocore 7.8.9.\n" in page
    assert platform.python_version() in page
    assert "## Made up" in page
    assert "| Size" in page
    assert str(ROOT) not in page
    assert platform.node() not in page.split()


def test_every_benchmark_is_listed_and_no_two_measures_share_a_key(
    module: Callable[[str], Any],
) -> None:
    cases = module("cases")
    files = {path.stem for path in (ROOT / "bench" / "cases").glob("*.py")} - {"__init__"}

    assert files == set(cases.NAMES)
    for name in cases.NAMES:
        keys = [one.key for one in module(f"cases.{name}").BENCHMARK.measures]
        assert len(set(keys)) == len(keys), name
