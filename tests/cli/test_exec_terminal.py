"""``rolecall exec`` at a terminal: job control, Ctrl-C, a sub-shell, as if it were not there."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from command_line import COUNTER, PARENT, ROLECALL, SAME_CODE, Desk

SECONDS = 30
PROMPT = "outer> "

#: What `exec` does, held up by a line where it has its signals and no child yet.
HELD_UP = """
import os, sys
from rolecall.cli.children import as_given, run, signals_kept
with signals_kept():
    print("kept", flush=True)
    sys.stdin.readline()
    sys.exit(run(sys.argv[1:], as_given(os.environ)))
"""

#: The end of what `fg` says of the function ``run``.
FG = r'"\$@"\r\n'


class Terminal:
    """An interactive shell with job control, in which ``run`` runs a program as `exec` does."""

    def __init__(self, environ: dict[str, str]) -> None:
        environ = {
            **environ, "PS1": PROMPT, "TERM": "dumb", "PYTHON": sys.executable,
            "PARENT": PARENT, "HELD_UP": HELD_UP, "COUNTER": COUNTER, "ROLECALL_PROGRAM": ROLECALL,
        }  # fmt: skip
        words = ["--norc", "--noprofile", "--noediting", "-i"]
        self.shell = pexpect.spawn(
            "bash", words, env=environ, timeout=SECONDS, encoding="utf-8", echo=False
        )
        self.shell.delaybeforesend = None
        self.expect(PROMPT)
        self.do('run() { "$PYTHON" -c "$PARENT" "$@"; }')
        self.do('count() { run "$PYTHON" -c "$COUNTER" "$@" USR2; }')
        self.do("bind 'set enable-bracketed-paste off' 2>/dev/null; stty -echo")

    def type(self, line: str) -> None:
        self.shell.sendline(line)

    def press(self, key: str) -> None:
        """Press Ctrl and *key*."""
        self.shell.sendcontrol(key)

    def expect(self, pattern: str) -> tuple[str, ...]:
        """Wait until *pattern* is seen; return its groups."""
        self.shell.expect(pattern)
        found: tuple[str, ...] = self.shell.match.groups()
        return found

    def before(self) -> str:
        """What was seen between the last two patterns."""
        text: str = self.shell.before
        return text.replace("\r\n", "\n")

    def do(self, line: str) -> str:
        """Run a command of the shell; return what it prints."""
        self.type(line)
        self.expect(PROMPT)
        return self.before()

    def code(self) -> int:
        """Return the exit code of the last command."""
        return int(self.do("echo $?"))

    def close(self) -> None:
        self.shell.close(force=True)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    found = Terminal({**SAME_CODE, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    yield found
    found.close()


def test_the_terminals_signals_reach_the_child_once_each(terminal: Terminal) -> None:
    """And those who run it live on with a child that does."""
    terminal.type("count INT QUIT TSTP WINCH HUP CONT USR1")
    _, parent = map(int, terminal.expect(r"ready (\d+) (\d+)\r\n"))
    for _ in range(3):
        for key, name in (("c", "SIGINT"), ("\\", "SIGQUIT"), ("z", "SIGTSTP")):
            terminal.press(key)
            # Of process 0: the terminal, not of those who run it as well.
            assert terminal.expect(r"(\w+) (\d+)\r\n") == (name, "0")
    terminal.shell.setwinsize(33, 99)
    assert terminal.expect(r"(\w+) (\d+)\r\n") == ("SIGWINCH", "0")
    # Sent to us alone; whatever we had passed on before would have come before.
    os.kill(parent, signal.SIGUSR1)
    assert terminal.expect(r"(\w+) (\d+)\r\n") == ("SIGUSR1", str(parent))
    os.kill(parent, signal.SIGUSR2)
    assert terminal.expect(r"(\w+) (\d+)\r\n") == ("SIGUSR2", str(parent))
    terminal.expect(PROMPT)

    assert terminal.before() == ""
    assert terminal.code() == 0


@pytest.mark.parametrize(
    ("key", "number"), [("c", signal.SIGINT), ("\\", signal.SIGQUIT)], ids=["INT", "QUIT"]
)
def test_a_key_that_ends_the_child_ends_us(
    terminal: Terminal, key: str, number: signal.Signals
) -> None:
    terminal.do("ulimit -c 0")
    terminal.type("run sh -c 'echo ready; exec cat'")
    terminal.expect("ready\r\n")

    terminal.press(key)
    terminal.expect(PROMPT)

    assert terminal.code() == 128 + number
    assert terminal.do("jobs") == ""


@pytest.mark.parametrize(
    ("key", "seen"), [("c", PROMPT), ("\\", PROMPT), ("z", "Stopped")], ids=["INT", "QUIT", "TSTP"]
)
def test_a_key_that_is_pressed_before_there_is_a_child_is_not_lost(
    terminal: Terminal, key: str, seen: str
) -> None:
    """The endpoint is started meanwhile, which takes a while; the child never had the signal."""
    terminal.do("ulimit -c 0")
    terminal.type('"$PYTHON" -c "$HELD_UP" sh -c "echo started; exec cat"')
    terminal.expect("kept\r\n")

    terminal.press(key)
    terminal.type("")

    assert terminal.expect(f"(started|{seen})") == (seen,)
    if key == "z":
        terminal.expect(PROMPT)
        terminal.type("fg")
        terminal.expect("started\r\n")
        terminal.press("c")
        terminal.expect(PROMPT)
    assert terminal.do("jobs") == ""


def test_a_job_can_be_stopped_and_go_on(terminal: Terminal) -> None:
    terminal.type("run sh -c 'echo ready; exec cat'")
    terminal.expect("ready\r\n")
    for word in ("once", "twice"):
        terminal.press("z")
        terminal.expect("Stopped")
        terminal.expect(PROMPT)
        assert "Stopped" in terminal.do("jobs")
        terminal.type("fg")
        terminal.expect(FG)
        terminal.type(word)
        terminal.expect(f"{word}\r\n")
    terminal.press("d")
    terminal.expect(PROMPT)

    assert terminal.code() == 0


def test_a_job_can_go_on_in_the_background(terminal: Terminal, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    terminal.type(f"run sh -c 'echo ready; read x <{fifo}; echo had $x; read y; echo has $y'")
    terminal.expect("ready\r\n")
    terminal.press("z")
    terminal.expect("Stopped")
    terminal.expect(PROMPT)
    terminal.do("bg")

    fifo.write_text("one\n")
    terminal.expect("had one\r\n")
    # Now it wants to read what is typed, which stops a job that is not in the foreground.
    terminal.type("wait %1")
    terminal.expect("Stopped")
    terminal.expect(PROMPT)
    terminal.type("fg")
    terminal.expect(FG)
    terminal.type("two")
    terminal.expect("has two\r\n")
    terminal.expect(PROMPT)

    assert terminal.code() == 0


def test_a_child_that_stops_itself_stops_the_job(terminal: Terminal) -> None:
    terminal.type("run sh -c 'echo ready; kill -STOP $$; echo on; exit 7'")
    terminal.expect("Stopped")
    terminal.expect(PROMPT)

    terminal.type("fg")
    terminal.expect("on\r\n")
    terminal.expect(PROMPT)

    assert terminal.code() == 7


def test_it_is_one_job_with_the_rest_of_its_pipeline(terminal: Terminal) -> None:
    """Whose other programs may read what is typed, as a pager does."""
    terminal.type("run seq 3 | (cat; read word </dev/tty; echo read $word)")
    terminal.expect("1\r\n2\r\n3\r\n")
    terminal.type("typed")
    terminal.expect("read typed\r\n")
    terminal.expect(PROMPT)
    terminal.type("run cat | cat")
    terminal.type("ready")  # which both must be, for it comes back by way of both
    terminal.expect("ready\r\n")
    terminal.press("z")
    terminal.expect("Stopped")
    terminal.expect(PROMPT)
    terminal.type("fg")
    terminal.expect(r"run cat [^\n]*\n")
    # The shell says so before it gives the job the terminal: a key that is pressed at once is
    # the shell's. What the job itself answers is not.
    terminal.type("again")
    terminal.expect("again\r\n")
    terminal.press("c")
    terminal.expect(PROMPT)

    assert terminal.do("jobs") == ""


def test_nothing_runs_on_when_the_terminal_is_closed(tmp_path: Path) -> None:
    """Though we are its session's leader, to whom alone the system tells it."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    program = ["sh", "-c", f"exec 3>{fifo}; echo ready $$; exec sleep 600"]
    leader, terminal = pty.fork()
    if leader == 0:
        os.execv(sys.executable, [sys.executable, "-c", PARENT, *program])
    # The other end of what the child has opened, and nobody else.
    with fifo.open() as end, os.fdopen(terminal, "r") as screen:
        ready, child = screen.readline().split()
        assert ready == "ready"
        try:
            screen.close()
            ended, _, _ = select.select([end], [], [], SECONDS / 3)
            assert ended, "the child runs on"
            assert end.read() == ""
        finally:
            for pid in (int(child), leader):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(leader, 0)


