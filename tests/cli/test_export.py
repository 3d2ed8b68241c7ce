"""``rolecall export``: what it prints is read back by the shells and tools it is meant for."""

from __future__ import annotations

import configparser
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path

import pytest
from command_line import SECONDS, WHO, Desk, Ended, role_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rolecall.cli import export, formats
from rolecall.credentials import Credentials

Run = Callable[..., Ended]

CREDENTIALS = Credentials(
    access_key="ASIAFAKE",
    secret_key="fake/secret+key=",
    token="fake-token==",
    expires_at=datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
)
NAMES = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
]

#: Hard for one shell or another.
HARD = [
    "", " ", "'", '"', "\\", "\\\\'", "$HOME", "${HOME}", "`id`", "$(id)", "a\nb", "\n", "a\n",
    "é✓",
    "!", "#", "a#b", "~", "*", "%PATH%", "a'b\"c", "-n", "=", "\t", "{a,b}", ";id", "&", "|", "\\n",
    "\\'", "'\\''", "a=b", "$", "\\$",
]  # fmt: skip
VALUES = st.lists(
    st.sampled_from(HARD)
    | st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=20),
    min_size=1,
    max_size=40,
)

#: Prints each variable of the shell's environment that is one of ours.
PRINT = (
    "import json, os; "
    "print(json.dumps({n: v for n, v in os.environ.items() if n.startswith('FAKE_')}))"
)


def read_back(shell: str, format: str, values: list[str], folder: Path) -> list[str]:
    """Return *values* as a child of *shell* has them that was told to read them in *format*."""
    named = {f"FAKE_{number}": value for number, value in enumerate(values)}
    file = folder / "exported"
    file.write_text(formats.variables_as(format, named), encoding="utf-8")
    how = {
        "env": f". {file}",
        "env-no-export": f"set -a; . {file}; set +a",
        "dotenv": f"set -a; . {file}; set +a",
        "eval": f'eval "$(cat {file})"',
    }
    script = f"{how[format]}\n{shlex.join([sys.executable, '-S', '-c', PRINT])}"
    done = subprocess.run(
        [shell, "-c", script], capture_output=True, timeout=SECONDS, env={"LANG": "C.UTF-8"}
    )
    assert done.stderr == b""
    found = json.loads(done.stdout)
    return [found[f"FAKE_{number}"] for number in range(len(values))]


@pytest.mark.parametrize("shell", [one for one in ("bash", "dash") if shutil.which(one)])
@pytest.mark.parametrize("format", ["env", "env-no-export"])
def test_a_shell_reads_hard_values_back(shell: str, format: str, tmp_path: Path) -> None:
    assert read_back(shell, format, HARD, tmp_path) == HARD


@pytest.mark.parametrize("format", ["env", "env-no-export"])
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=VALUES)
def test_a_shell_reads_any_value_back(format: str, tmp_path: Path, values: list[str]) -> None:
    assert read_back("sh", format, values, tmp_path) == values


def test_a_shell_reads_dotenv_back(tmp_path: Path) -> None:
    """All on one line, that is: in double quotes a shell takes ``\\n`` for what it says."""
    values = [one for one in HARD if "\n" not in one]

    for shell in filter(shutil.which, ("bash", "dash")):
        assert read_back(shell, "dotenv", values, tmp_path) == values


def parsed_dotenv(text: str) -> Mapping[str, str]:
    """Return the variables of a dotenv file by the rules that its readers agree on.

    A value in double quotes with backslashes before ``"``, ``\\``, ``$`` and a backquote, and
    ``\\n`` for a new line; or a plain word.
    """
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if value.startswith('"'):
            assert value.endswith('"')
            value, escaped = value[1:-1], ""
            letters = iter(value)
            for letter in letters:
                assert letter not in '"$`'
                if letter == "\\":
                    letter = {"n": "\n"}.get(after := next(letters), after)
                escaped += letter
            value = escaped
        found[name] = value
    return found


def test_dotenv_is_one_line_a_variable() -> None:
    named = {f"FAKE_{number}": value for number, value in enumerate(HARD)}

    text = formats.variables_as("dotenv", named)

    assert len(text.splitlines()) == len(HARD)
    assert parsed_dotenv(text) == named


def test_keys_as_they_are_need_no_quotes_in_a_shell() -> None:
    text = formats.written("env", CREDENTIALS, "us-east-2", "reader")

    assert text == (
        "export AWS_ACCESS_KEY_ID=ASIAFAKE\n"
        "export AWS_SECRET_ACCESS_KEY=fake/secret+key=\n"
        "export AWS_SESSION_TOKEN=fake-token==\n"
        "export AWS_CREDENTIAL_EXPIRATION=2030-01-02T03:04:05Z\n"
        "export AWS_REGION=us-east-2\n"
        "export AWS_DEFAULT_REGION=us-east-2\n"
    )


def unquoted_cmd(text: str) -> Mapping[str, str]:
    """Return what cmd.exe sets, line by line of a batch file: ``set "NAME=VALUE"``, %% is %."""
    found = {}
    for line in text.splitlines():
        assert line.startswith('set "')
        assert line.endswith('"')
        name, _, value = line[5:-1].partition("=")
        assert "%" not in value.replace("%%", "")
        found[name] = value.replace("%%", "%")
    return found


