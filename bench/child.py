"""The process that is measured: one library, one benchmark, once. It talks JSON lines."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any

_out = sys.stdout


def _send(message: dict[str, Any]) -> None:
    _out.write(json.dumps(message) + "\n")
    _out.flush()


def ask(scene: str, *arguments: Any) -> Any:
    """Have *scene* done in the process that plays AWS, and return what it answers."""
    _send({"ask": scene, "with": arguments})
    return json.loads(sys.stdin.readline())


def main(case: str, library: str, size: str) -> None:
    """Measure *library* and send what came of it."""
    sys.stdout = sys.stderr  # what a library prints is no message
    measure = import_module(f".cases.{case}", __package__).measure
    _send({"result": measure(library, ask, **json.loads(size))})


if __name__ == "__main__":
    main(*sys.argv[1:])
