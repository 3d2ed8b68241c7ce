"""``rolecall credential-process`` asks a person for an MFA code: once, and at the terminal only."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from command_line import ROLECALL, SERIAL, Desk

from rolecall.clock import SYSTEM_CLOCK
from rolecall.stores import MemoryStore, Stored
from rolecall.testing import FakeSource

SECONDS = 60.0
CODE = "135790"

#: Has a terminal, and starts commands that have nothing else of it: their standard streams are
#: files. It is told what to do by lines, so that a test orders what happens.
LAUNCHER = """
import json, os, subprocess, sys
# The first terminal that the leader of a session opens becomes the session's own.
os.open(sys.argv[1], os.O_RDWR)
place, command, children = sys.argv[2], sys.argv[3:], []
for line in sys.stdin:
    word, _, number = line.strip().partition(" ")
    if word == "start":
        for _ in range(int(number)):
            name = os.path.join(place, str(len(children)))
            with open(name + ".in") as given, open(name + ".out", "w") as out, \\
                 open(name + ".err", "w") as err:
                children.append(subprocess.Popen(command, stdin=given, stdout=out, stderr=err))
        answer = [child.pid for child in children]
    elif word == "kill":
        children[int(number)].kill()
        answer = children[int(number)].wait()
    else:
        answer = [child.wait() for child in children]
    print(json.dumps(answer), flush=True)
