"""Programs that run side by side, each with all that it starts, and say when a call went well."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

#: Some 20 s of starting on two cores, and what a program does once its time is up.
PATIENCE_SECONDS = 60.0

#: What a program says on stdout after each round of calls that went well.
DONE = b"done\n"

#: How an AWS service answers a call that is signed with keys that it does not take.
REFUSALS = frozenset({400, 401, 403})


def as_role(role_arn: str, by: str, command: list[str]) -> list[str]:
    """Return *command* as it is run as a role: the one place that says how."""
    rolecall = Path(sys.executable).with_name("rolecall")
    return [str(rolecall), "exec", "--via", by, role_arn, "--", *command]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a program ended.

    Attributes:
        code: Its exit code. None: it was still running, and was killed.
        words: What it said on stderr.
        successes: How many rounds of calls went well.
    """

    code: int | None
    words: str = field(repr=False)
    successes: int


class Child:
    """A process in a session of its own."""

    def __init__(self, command: list[str], environ: dict[str, str], folder: Path) -> None:
        self._said = b""
        self._over = False
        self._stderr = folder / "stderr"
        with self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**environ, "HOME": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )

    @property
    def successes(self) -> int:
        """How many rounds of calls went well, as far as `read` has read."""
        return self._said.count(DONE)

    def read(self, by: float, successes: int = sys.maxsize) -> None:
        """Read until so many *successes*, until it ends, or until *by* of the monotonic clock."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while self.successes < successes and selector.select(max(0.0, by - time.monotonic())):
                more = os.read(self._process.stdout.fileno(), 4096)
                if not more:
                    return
                self._said += more

    def outcome(self, by: float) -> Outcome:
        """Wait until it ends; kill what of it still runs at *by*."""
        try:
            self.read(by)
            code: int | None = self._process.wait(max(0.0, by - time.monotonic()))
        except subprocess.TimeoutExpired:
            code = None
        self.kill()
        words = self._stderr.read_text("utf-8", "replace")
        return Outcome(code=code, words=words, successes=self.successes)

    def kill(self) -> None:
        """End what is left of it."""
        if self._over:
            return
        self._over = True
        with suppress(ProcessLookupError):  # nothing is
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
