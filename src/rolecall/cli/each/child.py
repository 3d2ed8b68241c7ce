"""One child process without a terminal: what it prints is kept, what it says is passed on."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from ..children import LAUNCH

log: logging.Logger = logging.getLogger("rolecall")

#: A result that is larger does not belong into a table.
MOST_OUTPUT_BYTES = 10 * 1024 * 1024
#: A line that is longer is passed on in parts.
MOST_LINE_BYTES = 8 * 1024
#: A child that was told to end has so long before it is made to.
GRACE_SECONDS = 2.0

_PART = 64 * 1024


class Child:
    """A child in a session of its own, where the terminal's Ctrl-C does not reach it.

    Args:
        heard: Called with each line of its standard error, without the line's end.
        core: Its limit for core dumps. None: that of this process.
    """

    def __init__(
        self,
        program: Sequence[str],
        environ: Mapping[str, str],
        *,
        heard: Callable[[bytes], None],
        core: int | None,
    ) -> None:
        self._process = subprocess.Popen(
            _launched(program, environ, core),
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._heard = heard
        self._lock = threading.Lock()  # held while a signal is sent, and while it is reaped
        self._last = b""
        self._said = threading.Thread(target=self._listen, name="rolecall-each-stderr", daemon=True)
        self._said.start()
        self.too_much: bool = False

    def wait(self) -> tuple[int, bytes, bytes]:
        """Return its exit code (negative: the signal), its output and its last line of words.

        That is when all that have its output, its own children too, have closed it.
        """
        found = bytearray()
        output = self._stream(self._process.stdout)
        while part := os.read(output.fileno(), _PART):
            found += part
            if len(found) > MOST_OUTPUT_BYTES and not self.too_much:
                self.too_much = True
                self.send(getattr(signal, "SIGKILL", signal.SIGTERM))
            if self.too_much:
                found.clear()
        self._said.join()
        if hasattr(os, "waitid"):
            # Not reaped yet, so that its number is nobody else's while a signal is sent.
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            code = self._process.wait()
        output.close()
        self._stream(self._process.stderr).close()
        return code, bytes(found), self._last

    def send(self, number: int) -> None:
        """Send a signal to it and to all of its group."""
        with self._lock:
            if self._process.returncode is not None:
                return
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if hasattr(os, "killpg"):
                    os.killpg(self._process.pid, number)
                else:  # Windows
                    self._process.terminate()

    def _listen(self) -> None:
        words = self._stream(self._process.stderr)
        rest = b""
        while part := os.read(words.fileno(), _PART):
            *lines, rest = (rest + part).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            for line in lines:
                self._hear(line)
            while len(rest) > MOST_LINE_BYTES:
                self._hear(rest[:MOST_LINE_BYTES])
                rest = rest[MOST_LINE_BYTES:]
        self._hear(rest)

    def _hear(self, line: bytes) -> None:
        if line.strip():
            self._last = line
            try:
                self._heard(line)
            except Exception:  # a child that nobody reads would wait for ever
                log.debug("a line of a program was not passed on", exc_info=True)

    @staticmethod
    def _stream(found: IO[bytes] | None) -> IO[bytes]:
        assert found is not None  # both are pipes
        return found


def _launched(program: Sequence[str], environ: Mapping[str, str], core: int | None) -> list[str]:
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return list(program)
    return [
        sys.executable,
        "-I",
        "-S",
        str(LAUNCH),
        str(os.getpid()),
        "" if core is None else str(core),
        "",
        "",
        f"={environ['LC_CTYPE']}" if "LC_CTYPE" in environ else "",
        *program,
    ]
