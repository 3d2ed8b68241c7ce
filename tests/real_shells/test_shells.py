"""What ``rolecall export`` prints is read back by shells that are not on every machine: fish."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rolecall.cli import formats

SECONDS = 60

VALUES = [
    "", " ", "'", '"', "\\", "\\\\'", "$HOME", "{$HOME}", "(id)", "$(id)", "`id`", "a\nb", "é✓",
    "!", "#", "~", "*", "%self", "a'b\"c", "-n", "--", "=", "\t", "{a,b}", ";id", "&", "|", "\\n",
    "\\'", "'\\''", "''", "a=b", "\\x41", "$Env:HOME", "`n", "’", "“", "fake/secret+key==",
]  # fmt: skip

#: Prints each of our variables that a child of the shell has.
PRINT = (
    "import json, os; "
    "print(json.dumps({n: v for n, v in os.environ.items() if n.startswith('FAKE_')}))"
)

#: Program, format, and how its file is read. PowerShell: Debian has none, so that it is run where
#: it is installed.
SHELLS = [
    pytest.param("fish", "fish", ["--no-config", "-c", "source {file}; {show}"], id="fish"),
    pytest.param(
        "fish", "fish", ["--no-config", "-c", "cat {file} | source; {show}"], id="fish, piped"
    ),
]
if shutil.which("pwsh"):
    SHELLS.append(
        pytest.param(
            "pwsh",
            "powershell",
            ["-NoProfile", "-Command", "Get-Content -Raw {file} | Invoke-Expression; & {show}"],
            id="powershell",
        )
    )


@pytest.mark.parametrize(("program", "format", "words"), SHELLS)
def test_a_shell_reads_hard_values_back(
    program: str, format: str, words: list[str], tmp_path: Path
) -> None:
    # An empty variable is none in PowerShell.
    values = [one for one in VALUES if one or program != "pwsh"]
    named = {f"FAKE_{number}": value for number, value in enumerate(values)}
    file = tmp_path / "exported"
    file.write_text(formats.variables_as(format, named), encoding="utf-8")
    show = shlex.join([sys.executable, "-S", "-c", PRINT])

    done = subprocess.run(
        [program, *(word.format(file=file, show=show) for word in words)],
        env={"HOME": str(tmp_path), "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == named
