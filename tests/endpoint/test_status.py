from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import ROLE, ask, ask_url, served, shows_nothing

from rolecall.clock import SYSTEM_CLOCK
from rolecall.endpoint import asking as asking_a_note
from rolecall.endpoint import private_files, status
from rolecall.endpoint.server import Endpoint
from rolecall.endpoint.status import Running, forget, noted, running
from rolecall.errors import AccessDenied, ConfigError
from rolecall.testing import FakeSource, Gate

NOBODY = 65534


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / ".cache/rolecall/run/endpoints"
    folder.mkdir(parents=True, mode=0o700)
    return folder


@pytest.fixture
def ended() -> int:
    """The id of a process that has just ended."""
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    child.wait(timeout=30)
    return child.pid


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


# ── the page ─────────────────────────────────────────────────────────────────────────────


def test_the_page_says_how_the_roles_are_without_their_keys() -> None:
    source = FakeSource(SYSTEM_CLOCK)
    source.before = gate = Gate()
    with gate, Endpoint([served(source)]) as endpoint:
        before = ask_url(endpoint.status_url, endpoint.status_token)
        gate.open()
        ask(endpoint)
        after = ask_url(endpoint.status_url, endpoint.status_token)

    assert shows_nothing(before.body + after.body.replace(b"ASIAFAKE", b""), endpoint)
    (empty,), (row,) = before.json["roles"], after.json["roles"]
    assert (empty["state"], empty["refreshes"], empty["remaining_seconds"]) == ("empty", 0, None)
    assert (row["state"], row["refreshes"], row["last_error"]) == ("fresh", 0, None)
    assert row["access_key"] == "ASIAFAKE000000000001"
    assert 3500 < row["remaining_seconds"] <= 3600
    assert (row["role_arn"], row["account_id"]) == (ROLE, "123456789012")


def test_nothing_is_fetched_for_the_page() -> None:
    source = FakeSource(SYSTEM_CLOCK)
    status_page = status.Status([served(source)])

    assert asyncio.run(status_page.answer())[0] == 200
    assert source.calls == 0


def test_the_page_says_what_went_wrong_last() -> None:
    source = FakeSource(SYSTEM_CLOCK)
    source.error = AccessDenied("fake refusal")
    with Endpoint([served(source)]) as endpoint:
        ask(endpoint)
        page = ask_url(endpoint.status_url, endpoint.status_token)

    assert page.json["roles"][0]["last_error"] == "fake refusal"


def test_the_page_opens_with_its_own_token_only() -> None:
    with Endpoint([served(FakeSource(SYSTEM_CLOCK))]) as endpoint:
        (token,) = endpoint.tokens.values()
        (url,) = endpoint.urls.values()

        assert ask_url(endpoint.status_url, token).status == 403
        assert ask_url(url, endpoint.status_token).status == 403


# ── notes of who runs ────────────────────────────────────────────────────────────────────


def test_who_runs_is_noted_for_this_user_alone_while_it_runs(
    environ: dict[str, str], notes: Path, open_umask: None
) -> None:
    with noted("exec x", "http://127.0.0.1:1/p", "fake-token", environ):
        (file,) = notes.iterdir()
        expected = Running(
            pid=os.getpid(),
            what="exec x",
            url="http://127.0.0.1:1/p",
            token="fake-token",
            file=file,
        )
        assert [expected] == running(environ)
        assert file.stat().st_mode & 0o7777 == 0o600

    assert running(environ) == []
    assert list(notes.iterdir()) == []


def test_a_folder_that_is_not_there_is_made_for_this_user_alone(
    environ: dict[str, str], tmp_path: Path, open_umask: None
) -> None:
    with noted("x", "u", "t", environ):
        folders = [one for one in tmp_path.rglob("*") if one.is_dir()]
        assert {0o700} == {one.stat().st_mode & 0o7777 for one in folders}


def test_a_note_is_gone_though_the_body_raises(environ: dict[str, str], notes: Path) -> None:
    with pytest.raises(ZeroDivisionError), noted("x", "u", "t", environ):
        _ = 1 // 0

    assert list(notes.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "null", "[]", "1", '"x"', "{}", '{"pid": 1}', '{"pid": null, "what": 1}',
        '{"pid": "x", "what": "a", "url": "b", "token": "c"}',
        '{"pid": Infinity, "what": "a", "url": "b", "token": "c"}',
        '{"pid": NaN, "what": "a", "url": "b", "token": "c"}',
        "\x00", "é" * 10, "[" * 30_000, "x" * 70_000,
    ],
)  # fmt: skip
def test_a_broken_note_is_no_note(environ: dict[str, str], notes: Path, text: str) -> None:
    write(notes / "1.json", text)

    assert running(environ) == []


GOOD = json.dumps({"pid": 1, "what": "x", "url": "u", "token": "t"})


def test_a_note_that_others_could_have_written_is_no_note(
    environ: dict[str, str], notes: Path, tmp_path: Path
) -> None:
    write(notes / "1.json", GOOD, 0o644)
    write(notes / "2.json", GOOD, 0o622)
    (notes / "3.json").symlink_to(write(tmp_path / "elsewhere", GOOD))
    (notes / "4.json").mkdir()
    os.mkfifo(notes / "5.json", 0o600)
    if os.geteuid() == 0:
        os.chown(write(notes / "6.json", GOOD), NOBODY, NOBODY)

    assert running(environ) == []


def test_a_note_of_one_that_is_gone_can_be_forgotten(environ: dict[str, str], notes: Path) -> None:
    write(notes / "1.json", GOOD)
    (one,) = running(environ)

    forget(one)

    assert running(environ) == []
    forget(one)


