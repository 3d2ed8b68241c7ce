"""Outcomes as tables: records, CSV, JSON lines, Parquet, pandas."""

from __future__ import annotations

import csv
import difflib
import io
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

from .plain import encodable, json_text, plain

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

_WRITE = (
    os.O_RDWR
    | os.O_CREAT
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)  # or Windows would end lines its own way
)

_BLOCK = 64 * 1024

Place = str | os.PathLike[str] | TextIO


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
    if columns is not None:
        columns = _known(columns, rows)
    found: Iterable[dict[str, Any]] = records(outcomes, rows=rows)
    if columns is None and rows:
        found = list(found)
        columns = columns_of(found)
    names = COLUMNS if columns is None else tuple(columns)

    def line(cells: Iterable[Any]) -> str:
        made = (_spreadsheet(cell) for cell in cells) if for_spreadsheets else cells
        buffer = io.StringIO()
        # With "\r\n", or Python before 3.13 leaves a lone "\r" in a cell without quotes.
        csv.writer(buffer, lineterminator="\r\n").writerow(made)
        return buffer.getvalue()[:-2] + "\n"

    encoding = "utf-8-sig" if for_spreadsheets else "utf-8"
    with _opened(to, encoding, append=append, head=line(names)) as write:
        count = 0
        for count, one in enumerate(found, 1):  # noqa: B007 - told after the loop
            write(line(_cell(one.get(name)) for name in names))
        return count


def write_jsonl(outcomes: Iterable[Outcome], to: Place, *, rows: bool, append: bool = False) -> int:
    """Write *outcomes* as JSON lines and return how many."""
    with _opened(to, "utf-8", append=append) as write:
        count = 0
        for count, one in enumerate(records(outcomes, rows=rows), 1):  # noqa: B007 - told below
            write(json_text(one) + "\n")
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


@contextmanager
def _opened(
    to: Place, encoding: str, *, append: bool, head: str = ""
) -> Iterator[Callable[[str], None]]:
    """Give what writes one row to *to* so that a killed process leaves whole ones.

    Args:
        append: Leave what is there, but for half a row at its end.
        head: What comes first in a file.
    """
    if not isinstance(to, (str, os.PathLike)):
        given: Any = to
        if not hasattr(given, "write") or isinstance(given, (io.RawIOBase, io.BufferedIOBase)):
            raise TypeError(f"a path or a file opened for text is wanted, got {type(to).__name__}")
        write = _writer(to)
        if head and not append:
            write(head)
        yield write
        return
    # What a run found is nobody else's business, until its owner says so.
    descriptor = os.open(to, _WRITE | (0 if append else os.O_TRUNC), 0o600)
    with open(descriptor, "r+" if append else "w", encoding=encoding, newline="") as file:
        begun = append and _cut_half_a_row(descriptor, head.encode(encoding))
        file.seek(0, os.SEEK_END)
        write = _writer(file)
        if head and not begun:
            write(head)
        yield write


def _cut_half_a_row(descriptor: int, head: bytes) -> bool:
    """Cut off what comes after the last end of line; return whether anything is left.

    Raises:
        ValueError: the file has other columns.
    """
    with open(descriptor, "rb+", closefd=False) as file:
        if head and (found := file.readline()) and found.endswith(b"\n") and found != head:
            raise ValueError("there are other columns in the file: append with the same, or anew")
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _BLOCK)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                file.truncate(start + at + 1)
                return True
            end = start
        file.truncate(0)
    return False


def _writer(file: TextIO) -> Callable[[str], None]:
    flush = getattr(file, "flush", lambda: None)

    def write(row: str) -> None:
        file.write(row)
        flush()

    return write


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
        if name.startswith(PREFIX) and kind == pyarrow.string() and _common(found, name) is not str
    }

    def ready(name: str, value: Any) -> Any:
        if value is None:
            return None
        if name in as_json:
            return json_text(value)
        return encodable(value) if isinstance(value, str) else value

    with _replacing(path) as file, pyarrow.parquet.ParquetWriter(file, schema) as writer:
        count = 0
        for group in _groups({name: ready(name, one.get(name)) for name in types} for one in found):
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


@contextmanager
def _replacing(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Give a new file that takes *path*'s place at the end, unless something was raised."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"a path is wanted, got {type(path).__name__}")
    final = os.path.realpath(path)  # a link stays one
    descriptor, name = tempfile.mkstemp(dir=os.path.dirname(final), prefix=".", suffix=".tmp")
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            os.chmod(name, stat.S_IMODE(os.stat(final).st_mode))
        os.replace(name, final)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


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
