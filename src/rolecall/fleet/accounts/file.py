"""Accounts that somebody wrote down: in CSV, YAML or JSON, ours or of other tools."""

from __future__ import annotations

import csv
import difflib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ..targets import Account
from .fields import Fields, Unreadable, account_from, known_field, shown

#: So many problems are shown; the others are in the error's context.
_SHOWN = 20

_KINDS = ".csv, .tsv, .yaml, .yml, .json, .jsonl"


@dataclass(frozen=True, slots=True)
class _Entry:
    """What stands for one account, and where.

    Attributes:
        problems: What is wrong with it as a whole.
    """

    where: str
    fields: Fields
    problems: tuple[str, ...] = ()


class _Broken(Exception):
    """The file as a whole is not what its name says."""


def read_accounts(
    path: str | os.PathLike[str],
    *,
    state: str | Iterable[str] | None = "ACTIVE",
    include_management: bool = False,
) -> tuple[Account, ...]:
    """Return the accounts in the file *path*, each once, in their order.

    Of those whose state the file tells, the ones in *state*; None: all. The management account, if
    the file tells which that is, with *include_management* only. So what the AWS CLI prints of an
    organization is taken as `Organization.select` takes it.

    ``.csv``, ``.tsv``: a header with ``id`` (or ``account``, ``account_id``) and any of ``name``,
    ``email``, ``state``, ``ou_path``, ``role``, ``regions`` (with blanks between them) and ``tags``
    (``env=prod;team=x``); or ids alone, one a line. ``.yaml``, ``.yml``, ``.json``: a list of ids,
    or of mappings with these keys, or either under ``accounts``, as c7n-org has it and as
    ``aws organizations list-accounts`` prints it. ``.jsonl``: one of them a line. Lines of text
    that begin with ``#`` are comments.

    Raises:
        ConfigError: it cannot be read, or is wrong: all problems at once, with their lines or
            entries.
        ImportError: a YAML file, without PyYAML.
    """
    states = None if state is None else {state} if isinstance(state, str) else set(state)
    found = [
        one
        for one in _all_in(Path(path))
        if (states is None or one.state is None or one.state in states)
        and (include_management or not one.management)
    ]
    if not found:
        raise ConfigError(
            f"{path}: all accounts in it are closed, suspended or the management account",
            hint="give state=None or include_management=True, if they are meant",
        )
    return tuple(found)


def _all_in(file: Path) -> tuple[Account, ...]:
    kind = file.suffix.lower()
    readers = {
        ".csv": _csv,
        ".tsv": _tsv,
        ".yaml": _yaml,
        ".yml": _yaml,
        ".json": _json,
        ".jsonl": _jsonl,
    }
    if kind not in readers:
        raise ConfigError(
            f"{file}: what it is cannot be told from its name", hint=f"name it {_KINDS}"
        )
    try:
        # What spreadsheets write begins with a byte order mark.
        text = file.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8", hint="save it as UTF-8") from error
    broken: _Broken | None = None
    try:
        return _accounts(file, readers[kind](text))
    except _Broken as error:
        broken = error
    # Raised out here: a parser's own error quotes the file, which may hold anything.
    raise ConfigError(f"{file}: {broken}")


def _accounts(file: Path, entries: Iterable[_Entry]) -> tuple[Account, ...]:
    found: dict[str, tuple[Account, str]] = {}
    problems: list[str] = []
    for entry in entries:
        try:
            if entry.problems:
                raise Unreadable(entry.problems)
            account = account_from(entry.fields)
        except Unreadable as error:
            problems += [f"{entry.where}: {problem}" for problem in error.problems]
            continue
        first, where = found.setdefault(account.id, (account, entry.where))
        if first != account:
            problems.append(
                f"{entry.where}: account {account.id} is in {where} already, and not the same"
            )
    if problems:
        more = len(problems) - _SHOWN
        shown = problems[:_SHOWN] + ([f"and {more} more"] if more > 0 else [])
        raise ConfigError(
            f"{file}: cannot be used:\n" + "\n".join(shown), context={"problems": problems}
        )
    if not found:
        raise ConfigError(f"{file}: there is no account in it")
    return tuple(account for account, _ in found.values())


# ── text in rows ─────────────────────────────────────────────────────────────────────────


def _csv(text: str) -> Iterator[_Entry]:
    first = next((line for line in text.splitlines() if _says_something(line)), "")
    # What a spreadsheet calls CSV in countries where the comma is in numbers.
    return _rows(text, ";" if ";" in first and "," not in first else ",")


def _tsv(text: str) -> Iterator[_Entry]:
    return _rows(text, "\t")


