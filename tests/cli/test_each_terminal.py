"""``rolecall each`` at a terminal, with a bar and Ctrl-C; in a pipe there is nothing of it."""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest
from command_line import ROLECALL, SERIAL, Desk, Ended

from rolecall.cli.each.progress import Screen
from rolecall.fleet import Summary

SECONDS = 30

ONE, TWO, THREE = "111122223333", "444455556666", "777788889999"
THEM = ("--profile", "hub", "--role", "Auditor", "--account", f"{ONE},{TWO},{THREE}")

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"

#: Says that it runs, and goes on with what it reads from a FIFO.
GATED = 'trap "" INT; echo "runs $ROLECALL_ACCOUNT_ID" >&2; read word <{fifo}; echo "had $word"'

Start = Callable[..., pexpect.spawn]


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


@pytest.fixture
def start(desk: Desk, fifo: Path) -> Iterator[Start]:
    """Start ``rolecall each`` with a gated program at a terminal of its own."""
    screens = []

    def start(*words: str, program: tuple[str, ...] = ()) -> pexpect.spawn:
        gated = program or ("sh", "-c", GATED.format(fifo=fifo))
        screen = pexpect.spawn(
            ROLECALL, ["each", *THEM, "--max-workers", "1", *words, "--", *gated],
            env={**desk.environ, "TERM": "xterm-256color"}, timeout=SECONDS, encoding="utf-8",
            echo=False, dimensions=(24, 120),
        )  # fmt: skip
        screen.delaybeforesend = None
        screen.logfile_read = io.StringIO()
        screens.append(screen)
        return screen

    yield start
    for screen in screens:
        screen.close(force=True)


def seen(screen: pexpect.spawn) -> str:
    """Return all that the terminal was sent."""
    assert isinstance(screen.logfile_read, io.StringIO)
    return screen.logfile_read.getvalue()


def ends(screen: pexpect.spawn) -> int:
    """Wait for the end; return the exit code."""
    screen.expect(pexpect.EOF)
    screen.close()
    code: int = screen.exitstatus
    return code


def words_of(text: str) -> list[str]:
    """Return the lines of *text* without what steers the terminal."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r\n", "\n")
    return [line.rpartition("\r")[2].rstrip() for line in plain.split("\n")]


def test_a_bar_is_drawn_below_what_is_said_and_is_gone_at_the_end(start: Start, fifo: Path) -> None:
    screen = start()
    for number, account in enumerate((ONE, TWO, THREE)):
        screen.expect_exact(f"{account}: runs {account}")
        screen.expect(f"{number}/3")
        fifo.write_text("a word\n")

    assert ends(screen) == 0

    text = seen(screen)
    assert text.count(HIDE) == text.count(SHOW) > 0
    assert text.rindex(SHOW) > text.rindex(HIDE)
    _, _, after = text.rpartition(SHOW)
    assert [line for line in words_of(after) if line] == [
        "ACCOUNT       VALUE",
        *(f"{account}  had a word" for account in (ONE, TWO, THREE)),
        "rolecall: 3 ok",
    ]
    # The bar's last act is to take itself away: up a line, and wipe it.
    assert "\x1b[1A\x1b[2K" in text
    assert all(f"{one}: runs {one}" in words_of(text) for one in (ONE, TWO, THREE))


def test_the_first_ctrl_c_lets_what_runs_go_on(start: Start, fifo: Path) -> None:
    screen = start()
    screen.expect_exact(f"{ONE}: runs {ONE}")
    fifo.write_text("first\n")
    screen.expect_exact(f"{TWO}: runs {TWO}")

    screen.sendintr()
    screen.expect_exact("nothing more is started; once more ends what runs")
    fifo.write_text("second\n")

    assert ends(screen) == 130
    after = words_of(seen(screen).rpartition(SHOW)[2])
    assert [line for line in after if line] == [
        "ACCOUNT       VALUE",
        f"{ONE}  had first",
        f"{TWO}  had second",
        f"rolecall: not run: {THREE}",
        "rolecall: with --journal FILE the same command could go on with them",
        "rolecall: 2 ok, 1 not run (interrupted)",
    ]


def test_the_second_ctrl_c_ends_what_runs(start: Start, tmp_path: Path) -> None:
    """Whatever that thinks of a Ctrl-C, which never reaches it."""
    screen = start(program=("sh", "-c", 'trap "" INT; echo "runs $$" >&2; exec sleep 600'))
    screen.expect(r"runs (\d+)")
    pid = int(screen.match[1])

    screen.sendintr()
    screen.expect_exact("once more ends what runs")
    os.kill(pid, 0)
    screen.sendintr()

    assert ends(screen) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    text = seen(screen)
    assert text.rindex(SHOW) > text.rindex(HIDE)
    assert "rolecall: 0 ok, 1 failed (timeout 1), 2 not run (interrupted)" in words_of(text)


def test_a_terminal_that_is_closed_ends_what_runs(start: Start, fifo: Path) -> None:
    screen = start()
    screen.expect_exact(f"{ONE}: runs {ONE}")

    screen.kill(signal.SIGHUP)

    assert ends(screen) == 128 + signal.SIGHUP


class Tty(io.StringIO):
    """A terminal as far as anybody asks."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("words", "bar"),
    [
        (["--account", ONE], True),
        (["--account", ONE, "--no-progress"], False),
        (["--account", ONE, "-v"], False),
        # Rows that come one by one at the same terminal would be written over it.
        (["--account", ONE, "--json"], False),
    ],
)
def test_there_may_be_no_bar(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, words: list[str], bar: bool
) -> None:
    out, err = Tty(), Tty()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    desk.environ["TERM"] = "xterm-256color"
    call = ["--call", "sts.get_caller_identity"]

    found = desk.here(
        lambda: Ended(0, "", ""), "each", "--profile", "hub", "--role", "Auditor", *words, *call
    )

    assert found.code == 0
    assert HIDE not in out.getvalue()
    assert (HIDE in err.getvalue()) == bar
    assert "rolecall: 1 ok" in err.getvalue()


