"""What commands print: JSON, instants, and tables that are plain text where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from .lifetimes import shown

if TYPE_CHECKING:
    from rich.console import Console

    from ..credentials import Credentials

#: As the AWS SDKs write instants, and as `credential-process` prints them: UTC, whole seconds.
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

#: Of a line that another program reads: no table is wider.
_NO_END = 100_000


@dataclass(slots=True)
class Node:
    """One line of a tree: its cells, and what hangs on it."""

    cells: Sequence[str]
    children: list[Node] = field(default_factory=list)


def print_json(value: Any) -> None:
    """Print *value* as JSON on standard output."""
    import json

    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def iso(instant: datetime | None) -> str | None:
    """Return *instant* in UTC, to the second."""
    return None if instant is None else instant.astimezone(timezone.utc).strftime(TIME_FORMAT)


def local_end(credentials: Credentials) -> datetime | None:
    """Return when *credentials* expire by the local clock; None: never."""
    if credentials.expires_at is None:
        return None
    return credentials.expires_at - credentials.clock_offset


def seconds_left(credentials: Credentials) -> int | None:
    """Return how many seconds *credentials* still live, negative since they ended; None: no end."""
    from ..stores import Stored

    left = Stored.left(credentials)
    return None if left == timedelta.max else int(left.total_seconds())


def left_shown(seconds: int | None) -> str:
    """Return what people are told of `seconds_left`."""
    return "does not expire" if seconds is None else shown(timedelta(seconds=seconds))


def plain(text: str) -> str:
    """Return *text*, of a file perhaps, without what would steer a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on standard output, in columns that `cut` and `awk` can take apart."""
    from rich.table import Table

    console = _console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(plain, row))
    _put(console, table)


def print_trees(roots: Iterable[Node]) -> None:
    """Print trees on standard output: with branches at a terminal, else indented."""
    console = _console()
    if not console.is_terminal:
        lines: list[str] = []
        for root in roots:
            lines += _indented(root, 0)
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        return
    from rich.text import Text
    from rich.tree import Tree

    def grow(tree: Any, node: Node) -> Any:
        for child in node.children:
            grow(tree.add(Text(_joined(child))), child)
        return tree

    for root in roots:
        _put(console, grow(Tree(Text(_joined(root), style="bold"), guide_style="dim"), root))


def _indented(node: Node, depth: int) -> list[str]:
    lines = [f"{'  ' * depth}{_joined(node)}"]
    for child in node.children:
        lines += _indented(child, depth + 1)
    return lines


def _joined(node: Node) -> str:
    return "  ".join(plain(cell) for cell in node.cells if cell)


def _console() -> Console:
    from rich.console import Console

    # Without markup: [brackets] in a profile's name are no style.
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    # What is read by a program has one line for each row, however long.
    return (
        console
        if console.is_terminal
        else Console(file=sys.stdout, highlight=False, markup=False, emoji=False, width=_NO_END)
    )


def _put(console: Console, what: Any) -> None:
    if console.is_terminal:
        console.print(what)
        return
    with console.capture() as captured:
        console.print(what)
    lines = captured.get().splitlines()
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in lines))
