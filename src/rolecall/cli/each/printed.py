"""What ``rolecall each`` prints or writes: a table for people, or what other programs read."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from ..printed import plain, print_table

if TYPE_CHECKING:
    from ...fleet import Outcome, Plan

#: The end of a file's name → the format that it says.
_ENDINGS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
#: Those of a table for people.
_TABLES = ("", ".txt")
#: A cell of a table for people is no longer.
_LONGEST_CELL = 200

_HEADS = {
    "account": "ACCOUNT",
    "account_name": "NAME",
    "ou_path": "UNIT",
    "region": "REGION",
    "role": "ROLE",
    "value": "VALUE",
    "error": "ERROR",
}


def format_of(
    format: str | None,
    output: str | None,
    *,
    plan: bool,
    streams: bool = False,
    rows: bool = False,
    for_spreadsheets: bool = False,
) -> str:
    """Return the format that is meant; check that it can be written.

    Args:
        plan: Whether a plan is printed, not outcomes.
        streams: Whether rows must be written as they come: the run may be gone on with, and then
            has only those that are left.
        rows: Whether lists become rows, which CSV can begin with only when all are there.

    Raises:
        UsageError: it cannot be.
        ConfigError: a library is missing, or the file cannot be written.
    """
    from ...errors import ConfigError

    ending = Path(output or "").suffix.lower()
    if format is None and output is not None and ending not in _ENDINGS and ending not in _TABLES:
        known = ", ".join([*_ENDINGS, *filter(None, _TABLES)])
        raise click.UsageError(f"--output {output}: say --format, or end it in {known}")
    found = format or _ENDINGS.get(ending, "table")
    if for_spreadsheets and (found != "csv" or plan):
        raise click.UsageError("--for-spreadsheets goes with --format csv, and with outcomes")
    if streams and not plan:
        if format is None and output is None:
            found = "jsonl"
        if found not in ("csv", "jsonl") or (found == "csv" and rows):
            raise click.UsageError(
                "--journal goes with --format jsonl, or csv without --rows: all else is written at "
                "the end, and a run that is killed would lose what it had found"
            )
    if found == "parquet":
        if plan:
            raise click.UsageError("--dry-run prints a table, jsonl or csv")
        if output is None:
            raise click.UsageError("--format parquet: name a file with --output")
        if importlib.util.find_spec("pyarrow") is None:
            raise ConfigError("--format parquet needs pyarrow", hint="pip install pyarrow")
    if output is not None:
        folder = os.path.dirname(os.path.abspath(output))
        if not os.path.isdir(folder):
            raise ConfigError(f"--output {output}: there is no directory {folder}")
        if not os.access(output if os.path.exists(output) else folder, os.W_OK):
            raise ConfigError(f"--output {output}: it cannot be written")
    return found


def write_outcomes(
    outcomes: Iterable[Outcome],
    format: str,
    output: str | None,
    *,
    rows: bool,
    append: bool,
    for_spreadsheets: bool = False,
) -> None:
    """Write *outcomes* as they come; a table, once all are there.

    Args:
        append: Whether what is in the file *output* stays.
    """
    from ...fleet import Outcomes

    stream = Outcomes(outcomes)
    if output is not None and format == "csv":
        stream.to_csv(output, rows=rows, append=append, for_spreadsheets=for_spreadsheets)
        return
    if output is not None and format == "jsonl":
        stream.to_jsonl(output, rows=rows, append=append)
        return
    if format == "parquet":
        assert output is not None  # `format_of` has said so
        stream.to_parquet(output, rows=rows)
        return
    with _opened(output) as file:
        if format == "csv":
            stream.to_csv(file, rows=rows, for_spreadsheets=for_spreadsheets)
        elif format == "jsonl":
            stream.to_jsonl(file, rows=rows)
        else:
            found = list(_cells(stream, rows=rows))
            # In an order that one can look something up in; rows of one target stay together.
            found.sort(key=lambda row: (row["account"], row["region"]))
            _print_table(found, file)


def write_plan(plan: Plan, format: str, output: str | None) -> None:
    """Write which accounts, regions and roles *plan* has."""
    records = plan.to_records()
    with _opened(output) as file:
        if format == "jsonl":
            file.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in records)
        elif format == "csv":
            heads = ["account", "account_name", "ou_path", "region", "role"]
            writer = csv.DictWriter(file, heads, lineterminator="\n")
            writer.writeheader()
            writer.writerows(records)
        else:
            _print_table([{name: one or "" for name, one in row.items()} for row in records], file)


@contextmanager
def _opened(output: str | None) -> Iterator[TextIO]:
    if output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # One name that the terminal cannot show is not to end a run of an hour.
            sys.stdout.reconfigure(errors="backslashreplace")
        yield sys.stdout
        return
    # What a run found is nobody else's business, until its owner says so.
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8", newline="") as file:
        yield file


def _cells(outcomes: Iterable[Outcome], *, rows: bool) -> Iterator[dict[str, str]]:
    from ...fleet.results import tables
    from ...fleet.results.tables import PREFIX

    for outcome in outcomes:
        for record in tables.records([outcome], rows=rows):
            cells = {name: _text(record[name]) for name in ("account", "account_name", "region")}
            cells["value"] = _text(record["value"])
            cells |= {
                name: _text(value) for name, value in record.items() if name.startswith(PREFIX)
            }
            cells["error"] = "" if outcome.error is None else short(str(outcome.error))
            yield cells


def _text(value: Any) -> str:
    from ...fleet.results.plain import json_text

    if value is None:
        return ""
    return short(value if isinstance(value, str) else json_text(value).strip('"'))


def short(text: str) -> str:
    """Return *text* as one line for people."""
    text = plain(" ".join(text.split()))
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"


def _print_table(rows: Sequence[Mapping[str, str]], file: TextIO) -> None:
    """Print *rows*, without the columns in which nothing is."""
    from ...fleet.results.tables import PREFIX

    names = list(dict.fromkeys(name for row in rows for name in row if row[name]))
    if "error" in names:  # the last one, wherever it came first
        names = [*(name for name in names if name != "error"), "error"]
    names.sort(key=lambda name: _order(name))
    heads = [_HEADS.get(name, name.removeprefix(PREFIX)) for name in names]
    if not names:
        return
    with contextlib.redirect_stdout(file):
        print_table(heads, [[row.get(name, "") for name in names] for row in rows])


def _order(name: str) -> int:
    """Return where a column goes: those of values, in their own order, before the error."""
    known = list(_HEADS)
    return known.index(name) if name in _HEADS else known.index("value")
