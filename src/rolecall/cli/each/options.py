"""The options of ``rolecall each``, in the sections that its help has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ...spans import length
from ..exec import WithProgram
from ..options import OPTIONS
from ..parameters import complete_role

F = TypeVar("F", bound=Callable[..., Any])

FORMATS = ("table", "jsonl", "csv", "parquet")
#: How programs get their credentials.
WAYS = ("endpoint", "env")

ACCOUNTS = "Which accounts, and where in them"
BASE = "Who assumes the role"
ROLE = "The role in each account"
RUN = "How it runs"
OUTPUT = "What comes of it"
_SECTIONS = (ACCOUNTS, BASE, ROLE, RUN, OUTPUT)

#: Of `OPTIONS`, which all commands have: those that say here who assumes the role.
_OF_BASE = (
    "profile", "via", "mfa_serial", "mfa_command", "mfa_session", "sts_region", "sts_endpoint",
)  # fmt: skip
_OTHER_HELP = {
    "profile": "the profile that assumes it (default: what the AWS CLI would use)",
    "via": "a role to assume on the way, such as a hub's; may be given again, in order",
}
#: --tag says here which accounts are meant.
_OTHER_FLAGS = {"tags": "--session-tag"}
#: The regions are those of the targets.
_NOT_HERE = ("region",)


if TYPE_CHECKING:
    _Time = click.ParamType[timedelta | None]
    _Words = click.ParamType[tuple[str, ...]]
else:  # older versions of click have no parameter there
    _Time = _Words = click.ParamType


class Section(click.Option):
    """An option that is shown in one section of the help."""

    def __init__(self, *arguments: Any, section: str, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.section = section


class Each(WithProgram):
    """A command whose options are shown in sections, and whose last words are a program's."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        found: dict[str, list[tuple[str, str]]] = {name: [] for name in (*_SECTIONS, "Options")}
        for one in self.get_params(ctx):
            record = one.get_help_record(ctx)
            if record is not None:
                found[getattr(one, "section", "Options")].append(record)
        for name, records in found.items():
            with formatter.section(name):
                formatter.write_dl(records)


class Time(_Time):
    """A length of time, such as ``45m``."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta | None:
        """Return *value* as a timedelta."""
        try:
            return length("it", value)
        except ValueError as error:
            self.fail(str(error).removeprefix("it: "), param, ctx)


class Words(_Words):
    """Words with commas between them."""

    name = "words"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the words."""
        if not isinstance(value, str):
            return tuple(value)
        found = tuple(word.strip() for word in value.split(","))
        if not all(found):
            self.fail(f"{value!r}: a word is missing", param, ctx)
        return found


def complete_region(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[Any]]:
    """Complete ``enabled``; which regions there are, is for AWS to say."""
    return [CompletionItem("enabled")] if "enabled".startswith(incomplete) else []


