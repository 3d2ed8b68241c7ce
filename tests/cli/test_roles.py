"""``rolecall roles`` lists the profiles that are roles, by what files say alone."""

from __future__ import annotations

import io
import json
import os
import re
import socket
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from command_line import SERIAL, Desk, Ended

from rolecall import FileStore, RedisStore
from rolecall.cli.printed import Node, print_table, print_trees
from rolecall.testing import StrictCloud

Rolecall = Callable[..., Ended]


def told(ended: Ended) -> dict[str, dict[str, Any]]:
    assert ended.code == 0, ended.err
    return {row["profile"]: row for row in json.loads(ended.out)["roles"]}


def test_roles_hang_on_what_assumes_them(desk: Desk, rolecall: Rolecall) -> None:
    far = desk.add_role("far", source="reader")
    desk.profile("profile box", role_arn=far, credential_source="Ec2InstanceMetadata")

    ended = rolecall("roles")

    assert ended.out.splitlines() == [
        "hub",
        f"  reader  {desk.arns['reader']}",
        f"    far  {far}",
        f"  deploy  {desk.arns['deploy']}",
        "(Ec2InstanceMetadata)",
        f"  box  {far}",
    ]
    assert (ended.code, ended.err) == (0, "")


def test_the_time_left_is_that_of_the_shared_cache(
    desk: Desk, cloud: StrictCloud, rolecall: Rolecall
) -> None:
    desk.add_role("far", source="reader")
    assert rolecall("whoami", "far").code == 0
    calls = cloud.calls()

    roles = told(rolecall("roles", "--json"))

    assert 3500 < roles["far"]["seconds_left"] <= 3600
    assert roles["reader"]["seconds_left"] > 3500, "it was assumed on the way"
    assert roles["far"]["expires_at"].endswith("Z")
    assert roles["deploy"]["seconds_left"] is None
    assert cloud.calls() == calls, "it made a call"


def test_the_session_with_mfa_is_found_as_well(desk: Desk, rolecall: Rolecall) -> None:
    desk.add_role("guarded", mfa_serial=SERIAL)
    assert rolecall("whoami", "guarded", "--mfa-command", "echo 123456").code == 0

    roles = told(rolecall("roles", "--json"))

    assert roles["guarded"]["mfa_serial"] == SERIAL
    assert 3500 < roles["guarded"]["seconds_left"] <= 3600, "that is the user's session"


def test_a_session_that_does_not_say_its_account_is_found_as_well(
    desk: Desk, rolecall: Rolecall
) -> None:
    assert rolecall("whoami", "reader").code == 0
    store = FileStore(environ=desk.environ)
    (kept,) = store.entries()
    assert kept.key is not None
    document = store.read_document(kept.key)
    del document["Credentials"]["AccountId"]
    document["Credentials"]["AccessKeyId"] = "ASIAFAKE"
    store.write_document(kept.key, document)

    assert told(rolecall("roles", "--json"))["reader"]["seconds_left"] > 3500


def test_the_cache_of_another_user_of_the_profile_is_not_taken_for_ours(
    desk: Desk, cloud: StrictCloud, rolecall: Rolecall
) -> None:
    assert rolecall("whoami", "reader").code == 0
    other = cloud.credentials(user="fake-other-user")
    desk._credentials["hub"] = desk.keys(other.access_key, other.secret_key)
    desk._write()

    assert told(rolecall("roles", "--json"))["reader"]["seconds_left"] is None


def test_no_process_is_run_and_nobody_is_asked(
    desk: Desk, cloud: StrictCloud, rolecall: Rolecall, tmp_path: Path
) -> None:
    trace = tmp_path / "it-ran"
    desk.profile("profile tool", credential_process=f"/usr/bin/touch {trace}")
    start = {"sso_start_url": "https://fake.example.com", "sso_region": "eu-west-1"}
    desk.profile("profile sso", **start, sso_account_id="123456789012", sso_role_name="Admin")
    for source in ("tool", "sso", "gone"):
        desk.add_role(f"by{source}", source=source, mfa_serial=SERIAL)
    desk.profile("profile box", role_arn=desk.arns["reader"], credential_source="EcsContainer")
    del desk.environ["AWS_EC2_METADATA_DISABLED"]
    desk.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{cloud.url}/fake-credentials"
    # So that there is something stored that could be theirs.
    assert rolecall("whoami", "reader").code == 0
    calls = cloud.calls()

    assert told(rolecall("roles", "--json"))["bytool"]["seconds_left"] is None
    assert rolecall("roles", "--check").code == 2
    assert not trace.exists()
    assert cloud.calls() == calls


def test_a_store_that_would_have_to_be_called_is_left_alone(desk: Desk, rolecall: Rolecall) -> None:
    with socket.create_server(("127.0.0.1", 0)) as redis:
        redis.setblocking(False)
        desk.environ["ROLECALL_STORE"] = f"redis://127.0.0.1:{redis.getsockname()[1]}/0"
        desk.environ["ROLECALL_STORE_KEY"] = RedisStore.generate_key()

        assert told(rolecall("roles", "--json"))["reader"]["seconds_left"] is None
        with pytest.raises(BlockingIOError):
            redis.accept()


@pytest.mark.parametrize("store", ["keyring", "redis://127.0.0.1:1/0", "tape"])
def test_a_store_that_cannot_be_opened_costs_the_time_only(
    desk: Desk, rolecall: Rolecall, store: str
) -> None:
    desk.environ.update(ROLECALL_STORE=store, PYTHON_KEYRING_BACKEND="fake_module.NoBackend")

    assert told(rolecall("roles", "--json"))["reader"]["seconds_left"] is None


