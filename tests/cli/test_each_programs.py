"""Programs that ``rolecall each`` runs: they are their account's role, and end when they must."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from command_line import SECONDS, WHO, Desk, Ended
from hypothesis import given
from hypothesis import strategies as st

from rolecall.cli.each import child as each_child
from rolecall.cli.each import program as each_program
from rolecall.cli.each import signals as each_signals
from rolecall.cli.each.program import value_of
from rolecall.cli.each.progress import Screen
from rolecall.cli.each.signals import Interruptions, taken
from rolecall.fleet import FanOut
from rolecall.testing import Gate, StrictCloud

Run = Callable[..., Ended]

ONE, TWO, THREE = "111122223333", "444455556666", "777788889999"
THEM = ("--profile", "hub", "--role", "Auditor", "--account", f"{ONE},{TWO}")
ONLY = ("--profile", "hub", "--role", "Auditor", "--account", ONE)

#: Says what it has got.
ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"


def rows(found: Ended) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in found.out.splitlines()]
    return sorted(lines, key=lambda row: (row["account"], row["region"] or ""))


# ── who they are ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", ["endpoint", "env"])
def test_a_program_is_the_role_of_its_account(desk: Desk, rolecall: Run, way: str) -> None:
    """Whatever else would give it credentials; and it knows where it is."""
    desk.default_keys(**desk.keys("AKIAFAKEDEFAULT", "fake-default"))
    desk.environ |= {"AWS_SECRET_ACCESS_KEY": "fake-stale", "AWS_ROLE_ARN": "fake-stale"}
    words = ("--regions", "eu-west-1", "--json", "--credentials", way)

    found = rolecall("each", *THEM, *words, "--", *desk.python(WHO, ENVIRONMENT))

    assert (found.code, found.err) == (0, "rolecall: 2 ok\n")
    seen = [one["value"].splitlines() for one in rows(found)]
    assert [one[0].split(":")[4] for one in seen] == [ONE, TWO]
    assert all(":assumed-role/Auditor/" in one[0] for one in seen)
    for account, (_, text) in zip((ONE, TWO), seen, strict=True):
        child = json.loads(text)
        assert child["ROLECALL_ACCOUNT_ID"] == account
        assert child["ROLECALL_ACCOUNT_NAME"] == ""
        regions = {child[name] for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "ROLECALL_REGION")}
        assert regions == {"eu-west-1"}
        assert child["ROLECALL"] == f"{account}/eu-west-1"
        assert child.get("AWS_SECRET_ACCESS_KEY") != "fake-stale"
        assert ("AWS_SESSION_TOKEN" in child) == (way == "env")
        assert ("AWS_CONTAINER_AUTHORIZATION_TOKEN" in child) == (way == "endpoint")
    assert desk.rolecall_files == []


def test_the_aws_cli_is_the_role_and_its_json_is_the_value(rolecall: Run) -> None:
    query = ["--query", "{Names: Buckets[].Name}"]

    found = rolecall("each", *ONLY, "--json", "--", "aws", "s3api", "list-buckets", *query)

    assert (found.code, [one["value"] for one in rows(found)]) == (0, [{"Names": []}])


def test_a_program_cannot_have_another_ones_credentials(desk: Desk, rolecall: Run) -> None:
    """Each has a path and a token of its own, which end with it."""
    found = rolecall("each", *THEM, "--json", "--", *desk.python(ENVIRONMENT))

    one, two = (row["value"] for row in rows(found))
    for name in ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"):
        assert one[name] != two[name]
    assert (
        one["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
        != (two["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
    )


#: Asks with what the program before it had, if there was one; says what came of it.
AFTERWARDS = """
import os, pathlib, sys, urllib.error, urllib.request
note = pathlib.Path(sys.argv[1])
names = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN")
own = [os.environ[name] for name in names]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for url, token in [note.read_text().split() if note.exists() else own]:
    try:
        request = urllib.request.Request(url, headers={"Authorization": token})
        print(opener.open(request).status)
    except urllib.error.HTTPError as error:
        print(error.code)
