"""``rolecall cache``: what is stored for all programs, never the secrets; and clearing it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from .parameters import json_option, verbose_option

if TYPE_CHECKING:
    from .cached import Cached

_COLUMNS = ("KEY", "ACCOUNT", "ROLE", "EXPIRES", "LEFT")


@click.group("cache")
def command() -> None:
    """Show or clear what is stored for all programs.

    \b
      rolecall cache list
      rolecall cache clear --expired
    """


@command.command("list")
@json_option
@verbose_option
def list_command(as_json: bool) -> None:
    """List what is stored, never the secrets.

    A session is stored under a digest of who assumes what. Its role is told where a profile of
    ~/.aws/config leads to it.

    \b
      rolecall cache list --json
    """
    from .cached import Cache
    from .endings import say
    from .printed import iso, left_shown, print_json, print_table

    cache = Cache(os.environ)  # noqa: TID251 - border
    found = cache.entries()
    if as_json:
        print_json({"store": cache.name, "complete": cache.complete, "entries": _rows(found)})
    elif found:
        print_table(
            _COLUMNS,
            [
                [
                    one.access_key_id or "unreadable",
                    one.account or "",
                    one.role or "",
                    iso(one.expires_at) or "",
                    "" if one.access_key_id is None else left_shown(one.seconds_left),
                ]
                for one in found
            ],
        )
    if not found:
        say(f"nothing is stored in {cache.name}")
    if not cache.complete:
        say(f"{cache.name} cannot be listed: looked for the sessions of your profiles only")


@command.command("clear")
@click.option("--expired", is_flag=True, help="Only what has expired, or cannot be read.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@verbose_option
def clear_command(expired: bool, yes: bool) -> None:
    """Delete what is stored, so that all is fetched anew.

    That costs time, and a new code where a role wants MFA; what runs goes on with what it holds,
    and AWS accepts the deleted keys until they expire. At a terminal it asks first.

    \b
      rolecall cache clear --expired
      rolecall cache clear --yes
    """
    from .cached import Cache
    from .endings import say

    environ: Mapping[str, str] = os.environ  # noqa: TID251 - border
    cache = Cache(environ)
    found = [one for one in cache.entries() if one.is_over or not expired]
    count = f"{len(found)} session{'' if len(found) == 1 else 's'}"
    # Where nobody can be asked it is done: nothing is lost that cannot be had again.
    if found and not yes and _is_at_a_terminal():
        click.confirm(f"Delete {count} from {cache.name}?", abort=True, err=True)
    failed = [one for one in found if not one.delete()]
    cache.sweep()
    say(f"deleted {len(found) - len(failed)} of {count} from {cache.name}")
    if not cache.complete:
        say(f"{cache.name} cannot be listed: only sessions of your profiles were looked for")
    for one in failed:
        say(f"not deleted: {one.where}")
    if failed:
        raise click.exceptions.Exit(1)


def _rows(found: list[Cached]) -> list[dict[str, Any]]:
    from .printed import iso

    return [
        {
            "access_key_id": one.access_key_id,
            "account": one.account,
            "role": one.role,
            "profiles": list(one.profiles),
            "expires_at": iso(one.expires_at),
            "seconds_left": one.seconds_left,
            "kind": one.kind,
            "where": one.where,
        }
        for one in found
    ]


def _is_at_a_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))
