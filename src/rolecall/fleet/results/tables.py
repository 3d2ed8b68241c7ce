"""Outcomes as tables: records, CSV, JSON lines, Parquet, pandas."""

from __future__ import annotations

import csv
import difflib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .plain import encodable, json_text, plain
from .row_file import Place, opened, replacing

if TYPE_CHECKING:
    import pandas

    from .outcomes import Outcome

#: The columns that every table has, in their order.
COLUMNS = (
    "account",
    "account_name",
    "ou_path",
    "region",
    "role",
    "ok",
    "value",
    "error_kind",
    "error_type",
    "error_code",
    "error_message",
    "started",
    "elapsed_seconds",
    "attempts",
)
#: Before the key, in the name of a column that a row's mapping adds.
PREFIX = "value."

#: What spreadsheets take for the start of a formula. [OWASP, CSV Injection]
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

#: A row group of a Parquet file ends after so many rows or characters: one is held in memory.
GROUP_ROWS = 5_000
GROUP_CHARACTERS = 16 * 1024 * 1024


def records(outcomes: Iterable[Outcome], *, rows: bool = False) -> Iterator[dict[str, Any]]:
    """Yield *outcomes* as flat records, values as they are.

    Args:
        rows: Whether each element of a value that is a list becomes a record of its own, and what
            a mapping holds columns of their own, ``value.<key>``. An empty list gives no record.
    """
    for outcome in outcomes:
        record = _record(outcome)
        if not rows:
            yield record
        elif isinstance(outcome.value, (list, tuple)) and not hasattr(outcome.value, "_fields"):
            for element in outcome.value:
                yield _spread(record, element)
        else:
            yield _spread(record, outcome.value)


def _record(outcome: Outcome) -> dict[str, Any]:
    error = outcome.error
    return {
        "account": outcome.account.id,
        "account_name": outcome.account.name,
        "ou_path": outcome.account.ou_path,
        "region": outcome.region,
        "role": outcome.target.role,
        "ok": outcome.ok,
        "value": outcome.value,
        "error_kind": None if error is None else error.kind,
        "error_type": None if error is None else error.type,
        "error_code": None if error is None else error.code,
        "error_message": None if error is None else error.message,
        "started": outcome.started,
        "elapsed_seconds": outcome.elapsed.total_seconds(),
        "attempts": outcome.attempts,
    }


def _spread(record: Mapping[str, Any], element: Any) -> dict[str, Any]:
    if not isinstance(element, Mapping):
        return {**record, "value": element}
    cells = {f"{PREFIX}{encodable(str(key))}": one for key, one in element.items()}
    return {**record, "value": None, **cells}


