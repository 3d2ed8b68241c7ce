"""The ``rolecall`` command and its list of commands; each is imported when it is run."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import click

from .._version import __version__
from .options import take_region

_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Entry(NamedTuple):
    """One command, before its module is loaded.

    Attributes:
        module: Where its function ``command`` is.
        help: What the list of commands says of it; the first line of its own help.
    """

    module: str
    help: str


COMMANDS = {
    "exec": Entry("exec", "Run a program as a role; its credentials never expire."),
    "credential-process": Entry("process", "Print credentials for a profile's credential_process."),
    "export": Entry("export", "Print a role's keys for a shell or a file."),
    "serve": Entry("serve", "Serve roles to programs that are started elsewhere."),
    "each": Entry("each.command", "Run a program or an AWS call in many accounts."),
    "top": Entry("top", "Watch the roles that exec and serve keep alive."),
    "console": Entry("console", "Print a link that signs a browser in as a role."),
    "whoami": Entry("whoami", "Tell who a role is, how it gets there and until when."),
    "roles": Entry("roles", "List the profiles that are roles; check them."),
    "cache": Entry("cache", "Show or clear what is stored for all programs."),
    "demo": Entry("demo", "Watch sessions live through their rotations, offline."),
    "completion": Entry("completion", "Print what makes a shell complete commands and roles."),
}  # fmt: skip


#: What other tools call them.
_OTHERS = {"env": "export", "list": "roles", "login": "console", "ls": "roles", "shell": "exec"}


class _ReaderGone(Exception):
    """Nobody reads standard output any more; click would make of it what other errors are."""


class Commands(click.Group):
    """A group that imports a command when it is used."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGone from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order they are shown."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command *cmd_name*."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        found: click.Command = import_module(f".{entry.module}", __package__).command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is named; say which may have been meant where none is."""
        name = args[0]
        if name not in COMMANDS:
            import difflib

            close = [_OTHERS[name]] if name in _OTHERS else []
            close += difflib.get_close_matches(name, COMMANDS, n=2)
            meant = f" Did you mean {' or '.join(close)}?" if close else ""
            raise click.UsageError(f"No such command {name!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, none of which is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


@click.group(cls=Commands, context_settings=_HELP)
@click.version_option(__version__, prog_name="rolecall")
def rolecall() -> None:
    """AWS role sessions that never expire under you.

    A ROLE is a profile of ~/.aws/config or the ARN of a role, in all commands.

    \b
      rolecall exec deploy -- terraform apply
      rolecall exec arn:aws:iam::123456789012:role/Reader --profile hub -- aws s3 ls
      rolecall whoami deploy
    """


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    take_region(os.environ)  # noqa: TID251 - border
    lost = None
    if sys.stdout is None:  # closed: what was to be printed is lost, and that is to be noticed
        sys.stdout = lost = io.StringIO()
    if sys.stderr is None:
        sys.stderr = io.StringIO()
    code = _run(words)
    _let_go_of_stderr()
    try:
        sys.stdout.flush()
    except OSError as error:  # a full disk; Python would complain at exit, and end with 120
        sys.stdout = io.StringIO()  # so that Python does not try once more, and complain
        if isinstance(error, BrokenPipeError):
            return 128 + 13
        print(f"rolecall: standard output: {error.strerror}", file=sys.stderr)
        return 1
    return 1 if code == 0 and lost is not None and lost.getvalue() else code


def _let_go_of_stderr() -> None:
    """Leave nothing that Python could not write at its end: it would end with 120."""
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.stderr = io.StringIO()


def _run(words: Sequence[str] | None) -> int:
    try:
        code = rolecall.main(
            None if words is None else list(words), prog_name="rolecall", standalone_mode=False
        )
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _ended(KeyboardInterrupt())
    except _ReaderGone:
        return _reader_gone()
    except Exception as error:
        return _ended(error)
    return code if isinstance(code, int) else 0


def _ended(error: BaseException) -> int:
    # Imported now: it loads botocore, which `--help` does without.
    from . import endings

    if not isinstance(error, (KeyboardInterrupt, *endings.EXPECTED)):
        raise error
    if isinstance(error, KeyboardInterrupt):
        print(file=sys.stderr)
    else:
        endings.say(endings.told(error))
    return endings.code_of(error)


def _reader_gone() -> int:
    """Return the exit code where nobody reads standard output any more, as of ``| head``."""
    # Or Python, which flushes it at exit, complains.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13  # SIGPIPE
