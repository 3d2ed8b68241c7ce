"""``rolecall top``: what this user's endpoints keep alive, once, as JSON, or as it goes on."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pexpect
import pytest
from command_line import ROLECALL, Desk, Ended
from hypothesis import given
from hypothesis import strategies as st

from rolecall.cli import top
from rolecall.clock import SYSTEM_CLOCK
from rolecall.credentials import Credentials
from rolecall.endpoint import asking
from rolecall.endpoint.app import Served
from rolecall.endpoint.server import Endpoint
from rolecall.endpoint.status import noted
from rolecall.errors import AccessDenied
from rolecall.refresh import Refresher
from rolecall.sessions.handing import HANDING_POLICY
from rolecall.testing import FakeSource
from rolecall.testing.source import FAKE_SECRET, FAKE_TOKEN

SECONDS = 30

HOUR = timedelta(hours=1)


class Dated(FakeSource):
    """A source that says when it issued its credentials, as STS does."""

    def make(self, number: int, issued: datetime) -> Credentials:
        return replace(super().make(number, issued), issued_at=issued)


class Office:
    """Endpoints that run in this process, noted in a desk's home."""

    def __init__(self, desk: Desk, stack: ExitStack) -> None:
        self.desk = desk
        self._stack = stack
        self.sources: dict[str, FakeSource] = {}
        self.refreshers: dict[str, Refresher] = {}
        self.endpoints: list[Endpoint] = []

    def run(self, what: str, *names: str) -> Endpoint:
        """Run an endpoint of the roles *names*, as the command *what* does."""
        served = []
        for name in names:
            self.sources[name] = Dated(SYSTEM_CLOCK, HOUR)
            made = Refresher(self.sources[name], policy=HANDING_POLICY, name=name)
            made.get()
            self.refreshers[name] = made
            arn = f"arn:aws:iam::123456789012:role/{name.capitalize()}"
            served.append(
                Served(name=name, refresher=made, role_arn=arn, account_id="123456789012")
            )
        endpoint = self._stack.enter_context(Endpoint(served))
        self.note(what, endpoint)
        self.endpoints.append(endpoint)
        return endpoint

    def note(self, what: str, endpoint: Endpoint) -> None:
        self._stack.enter_context(
            noted(what, endpoint.status_url, endpoint.status_token, self.desk.environ)
        )

    @property
    def notes(self) -> list[str]:
        """The ports of the endpoints that are noted."""
        place = self.desk.home / ".cache/rolecall/run/endpoints"
        return sorted(file.stem.partition("-")[2] for file in place.iterdir())


@pytest.fixture
def office(desk: Desk) -> Iterator[Office]:
    with ExitStack() as stack:
        yield Office(desk, stack)


def port(endpoint: Endpoint) -> str:
    return endpoint.host.rpartition(":")[2]


def test_where_nothing_runs_that_is_said_and_is_no_data(rolecall: Callable[..., Ended]) -> None:
    for words in (("--once",), ()):
        found = rolecall("top", *words)
        assert (found.code, found.out) == (0, "")
        assert "rolecall exec" in found.err
    assert rolecall("top", "--json") == Ended(0, "[]\n", "")


def test_the_roles_of_all_endpoints_are_listed_as_json(
    office: Office, rolecall: Callable[..., Ended]
) -> None:
    office.run("exec reader", "reader")
    office.run("serve", "live", "test")

    ended = rolecall("top", "--json")

    rows = {row["name"]: row for row in json.loads(ended.out)}
    assert (ended.code, ended.err, len(rows)) == (0, "", 3)
    assert {row["pid"] for row in rows.values()} == {os.getpid()}
    assert {name: row["command"] for name, row in rows.items()} == {
        "reader": "exec reader", "live": "serve", "test": "serve",
    }  # fmt: skip
    assert rows["live"]["role_arn"] == "arn:aws:iam::123456789012:role/Live"
    assert rows["live"]["state"] == "fresh"
    assert rows["live"]["lifetime_seconds"] == 3600
    assert 3500 < rows["live"]["remaining_seconds"] <= 3600
    assert rows["live"]["refreshes"] == 0
    assert rows["live"]["last_error"] is None


@pytest.mark.parametrize("words", [("--json",), ("--once",), (), ("-vv", "--once")])
def test_no_secret_is_shown(
    office: Office, rolecall: Callable[..., Ended], words: tuple[str, ...]
) -> None:
    endpoint = office.run("serve", "live")

    found = rolecall("top", *words)

    secrets = [FAKE_SECRET, FAKE_TOKEN, endpoint.status_token, *endpoint.tokens.values()]
    for secret in [*secrets, *(url.rpartition("/")[2] for url in endpoint.urls.values())]:
        assert len(secret) > 6
        assert secret not in found.out + found.err


@pytest.mark.parametrize("words", [("--once",), ()])
def test_in_a_pipe_it_is_a_table_without_colours(
    office: Office, rolecall: Callable[..., Ended], words: tuple[str, ...]
) -> None:
    office.run("exec reader", "reader")
    office.run("serve", "live")

    ended = rolecall("top", *words)

    head, *lines = ended.out.splitlines()
    assert (ended.code, ended.err) == (0, "")
    assert head.split() == [
        *("PID", "COMMAND", "ROLE", "IDENTITY", "LEFT", "REFRESHED", "LAST", "ERROR")
    ]
    assert len(lines) == 2
    assert "\x1b" not in ended.out
    commands = ("exec reader  reader", "serve        live")
    for line, command in zip(sorted(lines), commands, strict=True):
        assert line.startswith(f"{os.getpid()}  {command}")
        assert "123456789012" in line
        assert "█" * 20 in line


