"""Runs of ``rolecall exec`` as processes: how they begin and end, and what they leave behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from command_line import SECONDS, Desk, Ended

WAYS = ("endpoint", "env", "process")

#: Says what it has got, and ends with its input.
CHILD = """
import json, os, sys
print(json.dumps({"pid": os.getpid(), **os.environ}), flush=True)
sys.stdin.read()
"""


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line: str = process.stdout.readline()
    return line


def started(desk: Desk, *words: str) -> tuple[subprocess.Popen[str], dict[str, str]]:
    """Start `exec` with *words*; return it once its child runs, and what the child has got."""
    process = desk.start(
        "exec", "reader", *words, program=desk.python(CHILD), stdin=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    line = first_line(process)
    if not line:
        _, err = process.communicate(timeout=SECONDS)
        raise AssertionError(err)
    return process, json.loads(line)


def refuses(url: str) -> bool:
    """Return whether nobody listens at *url* any more."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) != 0


@pytest.mark.parametrize("way", ["endpoint", "process"])
def test_its_files_are_the_users_alone_and_end_with_the_child(desk: Desk, way: str) -> None:
    desk.default_keys(**desk.keys("AKIAFAKEDEFAULT", "fake-default"))
    before = os.umask(0)
    try:
        process, child = started(desk, "--via", way)
    finally:
        os.umask(before)
    base = desk.home / ".cache/rolecall"
    modes = {
        str(one.relative_to(base)): stat.S_IMODE(one.lstat().st_mode) for one in base.rglob("*")
    }
    directories = {name for name in modes if (base / name).is_dir()}
    process.communicate("", timeout=SECONDS)

    assert process.returncode == 0
    assert {modes[name] for name in directories} == {0o700}
    assert {modes[name] for name in modes.keys() - directories} == {0o600}
    names = {Path(name).name for name in modes if name.startswith("run/run-")} - {
        Path(child["AWS_CONFIG_FILE"]).parent.name if way == "process" else "",
    }
    expected = {
        "endpoint": {"token", "credentials"},
        "process": {"environment", "config", "credentials"},
    }
    assert expected[way] <= names
    assert desk.rolecall_files == []


