"""What a page tells its reader to type, and what he is to see then."""

from __future__ import annotations

import itertools
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import yaml

from test_docs import Block, blocks_of, files_on

#: Blocks of these are typed.
TYPED = frozenset({"sh", "bash", "shell", "console", "zsh"})
CONFIG = "# ~/.aws/config\n"
PROGRAM = "# my_program.py\n"

ANY_ROLE = "arn:aws:iam::123456789012:role/Reader"

#: A step of a workflow that puts a session's keys into the environment of those after it.
CONFIGURES = "aws-actions/configure-aws-credentials"

#: What a page that shows no configuration may take for granted, as ``--help`` does.
USUAL_CONFIG = """
[profile hub]
role_arn = arn:aws:iam::123456789012:role/Hub
source_profile = me
region = eu-central-1

[profile deploy]
role_arn = arn:aws:iam::210987654321:role/Deploy
source_profile = me
region = eu-central-1
"""

#: Marks above a block, as HTML comments, which no reader sees. A block that cannot be run has none:
#: a stand-in is to run as much of it as can be.
IN_ANOTHER_TERMINAL = "<!-- in another terminal -->"
FAILS = re.compile(r"<!-- ends with (?P<code>\d+) -->")

#: Any text within a line; a line of its own is any number of lines.
ANYTHING = "…"


#: A reader's own program, where a page does not show it: it makes a session, and no call.
USUAL_PROGRAM = """
import boto3, rolecall
keys = {"aws_access_key_id": "AKIAFAKE", "aws_secret_access_key": "fake"}
rolecall.assume_role(boto3.Session(**keys), "arn:aws:iam::123456789012:role/Reader")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command.

    Attributes:
        text: As it is typed.
        shown: The lines that follow it on the page. None: the page does not show what it prints.
        line: Of the page.
        ends: The exit code that it must have. None: the page looks at it with ``echo $?``.
    """

    text: str
    shown: tuple[str, ...] | None
    line: int
    ends: int | None = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """All that a page has to type.

    Attributes:
        config: The ``~/.aws/config`` of its reader.
        program: ``my_program.py``.
        files: Name → contents of others that the page shows.
        aside: What runs in another terminal, all the while.
        jobs: Scripts of GitHub's workflows, with the environment that each is given.
    """

    config: str
    program: str
    commands: tuple[Command, ...]
    aside: tuple[Command, ...] = ()
    jobs: tuple[tuple[str, Mapping[str, str]], ...] = field(default=())
    files: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.commands or self.aside or self.jobs)


def sheet_of(page: Path) -> Sheet:
    """Return what *page* has to type, in order."""
    commands: list[Command] = []
    aside: list[Command] = []
    jobs: list[tuple[str, Mapping[str, str]]] = []
    config, program = "", USUAL_PROGRAM
    text = page.read_text(encoding="utf-8")
    for block in blocks_of(text):
        if block.language == "ini" and block.code.startswith(CONFIG):
            config += block.code + "\n"
        elif block.language == "python" and block.code.startswith(PROGRAM):
            program = block.code
        elif block.language in {"yaml", "yml"}:
            jobs += steps_of(yaml.safe_load(block.code))
        elif block.language in TYPED:
            (aside if block.before == IN_ANOTHER_TERMINAL else commands).extend(typed(block))
    return Sheet(
        config=config or USUAL_CONFIG,
        program=program,
        commands=tuple(commands),
        aside=tuple(aside),
        jobs=tuple(jobs),
        files=dict(files_on(text)),
    )


def typed(block: Block) -> Iterator[Command]:
    """Yield the commands of a block: each behind ``$``, or all of it where there is none."""
    ends = FAILS.fullmatch(block.before)
    code = int(ends["code"]) if ends else 0
    if not re.search(r"^\$ ", block.code, flags=re.MULTILINE):
        yield Command(text=block.code.rstrip("\n"), shown=None, line=block.line, ends=code)
        return
    found: list[tuple[int, list[str], list[str]]] = []
    for number, line in enumerate(block.code.splitlines(), block.line):
        goes_on = bool(found) and not found[-1][2] and found[-1][1][-1].endswith("\\")
        if line.startswith("$ "):
            found.append((number, [line.removeprefix("$ ")], []))
        elif not found:
            raise AssertionError(f"line {number}: what is shown stands before any command")
        elif goes_on or line.startswith("> "):
            found[-1][1].append(line.removeprefix("> "))
        else:
            found[-1][2].append(line)
    for at, (number, text, shown) in enumerate(found):
        looked_at = at + 1 < len(found) and found[at + 1][1] == ["echo $?"]
        yield Command(
            text="\n".join(text),
            shown=tuple(shown) or None,
            line=number,
            ends=None if looked_at else code,
        )


