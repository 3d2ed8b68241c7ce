"""Results as tables that read well in a terminal and on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .benchmark import ROLECALL, Benchmark, Measure, Row, Value, ours

#: Below this a ratio says more about the clock than about the libraries.
LEAST_COMPARED = 1e-4

NOT_MEASURED = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one benchmark: measure → column → value."""

    benchmark: Benchmark
    rows: Mapping[str, Row]

    def missed(self, *, counts_only: bool = False) -> list[str]:
        """Return the titles of the measures that miss their target."""
        return [
            measure.title
            for measure in self.benchmark.measures
            if verdict(measure, self.rows[measure.key]) == "**not met**"
            and (measure.target is not None and (measure.target.is_count or not counts_only))
        ]


def shown(measure: Measure, value: Value) -> str:
    """Return *value* with as many digits as mean something."""
    if isinstance(value, str):
        return value
    if measure.is_count:
        return f"{value:,.0f}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f} {measure.unit}"


def compared(measure: Measure, row: Row, column: str, reference: str = ROLECALL) -> str:
    """Return the cell of *column*: its value, and the ratio to that of *reference*."""
    if column not in row:
        return NOT_MEASURED
    value, base = row[column], row.get(reference)
    text = shown(measure, value)
    if (
        not measure.compared
        or column == reference
        or isinstance(value, str)
        or not isinstance(base, (int, float))
        or base < LEAST_COMPARED
    ):
        return text
    ratio = value / base
    return f"{text} (×{ratio:,.{0 if ratio >= 100 else 1 if ratio >= 10 else 2}f})"


def verdict(measure: Measure, row: Row) -> str:
    """Return whether rolecall's value meets its target; empty: there is none."""
    if measure.target is None or not ours(row):
        return ""
    return "met" if measure.target.met(row) else "**not met**"


def table(result: Result) -> list[str]:
    """Return the lines of a Markdown table, the libraries side by side."""
    benchmark = result.benchmark
    lines = [["", *benchmark.columns, "target", ""]]
    for measure in benchmark.measures:
        row = result.rows[measure.key]
        lines.append(
            [
                measure.title,
                *(
                    compared(measure, row, column, benchmark.reference)
                    for column in benchmark.columns
                ),
                "" if measure.target is None else measure.target.text,
                verdict(measure, row),
            ]
        )
    return _aligned(lines)


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(lines[0]))]
    numbers = range(1, len(widths) - 2)  # between the title, and the target and how it went
    rule = ["-" * (w - 1) + ":" if i in numbers else "-" * w for i, w in enumerate(widths)]
    return [
        "| "
        + " | ".join(
            cell.rjust(width) if index in numbers else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in (lines[0], rule, *lines[1:])
    ]
