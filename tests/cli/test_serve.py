"""``rolecall serve``: variables for programs that somebody else starts, until it is told to end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import botocore.session
import pexpect
import pytest
from botocore.credentials import ContainerProvider
from command_line import ROLECALL, SECONDS, SERIAL, Desk, Ended, role_of

from rolecall.cli import serve

URL = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"

#: Format → a line of it, where no shell reads it back here.
LINES = {
    "fish": re.compile(r"set -gx (\w+) '([^'\\]*)'"),
    "powershell": re.compile(r"\$Env:(\w+) = '([^']*)'"),
    "cmd": re.compile(r'set "(\w+)=([^"%]*)"'),
}


def who(desk: Desk, variables: Mapping[str, str]) -> str:
    """Return the name of the role that *variables* make a program."""
    found = ContainerProvider(environ=dict(variables)).load()
    assert found is not None
    keys = found.get_frozen_credentials()
    sts = botocore.session.Session().create_client(
        "sts",
        region_name="us-east-2",
        endpoint_url=desk.cloud.url,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.token,
    )
    return role_of(sts.get_caller_identity()["Arn"])


def sourced(text: str) -> dict[str, str]:
    """Return the variables that a shell has after it has read *text*."""
    done = subprocess.run(
        ["bash", "-c", "set -a; . /dev/stdin; env -0"],
        input=text, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    parted = [one.partition("=") for one in done.stdout.split("\0") if one]
    return {name: value for name, _, value in parted if name.startswith("AWS_")}


def refuses(url: str) -> bool:
    """Return whether nobody listens at *url*."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) != 0


@pytest.fixture
def serving(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ended]:
    """Serve in this process: *meanwhile* is called with what was printed, instead of waiting."""

    def serving(*words: str, meanwhile: Callable[[Ended], object]) -> Ended:
        def until_told() -> None:
            said = capsys.readouterr()
            meanwhile(Ended(None, said.out, said.err))

        monkeypatch.setattr(serve, "_until_told", until_told)
        return desk.here(capsys.readouterr, "serve", *words)

    return serving


# What is printed


@pytest.mark.parametrize("format", ["env", "env-no-export", "dotenv", *LINES])
def test_each_role_has_variables_that_make_a_program_it(
    desk: Desk, serving: Callable[..., Ended], format: str
) -> None:
    read: list[tuple[str, str]] = []

    def look(said: Ended) -> None:
        comment = "rem" if format == "cmd" else "#"
        for part in said.out.split("\n\n"):
            first, _, text = part.partition("\n")
            if format in LINES:
                lines = [LINES[format].fullmatch(line) for line in text.splitlines()]
                variables = dict(line.groups() for line in lines if line is not None)
                assert len(variables) == len(lines)
            else:
                variables = sourced(text)
            read.append((first.removeprefix(f"{comment} "), who(desk, variables)))
            with_file = {**variables, TOKEN: ""}
            assert Path(with_file[FILE]).read_text() == variables[TOKEN]
            assert (variables["AWS_REGION"], variables["AWS_DEFAULT_REGION"]) == ("us-east-2",) * 2
            assert "AWS_ACCESS_KEY_ID" not in variables
            assert variables[TOKEN] not in said.err
        assert said.err.startswith("rolecall: serving live, deploy on 127.0.0.1:")

    ended = serving("live=reader", "deploy", "--format", format, meanwhile=look)

    assert ended == Ended(0, "", "")
    assert read == [("live", "Reader"), ("deploy", "Deploy")]
    assert desk.rolecall_files == []


@pytest.mark.parametrize("words", [["--json"], ["--format", "json"]])
def test_json_has_the_variables_of_each_role_by_its_name(
    desk: Desk, serving: Callable[..., Ended], words: list[str]
) -> None:
    found: dict[str, str] = {}

    def look(said: Ended) -> None:
        printed = json.loads(said.out)
        found.update({name: who(desk, variables) for name, variables in printed.items()})
        assert len({variables[TOKEN] for variables in printed.values()}) == 2

    ended = serving("live=reader", f"role/x={desk.arns['deploy']}", "--profile", "hub", *words,
                    meanwhile=look) if False else serving(
        "live=reader", "test=deploy", *words, meanwhile=look
    )

    assert ended == Ended(0, "", "")
    assert found == {"live": "Reader", "test": "Deploy"}