def test_the_endpoint_ends_with_the_child(desk: Desk) -> None:
    process, child = started(desk)
    url = child["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    assert not refuses(url)

    process.communicate("", timeout=SECONDS)

    assert refuses(url)


def test_a_run_that_is_ended_ends_its_child(desk: Desk) -> None:
    """By SIGTERM, as a supervisor does; and it cleans up after itself."""
    process, child = started(desk)
    assert int(child["pid"]) != process.pid

    process.send_signal(signal.SIGTERM)
    # Its input stays open; its output ends when the child has ended, which holds it as well.
    assert process.stdout is not None
    assert process.stdout.read() == ""
    out, err = process.communicate(timeout=SECONDS)

    assert (process.returncode, out, err) == (128 + signal.SIGTERM, "", "")
    assert refuses(child["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
    assert desk.rolecall_files == []


def test_a_run_that_is_killed_leaves_no_child_and_the_next_one_cleans_up(desk: Desk) -> None:
    process, child = started(desk)

    process.kill()
    assert process.stdout is not None
    assert process.stdout.read() == ""  # not before the child, which holds the other end, has ended
    process.communicate(timeout=SECONDS)

    assert refuses(child["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
    assert any("token" in one for one in desk.rolecall_files)
    ended = desk.run("exec", "reader", program=["true"])
    assert (ended.code, ended.err) == (0, "")
    assert not [one for one in desk.rolecall_files if not one.startswith("endpoints/")]


def test_by_way_of_the_environment_no_process_of_ours_is_left(
    desk: Desk, rolecall: Callable[..., Ended]
) -> None:
    desk.default_keys(**desk.keys("AKIAFAKEDEFAULT", "fake-default"))
    process, child = started(desk, "--via", "env")
    process.communicate("", timeout=SECONDS)

    assert int(child["pid"]) == process.pid
    # Its copy of a file without the default's keys stays for what the program may have started,
    # whoever comes by, until its keys have ended.
    copy = Path(child["AWS_SHARED_CREDENTIALS_FILE"])
    long_ago = time.time() - timedelta(hours=12).total_seconds()
    for age, is_there in ((60, True), (-60, False)):
        os.utime(copy.parent, (long_ago + age,) * 2)
        assert rolecall("exec", "reader", "--", "true") == Ended(0, "", "")
        assert copy.exists() == is_there


def test_files_of_a_run_that_goes_on_stay_however_old_they_are(
    desk: Desk, rolecall: Callable[..., Ended]
) -> None:
    process, child = started(desk)
    token = Path(child["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
    os.utime(token.parent, (0, 0))

    assert rolecall("exec", "reader", "--", "true") == Ended(0, "", "")
    assert token.exists()
    process.communicate("", timeout=SECONDS)
    assert not token.exists()


def test_by_way_of_the_environment_a_program_that_is_not_there_leaves_nothing(
    desk: Desk, rolecall: Callable[..., Ended]
) -> None:
    desk.default_keys(**desk.keys("AKIAFAKEDEFAULT", "fake-default"))
    found = rolecall("exec", "reader", "--via", "env", "--", "no-such-program")
    assert found == Ended(127, "", "rolecall: no-such-program: not found\n")
    found = rolecall("exec", "reader", "--via", "env", "--", str(desk.home))
    assert found == Ended(126, "", f"rolecall: {desk.home}: cannot be run: Permission denied\n")
    assert desk.rolecall_files == []


@pytest.mark.parametrize("way", ["endpoint", "process"])
def test_many_runs_leave_no_file(desk: Desk, rolecall: Callable[..., Ended], way: str) -> None:
    desk.default_keys(**desk.keys("AKIAFAKEDEFAULT", "fake-default"))
    for _ in range(10):
        assert rolecall("exec", "reader", "--via", way, "--", "true") == Ended(0, "", "")

    assert desk.rolecall_files == []


def test_a_run_in_a_run_is_refused(desk: Desk, rolecall: Callable[..., Ended]) -> None:
    desk.environ["ROLECALL"] = "deploy"

    found = rolecall("exec", "reader", "--", "true")

    assert (found.code, found.out) == (2, "")
    assert "deploy" in found.err
    assert "--allow-nested" in found.err


def test_a_run_in_a_run_can_be_allowed(desk: Desk, rolecall: Callable[..., Ended]) -> None:
    """It starts from what the outer one has given it, where the inner role asks for that."""
    inner = "exec rolecall exec \"$1\" --allow-nested -- sh -c 'echo $ROLECALL'"

    found = desk.run("exec", "reader", program=["sh", "-c", inner, "sh", desk.arns["deploy"]])

    assert found == Ended(0, f"{desk.arns['deploy']}\n", "")


def test_the_shell_is_the_users(desk: Desk) -> None:
    shell = desk.home / "shell"
    shell.write_text("#!/bin/sh\necho shell of $ROLECALL, $# words\nexit 5\n")
    shell.chmod(0o755)
    desk.environ["SHELL"] = str(shell)

    assert desk.run("exec", "reader") == Ended(5, "shell of reader, 0 words\n", "")


def test_a_script_that_does_not_say_what_runs_it_is_the_shells_by_any_way(desk: Desk) -> None:
    script = desk.home / "plain"
    script.write_text('echo "$ROLECALL, $1"; exit 7\n')
    script.chmod(0o755)

    for way in ("endpoint", "env"):
        found = desk.run("exec", "reader", "--via", way, program=[str(script), "a b"])
        assert found == Ended(7, "reader, a b\n", ""), way


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)]
)
def test_a_run_that_is_interrupted_as_it_starts_starts_no_child(
    desk: Desk, number: signal.Signals, code: int
) -> None:
    program = ["sh", "-c", f"echo started; touch {desk.home}/started"]
    with desk.cloud.hold("AssumeRole") as gate:
        process = desk.start("exec", "reader", program=program, start_new_session=True)
        gate.wait_for_arrival()
        process.send_signal(number)
        out, err = process.communicate(timeout=SECONDS)

    assert (process.returncode, out, err.strip()) == (code, "", "")
    assert not (desk.home / "started").exists()
    assert desk.rolecall_files == []


def test_input_is_the_childs(desk: Desk) -> None:
    text = "all of it\n" * 100_000  # more than a pipe holds

    assert desk.run("exec", "reader", program=["cat"], stdin=text) == Ended(0, text, "")


def test_a_reader_that_has_enough_ends_the_child(desk: Desk) -> None:
    desk.environ["ROLE_PROGRAM"] = "rolecall exec reader --"
    script = "$ROLE_PROGRAM yes | head -n 1; echo ${PIPESTATUS[0]}"
    done = subprocess.run(
        ["bash", "-c", script], env=desk.environ, capture_output=True, text=True, timeout=SECONDS
    )

    assert (done.stdout, done.stderr) == (f"y\n{128 + signal.SIGPIPE}\n", "")


@pytest.mark.parametrize("way", WAYS)
def test_a_child_has_no_more_open_files_than_without_us(desk: Desk, way: str) -> None:
    """Nor a signal that is ignored or blocked."""
    program = ["sh", "-c", "ls /proc/self/fd; grep ^Sig[PBIC] /proc/self/status"]
    plain = subprocess.run(
        program, env=desk.environ, stdin=subprocess.PIPE, capture_output=True, text=True,
        timeout=SECONDS, start_new_session=True,
    )  # fmt: skip

    found = desk.run("exec", "reader", "--via", way, program=program)

    assert found == Ended(0, plain.stdout, plain.stderr)


@pytest.mark.parametrize("way", WAYS)
def test_files_that_were_opened_for_the_child_reach_it(desk: Desk, way: str) -> None:
    """As ``<(…)`` of a shell, and a number of one's own."""
    script = f"rolecall exec reader --via {way} -- cat <(echo one) /dev/fd/3 3<<<two"

    done = subprocess.run(
        ["bash", "-c", script], env=desk.environ, capture_output=True, text=True, timeout=SECONDS
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "one\ntwo\n", "")