def _says_something(line: str) -> bool:
    return bool(line.strip(" \t,;")) and not line.lstrip().startswith("#")


def _rows(text: str, delimiter: str) -> Iterator[_Entry]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    header: list[str | None] | None = None
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if header is None:
                header = _header(cells)
                if header is not None:
                    continue
                header = ["id"]
            while len(cells) > len(header) and not cells[-1]:
                del cells[-1]
            where = f"line {reader.line_num}"
            too_many: tuple[str, ...] = ()
            if len(cells) > len(header):
                too_many = (
                    f"{len(cells)} cells, and {len(header)} are named above: a text with the "
                    "delimiter in it stands in quotes",
                )
            named = zip(header, cells, strict=False)
            fields = {name: cell for name, cell in named if name is not None}
            yield _Entry(where, fields, too_many)
    except csv.Error as error:
        raise _Broken(f"line {reader.line_num}: {error}") from None


def _header(cells: list[str]) -> list[str | None] | None:
    """Return the fields that a first row names; None: it is an account's id."""
    if cells[0][:1].isdigit() and not any(cells[1:]):
        return None
    read = [known_field(cell) if cell else (None, None) for cell in cells]
    misspelt = [
        _misspelt(cell, meant) for cell, (_, meant) in zip(cells, read, strict=True) if meant
    ]
    if misspelt:
        raise _Broken("; ".join(f"column {one}" for one in misspelt))
    names = [field for field, _ in read]
    # Organizations has two words for it.
    states = [number for number, name in enumerate(names) if name == "state"]
    states.sort(key=lambda number: cells[number].lower() != "state")
    for number in states[1:]:
        names[number] = None
    twice = sorted({name for name in names if name is not None and names.count(name) > 1})
    if twice:
        raise _Broken(f"two columns say {', '.join(twice)}")
    if "id" not in names:
        shown_cells = ", ".join(shown(cell) for cell in cells[:10])
        raise _Broken(
            f"no column is named id, account or account_id, but {shown_cells}; without a header a "
            "line is an id and nothing else"
        )
    return names


def _misspelt(name: str, meant: str) -> str:
    return f"{shown(name)} is not known: did you mean {meant!r}?"


# ── data ─────────────────────────────────────────────────────────────────────────────────


def _yaml(text: str) -> Iterator[_Entry]:
    try:
        import yaml
    except ImportError as error:
        raise ImportError(
            f"YAML files need PyYAML ({error}): pip install 'rolecall[fleet]'"
        ) from error
    try:
        # All scalars stay text: 012345678901 would be a number to the base of eight.
        found = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - makes text, lists, dicts
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark is not None else ""
        raise _Broken(f"is not YAML{line}") from None
    return _listed(found)


def _json(text: str) -> Iterator[_Entry]:
    return _listed(_parsed(text, "is not JSON"))


def _jsonl(text: str) -> Iterator[_Entry]:
    for number, line in enumerate(text.splitlines(), 1):
        if _says_something(line):
            yield _entry(_parsed(line, f"line {number} is not JSON", line=False), f"line {number}")


def _parsed(text: str, complaint: str, *, line: bool = True) -> Any:
    try:
        # Numbers as they are written: 1.11e11 is no id.
        return json.loads(text, parse_int=str, parse_float=str) if text.strip() else None
    except json.JSONDecodeError as error:
        at = f" at line {error.lineno}" if line else ""
    except RecursionError:
        at = ""
    raise _Broken(f"{complaint}{at}")


def _listed(given: Any) -> Iterator[_Entry]:
    if isinstance(given, Mapping):
        keys = [key for key in given if str(key).lower() == "accounts"]
        if len(keys) != 1:
            close = difflib.get_close_matches("accounts", [str(key).lower() for key in given], n=1)
            like = f"; did you mean {close[0]!r} to be it?" if close else ""
            raise _Broken(f"is a mapping without a list named accounts{like}")
        given = given[keys[0]]
    if given is None or given == "":
        given = []
    if not isinstance(given, list):
        raise _Broken("has no list of accounts")
    for number, one in enumerate(given, 1):
        yield _entry(one, f"entry {number}")


def _entry(given: Any, where: str) -> _Entry:
    if not isinstance(given, Mapping):
        return _Entry(where, {"id": given})
    fields: dict[str, Any] = {}
    misspelt: list[str] = []
    for key, value in given.items():
        name, meant = known_field(str(key))
        if meant is not None:
            misspelt.append(f"key {_misspelt(str(key), meant)}")
        # State wins over Status, which it took the place of.
        if name is not None and (name not in fields or str(key).lower() == name):
            fields[name] = value
    return _Entry(where, fields, tuple(misspelt))
