"""What the command line costs: a process for each answer, as SDKs start one for each question."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from ..benchmark import BOTOCORE, ROLECALL, Ask, Benchmark, Measure, Row, Target, Value

EXPORT_CREDENTIALS = "aws-export-credentials"
AWSCLI = "awscli"
PYTHON = "Python"

_ROLE = "arn:aws:iam::123456789012:role/Reader"
_PROFILE = "reader"
_CONFIG = f"""\
[profile {_PROFILE}]
role_arn = {_ROLE}
source_profile = hub
"""
#: A profile's keys: aws-export-credentials takes those of the environment out of it.
_CREDENTIALS = """\
[hub]
aws_access_key_id = {AWS_ACCESS_KEY_ID}
aws_secret_access_key = {AWS_SECRET_ACCESS_KEY}
"""


def _within(limits: Mapping[str, float], text: str) -> Target:
    """Return the target that rolecall needs at most these many times what others need."""

    def met(row: Row) -> bool:
        ours = row.get(ROLECALL, "")
        if isinstance(ours, str):
            return False
        for column, most in limits.items():
            theirs = row.get(column, "")
            if isinstance(theirs, str) or ours > most * theirs:
                return False
        return True

    return Target(text=text, met=met, is_count=False)


BENCHMARK = Benchmark(
    title="The command line",
    about="CPU of a process from its start to its end: `rolecall credential-process` with a "
    "profile that is a role, and `aws-export-credentials --profile`, with a `--cache-file` where "
    "credentials are cached (written for it: its 0.18 cannot fetch any with a botocore that gives "
    "credentials an account id); `rolecall --help`, `aws-export-credentials --help`, "
    "`aws --version`; in botocore's column `import boto3` alone, in Python's `python -c pass`. "
    "Programs are run by the scripts that pip made for them; those of an older pip import `re` as "
    "well, some milliseconds of each.",
    measures=(
        Measure(
            key="cached",
            title="credentials that are cached",
            unit="ms",
            compared=True,
            target=_within(
                {PYTHON: 2.0, EXPORT_CREDENTIALS: 1 / 8},
                f"≤ 2 × {PYTHON}, ≤ 1/8 of {EXPORT_CREDENTIALS}",
            ),
        ),
        Measure(key="cold", title="credentials that are fetched", unit="ms", compared=True),
        Measure(
            key="help",
            title="nothing: help or version",
            unit="ms",
            compared=True,
            target=_within({BOTOCORE: 0.6}, f"≤ 0.6 × {BOTOCORE}"),
        ),
    ),
    libraries=(ROLECALL, EXPORT_CREDENTIALS, AWSCLI, BOTOCORE, PYTHON),
    size={"times": 15},
    quick={"times": 1},
)


def measure(column: str, ask: Ask, *, times: int) -> dict[str, Value]:
    """Return what each command of *column* costs, in ms."""
    Path(os.environ["AWS_CONFIG_FILE"]).write_text(_CONFIG, encoding="utf-8")
    keys = _CREDENTIALS.format_map(os.environ)
    Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"]).write_text(keys, encoding="utf-8")
    if column == PYTHON:
        spent = _median([sys.executable, "-c", "pass"], times)
        return {"cached": spent, "help": spent}
    if column == BOTOCORE:
        return {"help": _median([sys.executable, "-c", "import boto3"], times)}
    if column == AWSCLI:
        return {"help": _median([_script("aws"), "--version"], times)}
    if column == ROLECALL:
        command = [_script("rolecall"), "credential-process", _PROFILE]
        cached = command
    else:
        command = [_script(EXPORT_CREDENTIALS), "--profile", _PROFILE]
        cached = [*command, "--cache-file", _written_cache()]
    warm = _median(cached, times)
    calls = ask("sts")
    if calls != (1 if column == ROLECALL else 0):
        raise RuntimeError(f"{column} asked STS {calls} times for what it was to have cached")
    cold: Value
    try:
        cold = _median(command, times, anew=True)
    except Failed:
        if column == ROLECALL:
            raise
        cold = "fails"
    else:
        if ask("sts") != calls + times + 1:
            raise RuntimeError(f"{column} had credentials of its cache for what it was to fetch")
    return {"cached": warm, "cold": cold, "help": _median([command[0], "--help"], times)}


class Failed(RuntimeError):
    """A command ended with another code than 0."""


def _written_cache() -> str:
    """Write a session as aws-export-credentials keeps one, and return the name of the file."""
    file = Path(os.environ["HOME"]) / "cached.json"
    held = {
        "AccessKeyId": "ASIAFAKE000000000001",
        "SecretAccessKey": "fake-secret",
        "SessionToken": "fake-token",
        "Expiration": "2999-01-01T00:00:00Z",
    }
    file.write_text(json.dumps({"Credentials": held}), encoding="utf-8")
    return str(file)


def _script(name: str) -> str:
    """Return the program *name* that pip has put beside this Python."""
    return str(Path(sys.executable).with_name(name))


def _median(command: Sequence[str], times: int, *, anew: bool = False) -> float:
    """Return the CPU that *command* needs, in ms; *anew*: with an empty home each time."""
    _run(command, anew=anew)  # its bytecode is there from now on, and its cache is full
    return median(_run(command, anew=anew) for _ in range(times))


def _run(command: Sequence[str], *, anew: bool) -> float:
    with tempfile.TemporaryDirectory(dir=os.environ["HOME"]) as home:
        environ = {**os.environ, "HOME": home} if anew else dict(os.environ)
        before = _spent()
        done = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        spent = _spent() - before
    if done.returncode != 0:
        raise Failed(f"{command[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    return spent * 1e3


def _spent() -> float:
    """Return the CPU of all processes that this one has started and that have ended, in s."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
