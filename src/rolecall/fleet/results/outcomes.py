"""What a target gave: small records, without a session or an exception in them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TextIO

from ..targets import Account, Target
from . import tables

if TYPE_CHECKING:
    import pandas

#: What a failed target says went wrong.
#:
#: ``assume_role``: the role could not be assumed. ``access_denied``: it may not do that.
#: ``throttled``: AWS asks for fewer calls. ``timeout``: it took too long. ``region_disabled``: the
#: region is not enabled in the account. ``executor``: the worker died, or the work or its value
#: could not travel. ``function``: anything else the function raised.
Kind = Literal[
    "assume_role",
    "access_denied",
    "throttled",
    "timeout",
    "region_disabled",
    "executor",
    "function",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a target failed, as text: an exception would keep its session alive.

    Attributes:
        type: Name of the exception's class.
        code: AWS's error code, such as ``AccessDenied``. None: it is no error of AWS's.
        message: What it said; what looks like a secret is replaced.
        traceback: Where it was raised, as Python prints it.
        retryable: Whether the same may succeed later with nothing changed.
    """

    kind: Kind
    type: str
    code: str | None
    message: str
    traceback: str = ""
    retryable: bool = False

    def __str__(self) -> str:
        return f"{self.code or self.type}: {self.message}" if self.message else self.type


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one target gave.

    Attributes:
        value: What the function returned; None where it failed.
        error: None: it succeeded.
        started: When the last attempt began, UTC.
        elapsed: How long that took, the role's assuming included.
        attempts: How often it was tried.
    """

    target: Target
    value: Any = None
    error: Failure | None = None
    started: datetime
    elapsed: timedelta
    attempts: int = 1

    @property
    def ok(self) -> bool:
        """Whether the function returned."""
        return self.error is None

    @property
    def account(self) -> Account:
        """The target's account."""
        return self.target.account

    @property
    def region(self) -> str | None:
        """The target's region."""
        return self.target.region


class Outcomes(Iterable[Outcome]):
    """Outcomes to go through, or to turn into a table.

    The stream of a run can be gone through once, tables included, while the run goes on: CSV,
    JSON lines and Parquet hold no more than some of it in memory.

    A table has a row for each outcome and these columns: ``account`` (text: ids begin with zeros,
    too), ``account_name``, ``ou_path``, ``region``, ``role``, ``ok``, ``value``, ``error_kind``,
    ``error_type``, ``error_code``, ``error_message``, ``started``, ``elapsed_seconds``,
    ``attempts``.

    With ``rows=True``, which all tables take, each element of a value that is a list has a row of
    its own, and what a mapping holds columns of their own, ``value.<key>``, beside an empty
    ``value``. An empty list has no row. A failed target has one, as always.
    """

    def __init__(self, outcomes: Iterable[Outcome]) -> None:
        self._outcomes: Iterable[Outcome] | None = outcomes

    def __iter__(self) -> Iterator[Outcome]:
        """Return an iterator over the outcomes.

        Raises:
            RuntimeError: they are a stream and it was asked for before.
        """
        outcomes = self._outcomes
        if outcomes is None:
            raise RuntimeError(
                "these outcomes were gone through already: keep them in a list, or ask for one "
                "table only"
            )
        found = iter(outcomes)
        if found is outcomes:
            # Not kept either: a stream that its reader drops is to end there and then.
            self._outcomes = None
        return found

    def to_records(self, *, rows: bool = False) -> list[dict[str, Any]]:
        """Return a dict for each row, values and ``started`` as they are.

        With ``rows=True`` a dict has the columns of its own row only.
        """
        return list(tables.records(self, rows=rows))

    def to_csv(
        self,
        to: str | os.PathLike[str] | TextIO,
        *,
        rows: bool = False,
        columns: Sequence[str] | None = None,
        for_spreadsheets: bool = False,
        append: bool = False,
    ) -> int:
        """Write CSV, row by row as outcomes arrive, and return how many rows.

        A killed run leaves whole rows. Text, numbers and booleans (``true``) are written as they
        are, None as nothing, instants as ISO 8601 in UTC, all else as JSON. pandas keeps the zeros
        of account ids with ``dtype={"account": str}``.

        Args:
            to: A path, or a file opened for text with ``newline=""``. A new file has mode 0600; one
                that is there keeps its mode and is overwritten.
            columns: The ones to write, in this order, ``value.<key>`` among them. None with
                ``rows=True``: all outcomes are collected, to know them before the first row.
            for_spreadsheets: Whether text that a spreadsheet takes for a formula (it begins with
                ``=``, ``+``, ``-``, ``@``, a tab or an end of line) gets an apostrophe before it,
                and a file a byte order mark, by which Excel knows UTF-8. Off: the data stays as it
                is, and must not be opened in a spreadsheet if others may name things in it.

            append: Whether what is in the file stays, as where a run goes on by its journal; but
                for half a row at its end, of one that was killed.

        Raises:
            ValueError: *columns* that cannot be, or other ones than are in the file.
            OSError: the file cannot be written.
        """
        return tables.write_csv(
            self,
            to,
            rows=rows,
            columns=columns,
            for_spreadsheets=for_spreadsheets,
            append=append,
        )

    def to_jsonl(
        self, to: str | os.PathLike[str] | TextIO, *, rows: bool = False, append: bool = False
    ) -> int:
        """Write a JSON object a line, as outcomes arrive, and return how many.

        A killed run leaves whole lines. *to* and *append* are as in `to_csv`. In values, instants
        are ISO 8601, bytes base64, sets sorted lists, dataclasses objects; what JSON has no word
        for is text.
        """
        return tables.write_jsonl(self, to, rows=rows, append=append)

    def to_parquet(self, path: str | os.PathLike[str], *, rows: bool = False) -> int:
        """Write a Parquet file and return how many rows.

        ``started`` is an instant in microseconds UTC, ``value`` JSON text. With ``rows=True`` all
        outcomes are collected first; a ``value.<key>`` column has the type that all its cells have,
        and is JSON text where they differ. The file is there when all is written, and not before: a
        run that may be killed had better write CSV or JSON lines. Its mode is as in `to_csv`.

        Raises:
            ImportError: pyarrow is not installed.
            OSError: it cannot be written; what was there is unharmed.
        """
        return tables.write_parquet(self, path, rows=rows)

    def to_pandas(self, *, rows: bool = False) -> pandas.DataFrame:
        """Return a DataFrame: text, ``bool``, UTC instants and numbers; values are kept as objects.

        Raises:
            ImportError: pandas is not installed.
        """
        return tables.to_pandas(self, rows=rows)
