"""How these tests speak to an endpoint: byte by byte, so that nothing corrects what is sent."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rolecall.clock import SYSTEM_CLOCK, Clock
from rolecall.endpoint.app import Served
from rolecall.endpoint.server import Endpoint
from rolecall.refresh import Refresher, RefreshPolicy
from rolecall.sessions.handing import HANDING_POLICY
from rolecall.testing.source import FAKE_SECRET, FAKE_TOKEN

NAME = "fake-role"
ROLE = "arn:aws:iam::123456789012:role/Fake"

#: No answer of a test takes longer than this; then it fails.
PATIENCE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def served(
    source: Any, *, clock: Clock = SYSTEM_CLOCK, policy: RefreshPolicy = HANDING_POLICY
) -> Served:
    """Return a role whose credentials are those of *source*."""
    refresher = Refresher(source, policy=policy, clock=clock, name=NAME)
    return Served(name=NAME, refresher=refresher, role_arn=ROLE, account_id="123456789012")


def port_of(endpoint: Endpoint) -> int:
    return int(endpoint.host.rpartition(":")[2])


def path_of(endpoint: Endpoint, name: str = NAME) -> str:
    return endpoint.urls[name].removeprefix(f"http://{endpoint.host}")


def request(
    endpoint: Endpoint,
    *,
    method: str = "GET",
    target: str | None = None,
    version: str = "HTTP/1.1",
    host: str | None = None,
    token: bytes | None = None,
    headers: Iterable[tuple[str, str]] = (),
    without: Iterable[str] = (),
    body: bytes = b"",
) -> bytes:
    """Return a request that would be answered but for what the arguments change."""
    lines = [f"{method} {target or path_of(endpoint)} {version}".encode()]
    given = {
        "Host": (host or endpoint.host).encode(),
        "Authorization": endpoint.tokens[NAME].encode() if token is None else token,
    }
    lines += [name.encode() + b": " + value for name, value in given.items() if name not in without]
    lines += [f"{name}: {value}".encode() for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def connected(endpoint: Endpoint) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port_of(endpoint)), PATIENCE)


def all_of(connection: socket.socket) -> bytes:
    """Return what arrives until the other side closes the connection."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65536):
            found += data
    return found


def said(endpoint: Endpoint, data: bytes) -> bytes:
    """Send *data* and return all that is answered until the endpoint closes the connection."""
    with connected(endpoint) as connection:
        with contextlib.suppress(ConnectionError):  # it may close before it has read everything
            connection.sendall(data)
        return all_of(connection)


def answer_in(data: bytes) -> tuple[Answer, bytes]:
    """Return the first answer in *data*, and what follows it."""
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    length = int(headers.get("content-length", len(rest)))
    return Answer(status=int(first.split()[1]), headers=headers, body=rest[:length]), rest[length:]


def closing(data: bytes) -> bytes:
    """Return the request *data* with the wish that its connection ends with it."""
    return data.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


def ask(endpoint: Endpoint) -> Answer:
    """Ask as an SDK does."""
    return answer_in(said(endpoint, closing(request(endpoint))))[0]


def ask_url(url: str, token: str) -> Answer:
    """Ask for what is at *url*, such as an environment names it."""
    host, _, path = url.removeprefix("http://").partition("/")
    address, _, port = host.partition(":")
    text = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\n"
    with socket.create_connection((address, int(port)), PATIENCE) as connection:
        connection.sendall(f"{text}Connection: close\r\n\r\n".encode())
        return answer_in(all_of(connection))[0]


def shows_nothing(data: bytes, endpoint: Endpoint) -> bool:
    """Return whether *data* holds no part of the credentials and no token of the endpoint's."""
    secrets = [FAKE_SECRET, FAKE_TOKEN, "ASIAFAKE", *endpoint.tokens.values()]
    secrets += [endpoint.status_token, *(path_of(endpoint, name) for name in endpoint.urls)]
    return not any(secret.encode() in data for secret in secrets)
