"""Programs written for aws-assume-role-lib run unchanged with ``import rolecall as …``.

Each file in ``programs`` is one; it differs from what it was in that import alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rolecall.testing import StrictCloud

PROGRAMS = Path(__file__).parent / "programs"
PATIENCE_SECONDS = 100

#: Program → what it prints, and how often it assumes a role.
EXPECTED: dict[str, tuple[dict[str, Any], int]] = {
    "accounts": (
        {"accounts": ["000000000001", "000000000022", "000000000333"] * 2, "entries": 3},
        3,
    ),
    "chained": (
        {
            "before": ["eu-west-1", "eu-west-1", "eu-west-1", "us-east-1", "ap-southeast-2"],
            "after": ["eu-central-1", "eu-central-1", "eu-west-1", "us-east-1", "ap-southeast-2"],
            "linked": ["us-west-2", "us-west-2", "eu-west-1", "us-east-1", "ap-southeast-2"],
            "spoke": "arn:aws:sts::345678901234:assumed-role/Spoke/spoke",
            "hub": "arn:aws:sts::210987654321:assumed-role/Hub/hub",
            "user": "arn:aws:iam::123456789012:user/fake-user",
            "parents": [True, True],
        },
        2,
    ),
    "errors": (
        {
            "refused": ["AccessDenied", "AssumeRole"],
            "invalid": "at the call",
            "unchecked": "at the first use",
            "bare string": "at the call",
            "unknown": "at the call",
            "nobody": "at the call",
        },
        1,
    ),
    "in_lambda": ({"as expected": True, "messages": 5}, 1),
    "keys": (
        {
            "method": "assume-role",
            "half hours left": 4,
            "refresh needed": False,
            "who": "arn:aws:sts::210987654321:assumed-role/Reader/wrapper",
        },
        1,
    ),
    "names": (
        {
            "identity": "alice",
            "empty": "alice",
            "both": "release",
            "automatic is alice": False,
            "automatic is long": True,
        },
        4,
    ),
    "patched": (
        {
            "default": "arn:aws:sts::210987654321:assumed-role/Reader/from-default",
            "child": "arn:aws:sts::210987654321:assumed-role/Reader/from-session",
            "region": "eu-west-1",
            "parent": True,
            "buckets": [],
        },
        2,
    ),
    "shared_cache": ({"keys": 1, "files": [".json"]}, 1),
    "threads": ({"done": 16}, 1),
}


def test_every_program_is_run() -> None:
    assert {path.stem for path in PROGRAMS.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("program", EXPECTED)
def test_a_program_prints_what_it_always_did(
    ambient: StrictCloud,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
) -> None:
    config = own_home / "config"
    config.write_text("[profile nobody]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    ambient.trust("arn:aws:iam::210987654321:role/Closed", [])

    done = subprocess.run(
        [sys.executable, str(PROGRAMS / f"{program}.py")],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    printed, calls = EXPECTED[program]
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == printed
    assert ambient.calls("AssumeRole") == calls


@pytest.mark.parametrize("program", EXPECTED)
def test_a_program_differs_in_its_import_alone(program: str) -> None:
    lines = (PROGRAMS / f"{program}.py").read_text(encoding="utf-8").splitlines()

    ours = [line for line in lines if "rolecall" in line]

    assert "import rolecall as aws_assume_role_lib" in ours
    assert all("import" in line for line in ours)
