"""``rolecall top``: the roles that this user's endpoints keep alive."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import click

from .parameters import json_option, verbose_option

_SECONDS = 1.0
_BAR = 20
_SHORT_BAR = 6
#: Columns that a table with long bars needs.
_WIDE = 120
#: What is shown, and from which width of the terminal on.
_COLUMNS = {
    "PID": 70, "COMMAND": 90, "ROLE": 0, "IDENTITY": 80, "LEFT": 0, "BAR": 60, "REFRESHED": 100,
    "LAST ERROR": 0,
}  # fmt: skip
#: Columns, where there is no terminal to tell.
_PIPED = 160


@click.command("top")
@click.option("--once", is_flag=True, help="Print the table once, and end.")
@json_option
@verbose_option
def command(once: bool, as_json: bool) -> int:
    """Watch the roles that exec and serve keep alive.

    \b
      rolecall top
      rolecall top --once --json
    """
    environ = os.environ  # noqa: TID251 - border
    if as_json:
        import json

        click.echo(json.dumps(rows(environ), indent=2))
        return 0
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPED)
    if once or not console.is_terminal:
        _print(console, environ)
        return 0
    return _watch(console, environ)


def _watch(console: Any, environ: Mapping[str, str]) -> int:
    import threading

    from rich.live import Live

    never = threading.Event()
    first = table(rows(environ), width=console.width)
    with Live(first, console=console, screen=True, auto_refresh=False) as live:
        try:
            while not never.wait(_SECONDS):
                live.update(table(rows(environ), width=console.width), refresh=True)
        except KeyboardInterrupt:
            return 0
    return 0


def _print(console: Any, environ: Mapping[str, str]) -> None:
    found = rows(environ)
    if found:
        console.print(table(found, width=console.width))
        return
    from .endings import say

    say("nothing runs: start it with rolecall exec or rolecall serve")


def rows(environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what each role of each running endpoint says of itself; no secret."""
    from ..endpoint.asking import status_of
    from ..endpoint.status import forget, running

    found: list[dict[str, Any]] = []
    for one in running(environ):
        try:
            roles = status_of(one)
        except TimeoutError:
            silent = {"name": "", "state": "unknown", "last_error": "does not answer"}
            found.append({"pid": one.pid, "command": one.what, **silent})
            continue
        if roles is None:
            forget(one)
            continue
        found += [{"pid": one.pid, "command": one.what, **role} for role in roles]
    return found


def table(found: Iterable[Mapping[str, Any]], *, width: int = _PIPED) -> Any:
    """Return *found* as a table, with the time that is left as a bar where there is room."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    columns = [name for name, least in _COLUMNS.items() if width >= least]
    for name in columns:
        made.add_column(
            name if name != "BAR" else "",
            overflow="fold",
            no_wrap=name not in ("COMMAND", "ROLE", "LAST ERROR"),
            justify="right" if name == "PID" else "left",
        )
    for row in found:
        left, of = row.get("remaining_seconds"), row.get("lifetime_seconds")
        length = _BAR if width >= _WIDE else _SHORT_BAR
        cells = {
            "PID": Text(str(row["pid"])),
            "COMMAND": Text(str(row["command"])),
            "ROLE": Text(str(row.get("name") or "").rpartition("/")[2]),
            "IDENTITY": Text(_identity(row)),
            "LEFT": Text(_left(left)),
            "BAR": Text(bar(left, of, length), style=_style(row.get("state"))),
            "REFRESHED": Text(str(row.get("refreshes", ""))),
            "LAST ERROR": Text(str(row.get("last_error") or "")),
        }
        made.add_row(*(cells[name] for name in columns))
    return made


def _identity(row: Mapping[str, Any]) -> str:
    """Return account and role as AWS knows them."""
    return str(row.get("role_arn") or "").partition("::")[2]


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    from datetime import timedelta

    from .lifetimes import shown

    return shown(timedelta(seconds=seconds))


def bar(left: float | None, of: float | None, length: int = _BAR) -> str:
    """Return *left* seconds of *of* as a bar of *length* characters."""
    if left is None or not of:
        return ""
    full = round(length * min(1.0, max(0.0, left / of)))
    return "█" * full + "░" * (length - full)


def _style(state: object) -> str:
    return {"fresh": "green", "stale": "yellow", "critical": "red", "expired": "red"}.get(
        str(state), ""
    )
