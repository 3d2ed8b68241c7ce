"""The process that plays AWS, so that what a server costs is nobody's: one cloud a performance."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rolecall.testing import StrictCloud

from .benchmark import Benchmark, Value
from .clock import LeapingClock
from .redis_server import redis_server

ROOT = Path(__file__).parent.parent

#: Longer than the slowest peer takes for the slowest benchmark; then something hangs.
LIMIT_SECONDS = 600.0

#: What every benchmark may ask for.
_SCENES: Mapping[str, Callable[..., Any]] = {
    "leap": lambda stage, seconds: stage.clock.leap(seconds),
    "sts": lambda stage: stage.cloud.calls("AssumeRole"),
    "recover": lambda stage: stage.cloud.recover(),
    "redis": lambda stage: stage.redis(),
}

# Without bytecode every import would compile the library's source, but not its dependencies'.
_LEFT_OUT = ("AWS_", "BOTO_", "ROLECALL_", "XDG_", "PYTHONDONTWRITEBYTECODE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a scene may change.

    Attributes:
        caller_key: Access key id of the user who assumes the first role.
        folder: The home of the process that is measured, for as long as it is.
        until_the_end: Closed when the process has ended.
    """

    cloud: StrictCloud
    clock: LeapingClock
    caller_key: str
    folder: Path
    until_the_end: ExitStack

    def redis(self) -> str:
        """Start a Redis that nobody has used, and return its URL."""
        return self.until_the_end.enter_context(redis_server(self.folder))

    def hub_calls(self) -> int:
        """Return how often the user's own keys assumed a role."""
        return sum(
            call.operation == "AssumeRole" and call.access_key == self.caller_key
            for call in self.cloud.log
        )


def play(
    name: str, benchmark: Benchmark, library: str, size: Mapping[str, Any], python: str
) -> dict[str, Any]:
    """Return what *library* needed, in a process of its own that *python* runs.

    Raises:
        RuntimeError: the process failed; with the end of what it wrote to stderr.
    """
    clock = LeapingClock()
    with (
        tempfile.TemporaryDirectory(prefix="rolecall-bench-") as folder,
        StrictCloud(clock=clock) as cloud,
        (Path(folder) / "stderr").open("w+", encoding="utf-8") as stderr,
        ExitStack() as until_the_end,
    ):
        environ = _environ(cloud, Path(folder))
        stage = Stage(
            cloud=cloud,
            clock=clock,
            caller_key=environ["AWS_ACCESS_KEY_ID"],
            folder=Path(folder),
            until_the_end=until_the_end,
        )
        child = subprocess.Popen(
            [python, "-m", f"{__package__}.child", name, library, json.dumps(dict(size))],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        watch = threading.Timer(LIMIT_SECONDS, child.kill)
        watch.start()
        try:
            result = _converse(child, benchmark, stage)
        finally:
            watch.cancel()
            child.kill()
            child.communicate()
        if result is None:
            stderr.seek(0)
            raise RuntimeError(f"{name} with {library} failed:\n{stderr.read()[-3000:]}")
        return result


def _converse(
    child: subprocess.Popen[str], benchmark: Benchmark, stage: Stage
) -> dict[str, Value] | None:
    assert child.stdin is not None
    assert child.stdout is not None
    for line in child.stdout:
        message = json.loads(line)
        if "result" in message:
            result: dict[str, Value] = message["result"]
            return result
        scene = {**_SCENES, **benchmark.scenes}[message["ask"]]
        answer = scene(stage, *message["with"])
        child.stdin.write(json.dumps(answer) + "\n")
        child.stdin.flush()
    return None


def _environ(cloud: StrictCloud, folder: Path) -> dict[str, str]:
    config = folder / "config"
    config.touch()
    ours = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
    return {
        **ours,
        **cloud.environ(),
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "HOME": str(folder),
        "PYTHONHASHSEED": "0",
    }