note.write_text(" ".join(own))
"""


def test_credentials_are_served_no_longer_than_their_program_runs(
    desk: Desk, rolecall: Run, tmp_path: Path
) -> None:
    program = [*desk.python(AFTERWARDS), str(tmp_path / "note")]

    found = rolecall("each", *THEM, "--max-workers", "1", "--json", "--", *program)

    assert [one["value"] for one in rows(found)] == [200, 404]


#: Ends when it has seen three sessions; whatever it calls must succeed.
LONG = """
import threading, boto3
client, keys, pause = boto3.client("sts"), set(), threading.Event()
credentials = client._request_signer._credentials
while len(keys) < 3:
    assert ":assumed-role/" in client.get_caller_identity()["Arn"]
    keys.add(credentials.get_frozen_credentials().access_key)
    pause.wait(0.1)
print(len(keys))
"""


def test_programs_outlive_their_sessions(desk: Desk, rolecall: Run, cloud: StrictCloud) -> None:
    # Long enough for a request that is held up on a busy machine.
    cloud.lifetime = timedelta(seconds=3.2)
    try:
        found = rolecall("each", *THEM, "--json", "--", *desk.python(LONG))
    finally:
        cloud.lifetime = None

    assert (found.code, found.err) == (0, "rolecall: 2 ok\n")
    assert [one["value"] for one in rows(found)] == [3, 3]


#: Says its token and its session's keys backwards, and which of them processes show.
SECRETS = """
import glob, json, os, boto3
keys = boto3.Session().get_credentials().get_frozen_credentials()
secrets = [os.environ["AWS_CONTAINER_AUTHORIZATION_TOKEN"], keys.secret_key, keys.token]
shown = ""
for file in glob.glob("/proc/[0-9]*/cmdline"):
    try:
        shown += open(file).read()
    except OSError:
        pass
