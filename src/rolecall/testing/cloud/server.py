"""A cheroot server on an ephemeral loopback port that stops at once and leaves no thread."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from cheroot import wsgi

from .request import HEADERS_KEY

logger: logging.Logger = logging.getLogger("rolecall.testing")

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_HOST = "127.0.0.1"
_STOP_SECONDS = 5


class _Gateway(wsgi.Gateway_10):
    """Hands the application the headers under the names they were sent with."""

    def get_environ(self) -> Any:
        """Return the WSGI environ of a request."""
        environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call]
        environ[HEADERS_KEY] = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in self.req.inheaders.items()
        }
        return environ


class _Server(wsgi.Server):
    """cheroot's server without the thread that it leaves running for a moment after `stop`."""

    # How long stopping may have to wait for the loop of `serve`.
    expiration_interval = 0.05
    # Idle clients are not thrown out: sixty sessions with a client each are a normal test.
    keep_alive_conn_limit = 10_000

    @classmethod
    def prepare_socket(cls, *arguments: Any, **keywords: Any) -> Any:
        """Return a socket whose port can be had again while old connections still end."""
        made: Any = super().prepare_socket(*arguments, **keywords)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return made

    def serve(self) -> None:
        """Hand connections to the worker threads until `stop`."""
        while self.ready:
            connections: Any = self._connections  # type: ignore[attr-defined]  # not in the stubs
            connections.run(self.expiration_interval)

    def stop(self) -> None:
        """Stop at once: the loop of `serve` looks up when there is somebody to let in."""
        self._connections._stop_requested = True  # type: ignore[attr-defined]  # not in the stubs
        with suppress(OSError):
            socket.create_connection(self.bind_addr, timeout=_STOP_SECONDS).close()
        super().stop()

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """Log instead of writing to stderr."""
        logger.log(level, msg, exc_info=traceback)


class LoopbackServer:
    """An HTTP server for one WSGI application on 127.0.0.1.

    Attributes:
        port: Chosen by the system at the first `start`, kept by `down` and `up`.
    """

    def __init__(self, application: Application, *, threads: int) -> None:
        self._application = application
        self._threads = threads
        self._server: _Server | None = None
        self._loop: threading.Thread | None = None
        self._place: socket.socket | None = None
        self.port: int = 0

    @property
    def url(self) -> str:
        """Where it is, without a trailing slash."""
        return f"http://{_HOST}:{self.port}"

    def start(self) -> None:
        """Listen and answer; on another port than before if it was stopped."""
        self._serve(port=0)

    def stop(self) -> None:
        """Stop listening, close all connections and end all threads."""
        if self._place is not None:
            self._place.close()
            self._place = None
        server, loop = self._server, self._loop
        self._server = self._loop = None
        if server is None or loop is None:
            return
        server.stop()
        loop.join(_STOP_SECONDS)
        # cheroot keeps the numbers of every server that ever was.
        getattr(logging, "statistics", {}).pop(f"Cheroot HTTPServer {id(server)}", None)

    def down(self) -> None:
        """Refuse connections; the port stays ours."""
        if self._server is None:
            return
        self.stop()
        self._place = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind((_HOST, self.port))  # bound but not listening: refused

    def up(self) -> None:
        """Listen again where `down` left off."""
        if self._place is None:
            return
        self._place.close()
        self._place = None
        self._serve(port=self.port)

    def _serve(self, port: int) -> None:
        server = _Server(
            (_HOST, port),
            self._application,
            numthreads=self._threads,
            request_queue_size=128,
            timeout=60,
            shutdown_timeout=_STOP_SECONDS,
        )
        server.gateway = _Gateway
        ready: Future[int] = Future()
        # cheroot's workers inherit being daemons from the thread that starts them: a program that
        # forgets to stop the server can still end.
        loop = threading.Thread(
            target=_run, args=(server, ready), name="rolecall loopback server", daemon=True
        )
        loop.start()
        self.port = ready.result(_STOP_SECONDS)
        self._server, self._loop = server, loop


def _run(server: _Server, ready: Future[int]) -> None:
    try:
        server.prepare()
    except OSError as error:
        ready.set_exception(error)
        return
    ready.set_result(server.bind_addr[1])
    server.serve()
