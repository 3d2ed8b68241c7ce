"""``rolecall serve``: variables for programs that somebody else starts, until it is told to end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import botocore.session
import pexpect
import pytest
from botocore.credentials import ContainerProvider
from command_line import ROLECALL, SECONDS, SERIAL, Desk, Ended, role_of

from rolecall.cli import serve
from rolecall.endpoint import private_files
from rolecall.endpoint.environment import REMOVED

URL = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"

#: Format → a line that sets a variable and one that takes one back, where no shell reads it here.
LINES = {
    "fish": (re.compile(r"set -gx (\w+) '([^'\\]*)'"), re.compile(r"set -e (\w+)")),
    "powershell": (
        re.compile(r"\$Env:(\w+) = '([^']*)'"),
        re.compile(r"Remove-Item Env:(\w+) -ErrorAction SilentlyContinue"),
    ),
    "cmd": (re.compile(r'set "(\w+)=([^"%]+)"'), re.compile(r'set "(\w+)="')),
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


#: What a shell may have that would win over the role.
STALE = dict.fromkeys(REMOVED, "fake-stale")


def sourced(text: str, **stale: str) -> dict[str, str]:
    """Return AWS's variables that a shell with those of *stale* has after it has read *text*."""
    done = subprocess.run(
        ["bash", "-c", "set -a; . /dev/stdin; env -0"],
        input=text, env={"PATH": "/usr/bin:/bin", **stale}, capture_output=True, text=True,
        timeout=SECONDS,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    parted = [one.partition("=") for one in done.stdout.split("\0") if one]
    return {name: value for name, _, value in parted if name.startswith(("AWS_", "AMAZON_"))}


def followed(text: str, format: str) -> dict[str, str]:
    """Return the variables of `STALE`'s shell after it has done each line of *text*."""
    setting, taking = LINES[format]
    found = dict(STALE)
    for line in text.splitlines():
        if gone := taking.fullmatch(line):
            found.pop(gone[1])  # each once
        else:
            matched = setting.fullmatch(line)
            assert matched, line
            found[matched[1]] = matched[2]
    return found


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
        class Over:
            def wait(self, _: float) -> bool:
                said = capsys.readouterr()
                meanwhile(Ended(None, said.out, said.err))
                return True

        @contextmanager
        def told_to_end() -> Iterator[Over]:
            yield Over()

        monkeypatch.setattr(serve, "told_to_end", told_to_end)
        return desk.here(capsys.readouterr, "serve", *words)

    return serving


def nobody(said: Ended) -> None:
    """Fail a test in which something is served after all."""
    pytest.fail(f"it is served: {said}")


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
                variables = followed(text, format)
            else:
                variables = sourced(text, **(STALE if format == "env" else {}))
            # Nothing that the shell had is left to win over the role.
            assert set(variables) == {URL, TOKEN, FILE, "AWS_REGION", "AWS_DEFAULT_REGION"}
            read.append((first.removeprefix(f"{comment} "), who(desk, variables)))
            assert Path(variables[FILE]).read_text() == variables[TOKEN]
            assert (variables["AWS_REGION"], variables["AWS_DEFAULT_REGION"]) == ("us-east-2",) * 2
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
        assert len({variables[FILE] for variables in printed.values()}) == 2

    ended = serving("live=reader", "test=deploy", *words, meanwhile=look)

    assert ended == Ended(0, "", "")
    assert found == {"live": "Reader", "test": "Deploy"}


def test_one_role_is_printed_without_a_word_more(desk: Desk, serving: Callable[..., Ended]) -> None:
    """What is printed is to be evaluated by a shell, or to be a file of Docker's."""
    printed: list[str] = []

    serving("reader", "--format", "dotenv", meanwhile=lambda said: printed.append(said.out))

    names = [line.partition("=")[0] for line in printed[0].splitlines()]
    assert names == [URL, TOKEN, FILE, "AWS_REGION", "AWS_DEFAULT_REGION"]


def test_an_arn_goes_by_itself_though_it_has_an_equals_sign(
    desk: Desk, serving: Callable[..., Ended]
) -> None:
    arn = desk.cloud.role("odd=name")
    found: list[object] = []

    def look(said: Ended) -> None:
        for name, variables in json.loads(said.out).items():
            found.append((name, who(desk, variables)))

    ended = serving(arn, f"named={arn}", "--profile", "hub", "--json", meanwhile=look)

    assert ended == Ended(0, "", "")
    assert found == [(arn, "odd=name"), ("named", "odd=name")]


def test_the_files_of_it_are_the_users_alone(desk: Desk, serving: Callable[..., Ended]) -> None:
    def look(said: Ended) -> None:
        variables = json.loads(said.out)["reader"]
        token = Path(variables[FILE])
        assert token.stat().st_mode & 0o777 == 0o600
        assert token.parent.stat().st_mode & 0o777 == 0o700
        (note,) = (desk.home / ".cache/rolecall/run/endpoints").iterdir()
        assert note.stat().st_mode & 0o777 == 0o600
        # Whoever reads the note sees how the roles are, and nobody's keys.
        assert variables[TOKEN] not in note.read_text()
        assert desk.rolecall_files

    before = os.umask(0)
    try:
        ended = serving("reader", "--json", meanwhile=look)
    finally:
        os.umask(before)

    assert ended == Ended(0, "", "")
    assert desk.rolecall_files == []


def test_a_port_can_be_named_and_had_again_at_once(
    desk: Desk, serving: Callable[..., Ended]
) -> None:
    urls: list[str] = []

    def look(said: Ended) -> None:
        urls.append(json.loads(said.out)["reader"][URL])
        assert not refuses(urls[-1])

    serving("reader", "--json", meanwhile=look)
    assert refuses(urls[0])
    port = urlsplit(urls[0]).port
    ended = serving("reader", "--json", "--port", str(port), meanwhile=look)

    assert ended == Ended(0, "", "")
    assert urlsplit(urls[1]).port == port
    assert urlsplit(urls[1]).path != urlsplit(urls[0]).path


def test_a_port_that_somebody_else_has_is_told(desk: Desk, serving: Callable[..., Ended]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        ended = serving("reader", "--port", str(port), meanwhile=nobody)

    assert (ended.code, ended.out) == (2, "")
    assert f"port {port}" in ended.err
    assert desk.rolecall_files == []


# What does not add up


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["reader", "reader"], "reader is there twice"),
        (["one=reader", "one=deploy"], "one is there twice"),
        (["deploy=reader", "deploy"], "deploy is there twice"),
        (["=reader"], "=reader: must be NAME=ROLE"),
        (["one="], "one=: must be NAME=ROLE"),
        ([], "NAME=ROLE"),
        (["reader", "--format", "ini"], "ini"),
        (["reader", "--write", "roles", "--json"], "--write"),
        (["reader", "--port", "0"], "--port"),
        (["reader", "--port", "65536"], "--port"),
    ],
)
def test_words_that_do_not_add_up_are_2_and_nobody_is_asked(
    desk: Desk, serving: Callable[..., Ended], words: list[str], told: str
) -> None:
    calls = desk.cloud.calls()

    ended = serving(*words, meanwhile=nobody)

    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err
    assert desk.cloud.calls() == calls