assert "rolecall" in shown
print(json.dumps([[one[::-1] for one in secrets], [one in shown for one in secrets]]))
"""


def test_no_secret_is_in_arguments_nor_in_what_is_said(desk: Desk) -> None:
    found = desk.run("each", *ONLY, "--json", "-vv", program=desk.python(SECRETS))

    assert found.code == 0, found.err
    backwards, shown = rows(found)[0]["value"]
    assert shown == [False] * 3
    for secret in (desk.secret, *(one[::-1] for one in backwards)):
        assert len(secret) > 20
        assert secret not in found.out + found.err


# ── what they print and say ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        (b'{"a": [1, null]}\n', {"a": [1, None]}),
        (b"3\n", 3),
        (b'"text"\n', "text"),
        (b"two\nlines\n", "two\nlines"),
        (b"two\n\n", "two\n"),
        (b"windows\r\n", "windows"),
        (b"", None),
        (b"\n", None),
        (b"111122223333\n", "111122223333"),
        (b"012345678901\n", "012345678901"),
        (b"NaN\n", "NaN"),
        (b"{oh\n", "{oh"),
        (b"\xff\n", "\\xff"),
        (b"[" * 100_000, "[" * 100_000),
    ],
    ids=lambda one: repr(one)[:16],
)
def test_what_a_program_prints_is_the_value(printed: bytes, value: object) -> None:
    assert value == value_of(printed)


@given(st.binary(max_size=30))
def test_anything_that_is_printed_is_some_value(printed: bytes) -> None:
    json.dumps(value_of(printed))


def test_what_a_program_says_is_passed_on_line_by_line(rolecall: Run) -> None:
    script = r"printf 'one\ntwo\r\nthr\033[31mee [red]\n\n' >&2; printf 'last' >&2; echo out"

    found = rolecall("each", *THEM, "--max-workers", "1", "--json", "--", "sh", "-c", script)

    assert found.err.splitlines() == [
        *(f"{account}: {line}" for account in (ONE, TWO)
          for line in ("one", "two", "thr?[31mee [red]", "last")),
        "rolecall: 2 ok",
    ]  # fmt: skip
    assert [one["value"] for one in rows(found)] == ["out", "out"]


def test_a_line_without_an_end_is_passed_on_in_parts(rolecall: Run) -> None:
    script = "head -c 20000 /dev/zero | tr '\\0' x >&2"

    found = rolecall("each", *ONLY, "--", "sh", "-c", script)

    *lines, summary = found.err.splitlines()
    assert [len(line) - len(f"{ONE}: ") for line in lines] == [8192, 8192, 20000 - 2 * 8192]
    assert summary == "rolecall: 1 ok"


def test_a_program_has_no_input(rolecall: Run) -> None:
    assert rows(rolecall("each", *ONLY, "--json", "--", "cat"))[0]["value"] is None


FAILING = {
    "a code": ("echo why >&2; exit 3", "function", "ExitCode", "exited with 3: why"),
    "a code, without a word": ("echo seen; exit 4", "function", "ExitCode", "exited with 4: seen"),
    "a signal": ("kill -9 $$", "function", "ExitCode", "ended by SIGKILL"),
    "what AWS refused": (
        "echo 'An error occurred (AccessDenied) when calling the X operation: no' >&2; exit 254",
        "access_denied", "ExitCode",
        "exited with 254: An error occurred (AccessDenied) when calling the X operation: no",
    ),
    "too much": ("yes", "function", "OutputTooLarge", "it printed more than 10 MiB"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILING)
def test_a_program_that_fails_says_why(rolecall: Run, case: str) -> None:
    script, kind, type_, message = FAILING[case]

    found = rolecall("each", *ONLY, "--json", "--", "sh", "-c", script)

    (row,) = rows(found)
    assert found.code == 1
    assert (row["error_kind"], row["error_type"], row["error_message"]) == (kind, type_, message)
    assert row["value"] is None


def test_secrets_that_a_failing_program_says_are_not_kept(rolecall: Run) -> None:
    script = "echo 'aws_secret_access_key=fakefakefakefakefakefakefakefakefake0000' >&2; exit 1"

    found = rolecall("each", *ONLY, "--json", "--", "sh", "-c", script)

    assert "fakefakefake" not in rows(found)[0]["error_message"]


@pytest.mark.parametrize(
    ("name", "code", "why"),
    [("no-such-program", 127, "not found"), ("/no/such", 127, "not found"), (None, 126, "cannot")],
)
def test_a_program_that_cannot_be_run_is_found_out_before_anything_is(
    rolecall: Run, cloud: StrictCloud, tmp_path: Path, name: str | None, code: int, why: str
) -> None:
    plain = tmp_path / "plain"
    plain.write_text("echo no")
    before = cloud.calls()

    found = rolecall("each", *ONLY, "--", name or str(plain))

    assert (found.code, found.out) == (code, "")
    assert why in found.err
    assert cloud.calls() == before


def test_a_program_that_is_throttled_is_tried_again(
    rolecall: Run, tmp_path: Path, cloud: StrictCloud
) -> None:
    mark = tmp_path / "mark"
    said = "An error occurred (Throttling) when calling the X operation: slow"
    script = f"test -e {mark} && echo done || {{ touch {mark}; echo '{said}' >&2; exit 254; }}"

    found = rolecall("each", *ONLY, "--attempts", "2", "--json", "--", "sh", "-c", script)

    (row,) = rows(found)
    assert (row["ok"], row["value"], row["attempts"]) == (True, "done", 2)


# ── how they end ─────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def alive(path: Path) -> Iterator[Any]:
    """Give a file that ends when nobody has the FIFO *path* any more, whoever has opened it."""
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, encoding="utf-8") as file:
        yield file


def ended(file: Any) -> bool:
    """Wait until all who had the FIFO have ended; return whether they did."""
    os.set_blocking(file.fileno(), True)
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.append(file.read()), daemon=True)
    reader.start()
    reader.join(SECONDS / 3)
    return bool(seen)


def test_a_program_that_takes_too_long_is_ended_with_its_own_children(
    rolecall: Run, tmp_path: Path
) -> None:
    """One that does not care for SIGTERM is killed."""
    script = f"trap '' TERM; exec 3>{tmp_path / 'fifo'}; sleep 600 & sleep 600"
    with alive(tmp_path / "fifo") as file:
        found = rolecall("each", *ONLY, "--timeout", "1s", "--json", "--", "sh", "-c", script)

        assert ended(file)

    (row,) = rows(found)
    assert (row["error_kind"], row["error_message"]) == ("timeout", "took longer than 1 s")
    assert found.code == 1


def test_a_program_that_is_told_to_end_and_does_not_is_killed() -> None:
    ready = threading.Event()
    child = each_child.Child(
        ["sh", "-c", "trap 'echo told >&2' TERM; echo ready >&2; while :; do sleep 600; done"],
        {"PATH": "/bin:/usr/bin"}, heard=lambda _: ready.set(), core=None,
    )  # fmt: skip
    assert ready.wait(SECONDS)

    timers = each_program.ended_after(child, 0.0, grace=0.5)

    assert child.wait() == (-signal.SIGKILL, b"", b"told")
    for timer in timers:
        timer.join(SECONDS)


#: Says that it runs, and ends with whoever holds its FIFO.
READY = "exec 3>{fifo}; echo ready $$ >&2; exec sleep 600"
#: The same, and says that it was told to end.
TOLD = """
exec 3>{fifo}; trap 'echo was told >&2; exit 1' TERM; echo ready $$ >&2; sleep 600 & wait
"""


def started(desk: Desk, fifo: Path, script: str) -> subprocess.Popen[str]:
    """Start a run with a program; return it once that runs."""
    process = desk.start(
        "each", *THEM, "--max-workers", "1", "--json", "--", "sh", "-c",
        script.format(fifo=fifo), start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith(f"{ONE}: ready "), line + process.stderr.read()
    return process


def test_a_signal_ends_the_run_and_its_programs(desk: Desk, tmp_path: Path) -> None:
    with alive(tmp_path / "fifo") as file:
        process = started(desk, tmp_path / "fifo", TOLD)

        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=SECONDS)

        assert ended(file)
    assert process.returncode == 128 + signal.SIGTERM
    (row,) = (json.loads(line) for line in out.splitlines())
    assert (row["account"], row["error_type"]) == (ONE, "Interrupted")
    assert f"rolecall: not run: {TWO}\n" in err
    assert f"{ONE}: was told\n" in err
    assert "rolecall: 0 ok, 1 failed (timeout 1), 1 not run (interrupted)\n" in err
    assert desk.rolecall_files == []


def test_a_run_that_is_killed_leaves_no_program(desk: Desk, tmp_path: Path) -> None:
    with alive(tmp_path / "fifo") as file:
        process = started(desk, tmp_path / "fifo", READY)

        process.kill()
        process.communicate(timeout=SECONDS)

        assert ended(file)


def test_a_reader_that_leaves_early_stops_the_run(desk: Desk) -> None:
    ids = ",".join(f"{number:012d}" for number in range(1, 41))
    words = ("--profile", "hub", "--role", "Auditor", "--account", ids, "--max-workers", "1")
    process = desk.start("each", *words, "--json", program=["echo", "x"])
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline()

    process.stdout.close()
    err = process.stderr.read()
    process.wait(SECONDS)
    process.stderr.close()

    assert (process.returncode, err) == (128 + 13, "")
    assert desk.cloud.calls("AssumeRole") < 40


def steps(*numbers: int) -> tuple[list[str], int | None]:
    done: list[str] = []
    interruptions = Interruptions(
        stop=lambda: done.append("stop"),
        end=lambda: done.append("end"),
        kill=lambda: done.append("kill"),
    )
    for number in numbers:
        interruptions.take(number)
    return done, interruptions.code


INT, TERM = signal.SIGINT, signal.SIGTERM


@pytest.mark.parametrize(
    ("numbers", "done", "code"),
    [
        ((), [], None),
        ((INT,), ["stop"], 130),
        ((INT, INT), ["stop", "end"], 130),
        ((INT, INT, INT, INT), ["stop", "end", "kill", "kill"], 130),
        ((TERM,), ["end"], 143),
        ((INT, TERM), ["stop", "end"], 143),
        ((TERM, INT), ["end", "kill"], 143),
    ],
)
def test_each_signal_asks_for_more_than_the_one_before(
    numbers: tuple[int, ...], done: list[str], code: int | None
) -> None:
    assert steps(*numbers) == (done, code)


def test_a_step_that_fails_does_not_keep_later_signals_from_being_taken() -> None:
    tried, ended = threading.Event(), threading.Event()

    def fails() -> None:
        tried.set()
        raise BrokenPipeError

    interruptions = Interruptions(stop=fails, end=ended.set, kill=lambda: None)
    with taken(interruptions):
        signal.raise_signal(INT)
        assert tried.wait(SECONDS)
        signal.raise_signal(INT)
        assert ended.wait(SECONDS)

    assert interruptions.code == 130


@pytest.mark.parametrize("times", [1, 2])
def test_a_run_is_stopped_before_anything_is_said_of_it(
    rolecall: Run, cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """What is said may go nowhere, or wait for whoever reads it."""
    given: list[Interruptions] = []
    done: list[str] = []
    saying = threading.Semaphore(0)
    say = Screen.say

    def taken_by_hand(interruptions: Interruptions) -> Any:
        given.append(interruptions)
        return taken(interruptions)

    def noted(name: str) -> Callable[[FanOut], None]:
        do = getattr(FanOut, name)

        def note(run: FanOut) -> None:
            do(run)
            done.append(name)

        return note

    def said(self: Screen, *lines: str) -> None:
        if lines[0].startswith("interrupted"):
            done.append("said")
            saying.release()
        else:
            say(self, *lines)

    def interrupt() -> None:
        gate.wait_for_arrival()
        for _ in range(times):
            given[0].take(INT)
            assert saying.acquire(timeout=SECONDS)
        gate.open()

    monkeypatch.setattr(each_signals, "taken", taken_by_hand)
    for name in ("stop", "kill"):
        monkeypatch.setattr(FanOut, name, noted(name))
    monkeypatch.setattr(Screen, "say", said)
    keyboard = threading.Thread(target=interrupt)
    with cloud.hold("GetCallerIdentity") as gate:
        keyboard.start()
        found = rolecall(
            "each", *THEM, "--max-workers", "1", "--json", "--call", "sts.get_caller_identity"
        )
        keyboard.join(SECONDS)

    assert done == ["stop", "said", "kill", "said"][: 2 * times]
    assert (found.code, [one["ok"] for one in rows(found)]) == (130, [times == 1])


#: Says so at one FIFO when it begins, and ends with whoever holds it.
BEGINS = "exec 3>{fifo}; echo $ROLECALL_ACCOUNT_ID >&3; echo a word >&2; exec sleep 600"


def test_a_run_whose_standard_error_is_gone_is_ended_by_signals(desk: Desk, tmp_path: Path) -> None:
    """As of ``2>&1 | tee log``, where Ctrl-C ends tee as well."""
    reader, writer = os.pipe()
    os.close(reader)
    with alive(tmp_path / "fifo") as file:
        process = desk.start(
            "each", *THEM, "--max-workers", "1", "--json", "--", "sh", "-c",
            BEGINS.format(fifo=tmp_path / "fifo"), stderr=writer, start_new_session=True,
        )  # fmt: skip
        os.close(writer)
        try:
            assert select.select([file], [], [], SECONDS)[0]
            assert os.read(file.fileno(), 64).split() == [ONE.encode()]
            process.send_signal(INT)
            process.send_signal(TERM)
            out, _ = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
            process.communicate()

        assert ended(file)
    (row,) = (json.loads(line) for line in out.splitlines())
    assert (row["account"], row["error_type"]) == (ONE, "Interrupted")
    assert process.returncode == 128 + TERM
    assert desk.rolecall_files == []


def test_a_program_whose_words_cannot_be_passed_on_does_not_wait_for_ever() -> None:
    heard = []

    def nowhere(line: bytes) -> None:
        heard.append(line)
        raise ValueError("closed")

    child = each_child.Child(
        ["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x >&2; echo done; echo last >&2"],
        {"PATH": "/bin:/usr/bin"}, heard=nowhere, core=None,
    )  # fmt: skip
    timers = each_program.ended_after(child, SECONDS / 3)

    found = child.wait()

    for timer in timers:
        timer.cancel()
    assert found == (0, b"done\n", heard[-1])
    assert b"".join(heard) == b"x" * 300_000 + b"last"


# ── names that are not ASCII ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
@pytest.mark.parametrize(
    ("name", "there"), [("Bücher 東京", "Bücher 東京"), ("half \ud83d", "half ?"), ("", "")]
)
def test_a_name_is_utf_8_for_a_program_whatever_the_locale_is(
    monkeypatch: pytest.MonkeyPatch, encoding: str, name: str, there: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("sys.getfilesystemencoding", lambda: encoding)
        given = each_program._in_environment(name)

    # As `os.fsencode` does it, by which `subprocess` makes an environment.
    assert given.encode(encoding, "surrogateescape") == there.encode()


def test_an_account_s_name_reaches_a_program_without_utf_8_by_a_pipe(
    desk: Desk, tmp_path: Path
) -> None:
    """Where nothing is but ASCII, as under an old cron; and what is written is no plain file."""
    accounts = tmp_path / "accounts.json"
    accounts.write_text(json.dumps([{"id": ONE, "name": "Bücher"}]))
    desk.environ |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}

    found = desk.run(
        "each", "--profile", "hub", "--role", "Auditor", "--accounts", str(accounts),
        "--format", "jsonl", "--output", "/dev/stdout",
        program=["sh", "-c", "printf %s \"$ROLECALL_ACCOUNT_NAME\" | od -An -tx1 | tr -d ' \\n'"],
        encoding="utf-8",
    )  # fmt: skip

    assert (found.code, found.err) == (0, "rolecall: 1 ok\n")
    (row,) = rows(found)
    assert bytes.fromhex(row["value"]).decode() == row["account_name"] == "Bücher"


def test_nothing_is_started_once_the_programs_are_ended(tmp_path: Path) -> None:
    programs = each_program.Programs(
        ["touch", str(tmp_path / "x")], {"PATH": "/bin"}, tmp_path,
        endpoint=None, core=None, timeout=None, heard=lambda line: None,
    )  # fmt: skip
    programs.end()

    with pytest.raises(TimeoutError, match="before the program was started"):
        programs._run({"PATH": "/bin"}, None)  # type: ignore[arg-type]

    assert not (tmp_path / "x").exists()


def test_a_signal_for_a_child_that_is_gone_goes_to_nobody() -> None:
    child = each_child.Child(["true"], {"PATH": "/bin:/usr/bin"}, heard=lambda _: None, core=None)
    assert child.wait() == (0, b"", b"")

    child.send(signal.SIGKILL)


# ── who reads what is said, and does not read on ─────────────────────────────────────────


def test_what_signals_ask_for_does_not_wait_for_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, held = Screen(bar=False), Gate()
    said: list[str] = []

    class Unread:
        def write(self, text: str) -> None:
            held.pass_through()
            said.append(text)

        def flush(self) -> None: ...

    monkeypatch.setattr(sys, "stderr", Unread())
    with held:
        writing = threading.Thread(target=screen.line, args=["a program's word"])
        writing.start()
        held.wait_for_arrival()

        screen.say_when_possible("interrupted")  # would wait here

        assert said == []
        held.open()
        writing.join(20)
    for one in threading.enumerate():
        if one.name == "rolecall-each-said":
            one.join(20)
    assert "".join(said) == "a program's word\nrolecall: interrupted\n"


@pytest.mark.parametrize("ends", [False, True])
def test_the_third_signal_ends_a_process_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    left, codes = threading.Event(), []
    monkeypatch.setattr(each_signals, "LEAVE_SECONDS", 600 if ends else 0)
    monkeypatch.setattr("os._exit", lambda code: (codes.append(code), left.set()))
    interruptions = Interruptions(stop=str, end=str, kill=lambda: interruptions.leave_soon())

    for _ in range(3):
        interruptions.take(signal.SIGINT)
    if ends:
        interruptions.stay()
    else:
        assert left.wait(20)
    for one in threading.enumerate():
        if isinstance(one, threading.Timer):
            one.join(20)

    assert codes == ([] if ends else [130])
