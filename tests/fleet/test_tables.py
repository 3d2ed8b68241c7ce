"""What the tables hold, read back by pandas and pyarrow."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
from found_outcomes import ACCOUNT, EPOCH, failed, found

from rolecall.fleet.results import tables
from rolecall.fleet.results.outcomes import Outcome, Outcomes
from rolecall.fleet.results.plain import json_text, plain

TRICKY = 'Zoë, "the, 東京"\nsecond line\r\nthird\rfourth ;\t\'='
COLUMNS = [
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
]
FINDINGS = [
    found([{"Bucket": "a,b", "Public": True, "Size": 1}, {"Bucket": TRICKY, "Size": 2}]),
    found([], account="000000000001"),
    failed(account="000000000002", message=TRICKY),
    found([{"Bucket": "d", "Tags": {"k": ["v"]}}], account="000000000003"),
]
WRITERS = ["to_csv", "to_jsonl", "to_parquet"]


class Colour(Enum):
    RED = "red"


@dataclass
class Finding:
    bucket: str
    seen: datetime


# CSV


def test_pandas_reads_csv_back(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"

    count = Outcomes([found(TRICKY, name=TRICKY), found(3), failed(message=TRICKY)]).to_csv(file)

    table = pandas.read_csv(file, dtype={"account": str}, parse_dates=["started"])
    assert count == len(table) == 3
    assert list(table.columns) == COLUMNS
    assert list(table["account"]) == [ACCOUNT] * 3
    assert table["account_name"][0] == TRICKY
    assert list(table["value"][:2]) == [TRICKY, "3"]
    assert pandas.isna(table["value"][2])
    assert list(table["ok"]) == [True, True, False]
    assert table["error_message"][2] == TRICKY
    assert list(table["started"]) == [EPOCH] * 3
    assert list(table["elapsed_seconds"]) == [1.5, 1.5, 0.25]
    assert list(table["attempts"]) == [1, 1, 2]


def test_pyarrow_reads_csv_back(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    Outcomes([found(TRICKY), failed(message=TRICKY)]).to_csv(file)

    table = pyarrow.csv.read_csv(
        file,
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={"account": pyarrow.string(), "started": pyarrow.timestamp("us", "UTC")}
        ),
    )

    assert table.column_names == COLUMNS
    assert table["account"].to_pylist() == [ACCOUNT] * 2
    assert table["value"].to_pylist() == [TRICKY, ""]
    assert table["ok"].to_pylist() == [True, False]
    assert table["started"].to_pylist() == [EPOCH] * 2


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("text", "text"),
        (3, "3"),
        (1.5, "1.5"),
        (True, "true"),
        (False, "false"),
        (None, ""),
        ([], "[]"),
        ({"a": [1, None, "é"]}, '{"a":[1,null,"é"]}'),
        (EPOCH, "2026-11-01T12:00:00.000250Z"),
        (EPOCH.replace(microsecond=0), "2026-11-01T12:00:00.000000Z"),
        (b"\x00\xff", "AP8="),
        ({"b", "a"}, '["a","b"]'),
        ("bad \udce9 name", "bad \\udce9 name"),
    ],
)
def test_a_cell_is_what_it_is_and_json_where_it_has_parts(value: Any, cell: str) -> None:
    text = io.StringIO(newline="")

    Outcomes([found(value)]).to_csv(text)

    (row,) = csv.DictReader(io.StringIO(text.getvalue(), newline=""))
    assert row["value"] == cell


def test_a_lone_carriage_return_is_quoted_and_lines_end_in_a_newline() -> None:
    text = io.StringIO(newline="")

    Outcomes([found("a\rb")]).to_csv(text, columns=["value"])

    assert text.getvalue() == 'value\n"a\rb"\n'


def test_columns_are_those_asked_for_in_their_order() -> None:
    text = io.StringIO()

    Outcomes([found(1), failed()]).to_csv(text, columns=["region", "account", "error_code"])

    assert text.getvalue() == (
        f"region,account,error_code\neu-west-1,{ACCOUNT},\n,{ACCOUNT},AccessDenied\n"
    )


def test_columns_that_cannot_be_are_all_named(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"

    with pytest.raises(ValueError, match="column") as caught:
        Outcomes([found(1)]).to_csv(file, columns=["acount", "value.Name", "account"])

    assert str(caught.value) == (
        "there is no column 'acount': 'account'?; column 'value.Name' is there with rows=True only"
    )
    assert not file.exists()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=1"])
def test_for_spreadsheets_no_text_is_a_formula(text: str) -> None:
    usual, safe = io.StringIO(newline=""), io.StringIO(newline="")
    outcomes = Outcomes([found([{text: 1}, -5, text], name=text), failed(message=text)])

    outcomes.to_csv(usual, rows=True)
    outcomes.to_csv(safe, rows=True, for_spreadsheets=True)

    usual_rows = list(csv.DictReader(io.StringIO(usual.getvalue(), newline="")))
    rows = list(csv.DictReader(io.StringIO(safe.getvalue(), newline="")))
    assert usual_rows[2]["value"] == usual_rows[0]["account_name"] == text
    assert [row["account_name"] for row in rows[:3]] == [f"'{text}"] * 3
    assert [row["value"] for row in rows] == ["", "-5", f"'{text}", ""]
    assert rows[3]["error_message"] == f"'{text}"
    assert list(rows[0])[-1] == f"value.{text}"


def test_for_spreadsheets_a_file_says_that_it_is_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"

    Outcomes([found("é")]).to_csv(file, columns=["value"], for_spreadsheets=True)

    assert file.read_bytes() == b"\xef\xbb\xbfvalue\n\xc3\xa9\n"
    assert list(pandas.read_csv(file)["value"]) == ["é"]


# JSON lines


def test_pandas_reads_json_lines_back_with_account_ids_as_text(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"

    count = Outcomes([found({"Names": [TRICKY]}), failed(message=TRICKY)]).to_jsonl(file)

    table = pandas.read_json(file, lines=True, dtype={"account": str})
    assert count == len(table) == 2
    assert list(table.columns) == COLUMNS
    assert list(table["account"]) == [ACCOUNT] * 2
    assert table["value"][0] == {"Names": [TRICKY]}
    assert table["error_message"][1] == TRICKY


def test_a_json_line_holds_values_as_json() -> None:
    text = io.StringIO()
    value = {
        "at": EPOCH.astimezone(timezone(timedelta(hours=2))),
        "day": date(2026, 1, 2),
        "bytes": b"\x00",
        "set": {3, 1, 2},
        "mixed": {"a", 1, None},
        "decimals": [Decimal(3), Decimal("0.5"), Decimal("0.1000000000000000055")],
        "endless": [float("inf"), float("nan"), Decimal("NaN")],
        "finding": Finding("b", EPOCH),
        "enum": Colour.RED,
        "path": Path("a") / "b",
        7: "a number as a key",
    }

    Outcomes([found(value)]).to_jsonl(text)

    assert json.loads(text.getvalue())["value"] == {
        "at": "2026-11-01T12:00:00.000250Z",
        "day": "2026-01-02",
        "bytes": "AA==",
        "set": [1, 2, 3],
        "mixed": [1, None, "a"],
        "decimals": [3, 0.5, "0.1000000000000000055"],
        "endless": [None, None, None],
        "finding": {"bucket": "b", "seen": "2026-11-01T12:00:00.000250Z"},
        "enum": "red",
        "path": str(Path("a") / "b"),
        "7": "a number as a key",
    }


def test_a_value_without_end_and_one_that_cannot_be_told_end_no_table() -> None:
    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("no")

    ring: list[Any] = [1]
    ring.append(ring)
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]

    assert plain(ring) == [1, "…"]
    assert json_text(Mute()) == '"<Mute>"'
    assert "…" in json_text(deep)
    assert plain([ring[:1]] * 2) == [[1], [1]], "the same list twice is no ring"


def test_json_lines_with_rows_have_the_columns_of_their_own_row() -> None:
    text = io.StringIO()

    assert Outcomes(FINDINGS).to_jsonl(text, rows=True) == 4

    lines = [json.loads(line) for line in text.getvalue().splitlines()]
    assert [sorted(set(line) - set(COLUMNS)) for line in lines] == [
        ["value.Bucket", "value.Public", "value.Size"],
        ["value.Bucket", "value.Size"],
        [],
        ["value.Bucket", "value.Tags"],
    ]
    assert lines[3]["value.Tags"] == {"k": ["v"]}


# Parquet


def test_pandas_and_pyarrow_read_parquet_back(tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"

    count = Outcomes([found({"Names": [TRICKY]}), found("t"), failed(message=TRICKY)]).to_parquet(
        file
    )

    table = pyarrow.parquet.read_table(file)
    assert count == table.num_rows == 3
    assert {field.name: str(field.type) for field in table.schema} == {
        **dict.fromkeys(COLUMNS, "string"),
        "ok": "bool",
        "started": "timestamp[us, tz=UTC]",
        "elapsed_seconds": "double",
        "attempts": "int64",
    }
    rows = table.to_pylist()
    assert [row["account"] for row in rows] == [ACCOUNT] * 3
    assert json.loads(rows[0]["value"]) == {"Names": [TRICKY]}
    assert json.loads(rows[1]["value"]) == "t"
    assert (rows[2]["value"], rows[2]["ok"], rows[2]["region"]) == (None, False, None)
    assert rows[2]["error_message"] == TRICKY
    assert rows[0]["started"] == EPOCH
    frame = pandas.read_parquet(file)
    assert list(frame["account"]) == [ACCOUNT] * 3
    assert list(frame["started"]) == [EPOCH] * 3


def test_parquet_is_written_in_groups_so_that_memory_stays_flat(tmp_path: Path) -> None:
    many, large = tmp_path / "many.parquet", tmp_path / "large.parquet"

    Outcomes(found(n) for n in range(10_001)).to_parquet(many)
    Outcomes(found("x" * 4_000_000) for _ in range(9)).to_parquet(large)

    def groups(file: Path) -> list[int]:
        found = pyarrow.parquet.ParquetFile(file).metadata
        return [found.row_group(n).num_rows for n in range(found.num_row_groups)]

    assert groups(many) == [5_000, 5_000, 1]
    assert groups(large) == [5, 4]


def test_rows_in_parquet_have_the_type_that_their_cells_have(tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    value = [
        {"flag": True, "n": 1, "x": 1, "t": "a", "at": EPOCH, "mixed": 1, "list": [1], "big": 1},
        {"flag": None, "n": 2, "x": 0.5, "t": "b", "at": EPOCH, "mixed": "a", "big": 2**70},
    ]

    assert Outcomes([found(value), failed()]).to_parquet(file, rows=True) == 3

    table = pyarrow.parquet.read_table(file)
    assert {field.name: str(field.type) for field in table.schema if "value." in field.name} == {
        "value.flag": "bool",
        "value.n": "int64",
        "value.x": "double",
        "value.t": "string",
        "value.at": "timestamp[us, tz=UTC]",
        "value.mixed": "string",
        "value.list": "string",
        "value.big": "string",
    }
    assert table["value.t"].to_pylist() == ["a", "b", None]
    assert table["value.mixed"].to_pylist() == ["1", '"a"', None]
    assert table["value.big"].to_pylist() == ["1", str(2**70), None]
    assert table["value.at"].to_pylist() == [EPOCH, EPOCH, None]


@pytest.mark.parametrize("before", [None, b"as it was"])
def test_a_parquet_file_that_fails_leaves_what_was_there(
    tmp_path: Path, before: bytes | None
) -> None:
    file = tmp_path / "out.parquet"
    if before is not None:
        file.write_bytes(before)

    def breaking() -> Iterator[Outcome]:
        yield found(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Outcomes(breaking()).to_parquet(file)

    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == (
        {} if before is None else {"out.parquet": before}
    )


# pandas


def test_a_frame_has_types_and_the_values_themselves() -> None:
    value = {"Names": ["a"]}

    frame = Outcomes([found(value), failed()]).to_pandas()

    assert list(frame.columns) == COLUMNS
    assert frame["value"][0] is value
    assert frame["value"][1] is None
    assert frame["ok"].dtype == "bool"
    assert frame["attempts"].dtype == "int64"
    assert frame["elapsed_seconds"].dtype == "float64"
    assert isinstance(frame["started"].dtype, pandas.DatetimeTZDtype)
    assert isinstance(frame["account"].dtype, pandas.StringDtype)
    assert list(frame["account"]) == [ACCOUNT] * 2
    assert list(frame["started"]) == [EPOCH] * 2


def test_a_frame_of_rows_has_columns_with_types() -> None:
    frame = Outcomes(FINDINGS).to_pandas(rows=True)

    assert list(frame["value.Bucket"].fillna("")) == ["a,b", TRICKY, "", "d"]
    assert isinstance(frame["value.Bucket"].dtype, pandas.StringDtype)
    assert frame["value.Size"].dtype == "Int64"
    assert frame["value.Public"].dtype == "boolean"
    assert frame["value.Size"].sum() == 3
    assert frame["value.Tags"][3] == {"k": ["v"]}


def test_a_frame_of_rows_keeps_fractions_instants_and_what_is_mixed() -> None:
    value = [{"x": 1, "at": EPOCH, "mixed": 1}, {"x": 0.5, "mixed": "a"}, {"at": EPOCH}]

    frame = Outcomes([found(value)]).to_pandas(rows=True)

    assert frame["value.x"].dtype == "Float64"
    assert frame["value.x"].sum() == 1.5
    assert isinstance(frame["value.at"].dtype, pandas.DatetimeTZDtype)
    assert list(frame["value.mixed"]) == [1, "a", None]


# Rows in CSV


def test_rows_have_their_columns_after_all_others(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"

    count = Outcomes(FINDINGS).to_csv(file, rows=True)

    table = pandas.read_csv(file, dtype={"account": str})
    assert count == len(table) == 4
    assert list(table.columns) == [
        *COLUMNS,
        "value.Bucket",
        "value.Public",
        "value.Size",
        "value.Tags",
    ]
    assert list(table["value.Bucket"].fillna("")) == ["a,b", TRICKY, "", "d"]
    assert table["value.Tags"][3] == '{"k":["v"]}'
    assert list(table["account"]) == [ACCOUNT, ACCOUNT, "000000000002", "000000000003"]


def test_rows_with_columns_are_written_as_they_come(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    seen: list[str] = []

    def telling() -> Iterator[Outcome]:
        for one in FINDINGS:
            seen.append(file.read_text("utf-8"))
            yield one

    Outcomes(telling()).to_csv(file, rows=True, columns=["account", "value.Size"])

    assert seen == [
        "account,value.Size\n",
        f"account,value.Size\n{ACCOUNT},1\n{ACCOUNT},2\n",
        f"account,value.Size\n{ACCOUNT},1\n{ACCOUNT},2\n",
        f"account,value.Size\n{ACCOUNT},1\n{ACCOUNT},2\n000000000002,\n",
    ]


# All of them


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("rows", [False, True])
def test_a_run_without_outcomes_is_an_empty_table(tmp_path: Path, writer: str, rows: bool) -> None:
    file = tmp_path / "out"

    assert getattr(Outcomes([]), writer)(file, rows=rows) == 0

    if writer == "to_csv":
        assert file.read_text("utf-8") == ",".join(COLUMNS) + "\n"
        assert len(pandas.read_csv(file)) == 0
    elif writer == "to_jsonl":
        assert file.read_bytes() == b""
    else:
        table = pyarrow.parquet.read_table(file)
        assert (table.num_rows, table.column_names) == (0, COLUMNS)
        assert str(table.schema.field("started").type) == "timestamp[us, tz=UTC]"
    frame = Outcomes([]).to_pandas(rows=rows)
    assert (len(frame), list(frame.columns)) == (0, COLUMNS)
    assert isinstance(frame["started"].dtype, pandas.DatetimeTZDtype)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_new_file_is_its_owner_s_alone_and_an_old_one_keeps_its_mode(
    tmp_path: Path, writer: str
) -> None:
    new, old, link = tmp_path / "new", tmp_path / "old", tmp_path / "link"
    old.write_text("x" * 100_000)
    old.chmod(0o640)
    link.symlink_to(old)
    before = os.umask(0)
    try:
        for file in (new, link):
            getattr(Outcomes([found(1)]), writer)(file)
    finally:
        os.umask(before)

    assert stat.S_IMODE(new.stat().st_mode) == 0o600
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert old.read_bytes() == new.read_bytes()


@pytest.mark.parametrize("writer", WRITERS)
def test_what_is_no_place_is_refused_before_anything_is_read(writer: str) -> None:
    for place in (3, io.BytesIO(), io.BufferedWriter(io.BytesIO())):  # type: ignore[arg-type]
        if isinstance(place, io.BytesIO) and writer == "to_parquet":
            continue
        with pytest.raises(TypeError, match="path"):
            getattr(Outcomes(Unread()), writer)(place)


class Unread:
    """Outcomes that nobody may ask for: what runs by then would be lost."""

    def __iter__(self) -> Iterator[Outcome]:
        raise AssertionError("it was read")


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("append", [False, True])
def test_a_place_that_is_not_there_is_found_out_before_anything_is_read(
    tmp_path: Path, writer: str, rows: bool, append: bool
) -> None:
    keywords: dict[str, Any] = {} if writer == "to_parquet" else {"append": append}

    with pytest.raises(FileNotFoundError):
        getattr(Outcomes(Unread()), writer)(tmp_path / "nowhere" / "out", rows=rows, **keywords)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("writer", ["to_csv", "to_jsonl"])
@pytest.mark.parametrize("rows", [False, True])
def test_a_directory_is_found_out_before_anything_is_read(
    tmp_path: Path, writer: str, rows: bool
) -> None:
    with pytest.raises(IsADirectoryError):
        getattr(Outcomes(Unread()), writer)(tmp_path, rows=rows)


@pytest.mark.parametrize("writer", ["to_csv", "to_parquet"])
def test_what_was_there_stays_until_all_rows_are_collected(tmp_path: Path, writer: str) -> None:
    file = tmp_path / "out"
    file.write_text("as it was, and longer than any row that is written\n" * 100)
    before = file.read_bytes()
    left = 2

    def breaking() -> Iterator[Outcome]:
        for one in FINDINGS:
            nonlocal left
            left -= 1
            assert file.read_bytes() == before
            if left == 0:
                raise KeyboardInterrupt
            yield one

    with pytest.raises(KeyboardInterrupt):
        getattr(Outcomes(breaking()), writer)(file, rows=True)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"out": before}

    left = 0
    getattr(Outcomes(breaking()), writer)(file, rows=True)
    assert b"as it was" not in file.read_bytes()


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Path]:
    """A FIFO that somebody has open to read."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path
    os.close(reader)


