"""What can be seen to be wrong with a command line of ``each`` before anything runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from .options import flat

if TYPE_CHECKING:
    from .accounts import Selection


def check(selection: Selection, program: Sequence[str], values: Mapping[str, Any]) -> None:
    """Refuse what can be seen to be wrong at once."""
    from .accounts import usable

    wrong = selection.problems()
    if program and values["call"]:
        wrong.append("a program after -- and --call: give one of them")
    if not program and not values["call"] and not (values["dry_run"] or values["save_plan"]):
        wrong.append("what is to be done? Give a program after --, or --call SERVICE.OPERATION")
    if values["journal"] and not program and not values["call"]:
        wrong.append("--journal: is of a program or a --call; say which")
    for name in ("arguments", "query"):
        if values[name] is not None and not values["call"]:
            wrong.append(f"--{name} goes with --call")
    if values["call"] and not all(values["call"].partition(".")[::2]):
        wrong.append(f"--call {values['call']}: must be SERVICE.OPERATION, as s3.list_buckets")
    regions = flat(values["regions"])
    if "enabled" in regions and len(regions) > 1:
        wrong.append("--regions enabled: goes with no other region")
    if selection.plan is not None and values["regions"]:
        wrong.append("--regions: the plan says that")
    if selection.plan is not None and values["roles_for"]:
        wrong.append("--role-for: the plan says that")
    wrong += _same_files(
        {
            "--accounts": selection.file,
            "--plan": selection.plan,
            "--save-plan": values["save_plan"],
            "--journal": values["journal"],
            "--output": values["output"],
        }
    )
    if values["dry_run"] and goes_on(values["journal"], values["output"]):
        wrong.append(
            f"--output {values['output']}: has what the run of --journal found: leave it out for "
            "--dry-run"
        )
    if wrong:
        raise click.UsageError("; ".join(wrong))
    from ...fleet.shards import parse_shard

    usable(lambda: parse_shard(values["shard"]))


def _same_files(given: Mapping[str, str | None]) -> list[str]:
    seen: dict[str, str] = {}
    wrong = []
    for flag, path in given.items():
        if path is not None:
            first = seen.setdefault(os.path.realpath(path), flag)
            if first != flag:
                wrong.append(f"{first} and {flag} name the same file")
    return wrong


def check_output(values: Mapping[str, Any], format: str) -> None:
    """Refuse a file of another run's before anything is run, whose rows would be lost."""
    from ...errors import ConfigError
    from ...fleet.results.tables import check_appending

    path = values["output"]
    if not goes_on(values["journal"], path):
        return
    try:
        check_appending(path, format, rows=values["rows"])
    except (ValueError, OSError) as error:
        hint = "give another file: the journal says what is done already"
        raise ConfigError(f"--output {path}: {error}", hint=hint) from error


def goes_on(journal: str | None, output: str | None) -> bool:
    """Return whether rows are to be added to those of the run that *journal* is of."""
    return all(
        path and os.path.exists(path) and os.path.getsize(path) for path in (journal, output)
    )