def test_two_endpoints_of_one_process_are_both_noted(environ: dict[str, str], notes: Path) -> None:
    with noted("one", "http://127.0.0.1:1/p", "t1", environ):
        with noted("two", "http://127.0.0.1:2/p", "t2", environ):
            assert {"one", "two"} == {one.what for one in running(environ)}
        assert [one.what for one in running(environ)] == ["one"]


def test_no_note_can_be_made_is_no_trouble(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".cache").write_text("a file where a folder should be")

    with noted("x", "u", "t", environ):
        assert running(environ) == []


def test_one_that_does_not_answer_is_not_taken_for_one_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process, such as a debugger's, would lose its note."""
    monkeypatch.setattr(asking_a_note, "_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        one = Running(
            pid=1,
            what="x",
            url=f"http://127.0.0.1:{port}/x",
            token="fake-token",
            file=tmp_path / "x",
        )
        with pytest.raises(TimeoutError):
            asking_a_note.status_of(one)

    assert asking_a_note.status_of(one) is None


# ── directories of one process ───────────────────────────────────────────────────────────


def test_directories_of_processes_that_are_gone_are_swept(
    environ: dict[str, str], tmp_path: Path, ended: int
) -> None:
    base = tmp_path / ".cache/rolecall/run"
    base.mkdir(parents=True, mode=0o700)
    here = private_files._prefix()
    names = {
        f"{here}{ended}-0-a", f"{here}{os.getpid()}-0-b", f"{here}1-0-c", f"{here}x-0-d", "other",
        f"{here}²-0-e", f"{here}{ended}-²-e",
        # Of another machine that has the same home directory, and of nobody.
        f"run-00000000-{ended}-0-f", f"run-{ended}-0-g", f"{here}{ended}-h", f"{here}{ended}--i",
    }  # fmt: skip
    for name in names:
        (base / name).mkdir()
        write(base / name / "token", "fake-token")

    with private_files.private_directory(environ) as mine:
        left = {one.name for one in base.iterdir()} - {mine.name}
        assert mine.name.startswith(f"{here}{os.getpid()}-0-")

    assert names - {f"{here}{ended}-0-a"} == left
    assert not mine.exists()


def test_a_directory_that_is_to_outlive_its_process_is_swept_when_its_time_is_over(
    environ: dict[str, str], ended: int
) -> None:
    """What `export` prints names files that a shell reads long after it has ended."""
    mine = private_files.make_private_directory(environ, kept_for=3600)
    here = private_files._prefix()
    assert mine.name.startswith(f"{here}{os.getpid()}-3600-")
    young, old = (mine.with_name(f"{here}{ended}-3600-{one}") for one in ("young", "old"))
    now = SYSTEM_CLOCK.time()
    for one, age in ((young, 3500), (old, 3700)):
        one.mkdir()
        os.utime(one, (now - age, now - age))

    with private_files.private_directory(environ):
        assert (mine.exists(), young.exists(), old.exists()) == (True, True, False)


def test_a_sweep_follows_no_link(environ: dict[str, str], tmp_path: Path, ended: int) -> None:
    base = tmp_path / ".cache/rolecall/run"
    base.mkdir(parents=True, mode=0o700)
    (tmp_path / "precious").mkdir()
    write(tmp_path / "precious/file", "kept")
    here = private_files._prefix()
    (base / f"{here}{ended}-0-a").symlink_to(tmp_path / "precious")
    (base / f"{here}{ended}-0-b").mkdir()
    (base / f"{here}{ended}-0-b" / "link").symlink_to(tmp_path / "precious")

    with private_files.private_directory(environ):
        assert not (base / f"{here}{ended}-0-b").exists()

    assert (tmp_path / "precious/file").read_text() == "kept"


def test_a_directory_that_others_may_write_into_is_not_used(
    environ: dict[str, str], tmp_path: Path
) -> None:
    base = tmp_path / ".cache/rolecall/run"
    base.mkdir(parents=True)
    base.chmod(0o777)

    with pytest.raises(ConfigError, match="no private directory"):
        private_files.make_private_directory(environ)


def test_the_runtime_directory_is_used_where_it_is_this_users(tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    environ = {"HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": str(runtime)}

    assert runtime / "rolecall" == private_files.runtime_directory(environ)
    if os.geteuid() == 0:
        os.chown(runtime, NOBODY, NOBODY)
        assert tmp_path / "home/.cache/rolecall/run" == private_files.runtime_directory(environ)


def test_variables_are_kept_for_this_user_alone(tmp_path: Path, open_umask: None) -> None:
    file = tmp_path / "variables"
    kept = {"A": "b", "UNICODE": "ünï", "NOT_TEXT": "\udcff", "LINES": "a\nb"}

    private_files.write_variables(file, kept)

    assert file.stat().st_mode & 0o7777 == 0o600
    assert kept == private_files.read_variables(str(file))


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 30_000])
def test_variables_that_are_gone_or_broken_are_told(tmp_path: Path, text: str) -> None:
    write(tmp_path / "variables", text)

    with pytest.raises(ConfigError, match="has ended"):
        private_files.read_variables(str(tmp_path / "variables"))
    with pytest.raises(ConfigError, match="has ended"):
        private_files.read_variables(str(tmp_path / "none"))


def test_the_last_error_shows_no_secret() -> None:
    secret = "Fake0Secret1Key2That3Looks4Like5One6Of7Aws8"
    source = FakeSource(SYSTEM_CLOCK)
    source.error = ValueError(f"SecretAccessKey={secret}")
    one = served(source)
    with Endpoint([one]) as endpoint:
        ask(endpoint)
        assert secret not in json.dumps(status.row(one))