def told(fifo: Path) -> bytes:
    """Return what is in *fifo*; whoever wrote it has closed it."""
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(reader, 65536)
    finally:
        os.close(reader)


@pytest.mark.parametrize("writer", ["to_csv", "to_jsonl"])
@pytest.mark.parametrize("rows", [False, True])
def test_what_is_no_plain_file_may_be_written_to(fifo: Path, writer: str, rows: bool) -> None:
    plain_file = fifo.with_name("out")
    getattr(Outcomes(FINDINGS), writer)(plain_file, rows=rows)

    getattr(Outcomes(FINDINGS), writer)(fifo, rows=rows)

    assert told(fifo) == plain_file.read_bytes()


@pytest.mark.parametrize("writer", ["to_csv", "to_jsonl"])
@pytest.mark.parametrize("rows", [False, True])
def test_rows_are_added_to_a_plain_file_only(fifo: Path, writer: str, rows: bool) -> None:
    with pytest.raises(ValueError, match="to a plain file only"):
        getattr(Outcomes(Unread()), writer)(fifo, rows=rows, append=True)


@pytest.mark.parametrize("writer", ["to_csv", "to_jsonl"])
def test_a_run_that_is_killed_leaves_whole_rows(tmp_path: Path, writer: str) -> None:
    file = tmp_path / "out"
    seen: list[str] = []

    def telling() -> Iterator[Outcome]:
        for number in range(5):
            seen.append(file.read_text("utf-8"))
            yield found(number)

    getattr(Outcomes(telling()), writer)(file)

    rows = [text.count("\n") for text in seen]
    first = 1 if writer == "to_csv" else 0
    assert rows == [first + number for number in range(5)]
    assert all(text.endswith("\n") for text in seen if text)