def test_roles_that_do_not_add_up_are_listed_too(desk: Desk, rolecall: Rolecall) -> None:
    for one, other in ("ab", "ba", "cb"):
        desk.add_role(one, source=other)
    desk.add_role("lost", source="gone")

    ended = rolecall("roles")

    assert ended.code == 0
    assert f"a  {desk.arns['a']}  does not add up" in ended.out.splitlines()
    assert f"lost  {desk.arns['lost']}  does not add up" in ended.out.splitlines()
    assert "see rolecall roles --check" in ended.err
    problem = told(rolecall("roles", "--json"))["a"]["problem"]
    assert problem.endswith("a -> b -> a")


def test_profiles_of_sso_and_web_identities_are_roles(desk: Desk, rolecall: Rolecall) -> None:
    desk.profile(
        "profile admin", sso_session="corp", sso_account_id="123456789012", sso_role_name="Admin"
    )
    arn = desk.arns["reader"]
    desk.profile("profile pod", role_arn=arn, web_identity_token_file="/fake/token")

    roles = told(rolecall("roles", "--json"))

    assert (roles["admin"]["kind"], roles["admin"]["sso_role"]) == ("sso", "Admin")
    assert roles["admin"]["account"] == "123456789012"
    assert (roles["pod"]["kind"], roles["pod"]["roles"]) == ("web-identity", [arn])
    assert "admin  Admin in 123456789012 by SSO" in rolecall("roles").out.splitlines()


def test_a_home_without_files_has_no_roles(desk: Desk, rolecall: Rolecall) -> None:
    desk.environ["HOME"] = "/fake-home-that-is-not-there"

    assert told(rolecall("roles", "--json")) == {}
    ended = rolecall("roles")

    assert (ended.code, ended.out) == (0, "")
    assert "is a role" in ended.err
    assert rolecall("roles", "--check").code == 0


def test_check_says_where_and_what_to_do(desk: Desk, rolecall: Rolecall) -> None:
    desk.credentials_file.chmod(0o600)
    desk.add_role("lost", source="gone")

    ended = rolecall("roles", "--check")

    assert ended.code == 2
    said, hint = ended.out.splitlines()
    assert said.startswith("~/.aws/config:")
    assert said.endswith("profile lost: its source_profile 'gone' does not exist [missing-source]")
    assert hint.startswith("  hint: ")


def test_check_in_json_has_all_that_is_said(desk: Desk, rolecall: Rolecall) -> None:
    desk.credentials_file.chmod(0o644)

    ended = rolecall("roles", "--check", "--strict", "--json")

    (found,) = json.loads(ended.out)["findings"]
    assert ended.code == 2
    assert found.pop("message").endswith("(mode 0644)")
    assert found == {
        "rule": "open-file",
        "severity": "warning",
        "profile": None,
        "file": "~/.aws/credentials",
        "line": None,
        "hint": "chmod 600 ~/.aws/credentials",
    }
    desk.credentials_file.chmod(0o600)
    ended = rolecall("roles", "--check", "--strict", "--json")
    assert (ended.code, json.loads(ended.out)) == (0, {"findings": []})


def test_a_file_that_cannot_be_parsed_is_told_without_what_is_in_it(
    desk: Desk, rolecall: Rolecall
) -> None:
    desk.credentials_file.write_text("[hub]\naws_secret_access_key fake-broken-secret\n")

    ended = rolecall("roles", "--check")

    assert ended.code == 2
    assert "line 2" in ended.err
    assert "fake-broken-secret" not in ended.out + ended.err


def test_no_key_is_in_what_is_printed(desk: Desk, rolecall: Rolecall) -> None:
    desk.default_keys(**desk.keys("AKIAFAKEDEFAULT", "fake-secret-of-default"))
    assert rolecall("whoami", "reader").code == 0
    shown = ""
    for words in ([], ["--json"], ["--check"], ["--check", "--json"], ["-vv"]):
        ended = rolecall("roles", *words)
        shown += ended.out + ended.err

    assert "fake-secret-of-default" not in shown
    assert desk.secret not in shown


# How it is printed


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    return Terminal()


TREE = [Node(["root"], [Node(["[bold]leaf[/]", "x\x1b]0;evil\x07"])])]


def test_at_a_terminal_a_tree_has_branches_and_the_names_that_were_given(
    terminal: Terminal,
) -> None:
    with redirect_stdout(terminal):
        print_trees(TREE)

    assert "└── " in terminal.getvalue()
    assert "[bold]leaf[/]  x?]0;evil?" in terminal.getvalue()


def test_without_colour_nothing_but_text_is_printed(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")

    with redirect_stdout(terminal):
        print_trees(TREE)
        print_table(["KEY", "WHERE"], [["AKIAFAKE", "[red]here"]])

    assert "\x1b" not in terminal.getvalue()
    assert "AKIAFAKE  [red]here" in terminal.getvalue()


def test_at_a_terminal_a_table_is_no_wider_than_that(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        print_table(["KEY", "WHERE"], [["AKIAFAKE", "/a/long/path" * 20]])

    lines = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()
    assert max(map(len, lines)) <= 60


def test_piped_a_row_is_one_line_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    os.environ["COLUMNS"] = "40"

    print_table(["KEY", "WHERE"], [["AKIAFAKE", "/a/long/path" * 20], ["", "x"]])

    assert capsys.readouterr().out.splitlines() == [
        "KEY       WHERE",
        f"AKIAFAKE  {'/a/long/path' * 20}",
        "          x",
    ]