def test_data_stays_on_standard_output_while_there_is_a_bar(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = io.StringIO(), Tty()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    desk.environ["TERM"] = "xterm-256color"
    call = ["--call", "sts.get_caller_identity", "--query", "Account", "--format", "csv"]

    desk.here(
        lambda: Ended(0, "", ""), "each", "--profile", "hub", "--role", "Auditor",
        "--account", ONE, *call,
    )  # fmt: skip

    assert HIDE in err.getvalue()
    assert [row["value"] for row in csv.DictReader(io.StringIO(out.getvalue()))] == [ONE]


def test_a_code_is_asked_for_before_anything_starts(desk: Desk, start: Start) -> None:
    desk.cloud.mfa_codes(SERIAL, "314159")
    screen = start("--mfa-serial", SERIAL, program=("echo", "done"))
    screen.expect_exact(f"MFA code for {SERIAL}: ")
    assert HIDE not in seen(screen)

    screen.sendline("314159")

    assert ends(screen) == 0
    assert "rolecall: 3 ok" in words_of(seen(screen))


def test_in_a_pipe_there_is_nothing_but_data(desk: Desk) -> None:
    program = ["sh", "-c", "echo said >&2; echo '[1, 2]'"]
    desk.environ["TERM"] = "xterm-256color"

    found = desk.run("each", *THEM, "--format", "csv", "--rows", program=program)

    assert "\x1b" not in found.out + found.err
    table = list(csv.DictReader(io.StringIO(found.out)))
    assert sorted((row["account"], row["value"]) for row in table) == [
        (account, number) for account in (ONE, TWO, THREE) for number in ("1", "2")
    ]
    assert sorted(found.err.splitlines()) == [
        *(f"{account}: said" for account in (ONE, TWO, THREE)), "rolecall: 3 ok",
    ]  # fmt: skip


def test_without_a_bar_lines_are_written_whole(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen(bar=True) as screen:  # standard error is no terminal
        screen.line("one [red]line")
        screen.say("two")
        screen.tell(Summary(ok=1), 2)

    assert capsys.readouterr().err == "one [red]line\nrolecall: two\n"


# ── a standard error that nobody reads ───────────────────────────────────────────────────


class Broken(io.StringIO):
    """Takes nothing any more, once it is broken."""

    def __init__(self, error: Exception, *, tty: bool) -> None:
        super().__init__()
        self.error = error
        self.tty = tty
        self.broken = False
        self.refused = 0

    def isatty(self) -> bool:
        return self.tty

    def write(self, text: str) -> int:
        if self.broken:
            self.refused += 1
            raise self.error
        return super().write(text)

    def flush(self) -> None:
        if self.broken:
            raise self.error


@pytest.mark.parametrize("bar", [False, True], ids=["no bar", "a bar"])
@pytest.mark.parametrize(
    "error",
    [
        BrokenPipeError(errno.EPIPE, "gone"),
        OSError(errno.ENOSPC, "full"),
        OSError(errno.EIO, "closed"),
        ValueError("closed file"),
    ],
    ids=lambda error: str(error.args[-1]),
)
def test_what_cannot_be_said_is_lost_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, error: Exception, bar: bool
) -> None:
    if bar and isinstance(error, BrokenPipeError):
        return  # no terminal says so
    err = Broken(error, tty=bar)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("TERM", "xterm-256color")

    with Screen(bar=bar) as screen:
        assert (HIDE in err.getvalue()) == bar
        err.broken = True
        screen.line("one")
        screen.say("two", "three")
        screen.tell(Summary(ok=1), 2)
        screen.clear()
        screen.line("four")

    assert err.refused > 0
