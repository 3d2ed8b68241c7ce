"""``rolecall cache`` shows what is stored, never the secrets, and clears that and nothing else."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pexpect
import pytest
from command_line import ROLECALL, SERIAL, Desk, Ended

from rolecall import Credentials, FileStore
from rolecall.testing import StrictCloud

Rolecall = Callable[..., Ended]

KEY = "0" * 64


def session(name: str = "ASIAFAKE", *, hours: float = 1) -> Credentials:
    return Credentials(
        access_key=name,
        secret_key="fake-stored-secret",
        token="fake-stored-token",
        expires_at=datetime.now(timezone.utc) + timedelta(hours=hours),
        account_id="210987654321",
    )


@pytest.fixture
def store(desk: Desk) -> FileStore:
    return FileStore(environ=desk.environ)


def told(ended: Ended) -> list[dict[str, Any]]:
    assert ended.code == 0, ended.err
    entries: list[dict[str, Any]] = json.loads(ended.out)["entries"]
    return entries


# list


def test_a_session_is_listed_with_the_role_that_profiles_tell(
    desk: Desk, rolecall: Rolecall, store: FileStore
) -> None:
    desk.add_role("far", source="reader")
    assert rolecall("whoami", "far").code == 0

    entries = told(rolecall("cache", "list", "--json"))

    assert {(one["role"], tuple(one["profiles"])) for one in entries} == {
        (desk.arns["reader"], ("reader", "far")),
        (desk.arns["far"], ("far",)),
    }
    for one in entries:
        assert one["access_key_id"].startswith("ASIA")
        assert one["account"] == "123456789012"
        assert 3500 < one["seconds_left"] <= 3600
        assert Path(one["where"]).parent == store.path
        assert one["kind"] == "session"


def test_a_session_with_mfa_is_told_as_what_it_is(desk: Desk, rolecall: Rolecall) -> None:
    desk.add_role("guarded", mfa_serial=SERIAL)
    assert rolecall("whoami", "guarded", "--mfa-command", "echo 123456").code == 0

    roles = {one["role"] for one in told(rolecall("cache", "list", "--json"))}

    assert roles == {desk.arns["guarded"], f"GetSessionToken with {SERIAL}"}


def test_what_nobody_knows_is_listed_without_a_role(rolecall: Rolecall, store: FileStore) -> None:
    store.put(KEY, session())

    ended = rolecall("cache", "list")

    assert ended.out.splitlines()[0].split() == ["KEY", "ACCOUNT", "ROLE", "EXPIRES", "LEFT"]
    line = ended.out.splitlines()[1]
    assert line.split()[:2] == ["ASIAFAKE", "210987654321"]
    assert line.endswith(("59 min", "1 h"))
    assert str(store.path) not in ended.out  # that is in --json


def test_the_answers_of_credential_process_are_listed_by_their_role(
    desk: Desk, rolecall: Rolecall
) -> None:
    words = ["--external-id", "fake-external-id", "--region=eu-west-1", "reader"]
    assert rolecall("credential-process", *words).code == 0

    ended = rolecall("cache", "list", "--json")

    (one,) = [one for one in told(ended) if one["kind"] == "credential-process"]
    assert one["role"] == "reader"
    assert one["seconds_left"] > 3500
    assert "fake-external-id" not in ended.out


def test_what_is_expired_or_broken_is_listed_as_that(rolecall: Rolecall, store: FileStore) -> None:
    store.put(KEY, session(hours=-1))
    (store.path / f"{'1' * 64}.json").write_text("{")

    expired, broken = told(rolecall("cache", "list", "--json"))

    assert (broken["access_key_id"], broken["seconds_left"]) == (None, None)
    assert expired["seconds_left"] <= -3600
    out = rolecall("cache", "list").out
    assert "unreadable" in out
    assert "expired" in out


def test_an_entry_under_another_name_than_its_own_is_nobodys(
    rolecall: Rolecall, store: FileStore
) -> None:
    store.put(KEY, session())
    (store.path / f"{KEY}.json").rename(store.path / f"{'1' * 64}.json")

    (one,) = told(rolecall("cache", "list", "--json"))

    assert one["access_key_id"] is None, "the store would not hand it out"


@pytest.mark.parametrize("words", [[], ["--json"], ["-vv"]])
def test_no_secret_is_listed(rolecall: Rolecall, store: FileStore, words: list[str]) -> None:
    store.put(KEY, session())
    assert rolecall("credential-process", "reader").code == 0
    kept = [one.credentials for one in store.entries()]
    secrets = {text for one in kept if one for text in (one.secret_key, one.token)}
    assert len(secrets) == 4

    ended = rolecall("cache", "list", *words)

    assert ended.code == 0
    assert [one for one in secrets if one and one in ended.out + ended.err] == []


def test_an_empty_home_has_nothing_stored(desk: Desk, rolecall: Rolecall) -> None:
    desk.environ["HOME"] = "/fake-home-that-is-not-there"

    assert told(rolecall("cache", "list", "--json")) == []
    ended = rolecall("cache", "list")

    assert (ended.code, ended.out) == (0, "")
    assert "nothing is stored" in ended.err
    assert rolecall("cache", "clear").code == 0


def test_a_broken_configuration_hides_no_entry(
    desk: Desk, rolecall: Rolecall, store: FileStore
) -> None:
    store.put(KEY, session())
    desk.config_file.write_text("nonsense")

    assert [one["access_key_id"] for one in told(rolecall("cache", "list", "--json"))] == [
        "ASIAFAKE"
    ]


def test_a_store_that_is_none_is_exit_code_2(desk: Desk, rolecall: Rolecall) -> None:
    desk.environ["ROLECALL_STORE"] = "tape"

    assert rolecall("cache", "list").code == 2
    assert rolecall("cache", "clear").code == 2


# clear


def test_clear_deletes_sessions_and_answers(
    desk: Desk, cloud: StrictCloud, rolecall: Rolecall, store: FileStore
) -> None:
    assert rolecall("credential-process", "reader").code == 0
    calls = cloud.calls("AssumeRole")

    ended = rolecall("cache", "clear")

    assert (ended.code, ended.out) == (0, "")
    assert "deleted 2 of 2 sessions" in ended.err
    assert told(rolecall("cache", "list", "--json")) == []
    assert rolecall("credential-process", "reader").code == 0
    assert cloud.calls("AssumeRole") == calls + 1


def test_clear_expired_keeps_what_is_still_good(rolecall: Rolecall, store: FileStore) -> None:
    store.put(KEY, session())
    store.put("1" * 64, session("ASIAFAKEOLD", hours=-1))
    (store.path / f"{'2' * 64}.json").write_text("{")

    assert rolecall("cache", "clear", "--expired").code == 0

    assert [one.name for one in store.path.iterdir()] == [f"{KEY}.json"]


def test_clear_leaves_all_files_that_are_not_the_stores(
    desk: Desk, rolecall: Rolecall, tmp_path: Path
) -> None:
    place = tmp_path / "shared"
    desk.environ["ROLECALL_STORE"] = place.as_uri()
    store = FileStore(place)
    store.put(KEY, session())
    store.put("my-own-key", session())
    others = ["package.json", "notes.txt", f"{KEY}.json.bak", ".hidden.tmp", "settings.json"]
    for name in others:
        (place / name).write_text('{"Credentials": {"AccessKeyId": "x"}}')
    (place / "folder.json").mkdir()

    assert rolecall("cache", "clear").code == 0

    assert sorted(one.name for one in place.iterdir()) == sorted([*others, "folder.json"])


def test_clear_does_not_follow_a_link(rolecall: Rolecall, store: FileStore, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text("{}")
    store.put(KEY, session())
    link = store.path / f"{'3' * 64}.json"
    link.symlink_to(elsewhere)

    assert rolecall("cache", "clear").code == 0

    assert elsewhere.exists()
    assert not link.is_symlink()


def test_clear_sweeps_what_a_writer_that_was_killed_left(
    rolecall: Rolecall, store: FileStore
) -> None:
    store.put(KEY, session())
    torn, new = store.path / ".abcd_123.tmp", store.path / ".efgh_456.tmp"
    for one in (torn, new):
        one.write_text("fake-half-of-an-entry")
    os.utime(torn, (0, 0))

    assert rolecall("cache", "clear").code == 0

    assert [one.name for one in store.path.iterdir()] == [new.name], "somebody may be writing it"


def test_what_cannot_be_deleted_is_told(desk: Desk, rolecall: Rolecall, store: FileStore) -> None:
    (store.path / f"{KEY}.json").mkdir(parents=True)

    ended = rolecall("cache", "clear")

    assert ended.code == 1
    assert f"not deleted: {store.path / f'{KEY}.json'}" in ended.err


@pytest.fixture
def terminal(desk: Desk, store: FileStore) -> Iterator[pexpect.spawn[str]]:
    store.put(KEY, session())
    child: pexpect.spawn[str] = pexpect.spawn(
        ROLECALL, ["cache", "clear"], env=desk.environ, encoding="utf-8", timeout=60
    )
    yield child
    child.close(force=True)


@pytest.mark.parametrize(("answer", "code", "left"), [("y", 0, 0), ("n", 130, 1)])
def test_at_a_terminal_it_asks_first(
    terminal: pexpect.spawn[str], store: FileStore, answer: str, code: int, left: int
) -> None:
    terminal.expect(r"Delete 1 session from .*\? \[y/N\]")
    terminal.sendline(answer)
    terminal.expect(pexpect.EOF)
    terminal.wait()

    assert terminal.exitstatus == code
    assert len(list(store.entries())) == left


# Other stores


def test_a_store_in_memory_has_nothing_for_others(desk: Desk, rolecall: Rolecall) -> None:
    desk.environ["ROLECALL_STORE"] = "memory"

    ended = rolecall("cache", "list", "--json")

    assert json.loads(ended.out) == {
        "store": "MemoryStore(0 entries)",
        "complete": True,
        "entries": [],
    }
    assert rolecall("cache", "clear").code == 0


def test_the_cache_of_the_aws_cli_is_listed_with_what_it_says_itself(
    desk: Desk, rolecall: Rolecall
) -> None:
    desk.environ["ROLECALL_STORE"] = "aws-cli"
    place = desk.home / ".aws" / "cli" / "cache"
    place.mkdir(parents=True)
    entry = place / f"{'a' * 40}.json"
    document = {
        "Credentials": {
            "AccessKeyId": "ASIAFAKECLI",
            "SecretAccessKey": "fake-secret",
            "SessionToken": "fake-token",
            "Expiration": "2035-01-01T00:00:00+00:00",
        },
        "AssumedRoleUser": {"Arn": "arn:aws:sts::123456789012:assumed-role/Reader/me"},
    }
    entry.write_text(json.dumps(document))
    entry.chmod(0o600)

    (one,) = told(rolecall("cache", "list", "--json"))

    assert one["access_key_id"] == "ASIAFAKECLI"
    assert one["role"] == "arn:aws:sts::123456789012:assumed-role/Reader/me"
    assert rolecall("cache", "clear").code == 0
    assert not entry.exists()


KEYRING = """
import keyring.backend

