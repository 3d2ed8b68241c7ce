"""The warm path loads nothing that Python has not loaded by itself, and needs no extra."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from command_line import Desk, Ended

import rolecall

#: Where the package is, for an interpreter that has not been told.
SOURCE = str(Path(rolecall.__file__).parent.parent)

#: Without ``site``, which may load half the standard library for a ``.pth`` file of somebody's.
#: What is compared with has imported what the warm path may: sys, os and time.
PROGRAM = """
import sys, os, time
sys.path.insert(0, {source!r})
before = set(sys.modules)
{act}
print(*sorted(set(sys.modules) - before), file=sys.stderr)
"""

THROUGH_THE_ENTRY_POINT = """
sys.argv = ["rolecall", "credential-process", "reader"]
from rolecall.cli import main
assert main() is None
"""

UP_TO_THE_DECISION = """
from rolecall.cli import warm
assert not warm.answered(["reader"])
"""

PACKAGE = {"rolecall", "rolecall._version", "rolecall.cli", "rolecall.cli.warm"}


def bare(desk: Desk, act: str) -> Ended:
    """Run *act* in a Python that has loaded nothing else; on stderr, what it has loaded since."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM.format(source=SOURCE, act=act)],
        env=desk.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def test_a_hit_loads_four_small_modules_of_ours_and_none_besides(desk: Desk) -> None:
    cold = desk.run("credential-process", "reader")
    calls = desk.cloud.calls("AssumeRole")

    warm = bare(desk, THROUGH_THE_ENTRY_POINT)

    assert warm.code == 0, warm.err
    assert cold.out == warm.out
    assert json.loads(warm.out)["Version"] == 1
    assert set(warm.err.split()) == PACKAGE
    assert desk.cloud.calls("AssumeRole") == calls


def test_a_miss_is_noticed_before_anything_more_is_loaded(desk: Desk) -> None:
    missed = bare(desk, UP_TO_THE_DECISION)

    assert (missed.code, missed.out) == (0, ""), missed.err
    assert set(missed.err.split()) == PACKAGE
