"""Where the libraries are installed: here, and those of asyncio beside, with a boto3 they allow."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from .benchmark import (
    AIO_ASSUME,
    AIO_LIBRARIES,
    AIOBOTOCORE,
    BOTOCORE,
    COVE,
    LIBRARIES,
    ROLECALL,
    ROLECALL_REDIS,
    Benchmark,
    library_of,
)
from .redis_server import WHEEL
from .stage import ROOT
from .versions import installed

#: What rolecall's store in Redis wants beside rolecall.
REDIS_PARTS = ("redis", "cryptography", WHEEL)

#: What is shown of either environment, in this order.
SHOWN = (*LIBRARIES, COVE, "aws-export-credentials", "awscli", *REDIS_PARTS)
AIO_SHOWN = (*AIO_LIBRARIES, "aioboto3", BOTOCORE)

#: What a library of asyncio wants beside itself.
_AIO_PARTS = {ROLECALL: (AIOBOTOCORE,), AIO_ASSUME: ("aioboto3",)}

#: What `make bench` puts them into. aioboto3 allows one aiobotocore, and that one few botocores.
AIO_PYTHON = ROOT / ".venv-aio" / "bench" / "bin" / "python"

_LIMIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Environment:
    """An interpreter, and what it can import.

    Attributes:
        versions: Of what is installed there; empty if there is no such interpreter.
        which: Where that is, if it is not here, as a complaint tells it.
        mend: What installs what is missing.
    """

    python: str
    versions: Mapping[str, str]
    which: str = ""
    mend: str

    def missing(self, benchmark: Benchmark, column: str) -> list[str]:
        """Return what *column* of *benchmark* wants and this has not."""
        return [name for name in needed(benchmark, column) if name not in self.versions]


def needed(benchmark: Benchmark, column: str) -> tuple[str, ...]:
    """Return what must be installed for *column* of *benchmark* to be measured."""
    if benchmark.aio:
        return (column, *_AIO_PARTS.get(column, ()))
    if column == "Python":
        return ()
    return (library_of(column), *(REDIS_PARTS if column == ROLECALL_REDIS else ()))


def here() -> Environment:
    """Return the environment that this runs in."""
    return Environment(
        python=sys.executable, mend="pip install -e '.[bench]'", versions=installed(SHOWN)
    )


def beside(python: str) -> Environment:
    """Return the environment of asyncio's libraries, whose interpreter is *python*."""
    asked = [python, "-m", f"{__package__}.versions", *AIO_SHOWN]
    try:
        said = subprocess.run(
            asked, cwd=ROOT, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        versions: dict[str, str] = {}
    else:
        versions = json.loads(said.stdout)
    return Environment(
        python=python,
        which=f" for {python}",
        mend="`make bench` does it; or name another Python with --aio-python",
        versions=versions,
    )