"""


class Terminal:
    """A pseudo-terminal with a person before it, and the commands that are started there."""

    def __init__(self, desk: Desk, place: Path, serial: str) -> None:
        words = (ROLECALL, "credential-process", "guarded")
        self.prompt = f"MFA code for {serial}: "
        self.master, self._slave = os.openpty()
        self.place = place
        self.shown = ""
        self._count = 0
        self._launcher = subprocess.Popen(
            [sys.executable, "-S", "-c", LAUNCHER, os.ttyname(self._slave), str(place), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=desk.environ,
            start_new_session=True,
        )

    def tell(self, words: str) -> Any:
        """Have the launcher do something, and return its answer."""
        assert self._launcher.stdin is not None
        assert self._launcher.stdout is not None
        self._launcher.stdin.write(words + "\n")
        self._launcher.stdin.flush()
        return json.loads(self._launcher.stdout.readline())

    def start(self, number: int) -> list[int]:
        """Start *number* more commands; on their stdin is a code that nobody is to take."""
        for one in range(self._count, self._count + number):
            (self.place / f"{one}.in").write_text("666666\n")
        self._count += number
        pids: list[int] = self.tell(f"start {number}")
        return pids

    def ended(self) -> list[int]:
        """Wait for all commands, and return their exit codes."""
        codes: list[int] = self.tell("wait")
        return codes

    def wait_for(self, text: str, times: int = 1) -> None:
        """Read what the terminal shows until *text* was there so many *times*."""
        until = time.monotonic() + SECONDS
        while self.shown.count(text) < times:
            ready, _, _ = select.select([self.master], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"{times} × {text!r} was not shown in {SECONDS:g} s: {self.shown!r}"
            self.shown += os.read(self.master, 4096).decode()

    def read_rest(self) -> str:
        """Return all that the terminal has shown, after all commands have ended."""
        while select.select([self.master], [], [], 0)[0]:
            self.shown += os.read(self.master, 4096).decode()
        return self.shown

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def said(self, ending: str) -> list[str]:
        """Return what each command wrote: ``out`` or ``err``."""
        return [(self.place / f"{one}.{ending}").read_text() for one in range(self._count)]

    def close(self) -> None:
        """End whatever still runs: what stays hangs up with its terminal."""
        self._launcher.kill()
        self._launcher.communicate()
        os.close(self.master)
        os.close(self._slave)


@pytest.fixture
def terminal(desk: Desk, tmp_path: Path) -> Iterator[Terminal]:
    """A terminal at which ``rolecall credential-process guarded`` is started."""
    serial = f"{SERIAL}-{uuid4()}"  # a device of its own, for a code works once
    desk.add_role("guarded", mfa_serial=serial)
    desk.cloud.trust(desk.arns["guarded"], mfa=True)
    desk.cloud.mfa_codes(serial, CODE)
    place = tmp_path / "said"
    place.mkdir()
    made = Terminal(desk, place, serial)
    yield made
    made.close()
    desk.cloud.trust(desk.arns["guarded"])


@pytest.fixture
def calls(desk: Desk) -> Callable[[], tuple[int, int]]:
    """Return a function that counts what STS was asked for since."""
    names = ("GetSessionToken", "AssumeRole")
    before = [desk.cloud.calls(name) for name in names]

    def calls() -> tuple[int, int]:
        first, second = (
            desk.cloud.calls(name) - count for name, count in zip(names, before, strict=True)
        )
        return first, second

    return calls


def keys(said: list[str]) -> list[str]:
    return [json.loads(one)["AccessKeyId"] for one in said]


def test_thirty_that_start_together_ask_one_person_once_and_sts_once(
    terminal: Terminal, calls: Callable[[], tuple[int, int]]
) -> None:
    pids = terminal.start(30)
    terminal.wait_for(terminal.prompt)
    terminal.type(f"{CODE}\n")
    codes = terminal.ended()

    assert len(set(pids)) == 30
    assert codes == [0] * 30
    assert terminal.read_rest().count(terminal.prompt) == 1
    assert calls() == (1, 1)
    assert len(set(keys(terminal.said("out")))) == 1
    assert [one.count("\n") for one in terminal.said("out")] == [1] * 30
    assert terminal.said("err") == [""] * 30
    # What was typed is not shown, and no secret with it.
    assert terminal.shown.replace("\r\n", "") == terminal.prompt


def test_when_the_one_that_asks_is_killed_the_next_asks_and_all_others_succeed(
    terminal: Terminal, calls: Callable[[], tuple[int, int]]
) -> None:
    terminal.start(1)
    terminal.wait_for(terminal.prompt)
    terminal.start(4)
    killed = terminal.tell("kill 0")
    terminal.wait_for(terminal.prompt, times=2)
    terminal.type(f"{CODE}\n")
    codes = terminal.ended()

    assert killed == -9
    assert codes == [-9, 0, 0, 0, 0]
    assert terminal.read_rest().count(terminal.prompt) == 2
    assert calls() == (1, 1)
    first, *others = terminal.said("out")
    assert first == ""
    assert len(set(keys(others))) == 1


def test_a_wrong_code_is_told_and_the_next_command_asks_again(
    terminal: Terminal, calls: Callable[[], tuple[int, int]]
) -> None:
    terminal.start(1)
    terminal.wait_for(terminal.prompt)
    terminal.type("97531\n")
    wrong = terminal.ended()
    terminal.start(1)
    terminal.wait_for(terminal.prompt, times=2)
    terminal.type(f"{CODE}\n")
    codes = terminal.ended()

    assert (wrong, codes) == ([3], [3, 0])
    assert terminal.said("out")[0] == ""
    assert "six digits" in terminal.said("err")[0]
    assert "97531" not in terminal.said("err")[0]
    assert calls() == (1, 1)


def test_an_interrupt_at_the_prompt_ends_it_with_130(
    terminal: Terminal, calls: Callable[[], tuple[int, int]]
) -> None:
    terminal.start(1)
    terminal.wait_for(terminal.prompt)
    child = int(terminal.start(0)[0])
    os.kill(child, 2)
    codes = terminal.ended()

    assert codes == [130]
    assert terminal.said("out") == [""]
    assert "Traceback" not in terminal.said("err")[0]
    assert calls() == (0, 0)


class Watched(MemoryStore):
    """A store that notes how long whoever wants its lock would wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.patience: list[timedelta] = []

    def lock(self, key: str, timeout: timedelta) -> AbstractContextManager[bool | None]:
        self.patience.append(timeout)
        return super().lock(key, timeout)


class Asking(FakeSource):
    """A source that asks a person."""

    interactive = True


@pytest.mark.parametrize(
    ("source", "patience"),
    [(FakeSource, timedelta(seconds=20)), (Asking, timedelta(minutes=5))],
)
def test_others_give_a_person_time_to_find_the_code(
    source: type[FakeSource], patience: timedelta
) -> None:
    """A second prompt beside the first would take the same code, which works once."""
    store = Watched()

    Stored(source(SYSTEM_CLOCK), store, "key").get()

    assert store.patience == [patience]