def test_if_one_role_is_refused_none_is_served(desk: Desk, serving: Callable[..., Ended]) -> None:
    arn = desk.add_role("closed")
    desk.cloud.trust(arn, ["999999999999"])

    ended = serving("reader", "closed", meanwhile=nobody)

    assert (ended.code, ended.out) == (1, "")
    assert arn in ended.err
    assert desk.rolecall_files == []


# As a process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_ends_when_it_is_told_and_leaves_nothing(desk: Desk, number: signal.Signals) -> None:
    process = desk.start("serve", "reader", "--format", "dotenv", start_new_session=True)
    assert process.stdout is not None
    assert process.stderr is not None
    variables = dict(process.stdout.readline().rstrip().split("=", 1) for _ in range(5))
    said = process.stderr.readline()
    assert who(desk, variables) == "Reader"

    process.send_signal(number)
    out, err = process.communicate(timeout=SECONDS)

    assert (process.returncode, out, err) == (0, "", "")
    assert said.startswith("rolecall: serving reader on 127.0.0.1:")
    assert refuses(variables[URL])
    assert desk.rolecall_files == []


def test_under_nohup_it_lives_on_when_the_terminal_goes(desk: Desk) -> None:
    process = desk.start(
        "serve", "reader", "--format", "dotenv", start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    variables = dict(process.stdout.readline().rstrip().split("=", 1) for _ in range(5))
    assert "serving" in process.stderr.readline()

    process.send_signal(signal.SIGHUP)
    served = who(desk, variables)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=SECONDS)

    assert (served, process.returncode, err) == ("Reader", 0, "")