def test_a_sub_shell_is_a_shell(desk: Desk) -> None:
    """With job control of its own, that can be suspended; its exit code is ours."""
    rc = desk.home / "rc"
    rc.write_text("PS1='inner> '\nstty -echo\n")
    shell = desk.home / "shell"
    shell.write_text(f"#!/bin/sh\nexec bash --noprofile --noediting --rcfile {rc} -i\n")
    shell.chmod(0o755)
    terminal = Terminal({**desk.environ, "SHELL": str(shell)})
    inner = "inner> "
    try:
        terminal.type('"$ROLECALL_PROGRAM" exec reader')
        assert terminal.expect(r"rolecall: a shell as (\S+);[^\n]*\n") == (desk.arns["reader"],)
        terminal.expect(inner)
        terminal.type("echo is $ROLECALL")
        terminal.expect("is reader\r\n")
        terminal.expect(inner)
        # Ctrl-C at its prompt, and for a program of its own, is nothing to us.
        terminal.press("c")
        terminal.expect(inner)
        terminal.type("cat")
        terminal.type("x")
        terminal.expect("x\r\n")
        terminal.press("z")
        terminal.expect("Stopped")
        terminal.expect(inner)
        terminal.type("fg")
        terminal.expect("cat\r\n")
        terminal.type("y")
        terminal.expect("y\r\n")
        terminal.press("c")
        terminal.expect(inner)

        terminal.type("suspend -f")
        terminal.expect("Stopped")
        terminal.expect(PROMPT)
        terminal.type("fg")
        terminal.expect(r'"\$ROLECALL_PROGRAM" exec reader\r\n')
        terminal.type("echo still $ROLECALL")
        terminal.expect("still reader\r\n")
        terminal.expect(inner)

        terminal.type("exit 5")
        terminal.expect(PROMPT)
        assert terminal.code() == 5
        assert desk.rolecall_files == []
    finally:
        terminal.close()
