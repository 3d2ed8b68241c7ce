"""The asyncio benchmarks run, beside aioboto3-assume, and rolecall meets its counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_benchmarks_of_asyncio_run_and_rolecall_meets_its_counts() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bench",
            "--quick",
            "--only",
            "aio_waiting",
            "--only",
            "aio_costs",
            "--aio-python",
            sys.executable,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "four loops: reads that hang" in done.stdout
    assert "one read" in done.stdout
