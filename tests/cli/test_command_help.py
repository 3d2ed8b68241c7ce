"""Each command has help, in one line in the list and with an example in its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from command_line import ROLECALL, Ended

from rolecall.cli.commands import COMMANDS

Run = Callable[..., Ended]


def test_the_list_of_commands_has_all_of_them(rolecall: Run) -> None:
    found = rolecall("--help")

    assert (found.code, found.err) == (0, "")
    # Word by word: a terminal may be narrow.
    words = " ".join(found.out.split())
    for name, entry in COMMANDS.items():
        assert f"{name} {entry.help}" in words
    assert rolecall("-h") == found
    assert max(map(len, found.out.splitlines())) <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_begins_as_the_list_says_and_has_an_example(
    rolecall: Run, name: str
) -> None:
    found = rolecall(name, "--help")

    assert (found.code, found.err) == (0, "")
    usage, _, rest = found.out.partition("\n\n")
    assert f"rolecall {name}" in " ".join(usage.split())
    first = " ".join(rest.split("\n\n")[0].split())
    if name == "credential-process":  # argparse's, which people read as a line of a profile
        assert "credential_process = rolecall credential-process" in rest
    else:
        assert first == COMMANDS[name].help
        assert re.search(rf"^ +(eval .\$\()?rolecall {name}\b", rest, re.MULTILINE), rest
    assert rolecall(name, "-h") == found


def test_its_version_is_the_packages(rolecall: Run) -> None:
    import rolecall as package

    assert rolecall("--version").out.strip() == f"rolecall, version {package.__version__}"


def test_help_loads_no_aws() -> None:
    """It shall be there at once."""
    program = (
        "import sys; from rolecall.cli import main; main(['--help']); "
        "sys.exit(bool({'botocore', 'boto3', 'rich', 'uvicorn', 'starlette'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, b"")


def test_the_module_is_the_command() -> None:
    words = [[ROLECALL, "--version"], [sys.executable, "-m", "rolecall", "--version"]]
    one, other = (
        subprocess.run(line, env=dict(os.environ), capture_output=True, text=True, timeout=60)
        for line in words
    )

    assert (one.returncode, one.stdout) == (other.returncode, other.stdout)