def test_what_went_wrong_is_shown_as_it_is_said(
    office: Office, rolecall: Callable[..., Ended]
) -> None:
    """What is in brackets is no colour of ours."""
    office.run("serve", "live")
    office.sources["live"].error = AccessDenied("hop 0: [red]STS says AccessDenied")
    with pytest.raises(AccessDenied):
        office.refreshers["live"].refresh()

    assert "hop 0: [red]STS says AccessDenied" in rolecall("top", "--once").out
    (row,) = json.loads(rolecall("top", "--json").out)
    assert row["last_error"] == "hop 0: [red]STS says AccessDenied"


def test_refreshes_are_counted(office: Office, rolecall: Callable[..., Ended]) -> None:
    office.run("serve", "live")
    for _ in range(2):
        office.refreshers["live"].refresh()

    (row,) = json.loads(rolecall("top", "--json").out)

    assert (row["refreshes"], row["access_key"]) == (2, "ASIAFAKE000000000003")


def test_a_note_of_an_endpoint_that_is_gone_is_forgotten_and_others_stay(
    office: Office, rolecall: Callable[..., Ended]
) -> None:
    with Endpoint([]) as gone:
        pass
    office.note("exec gone", gone)
    here = office.run("serve", "live")
    before = office.notes

    ended = rolecall("top", "--json")

    assert [row["name"] for row in json.loads(ended.out)] == ["live"]
    assert before == sorted([port(gone), port(here)])
    assert office.notes == [port(here)]


def test_an_endpoint_that_does_not_answer_stays_in_the_list(
    office: Office, rolecall: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that is stopped with Ctrl-Z, which goes on later: the system still takes calls."""
    monkeypatch.setattr(asking, "_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        number = silent.getsockname()[1]
        with noted("exec still", f"http://127.0.0.1:{number}/x", "fake", office.desk.environ):
            (row,) = json.loads(rolecall("top", "--json").out)
            table = rolecall("top", "--once")
            notes = office.notes

    assert (row["pid"], row["command"]) == (os.getpid(), "exec still")
    assert (row["state"], row["last_error"]) == ("unknown", "does not answer")
    assert (table.code, table.err) == (0, "")
    assert "does not answer" in table.out
    assert notes == [str(number)]


def test_a_program_that_has_the_port_by_now_is_no_endpoint(
    office: Office, rolecall: Callable[..., Ended]
) -> None:
    """It answers, but not to the token of the note."""
    other = office.run("serve", "live")
    note = office.desk.home / f".cache/rolecall/run/endpoints/{os.getpid()}-1.json"
    values = json.loads(next(note.parent.iterdir()).read_text())
    note.write_text(json.dumps({**values, "token": "fake-old-token"}))
    note.chmod(0o600)

    (row,) = json.loads(rolecall("top", "--json").out)

    assert row["name"] == "live"
    assert office.notes == [port(other)]


def test_another_users_home_is_not_looked_at(
    office: Office, rolecall: Callable[..., Ended], tmp_path: Path
) -> None:
    office.run("serve", "live")
    office.desk.environ = {**office.desk.environ, "HOME": str(tmp_path)}

    assert rolecall("top", "--json").out == "[]\n"


def test_at_a_terminal_it_goes_on_until_it_is_interrupted(office: Office) -> None:
    office.run("serve", "live")
    environ = {**office.desk.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "30"}
    screen = pexpect.spawn(
        ROLECALL, ["top"], env=environ, timeout=SECONDS, encoding="utf-8", dimensions=(30, 120)
    )
    try:
        screen.expect_exact("\x1b[?1049h")  # a screen of its own, which is put back at the end
        screen.expect("live")
        office.run("exec late", "late")
        screen.expect("late")
        office.sources["late"].error = AccessDenied("refused now")
        with pytest.raises(AccessDenied):
            office.refreshers["late"].refresh()
        screen.expect("refused now")
        screen.sendintr()
        screen.expect(pexpect.EOF)
        rest = screen.before
    finally:
        screen.close()

    assert screen.exitstatus == 0
    assert "Traceback" not in rest
    assert "\x1b[?1049l" in rest
    assert "\x1b[?25h" in rest, "the cursor is still hidden"


SPANS = st.floats(min_value=-1e6, max_value=1e6)
LIVES = st.floats(min_value=1e-3, max_value=1e6)


@given(SPANS, SPANS, LIVES)
def test_a_bar_is_as_long_as_any_other_and_never_longer_with_less_left(
    one: float, other: float, of: float
) -> None:
    less, more = (top.bar(left, of) for left in sorted((one, other)))

    assert len(less) == len(more) == 20
    assert less.count("█") <= more.count("█")
    assert set(less + more) <= set("█░")
    assert (top.bar(0.0, of), top.bar(of, of)) == ("░" * 20, "█" * 20)


def test_of_what_never_ends_there_is_no_bar() -> None:
    assert {top.bar(None, 3600.0), top.bar(60.0, None), top.bar(60.0, 0)} == {""}