def test_whoever_does_not_read_it_gets_no_endpoint(desk: Desk) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    process = desk.start("serve", "reader", stdout=writing, start_new_session=True)
    os.close(writing)
    _, err = process.communicate(timeout=SECONDS)

    assert (process.returncode, err) == (128 + signal.SIGPIPE, "")
    assert desk.rolecall_files == []


def test_a_code_is_asked_for_before_anything_is_printed(desk: Desk) -> None:
    for name in ("one", "two"):
        desk.add_role(name, mfa_serial=SERIAL)
    desk.cloud.mfa_codes(SERIAL, "975310")
    asked = desk.cloud.calls("GetSessionToken")
    words = ["serve", "one", "two", "--json"]
    screen = pexpect.spawn(
        ROLECALL, words, env=desk.environ, timeout=30, encoding="utf-8", echo=False
    )
    try:
        screen.expect_exact(f"MFA code for {SERIAL}: ")
        before = screen.before
        screen.sendline("975310")
        screen.expect(r"(?s)(\{.*\n\})\s+rolecall: serving one, two [^\n]*\n")
        printed = json.loads(screen.match.group(1))
        found = [who(desk, variables) for variables in printed.values()]
        screen.sendintr()
        screen.expect(pexpect.EOF)
        after = screen.before
    finally:
        screen.close()

    assert (before, found) == ("", ["One", "Two"])
    assert after.replace("^C", "").strip() == ""
    assert screen.exitstatus == 0
    assert desk.cloud.calls("GetSessionToken") == asked + 1


def test_without_a_terminal_to_ask_at_it_is_3(desk: Desk) -> None:
    desk.add_role("guarded", mfa_serial=f"{SERIAL}-of-nobody")

    ended = desk.run("serve", "reader", "guarded", stdin="123456\n")

    assert (ended.code, ended.out) == (3, "")
    assert f"{SERIAL}-of-nobody" in ended.err
    assert desk.rolecall_files == []


# Files


@pytest.mark.parametrize("format", ["env", "dotenv"])
def test_files_of_their_own_are_there_while_it_runs(
    desk: Desk, serving: Callable[..., Ended], tmp_path: Path, format: str
) -> None:
    place = tmp_path / "new" / "roles"
    found: dict[str, object] = {}

    def look(said: Ended) -> None:
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert place.stat().st_mode & 0o777 == 0o700
        for file in place.iterdir():
            assert file.stat().st_mode & 0o777 == 0o600
            text = file.read_text()
            found[file.name] = who(desk, sourced(text))

    before = os.umask(0)
    try:
        ended = serving(
            "live=reader", "test=deploy", "--write", str(place), "--format", format, meanwhile=look
        )
    finally:
        os.umask(before)

    assert ended == Ended(0, "", "")
    assert found == {"live.env": "Reader", "test.env": "Deploy"}
    assert list(place.iterdir()) == []
    assert desk.rolecall_files == []


def test_a_link_in_a_files_place_is_not_followed(
    serving: Callable[..., Ended], tmp_path: Path
) -> None:
    place = tmp_path / "roles"
    place.mkdir(mode=0o700)
    precious = tmp_path / "precious"
    text = "# of rolecall serve, for as long as it runs\nor so it looks\n"
    precious.write_text(text)
    (place / "live.env").symlink_to(precious)

    ended = serving("live=reader", "--write", str(place), meanwhile=lambda said: None)

    assert ended == Ended(0, "", "")
    assert precious.read_text() == text


def test_a_file_of_somebody_elses_is_left_alone(
    desk: Desk, serving: Callable[..., Ended], tmp_path: Path
) -> None:
    place = tmp_path / "roles"
    place.mkdir(mode=0o700)
    (place / "two.env").write_text("PRECIOUS=1\n")

    ended = serving("one=reader", "two=deploy", "--write", str(place), meanwhile=nobody)

    assert (ended.code, ended.out) == (2, "")
    assert f"{place}/two.env" in ended.err
    assert [one.name for one in place.iterdir()] == ["two.env"]
    assert (place / "two.env").read_text() == "PRECIOUS=1\n"
    assert desk.rolecall_files == []