def flat(words: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    """Return the words of an option that may be given again, each once."""
    return tuple(dict.fromkeys(word for group in words for word in group))


_ID = {"metavar": "ID", "multiple": True, "type": Words()}
_FILE = click.Path(dir_okay=False)

_OWN: tuple[tuple[str, tuple[str, ...], dict[str, Any]], ...] = (
    (ACCOUNTS, ("--account",), {**_ID, "help": "An account; may be given again."}),
    (
        ACCOUNTS,
        ("--accounts", "file"),
        {"metavar": "FILE", "type": _FILE, "help": "Those in a CSV, YAML or JSON file."},
    ),
    (
        ACCOUNTS,
        ("--plan",),
        {"metavar": "FILE", "type": _FILE, "help": "What --save-plan has saved."},
    ),
    (ACCOUNTS, ("--organization",), {"is_flag": True, "help": "All of the organization."}),
    (
        ACCOUNTS,
        ("--ou", "ous"),
        {
            "metavar": "UNIT",
            "multiple": True,
            "help": "Those of the organization in this unit or below: an id, a path such as "
            "/prod/eu, or a name; may be given again.",
        },
    ),
    (
        ACCOUNTS,
        ("--exclude-ou", "exclude_ous"),
        {"metavar": "UNIT", "multiple": True, "help": "None in this unit or below."},
    ),
    (
        ACCOUNTS,
        ("--tag", "tags"),
        {
            "metavar": "KEY[=VALUE]",
            "multiple": True,
            "help": "Those of the organization with this tag; with one key several values will do.",
        },
    ),
    (
        ACCOUNTS,
        ("--name",),
        {
            "metavar": "REGEX",
            "help": "Those of the organization in whose name this regular expression is found.",
        },
    ),
    (
        ACCOUNTS,
        ("--state", "states"),
        {
            "metavar": "STATE",
            "multiple": True,
            "help": "Those of the organization in this state (default: ACTIVE), or any.",
        },
    ),
    (
        ACCOUNTS,
        ("--include-management",),
        {"is_flag": True, "help": "The organization's management account as well."},
    ),
    (
        ACCOUNTS,
        ("--cache",),
        {
            "metavar": "TIME",
            "type": Time(),
            "help": "Read the organization again only when what is kept is older.",
        },
    ),
    (ACCOUNTS, ("--exclude",), {**_ID, "help": "Not this account; may be given again."}),
    (
        ACCOUNTS,
        ("--regions", "--region", "regions"),
        {
            "metavar": "REGIONS",
            "multiple": True,
            "type": Words(),
            "shell_complete": complete_region,
            "help": "Regions with commas between them, or enabled: those that each account has "
            "(default: the profile's region).",
        },
    ),
    (
        ACCOUNTS,
        ("--shard",),
        {"metavar": "I/N", "help": "Only the part I of N, as for several machines."},
    ),
    (
        ROLE,
        ("--role",),
        {
            "metavar": "NAME|ARN",
            "help": "A role's name, or an ARN such as arn:aws:iam::{account}:role/x.",
        },
    ),
    (
        ROLE,
        ("--role-for", "roles_for"),
        {
            "metavar": "ID=NAME|ARN",
            "multiple": True,
            "help": "Another role for one account, such as the management account; may be given "
            "again.",
        },
    ),
    (
        RUN,
        ("--call",),
        {
            "metavar": "SERVICE.OPERATION",
            "help": "Call AWS instead of running a program, such as s3.list_buckets.",
        },
    ),
    (
        RUN,
        ("--arguments",),
        {"metavar": "JSON", "help": "Of --call: JSON, or file://arguments.json."},
    ),
    (RUN, ("--query",), {"metavar": "JMESPATH", "help": "What is taken of --call's answer."}),
    (
        RUN,
        ("--credentials", "way"),
        {
            "type": click.Choice(WAYS),
            "default": "endpoint",
            "show_default": True,
            "help": "How programs get them: renewed for as long as they run, or keys in their "
            "environment, which end.",
        },
    ),
    (
        RUN,
        ("--max-workers",),
        {
            "metavar": "N",
            "type": click.IntRange(1),
            "default": 20,
            "show_default": True,
            "help": "Targets at once.",
        },
    ),
    (
        RUN,
        ("--sts-rate",),
        {
            "metavar": "N",
            "type": click.FloatRange(0, min_open=True),
            "help": "AssumeRole calls a second, at most.",
        },
    ),
    (
        RUN,
        ("--failure-tolerance",),
        {
            "metavar": "N",
            "type": click.IntRange(0),
            "help": "Start nothing more when more targets than that have failed.",
        },
    ),
    (
        RUN,
        ("--timeout",),
        {"metavar": "TIME", "type": Time(), "help": "For one target; then its program is ended."},
    ),
    (
        RUN,
        ("--deadline",),
        {"metavar": "TIME", "type": Time(), "help": "After that, nothing more is started."},
    ),
    (
        RUN,
        ("--attempts",),
        {
            "metavar": "N",
            "type": click.IntRange(1),
            "default": 1,
            "help": "Try a target so often where another try may help, as after throttling.",
        },
    ),
    (
        RUN,
        ("--journal",),
        {
            "metavar": "FILE",
            "type": _FILE,
            "help": "Note what was done; run again with it, only what is missing runs.",
        },
    ),
    (RUN, ("--dry-run",), {"is_flag": True, "help": "Print the plan, and run nothing."}),
    (
        RUN,
        ("--save-plan",),
        {"metavar": "FILE", "type": _FILE, "help": "Save the plan, for --plan."},
    ),
    (
        OUTPUT,
        ("--format", "format"),
        {
            "type": click.Choice(FORMATS),
            "help": "How it is written (default: as --output ends, or table).",
        },
    ),
    (
        OUTPUT,
        ("--json", "format"),
        {"flag_value": "jsonl", "help": "The same as --format jsonl: one object a line."},
    ),
    (
        OUTPUT,
        ("--output",),
        {
            "metavar": "FILE",
            "type": _FILE,
            "help": "Write it to a file of mode 0600 instead of standard output.",
        },
    ),
    (
        OUTPUT,
        ("--rows",),
        {
            "is_flag": True,
            "help": "A row for each element of a list, a column for each key of an object.",
        },
    ),
    (
        OUTPUT,
        ("--for-spreadsheets",),
        {
            "is_flag": True,
            "help": "CSV in which no spreadsheet takes a value for a formula.",
        },
    ),
    (OUTPUT, ("--no-progress",), {"is_flag": True, "help": "No bar on standard error."}),
)


def each_options(function: F) -> F:
    """Add all options of ``each`` but ``-v``."""
    found = list(_OWN)
    for option in OPTIONS:
        if option.field in _NOT_HERE:
            continue
        keywords: dict[str, Any] = {
            "metavar": option.metavar,
            "help": _OTHER_HELP.get(option.field, option.help),
            "multiple": option.many,
        }
        if option.field == "profile":
            keywords["shell_complete"] = complete_role
        flag = _OTHER_FLAGS.get(option.field, option.flag)
        field = "session_tags" if option.field == "tags" else option.field
        section = BASE if option.field in _OF_BASE else ROLE
        found.append((section, (flag, field), keywords))
    for section, names, keywords in reversed(found):
        function = click.option(*names, cls=Section, section=section, **keywords)(function)
    return function
