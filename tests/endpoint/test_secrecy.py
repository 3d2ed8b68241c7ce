from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from asking import all_of, ask, ask_url, connected, path_of, request, said, served, shows_nothing
from botocore.exceptions import CredentialRetrievalError

from rolecall.clock import SYSTEM_CLOCK
from rolecall.endpoint.app import Served
from rolecall.endpoint.server import Endpoint
from rolecall.errors import AccessDenied
from rolecall.sessions.handing import handing
from rolecall.testing import FakeSource

#: Below DEBUG: uvicorn calls it TRACE.
EVERYTHING = 1


class Said(logging.Handler):
    """Keeps every record of every logger, as text."""

    def __init__(self) -> None:
        super().__init__(EVERYTHING)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def log() -> Iterator[Said]:
    """What a program logs that wants to see everything."""
    handler = Said()
    root = logging.getLogger()
    names = [
        "",
        "asyncio",
        "rolecall",
        "uvicorn",
        "uvicorn.error",
        "uvicorn.access",
        "uvicorn.asgi",
    ]
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(EVERYTHING)
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def a_whole_life() -> tuple[Endpoint, FakeSource]:
    source = FakeSource(SYSTEM_CLOCK)
    with Endpoint([served(source)]) as endpoint:
        assert ask(endpoint).status == 200
        said(endpoint, request(endpoint, headers=[("Origin", "null")]))
        said(endpoint, request(endpoint, method="POST"))
        said(endpoint, request(endpoint, target=path_of(endpoint) + "/"))
        said(endpoint, b"rubbish " + request(endpoint).replace(b"GET ", b"GET  "))
        said(
            endpoint,
            request(endpoint, headers=[("Connection", "Upgrade"), ("Upgrade", "websocket")]),
        )
        assert ask_url(endpoint.status_url, endpoint.status_token).status == 200
        with connected(endpoint) as half:
            half.sendall(request(endpoint)[:-4])
        endpoint.served[0].refresher.invalidate("ASIAFAKE000000000001")
        source.error = AccessDenied("fake refusal")
        assert ask(endpoint).status == 500
        source.error = RuntimeError("fake bug")
        assert ask(endpoint).status >= 500
    return endpoint, source


@pytest.mark.parametrize("debug", ["", "1"])
def test_no_log_of_a_whole_life_shows_a_token_a_path_or_a_key(
    monkeypatch: pytest.MonkeyPatch, log: Said, debug: str
) -> None:
    monkeypatch.setenv("PYTHONASYNCIODEBUG", debug)
    endpoint, _ = a_whole_life()

    text = "\n".join(log.lines)
    assert text
    # Ids of keys are told when they are rotated: they are the public half.
    assert shows_nothing(text.replace("ASIAFAKE", "").encode(), endpoint)


def test_an_access_log_that_the_program_itself_wants_does_not_show_it_either(log: Said) -> None:
    """The program may serve something with uvicorn, too."""
    access = logging.getLogger("uvicorn.access")
    with Endpoint([served(FakeSource(SYSTEM_CLOCK))]) as endpoint:
        access.addHandler(log)
        try:
            assert ask(endpoint).status == 200
        finally:
            access.removeHandler(log)

    assert shows_nothing("\n".join(log.lines).replace("ASIAFAKE", "").encode(), endpoint)


def test_the_programs_own_access_log_is_left_alone() -> None:
    access = logging.getLogger("uvicorn.access")
    mine = logging.NullHandler()
    before = access.handlers[:], access.propagate
    access.handlers, access.propagate = [mine], True
    try:
        with Endpoint([served(FakeSource(SYSTEM_CLOCK))]) as endpoint:
            assert ask(endpoint).status == 200
        assert ([mine], True) == (access.handlers, access.propagate)
    finally:
        access.handlers, access.propagate = before


def test_no_repr_shows_a_secret() -> None:
    source = FakeSource(SYSTEM_CLOCK)
    endpoint = Endpoint([served(source)])
    one = endpoint.served[0]
    asyncio.run(one.answer())
    try:
        for shown in (endpoint, one, one.refresher, endpoint.status, endpoint._app):
            assert shows_nothing(repr(shown).encode(), endpoint)
    finally:
        endpoint.stop()


def test_no_command_line_shows_a_secret() -> None:
    with Endpoint([served(FakeSource(SYSTEM_CLOCK))]) as endpoint:
        ask(endpoint)
        if sys.platform == "linux":
            assert shows_nothing(Path("/proc/self/cmdline").read_bytes(), endpoint)
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, timeout=30)
        assert shows_nothing(listed.stdout, endpoint)


SECRET = "Fake0Secret1Key2That3Looks4Like5One6Of7Aws8"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(f"SecretAccessKey={SECRET}"),
        # What a credential_process wrote to its standard error.
        CredentialRetrievalError(provider="custom-process", error_msg=f"SecretAccessKey={SECRET}"),
    ],
)
def test_what_a_programs_own_session_raises_shows_no_secret(log: Said, error: Exception) -> None:
    class Failing:
        def get_frozen_credentials(self) -> None:
            raise error

    session = botocore.session.Session()
    session._credentials = Failing()  # type: ignore[attr-defined]
    one = Served(name="fake-role", refresher=handing(session))
    with Endpoint([one]) as endpoint:
        found = ask(endpoint)
        status = ask_url(endpoint.status_url, endpoint.status_token)

    assert found.status >= 500
    assert SECRET.encode() not in found.body + status.body
    assert SECRET not in "\n".join(log.lines)


def test_a_bug_in_what_is_served_is_told_to_nobody_who_asks(log: Said) -> None:
    class Broken:
        name = "fake-role"
        refresher = None

        async def answer(self) -> None:
            raise RuntimeError("fake-session-token-do-not-leak")

    endpoint = Endpoint([Broken()])  # type: ignore[list-item]
    with endpoint, connected(endpoint) as connection:
        connection.sendall(request(endpoint))
        got = all_of(connection)

    assert got.startswith(b"HTTP/1.1 500 ")
    assert shows_nothing(got, endpoint)