@pytest.mark.timeout(20)  # it would wait for ever, deaf to what tells it to end
def test_a_pipe_in_a_files_place_is_not_waited_for(
    serving: Callable[..., Ended], tmp_path: Path
) -> None:
    place = tmp_path / "roles"
    place.mkdir(mode=0o700)
    os.mkfifo(place / "live.env")

    ended = serving("live=reader", "--write", str(place), meanwhile=nobody)

    assert (ended.code, ended.out) == (2, "")
    assert f"{place}/live.env" in ended.err


@pytest.mark.parametrize("format", ["env", "cmd"])
def test_a_file_that_a_killed_run_left_is_written_anew(
    desk: Desk, serving: Callable[..., Ended], tmp_path: Path, format: str
) -> None:
    file = tmp_path / "roles" / "live.env"
    words = ["live=reader", "--write", str(file.parent), "--format", format]
    texts: list[str] = []

    def look(_: Ended) -> None:
        texts.append(file.read_text())

    assert serving(*words, meanwhile=look).code == 0
    file.write_text(texts[0])
    assert serving(*words, meanwhile=look).code == 0

    mark = "rem" if format == "cmd" else "#"
    assert texts[0].startswith(f"{mark} of rolecall serve, for as long as it runs\n")
    assert texts[0] != texts[1]
    assert not file.exists()


def test_a_file_that_is_another_ones_by_the_end_is_left(
    serving: Callable[..., Ended], tmp_path: Path
) -> None:
    """Such as of a second run, which took it over."""
    file = tmp_path / "roles" / "live.env"

    def taken_over(_: Ended) -> None:
        file.write_text(file.read_text() + "# by now of another\n")

    ended = serving("live=reader", "--write", str(file.parent), meanwhile=taken_over)

    assert ended == Ended(0, "", "")
    assert file.read_text().endswith("# by now of another\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_is_told_to_end_before_it_serves_leaves_nothing(
    desk: Desk, rolecall: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path, number: signal.Signals,
) -> None:  # fmt: skip
    before = signal.getsignal(number)
    file = tmp_path / "roles" / "live.env"
    write = private_files.write
    written: list[Path] = []

    def told(path: Path, text: str) -> None:
        assert signal.getsignal(number) != before, "it would die of it"
        signal.raise_signal(number)
        write(path, text)
        written.append(path)

    monkeypatch.setattr(private_files, "write", told)

    ended = rolecall("serve", "live=reader", "--write", str(file.parent))

    assert (ended.code, ended.out) == (0, "")
    assert written[-1] == file
    assert not file.exists()
    assert desk.rolecall_files == []
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("name", ["a/b", "../up", "..", ".hidden", "/etc/x"])
def test_a_name_that_is_no_files_is_refused(
    desk: Desk, serving: Callable[..., Ended], tmp_path: Path, name: str
) -> None:
    calls = desk.cloud.calls()

    ended = serving(f"{name}=reader", "--write", str(tmp_path / "roles"), meanwhile=nobody)

    assert (ended.code, ended.out) == (2, "")
    assert name in ended.err
    assert desk.cloud.calls() == calls
    assert not (tmp_path / "roles").exists()


def test_nothing_is_written_where_others_may_write_or_nobody_can(
    desk: Desk, serving: Callable[..., Ended], tmp_path: Path
) -> None:
    """Nothing of it is left either, where the second file cannot be."""
    shared, plain, half = tmp_path / "shared", tmp_path / "plain", tmp_path / "half"
    shared.mkdir()
    shared.chmod(0o777)
    plain.write_text("a file")
    half.mkdir(mode=0o700)
    (half / "two.env" / "precious").mkdir(parents=True)

    for place in (shared, plain, half):
        ended = serving(
            "one=reader", "two=deploy", "--write", str(place),
            meanwhile=nobody,
        )  # fmt: skip

        assert (ended.code, ended.out) == (2, ""), place
        assert str(place) in ended.err
    assert list(shared.iterdir()) == []
    assert [one.name for one in half.iterdir()] == ["two.env"]
    assert desk.rolecall_files == []