class Backend(keyring.backend.KeyringBackend):
    priority = 9
    held = {}

    def get_password(self, service, name):
        return self.held.get((service, name))

    def set_password(self, service, name, text):
        self.held[service, name] = text

    def delete_password(self, service, name):
        del self.held[service, name]
"""


@pytest.fixture
def keyring_of_the_test(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A keyring backend that the library finds by its name, as a user would name it."""
    (tmp_path / "fake_keyring_of_test.py").write_text(KEYRING)
    monkeypatch.syspath_prepend(str(tmp_path))
    desk.environ["ROLECALL_STORE"] = "keyring"
    desk.environ["PYTHON_KEYRING_BACKEND"] = "fake_keyring_of_test.Backend"
    _forget_backend()  # which another test of this process may have chosen
    yield
    sys.modules.pop("fake_keyring_of_test", None)
    _forget_backend()


def _forget_backend() -> None:
    core = sys.modules.get("keyring.core")
    if core is not None:
        core._keyring_backend = None  # type: ignore[attr-defined]


def test_of_a_keyring_the_sessions_of_profiles_are_found_and_cleared(
    desk: Desk, rolecall: Rolecall, keyring_of_the_test: None
) -> None:
    assert rolecall("whoami", "reader").code == 0

    ended = rolecall("cache", "list", "--json")

    (one,) = told(ended)
    assert (one["role"], one["profiles"]) == (desk.arns["reader"], ["reader"])
    assert json.loads(ended.out)["complete"] is False
    assert "sessions of your profiles only" in ended.err
    assert "deleted 1 of 1 session" in rolecall("cache", "clear").err
    assert told(rolecall("cache", "list", "--json")) == []
