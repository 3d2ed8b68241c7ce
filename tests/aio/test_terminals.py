"""MFA codes asked of a person at a real terminal, in a program of asyncio."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from event_loops import silence
from made_parents import World
from scenes import HUB

from rolecall.testing import StrictCloud
from rolecall.testing.clock import PATIENCE_SECONDS

__all__ = ["silence"]

pytestmark = pytest.mark.usefixtures("silence")

SERIAL = "arn:aws:iam::123456789012:mfa/me"
CODE = "314159"


@pytest.fixture(autouse=True)
def with_mfa_only(cloud: StrictCloud) -> None:
    cloud.trust(HUB, mfa=True)
    cloud.mfa_codes(SERIAL, CODE, *(f"{number:06}" for number in range(1, 10)))


PROGRAM = f"""
import asyncio, functools, signal, sys, rolecall.aio
from aiobotocore.session import AioSession

async def main():
    turned = functools.partial(print, "the loop turned", flush=True)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, turned)
    sessions = [
        rolecall.aio.assume_role(AioSession(), {HUB!r}, SerialNumber={SERIAL!r})
        for _ in range(int(sys.argv[1]))
    ]
    async def arn(session):
        async with session.create_client("sts") as sts:
            return (await sts.get_caller_identity())["Arn"]
    for one in await asyncio.gather(*map(arn, sessions)):
        print("I am", one.split("/")[1], flush=True)

try:
    asyncio.run(main())
    input("the end")  # a terminal may lose what is in it when its last program ends
except rolecall.MFARequired as error:
    print(error.message, flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(130)
"""


class Terminal:
    """A program of asyncio at a terminal of its own."""

    def __init__(self, terminal: int, child: int) -> None:
        self._terminal = terminal
        self._child = child
        self.seen = ""

    def read_until(self, text: str, times: int = 1) -> None:
        """Return once the program has shown *text*; the test's own time-out ends the wait."""
        while self.seen.count(text) < times:
            try:
                self.seen += os.read(self._terminal, 1024).decode()
            except OSError as hung_up:  # Linux says EIO once the program has ended
                raise AssertionError(f"ended before {text!r}, after {self.seen!r}") from hung_up

    def loop_turns(self) -> None:
        """Return once the program's loop has turned, which it does not while it is blocked."""
        times = self.seen.count("the loop turned") + 1
        os.kill(self._child, signal.SIGUSR1)
        self.read_until("the loop turned", times)

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self._terminal)[3] & termios.ECHO)

    def ended(self) -> int:
        """Return the program's exit status."""
        _, status = os.waitpid(self._child, 0)
        return os.waitstatus_to_exitcode(status)


@contextmanager
def at_a_terminal(environ: dict[str, str], *words: str) -> Iterator[Terminal]:
    child, terminal = pty.fork()
    if child == 0:
        os.execve(sys.executable, [sys.executable, "-c", PROGRAM, *words], environ)
    try:
        yield Terminal(terminal, child)
    finally:
        os.close(terminal)  # which hangs the program up, if it still runs


@pytest.fixture
def environ(world: World) -> dict[str, str]:
    world.environment_of("alice")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


ASKED = f"MFA code for {SERIAL}: "


def test_a_real_terminal_is_asked_while_the_loop_turns_and_echoes_no_code(
    environ: dict[str, str],
) -> None:
    with at_a_terminal(environ, "1") as terminal:
        terminal.read_until(ASKED)
        assert not terminal.echoes
        terminal.loop_turns()
        terminal.type(f"{CODE}\n")
        terminal.read_until("the end")
        assert terminal.echoes
        terminal.type("\n")
        assert terminal.ended() == 0

    assert "I am Hub" in terminal.seen
    assert CODE not in terminal.seen


def test_two_sessions_ask_at_a_real_terminal_in_turn(environ: dict[str, str]) -> None:
    with at_a_terminal(environ, "2") as terminal:
        terminal.read_until(ASKED)
        terminal.type("000001\n")
        terminal.read_until(ASKED, times=2)
        terminal.loop_turns()
        terminal.type("000002\n")
        terminal.read_until("I am Hub", times=2)
        terminal.read_until("the end")
        terminal.type("\n")
        assert terminal.ended() == 0

    assert terminal.seen.count(ASKED) == 2


def test_an_interrupt_at_the_prompt_ends_the_program_and_leaves_the_terminal_echoing(
    environ: dict[str, str],
) -> None:
    with at_a_terminal(environ, "1") as terminal:
        terminal.read_until(ASKED)
        assert not terminal.echoes
        terminal.type("\x03")
        terminal.read_until("interrupted")
        assert terminal.ended() == 130
        assert terminal.echoes


def test_a_program_without_a_terminal_is_told_and_does_not_hang(environ: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "1"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environ,
        start_new_session=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )

    assert done.stdout.strip() == f"{SERIAL}: no terminal to ask at"
    assert "never" not in done.stderr
