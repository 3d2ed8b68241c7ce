"""``rolecall console`` prints one line, the link, or hands it to a browser without showing it."""

from __future__ import annotations

import html
import json
import os
import re
import stat
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from command_line import Desk, Ended

Rolecall = Callable[..., Ended]

TOKEN = "fake-signin-token/with+every=sign&\"more'<"


class Federation:
    """Answers each request with one sign-in token, and keeps what was asked.

    Attributes:
        status: What is answered; other than 200, no token is.
    """

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.status = 200
        federation = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                form = parse_qs(self.rfile.read(length).decode())
                federation.forms.append({name: values[0] for name, values in form.items()})
                body = json.dumps({"SigninToken": TOKEN}).encode()
                self.send_response(federation.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def federation() -> Iterator[Federation]:
    federation = Federation()
    thread = threading.Thread(target=federation.server.serve_forever, args=(0.02,))
    thread.start()
    yield federation
    federation.server.shutdown()
    thread.join(10)
    federation.server.server_close()


@pytest.fixture
def console(rolecall: Rolecall, federation: Federation) -> Rolecall:
    def console(*words: str) -> Ended:
        return rolecall("console", *words, "--signin-endpoint", federation.url)

    return console


def parts_of(link: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}


def test_the_link_is_one_line_on_standard_output(console: Rolecall) -> None:
    ended = console("reader")

    (link,) = ended.out.splitlines()
    assert (ended.code, ended.err) == (0, "")
    assert link.startswith("https://us-east-2.signin.aws.amazon.com/federation?Action=login&")
    assert parts_of(link)["SigninToken"] == TOKEN


def test_a_link_that_goes_nowhere_is_an_error(
    console: Rolecall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where standard output is closed, there is none for Python either."""
    monkeypatch.setattr(sys, "stdout", None)

    assert console("reader") == Ended(1, "", "")


def test_what_is_opened_can_be_chosen(console: Rolecall) -> None:
    service = console("reader", "--service", "s3", "--region", "eu-west-1")
    page = console("reader", "--destination", "/cloudwatch/home?region=eu-west-1#logs")

    assert "/s3/home?region=eu-west-1" in parts_of(service.out)["Destination"]
    assert parts_of(page.out)["Destination"].endswith("/cloudwatch/home?region=eu-west-1#logs")


def test_the_duration_is_the_consoles_and_not_the_roles(
    desk: Desk, console: Rolecall, federation: Federation
) -> None:
    assert console("reader", "--duration", "8h").code == 0

    assert federation.forms[-1]["SessionDuration"] == "28800"


def test_a_duration_that_aws_would_refuse_is_left_out(
    desk: Desk, console: Rolecall, federation: Federation
) -> None:
    desk.add_role("far", source="reader")

    assert console("far", "--duration", "8h").code == 0

    assert "SessionDuration" not in federation.forms[-1]


def test_json_has_the_link_and_until_when_the_session_is_good(
    desk: Desk, console: Rolecall
) -> None:
    ended = console("reader", "--json")

    found = json.loads(ended.out)
    assert set(found) == {"url", "role_arn", "session_expires_at"}
    assert found["role_arn"] == desk.arns["reader"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["session_expires_at"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["reader", "--duration", "soon"], "--duration soon"),
        (["reader", "--duration", "5m"], "duration must be"),
        (["reader", "--destination", "https://evil.example.com/"], "destination must be"),
        (["reader", "--destination", "/s3", "--service", "s3"], "two words for one thing"),
        (["reader", "--service", "../s3"], "service must be"),
        (["hub"], "IAM user"),
        (["nobody"], "does not exist"),
    ],
)
def test_what_does_not_add_up_is_exit_code_2(
    console: Rolecall, words: list[str], said: str
) -> None:
    ended = console(*words)

    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_an_endpoint_that_keys_must_not_be_sent_to_is_refused(rolecall: Rolecall) -> None:
    ended = rolecall("console", "reader", "--signin-endpoint", "http://192.0.2.1/")

    assert (ended.code, ended.out) == (2, "")
    assert "--signin-endpoint must be https" in ended.err


def test_what_aws_refuses_is_exit_code_1(console: Rolecall, federation: Federation) -> None:
    federation.status = 400

    ended = console("reader")

    assert (ended.code, ended.out) == (1, "")


@pytest.mark.parametrize("words", [[], ["--json"], ["-vv"]])
def test_no_key_is_shown(
    desk: Desk, console: Rolecall, federation: Federation, words: list[str]
) -> None:
    ended = console("reader", *words)

    keys = json.loads(federation.forms[-1]["Session"])
    for secret in (desk.secret, keys["sessionKey"], keys["sessionToken"]):
        assert secret not in ended.out + ended.err
    assert TOKEN not in ended.err


# With a browser


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a browser was told to open."""
    found: list[str] = []

    class Browser(webbrowser.BaseBrowser):
        def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
            found.append(url)
            return True

    monkeypatch.setattr(webbrowser, "_tryorder", ["fake"])
    monkeypatch.setattr(webbrowser, "_browsers", {"fake": [None, Browser()]})
    return found


def test_a_browser_is_told_of_a_private_page_and_not_of_the_link(
    desk: Desk, console: Rolecall, opened: list[str]
) -> None:
    link = console("reader").out.strip()
    os.umask(os.umask(0))

    ended = console("reader", "--open")

    assert (ended.code, ended.out) == (0, "")
    assert TOKEN not in ended.err
    (url,) = opened
    page = Path(urlsplit(url).path)
    assert url.startswith("file:///")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert stat.S_IMODE(page.parent.stat().st_mode) == 0o700
    text = page.read_text()
    led_to = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', text)
    assert led_to is not None
    assert html.unescape(led_to[1]) == link
    assert "&amp;SigninToken=" in led_to[1]


def test_json_is_printed_when_a_browser_opens_as_well(console: Rolecall, opened: list[str]) -> None:
    assert "url" in json.loads(console("reader", "--open", "--json").out)
    assert len(opened) == 1


def test_where_no_browser_is_found_no_page_is_left(
    desk: Desk, console: Rolecall, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webbrowser, "_tryorder", [])
    monkeypatch.setattr(webbrowser, "_browsers", {})

    ended = console("reader", "--open")

    assert (ended.code, ended.out) == (1, "")
    assert "no browser could be opened" in ended.err
    assert desk.rolecall_files == []