def columns_of(found: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the columns of *found*, those of the rows' mappings last, in order of appearance."""
    return tuple(dict.fromkeys((*COLUMNS, *(name for one in found for name in one))))


def write_csv(
    outcomes: Iterable[Outcome],
    to: Place,
    *,
    rows: bool,
    columns: Sequence[str] | None,
    for_spreadsheets: bool,
    append: bool = False,
) -> int:
    """Write *outcomes* as CSV and return how many rows; see `Outcomes.to_csv`."""
    names: Sequence[str] | None = COLUMNS if columns is None else _known(columns, rows)
    if columns is None and rows:
        names = None  # those of the file, or else of all rows

    def line(cells: Iterable[Any]) -> str:
        made = (_spreadsheet(cell) for cell in cells) if for_spreadsheets else cells
        buffer = io.StringIO()
        # With "\r\n", or Python before 3.13 leaves a lone "\r" in a cell without quotes.
        csv.writer(buffer, lineterminator="\r\n").writerow(made)
        return buffer.getvalue()[:-2] + "\n"

    encoding = "utf-8-sig" if for_spreadsheets else "utf-8"
    # Before the first outcome is asked for: what cannot be written is not to run first.
    with opened(to, encoding, append=append) as file:
        there = file.head()
        if there is not None:
            names = _same_columns(there, names)
        found: Iterable[dict[str, Any]] = records(outcomes, rows=rows)
        if names is None:
            found = list(found)
            names = columns_of(found)
        file.begin(line(names))
        count = 0
        for count, one in enumerate(found, 1):  # noqa: B007 - told below
            if there is not None and columns is None and (strange := one.keys() - {*names}):
                raise ValueError(
                    f"column {min(strange)} is not in the file: give columns=, or write anew"
                )
            file.write(line(_cell(one.get(name)) for name in names))
        return count


def _same_columns(there: str, names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the columns that the file has whose first line is *there*.

    Raises:
        ValueError: they are not *names*, or none at all.
    """
    found = tuple(next(csv.reader([there]), ()))
    if names is None:
        ours, more = found[: len(COLUMNS)], found[len(COLUMNS) :]
        same = ours == COLUMNS and all(name.startswith(PREFIX) for name in more)
    else:
        same = found == tuple(names)
    if not same:
        raise ValueError("there are other columns in the file: append with the same, or anew")
    return found


def check_appending(path: str | os.PathLike[str], format: str, *, rows: bool) -> None:
    """Check that rows can be added to those in the file *path*.

    Args:
        format: ``"csv"`` or ``"jsonl"``.

    Raises:
        ValueError: it has other columns, or something else altogether.
        OSError: it cannot be read and written.
    """
    with opened(path, "utf-8", append=True, looks=True) as file:
        there = file.head()
    if there is None:
        return
    if format == "csv":
        _same_columns(there, None if rows else COLUMNS)
        return
    try:
        found = json.loads(there)
    except ValueError:
        found = None
    if not isinstance(found, dict) or "account" not in found:
        raise ValueError("there is something else in the file than JSON lines of outcomes")


def write_jsonl(outcomes: Iterable[Outcome], to: Place, *, rows: bool, append: bool = False) -> int:
    """Write *outcomes* as JSON lines and return how many."""
    with opened(to, "utf-8", append=append) as file:
        file.begin("")
        count = 0
        for count, one in enumerate(records(outcomes, rows=rows), 1):  # noqa: B007 - told below
            file.write(json_text(one) + "\n")
        return count


def _known(columns: Sequence[str], rows: bool) -> tuple[str, ...]:
    """Return *columns* if they may be asked for."""
    if isinstance(columns, str):
        raise TypeError(f"columns is a list of names, got {columns!r}")
    wrong = []
    for name in columns:
        if name in COLUMNS or (rows and name.startswith(PREFIX)):
            continue
        near = difflib.get_close_matches(name, COLUMNS, 1)
        if name.startswith(PREFIX):
            wrong.append(f"column {name!r} is there with rows=True only")
        else:
            wrong.append(f"there is no column {name!r}" + (f": {near[0]!r}?" if near else ""))
    if wrong or not columns:
        raise ValueError("; ".join(wrong) or "columns must name one column at least")
    return tuple(columns)


def _cell(value: Any) -> Any:
    made = plain(value)
    if isinstance(made, bool):
        return "true" if made else "false"
    return json_text(made) if isinstance(made, (list, dict)) else made


def _spreadsheet(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def write_parquet(outcomes: Iterable[Outcome], path: str | os.PathLike[str], *, rows: bool) -> int:
    """Write *outcomes* as a Parquet file and return how many rows; see `Outcomes.to_parquet`."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ImportError("to_parquet needs pyarrow: pip install pyarrow") from error

    instant = pyarrow.timestamp("us", tz="UTC")
    types = dict.fromkeys(COLUMNS, pyarrow.string())
    types |= {"ok": pyarrow.bool_(), "started": instant}
    types |= {"elapsed_seconds": pyarrow.float64(), "attempts": pyarrow.int64()}
    # Before the first outcome is asked for: what cannot be written is not to run first.
    with replacing(path) as file:
        found: Iterable[dict[str, Any]] = records(outcomes, rows=rows)
        if rows:
            found = list(found)
            kinds = {bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64()}
            kinds |= {str: pyarrow.string(), datetime: instant}
            for name in columns_of(found)[len(COLUMNS) :]:
                types[name] = kinds.get(_common(found, name) or str, pyarrow.string())
        schema = pyarrow.schema([pyarrow.field(name, kind) for name, kind in types.items()])
        # As JSON text: "value" always, others where their cells are not of one kind.
        as_json = {"value"} | {
            name
            for name, kind in types.items()
            if name.startswith(PREFIX)
            and kind == pyarrow.string()
            and _common(found, name) is not str
        }

        def ready(name: str, value: Any) -> Any:
            if value is None:
                return None
            if name in as_json:
                return json_text(value)
            return encodable(value) if isinstance(value, str) else value

        with pyarrow.parquet.ParquetWriter(file, schema) as writer:
            count = 0
            for group in _groups(
                {name: ready(name, one.get(name)) for name in types} for one in found
            ):
                writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))
                count += len(group)
            return count


def _groups(made: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    characters = 0
    for one in made:
        group.append(one)
        characters += sum(len(cell) for cell in one.values() if isinstance(cell, str))
        if len(group) >= GROUP_ROWS or characters >= GROUP_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _common(found: Iterable[Mapping[str, Any]], name: str) -> type | None:
    """Return the type that all cells of column *name* have, as Parquet knows types."""
    kinds = {type(value) for one in found if (value := one.get(name)) is not None}
    if kinds == {int, float}:
        return float
    if kinds == {datetime}:
        aware = all(value is None or value.tzinfo for value in (one.get(name) for one in found))
        return datetime if aware else None
    if kinds == {int}:
        fits = all(abs(one.get(name) or 0) < 2**63 for one in found)
        return int if fits else None
    return kinds.pop() if len(kinds) == 1 else None


def to_pandas(outcomes: Iterable[Outcome], *, rows: bool) -> pandas.DataFrame:
    """Return *outcomes* as a DataFrame; see `Outcomes.to_pandas`."""
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise ImportError("to_pandas needs pandas: pip install pandas") from error

    found = list(records(outcomes, rows=rows))
    types = dict.fromkeys(COLUMNS, "string")
    types |= {"ok": "bool", "value": "object", "started": "instant"}
    types |= {"elapsed_seconds": "float64", "attempts": "int64"}
    # Those that can hold nothing, too.
    kinds = {bool: "boolean", int: "Int64", float: "Float64", str: "string", datetime: "instant"}
    columns: dict[str, Any] = {}
    for name in columns_of(found):
        cells = [one.get(name) for one in found]
        kind = types.get(name) or kinds.get(_common(found, name) or object, "object")
        if kind == "instant":
            columns[name] = pandas.Series(pandas.to_datetime(cells, utc=True))
        elif kind == "string":
            texts = [None if one is None else encodable(one) for one in cells]
            columns[name] = pandas.Series(texts, dtype=kind)
        else:
            columns[name] = pandas.Series(cells, dtype=kind)
    return pandas.DataFrame(columns)