@pytest.mark.parametrize("writer", ["to_csv", "to_jsonl"])
def test_memory_stays_flat_while_ten_megabytes_go_through(tmp_path: Path, writer: str) -> None:
    def many(count: int) -> Iterator[Outcome]:
        return (found({"text": "x" * 50_000, "n": number}) for number in range(count))

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            assert getattr(Outcomes(many(count)), writer)(tmp_path / "out") == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)  # what is loaded when it is first used

    assert peak(200) < peak(4) + 500_000


@pytest.mark.parametrize(
    ("missing", "use"),
    [
        ("pyarrow", lambda outcomes: outcomes.to_parquet("never")),
        ("pandas", lambda outcomes: outcomes.to_pandas()),
    ],
)
def test_a_library_that_is_missing_is_named_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, missing: str, use: Callable[[Outcomes], Any]
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)

    with pytest.raises(ImportError, match=f"pip install {missing}"):
        use(Outcomes([found(1)]))


def test_the_tables_load_neither_pandas_nor_pyarrow() -> None:
    code = (
        "import sys, rolecall.fleet.results.outcomes, rolecall.fleet.calls\n"
        "print(sorted({'pandas', 'pyarrow', 'numpy', 'asyncio'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "[]\n"


def test_every_record_has_the_columns_that_the_tables_promise() -> None:
    records: list[Mapping[str, Any]] = Outcomes([found(1), failed()]).to_records()  # type: ignore[assignment]

    assert [list(record) for record in records] == [COLUMNS, COLUMNS]
    assert tuple(COLUMNS) == tables.COLUMNS


# Files that a run goes on with


@pytest.mark.parametrize(
    "half", ["", '012345678901,"team', "0123,a,/prod/\U0001f600" + "x" * 70_000]
)
def test_a_csv_goes_on_after_its_last_whole_row(tmp_path: Path, half: str) -> None:
    file = tmp_path / "out.csv"
    whole = tmp_path / "whole.csv"
    Outcomes([found(1), found(2, account="000000000002")]).to_csv(whole)
    Outcomes([found(1)]).to_csv(file, append=True)
    with file.open("ab") as torn:
        torn.write(half.encode()[: len(half.encode()) - 1] if half else b"")

    assert Outcomes([found(2, account="000000000002")]).to_csv(file, append=True) == 1

    assert file.read_bytes() == whole.read_bytes()  # one header, and no half a row


def test_a_header_that_was_torn_is_written_again(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_text("account,val")

    Outcomes([found(1)]).to_csv(file, append=True, columns=["account", "value"])

    assert file.read_text() == f"account,value\n{ACCOUNT},1\n"


def test_rows_are_not_added_to_other_columns(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    Outcomes([found(1)]).to_csv(file, columns=["account", "value"])
    before = file.read_bytes()

    with pytest.raises(ValueError, match="other columns in the file"):
        Outcomes(Unread()).to_csv(file, columns=["account", "ok"], append=True)

    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    ["name,size\n", '{"account": "1"}\n', "account,value\n1,2\n", "account;ok\n", "\n"],
)
@pytest.mark.parametrize("rows", [False, True])
def test_rows_are_not_added_to_what_somebody_else_has_written(
    tmp_path: Path, content: str, rows: bool
) -> None:
    file = tmp_path / "out.csv"
    file.write_text(content)

    with pytest.raises(ValueError, match="other columns in the file"):
        Outcomes(Unread()).to_csv(file, rows=rows, append=True)

    assert file.read_text() == content


def test_more_rows_have_the_columns_that_the_file_has_and_come_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    Outcomes([found([{"a": 1, "b": 2}])]).to_csv(file, rows=True)
    before = file.read_text()
    seen: list[int] = []

    def telling() -> Iterator[Outcome]:
        for value in ([{"b": 3}, {"b": 5, "a": 4}], [], 6):
            seen.append(file.read_text().count("\n"))
            yield found(value)

    Outcomes(telling()).to_csv(file, rows=True, append=True)

    assert file.read_text().startswith(before)
    assert seen == [2, 4, 4]
    table = list(csv.DictReader(io.StringIO(file.read_text())))
    assert [(row["value"], row["value.a"], row["value.b"]) for row in table] == [
        ("", "1", "2"), ("", "", "3"), ("", "4", "5"), ("6", "", ""),
    ]  # fmt: skip


def test_a_column_that_is_not_in_the_file_is_refused_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    Outcomes([found([{"a": 1}])]).to_csv(file, rows=True)

    with pytest.raises(ValueError, match=r"column value\.b is not in the file: give columns="):
        Outcomes([found([{"a": 2}, {"a": 3, "b": 4}])]).to_csv(file, rows=True, append=True)

    assert list(pandas.read_csv(file)["value.a"]) == [1, 2]


def test_rows_are_added_with_the_columns_that_are_named(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"

    for number in (1, 2):
        Outcomes([found([{"a": number, "b": "not wanted"}])]).to_csv(
            file, rows=True, columns=["account", "value.a"], append=True
        )

    assert file.read_text() == f"account,value.a\n{ACCOUNT},1\n{ACCOUNT},2\n"


@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_file_that_a_spreadsheet_has_saved_has_the_same_columns(
    tmp_path: Path, start: str, end: str, rows: bool
) -> None:
    file = tmp_path / "out.csv"
    Outcomes([found(1)]).to_csv(file)
    content = start + file.read_text().replace("\n", end)
    file.write_text(content, encoding="utf-8", newline="")

    tables.check_appending(file, "csv", rows=rows)
    Outcomes([found(2)]).to_csv(file, rows=rows, append=True, for_spreadsheets=bool(start))

    text = file.read_bytes().decode()
    assert text.startswith(content)
    assert text[len(content) :].count("\n") == 1
    assert "\ufeff" not in text[1:]


def test_json_lines_go_on_after_the_last_whole_one(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    Outcomes([found(1)]).to_jsonl(file)
    with file.open("a") as torn:
        torn.write('{"account": "01')

    Outcomes([found(2)]).to_jsonl(file, append=True)

    assert [json.loads(one)["value"] for one in file.read_text().splitlines()] == [1, 2]