def steps_of(workflow: Any) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the ``run`` of each step of a workflow, with its ``env`` and those around it."""
    for job in workflow.get("jobs", {}).values():
        keys = {}
        for step in job.get("steps", ()):
            if step.get("uses", "").startswith(CONFIGURES):
                keys = {CONFIGURES: "1"}
            if "run" in step:
                levels = (keys, workflow.get("env"), job.get("env"), step.get("env"))
                yield step["run"], {k: str(v) for one in levels for k, v in (one or {}).items()}


def differences(shown: tuple[str, ...], seen: str) -> str:
    """Return how *seen* is not what the page has *shown*; "" if it is.

    `ANYTHING` stands for any text, and alone in a line for any lines.
    """
    pattern = ""
    for line in shown:
        if line.strip() == ANYTHING:
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(map(re.escape, line.rstrip().split(ANYTHING))) + r"[ \t]*\n"
    if re.fullmatch(pattern, seen.rstrip("\n") + "\n"):
        return ""
    return textwrap.indent("\n".join(shown), "page: ") + "\n" + textwrap.indent(seen, "seen: ")


def words_in_prose(text: str) -> list[str]:
    """Return each ``rolecall …`` command line that stands in a line of prose or in a table."""
    found = re.findall(r"(?<!`)`(rolecall(?: [^`\n]+)?)`(?!`)", text)
    return [one.replace("\\|", "|") for one in found]


def in_tables(text: str) -> tuple[Command, ...]:
    """Return each ``rolecall …`` command line of a page's tables, once, as it can be run.

    ``ARN`` becomes one; what would be piped into another shell is not; a shell is left at once.
    """
    found: dict[str, Command] = {}
    for number, line in enumerate(text.splitlines(), 1):
        for one in words_in_prose(line) if line.startswith("|") else ():
            command = one.partition(" | ")[0].replace("ARN", ANY_ROLE)
            if "…" in command or command.count(" ") < 2:
                continue
            if command.startswith("rolecall exec ") and " -- " not in command:
                command += " <<< exit"
            if command.startswith("rolecall console "):
                command += ' --signin-endpoint "$FAKE_SIGN_IN"'
            found.setdefault(command, Command(text=command, shown=None, line=number))
    return tuple(found.values())


_ENDS = frozenset({"|", ">", ">>", "<", "&&", "||", ";", "&", "#"})


def parsed(line: str) -> str:
    """Return what is wrong with a ``rolecall …`` command line; "" if it would be understood.

    Nothing is run. A line of prose may leave out what is needed, as ``rolecall exec --via env``.
    """
    from rolecall.cli.commands import rolecall

    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    # Up to a pipe, a redirection or another command.
    words = list(itertools.takewhile(lambda word: word not in _ENDS, lexer))[1:]
    if words[:1] == ["credential-process"]:
        return _parsed_by_argparse(words[1:])
    try:
        context = rolecall.make_context("rolecall", words or ["--version"])
        command: click.Command = rolecall
        while isinstance(command, click.Group):
            if not words:
                return ""
            name, *words = words
            found = command.get_command(context, name)
            if found is None:
                return f"there is no command {name}"
            command = found
        if words:
            command.make_context(command.name, list(words), parent=context)
    except (click.exceptions.Exit, click.MissingParameter):  # --help and --version end so
        return ""
    except click.UsageError as error:
        return error.format_message()
    return ""


def _parsed_by_argparse(words: list[str]) -> str:
    from rolecall.cli.credential_process import _parser

    try:
        if words:
            _parser().parse_args(words)
    except SystemExit as end:
        return "" if not end.code else "credential-process does not understand it"
    return ""
