"""Servers on loopback that do all but what a Redis should, and a proxy that ails at a word."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from select import select

from rolecall.testing.clock import PATIENCE_SECONDS

Behaviour = Callable[[socket.socket], None]

LOOPBACK = "127.0.0.1"


class _Threads(socketserver.ThreadingTCPServer):
    daemon_threads = False  # so that closing waits for them
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: whoever is cut off here is cut off on purpose."""


class FaultyServer:
    """Behaves to whoever connects as it is told.

    Attributes:
        accepted: How many have connected.
    """

    def __init__(self, behave: Behaviour, *, tls: ssl.SSLContext | None = None) -> None:
        self.accepted = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()  # guards both of the above
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                connection = self.request
                connection.settimeout(PATIENCE_SECONDS)
                with outer._lock:
                    outer.accepted += 1
                with suppress(OSError):
                    if tls is not None:
                        connection = tls.wrap_socket(connection, server_side=True)
                    with outer._lock:
                        outer._open.add(connection)
                    with connection:
                        behave(connection)
                with outer._lock:
                    outer._open.discard(connection)

        self._server = _Threads((LOOPBACK, 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="faulty server"
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """What a store is told."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def __enter__(self) -> FaultyServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(PATIENCE_SECONDS)
        self.cut()
        self._server.server_close()

    def cut(self) -> None:
        """Drop all who are connected."""
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)


def never_answers(connection: socket.socket) -> None:
    """Take everything and say nothing."""
    while connection.recv(65536):
        pass


def closes_at_once(connection: socket.socket) -> None:
    """Hang up."""


def answers(what: bytes) -> Behaviour:
    """Answer *what* to all that comes."""

    def behave(connection: socket.socket) -> None:
        while connection.recv(65536):
            connection.sendall(what)

    return behave


class Proxy(FaultyServer):
    """Stands before a server and passes on what both sides say, until it is told otherwise.

    Attributes:
        before: Called with what a client sends, before it is passed on.
        after: Called with what a client sent, once the server has answered and before the client
            learns of it.
    """

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(self._pass_on, tls=tls)
        self._target = port
        self._down = False
        self.before: Callable[[bytes], object] | None = None
        self.after: Callable[[bytes], object] | None = None

    def __enter__(self) -> Proxy:
        super().__enter__()
        return self

    def down(self) -> None:
        """Drop all who are connected, and whoever comes."""
        self._down = True
        self.cut()

    def up(self) -> None:
        """Serve again."""
        self._down = False

    def _pass_on(self, client: socket.socket) -> None:
        if self._down:
            return
        request = b""
        with socket.create_connection((LOOPBACK, self._target), PATIENCE_SECONDS) as server:
            while True:
                # What TLS has read ahead shows in no select().
                ahead = isinstance(client, ssl.SSLSocket) and client.pending() > 0
                ready = [client] if ahead else select([client, server], [], [])[0]
                if client in ready:
                    request = client.recv(65536)
                    if request and self.before is not None:
                        self.before(request)
                    if self._down or not request:
                        return
                    server.sendall(request)
                else:
                    answer = server.recv(65536)
                    if self.after is not None:
                        self.after(request)
                    if self._down or not answer:
                        return
                    client.sendall(answer)
