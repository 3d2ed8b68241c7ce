"""What an import costs, in a process that has imported nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

from ..benchmark import ROLECALL, Ask, Benchmark, Measure, Value, exactly
from ..libraries import MODULES

#: Loaded, these would cost every program that imports rolecall, used or not.
_HEAVY = ("boto3", "botocore", "asyncio", "urllib3")

_PROGRAM = """
import sys, time
began = time.process_time()
import {module}
{use}
spent = time.process_time() - began
import json
heavy = sum(name.partition(".")[0] in {heavy!r} for name in sys.modules)
print(json.dumps([spent * 1e3, heavy]))
"""

BENCHMARK = Benchmark(
    title="Import",
    about="CPU of the import statement in a new interpreter; of boto3 in botocore's column. "
    "rolecall loads boto3 when `assume_role` is first named, *ready* is that.",
    measures=(
        Measure(key="import", title="import", unit="ms", compared=True),
        Measure(
            key="heavy",
            title="modules of boto3, botocore, urllib3, asyncio in it",
            unit="modules",
            target=exactly(0),
        ),
        Measure(key="ready", title="ready to assume a role", unit="ms", compared=True),
    ),
    rounds=5,
    size={},
)


def measure(library: str, ask: Ask) -> dict[str, Value]:
    """Return what importing *library* costs."""
    module = MODULES[library]
    _run(module, "")  # its bytecode is there from now on
    spent, heavy = _run(module, "")
    use = "rolecall.assume_role" if library == ROLECALL else "import boto3"
    _run(module, use)
    return {"import": spent, "heavy": heavy, "ready": _run(module, use)[0]}


def _run(module: str, use: str) -> tuple[float, int]:
    program = _PROGRAM.format(module=module, use=use, heavy=_HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    spent, heavy = json.loads(done.stdout)
    return spent, heavy