def test_cmd_reads_it_back_by_its_rules() -> None:
    values = [one for one in HARD if "\n" not in one and '"' not in one]
    named = {f"FAKE_{number}": value for number, value in enumerate(values)}

    assert unquoted_cmd(formats.variables_as("cmd", named)) == named


def test_all_formats_are_offered_and_say_the_same() -> None:
    assert tuple(export._FORMATS) == tuple(formats.FORMATS)
    for format in formats.FORMATS:
        text = formats.written(format, CREDENTIALS, "us-east-2", "reader")
        assert text.endswith("\n")
        for value in ("ASIAFAKE", "fake/secret+key=", "fake-token==", "2030-01-02T03:04:05Z"):
            assert value in text


def test_without_a_region_none_is_said() -> None:
    for format in formats.FORMATS:
        assert "egion" not in formats.written(format, CREDENTIALS, None, "reader").lower()


@pytest.mark.parametrize("format", ["env", "env-no-export", "dotenv"])
def test_a_shell_that_has_read_it_is_the_role(desk: Desk, format: str) -> None:
    """A real one, and the AWS CLI in it; what the shell had before does not matter."""
    keys = "AWS_ACCESS_KEY_ID=AKIAFAKESTALE; AWS_SECRET_ACCESS_KEY=x; AWS_SESSION_TOKEN=x"
    script = (
        f"{keys}; export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN\n"
        f'set -a; eval "$(rolecall export reader --profile hub --format {format})"\n'
        'python -c "$WHO"; echo $AWS_REGION'
    ).replace(" --profile hub", "")
    desk.environ["WHO"] = WHO
    done = subprocess.run(
        ["bash", "-c", script], env=desk.environ, capture_output=True, text=True, timeout=SECONDS
    )

    assert (done.returncode, done.stderr) == (0, "")
    arn, region = done.stdout.split()
    assert (role_of(arn), region) == ("Reader", "us-east-2")


@pytest.mark.parametrize("format", formats.FORMATS)
def test_a_profile_that_would_win_is_taken_back_where_there_is_one(
    desk: Desk, rolecall: Run, format: str
) -> None:
    """By a format that a shell runs; what the others write is read by other rules."""
    plain = rolecall("export", "reader", "--format", format)
    desk.environ |= {"AWS_PROFILE": "hub", "AWS_DEFAULT_PROFILE": "hub"}

    found = rolecall("export", "reader", "--format", format)

    lines = {
        "env": "unset AWS_DEFAULT_PROFILE AWS_PROFILE\n",
        "fish": "set -e AWS_DEFAULT_PROFILE\nset -e AWS_PROFILE\n",
        "powershell": "Remove-Item Env:AWS_DEFAULT_PROFILE -ErrorAction SilentlyContinue\n"
        "Remove-Item Env:AWS_PROFILE -ErrorAction SilentlyContinue\n",
        "cmd": 'set "AWS_DEFAULT_PROFILE="\nset "AWS_PROFILE="\n',
    }
    assert (found.code, found.err) == (0, "")
    assert found.out == lines.get(format, "") + plain.out


def test_the_aws_cli_reads_ini_and_json(desk: Desk, rolecall: Run) -> None:
    """As a profile of its credentials file, and as what a credential_process prints."""
    ini = rolecall("export", "reader", "--format", "ini")
    document = rolecall("export", "deploy", "--json")
    assert (ini.code, document.code) == (0, 0)
    assert document == rolecall("export", "deploy", "--format", "json")
    credentials, printed = desk.home / "credentials", desk.home / "printed"
    credentials.write_text(ini.out)
    printed.write_text(document.out)
    config = desk.home / "config"
    config.write_text(f"[profile printed]\ncredential_process = cat {printed}\n")
    environ = {
        **desk.environ,
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
        "AWS_CONFIG_FILE": str(config),
        "AWS_DEFAULT_REGION": "us-east-2",
    }

    for profile, name in (("reader", "Reader"), ("printed", "Deploy")):
        words = ["sts", "get-caller-identity", "--query", "Arn", "--output", "text", "--profile"]
        done = subprocess.run(
            [sys.executable, "-m", "awscli", *words, profile],
            env=environ, capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert role_of(done.stdout) == name


def test_ini_of_an_arn_is_a_section_with_the_roles_name(desk: Desk, rolecall: Run) -> None:
    arn = desk.arns["reader"]

    found = rolecall("export", arn, "--profile", "hub", "--format", "ini")

    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(found.out)
    assert parser.sections() == ["Reader"]
    assert parser["Reader"]["aws_access_key_id"].startswith("ASIA")
    assert "region" in parser["Reader"]


def test_so_much_life_is_left_as_is_asked_for(desk: Desk, rolecall: Run) -> None:
    def key(*words: str) -> str:
        found = rolecall("export", "reader", "--json", *words)
        assert (found.code, found.err) == (0, "")
        return str(json.loads(found.out)["AccessKeyId"])

    first = key()
    assert key("--refresh-before", "45m") == first
    assert key() == first
    found = rolecall("export", "reader", "--refresh-before", "61m")
    assert (found.code, found.out) == (2, "")
