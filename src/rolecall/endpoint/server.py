"""The endpoint's server: uvicorn on loopback, in a thread of its own, with limits on everything."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import ConfigError
from .app import App, Served
from .guard import MOST_HEADER_BYTES, is_neighbour
from .places import Places
from .status import Status

log: logging.Logger = logging.getLogger("rolecall.endpoint")

ADDRESS = "127.0.0.1"

#: A request is some hundred bytes: whoever has not sent it by then never will.
REQUEST_SECONDS = 5.0
KEEP_ALIVE_SECONDS = 30
#: A child with more programs than that at once has its oldest idle connections closed.
MOST_CONNECTIONS = 128
START_SECONDS = 10.0

#: How often to look whether credentials are due: asyncio's clock does not count a suspended
#: machine's time, and a source that fails is left alone for a while by the rules.
_SOONEST, _LATEST = 0.25, 30.0


if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:  # which takes no parameter before 3.11
    _Adapter = logging.LoggerAdapter


class _Connections:
    """The open connections, oldest first; used on the server's event loop only."""

    def __init__(self) -> None:
        self._open: OrderedDict[_Connection, None] = OrderedDict()

    def add(self, connection: _Connection) -> None:
        """Note a new connection; close the oldest that is doing nothing, if there are too many."""
        if len(self._open) >= MOST_CONNECTIONS:
            idle = next((one for one in self._open if one.is_idle), None)
            (connection if idle is None else idle).drop()
        self._open[connection] = None

    def remove(self, connection: _Connection) -> None:
        """Forget a connection that was closed."""
        self._open.pop(connection, None)


class _Whisper(_Adapter):
    """uvicorn's words at the lowest level: it calls what a stranger sends a warning."""

    def __init__(self) -> None:
        super().__init__(log, {})

    @property
    def level(self) -> int:
        """A level at which uvicorn does not log each connection."""
        return logging.WARNING

    def log(self, level: int, msg: object, *args: object, **keywords: Any) -> None:
        # Without the traceback, which would show what was asked for.
        keywords.pop("exc_info", None)
        super().log(logging.DEBUG, msg, *args, **keywords)


class _Connection(H11Protocol):
    """One connection, which is closed unless it is a neighbour's and says quickly what it wants."""

    #: Those of its endpoint. Not "connections", which is uvicorn's own set.
    neighbours: _Connections

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        # uvicorn's own are the program's, if it is a server itself: paths are not to be in them,
        # and what a stranger sends is no news on anybody's terminal.
        self.access_log = False
        self.logger: Any = _Whisper()

    def connection_made(self, transport: Any) -> None:
        """Take a connection, or close it at once."""
        self._deadline: asyncio.TimerHandle | None = None
        super().connection_made(transport)
        if not is_neighbour(
            transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        ):
            self.drop()
            return
        self.neighbours.add(self)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._wait()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        self.neighbours.remove(self)
        super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request."""
        cycle: Any = self.cycle  # None before the first request, whatever its type says
        return cycle is None or bool(cycle.response_complete)

    def drop(self) -> None:
        """Close the connection without a word."""
        self._stop_waiting()
        self.neighbours.remove(self)
        self.transport.abort()

    def _wait(self) -> None:
        # Not anew for each byte that arrives.
        if not self.is_idle:
            self._stop_waiting()
        elif self._deadline is None and not self.transport.is_closing():
            cycle: Any = self.cycle
            seconds = REQUEST_SECONDS if cycle is None else KEEP_ALIVE_SECONDS
            self._deadline = self.loop.call_later(seconds, self.drop)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """A server that says when it is up, and why it is not; and that renews what it serves."""

    def __init__(self, config: uvicorn.Config, served: Iterable[Served]) -> None:
        super().__init__(config)
        self.up = threading.Event()
        self.trouble: BaseException | None = None
        self._served = tuple(served)
        self._renewing: dict[int, asyncio.Task[None]] = {}  # on its event loop only
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        for one in self._served:
            self._renew(one)
        self.up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for task in self._renewing.values():
            task.cancel()  # asyncio would, but later: nothing is to be fetched any more
        await super().shutdown(sockets)

    def _renew(self, served: Served) -> None:
        self._renewing[id(served)] = asyncio.ensure_future(renewing(served))

    def _leave(self, served: Served) -> None:
        task = self._renewing.pop(id(served), None)
        if task is not None:
            task.cancel()

    def change(self, *, new: Served | None = None, old: Served | None = None) -> None:
        """Renew *new* from now on, and *old* no longer; from any thread."""
        if self._loop is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended: nothing is served any more
            if new is not None:
                self._loop.call_soon_threadsafe(self._renew, new)
            if old is not None:
                self._loop.call_soon_threadsafe(self._leave, old)

    def serve_in_thread(self, sockets: list[socket.socket]) -> None:
        try:
            asyncio.run(self.serve(sockets))
        except BaseException as error:
            self.trouble = error
        finally:
            self.up.set()


async def renewing(served: Served) -> None:
    """Renew *served* when that is due, asked for or not: whoever asks next gets long-lived ones.

    An SDK that asks every fifty minutes would else be handed what has ten minutes left.
    """
    while True:
        await asyncio.sleep(min(max(served.seconds_until_due(), _SOONEST), _LATEST))
        # A role that was revoked is not asked for all night: only when somebody wants it.
        if not served.is_over:
            served.renew()


class Endpoint:
    """Credentials over HTTP on 127.0.0.1, for the programs that are told its address and token.

    Args:
        served: The roles, each with a path and a token of its own.
        port: 0: one that is free.

    Attributes:
        host: Address and port.
        urls: Name of a role → where its credentials are.
        tokens: Name of a role → what opens them. Secret.
    """

    def __init__(self, served: Iterable[Served], *, port: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if port:
                # Windows' SO_REUSEADDR would let another program take our port, and the tokens.
                option = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
                self._socket.setsockopt(socket.SOL_SOCKET, option, 1)
            self._socket.bind((ADDRESS, port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            reason = getattr(error, "strerror", None) or "there is no such port"
            raise ConfigError(
                f"port {port} of {ADDRESS} cannot be had: {reason}",
                hint="leave the port out for one that is free",
            ) from None
        self._listening = self._socket.dup()  # uvicorn closes the one it is given
        self.host: str = f"{ADDRESS}:{self._socket.getsockname()[1]}"
        self._places = Places(self.host, served)
        self.urls: Mapping[str, str] = self._places.urls
        self.tokens: Mapping[str, str] = self._places.tokens
        self.status_url: str = self._places.status_url
        self.status_token: str = self._places.status_token
        self._app = App(self.host, self._places.pages())
        self._changing = threading.Lock()  # held while what is served changes
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def served(self) -> tuple[Served, ...]:
        """The roles that are served now."""
        return self._places.served

    @property
    def status(self) -> Status:
        """The page that says how they are."""
        return self._places.status

    def add(self, served: Served) -> None:
        """Serve one more role, with a path and a token of its own; from any thread.

        Raises:
            ValueError: another one has its name.
        """
        with self._changing:
            self._app.serve(self._places.add(served))
            if self._server is not None:
                self._server.change(new=served)

    def remove(self, served: Served) -> None:
        """Serve *served*, which was added, no longer; from any thread."""
        with self._changing:
            self._app.serve(self._places.remove(served))
            if self._server is not None:
                self._server.change(old=served)

    def __repr__(self) -> str:
        return f"Endpoint({self.host}, {', '.join(one.name for one in self.served)})"

    def start(self) -> None:
        """Serve from now on.

        Raises:
            ConfigError: the server does not come up.
        """
        config = uvicorn.Config(
            self._app,
            loop="asyncio",
            http=type("Connection", (_Connection,), {"neighbours": _Connections()}),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            # Our own deadlines are shorter, and also for the half of a request.
            timeout_keep_alive=2 * KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=MOST_HEADER_BYTES,
            backlog=MOST_CONNECTIONS,
        )
        config.load()
        # Without what uvicorn puts around it, which logs paths at its lowest level.
        config.loaded_app = self._app
        self._server = _Server(config, self.served)
        self._thread = threading.Thread(
            target=self._server.serve_in_thread,
            args=([self._socket],),
            name="rolecall-endpoint",
            daemon=True,
        )
        try:
            self._thread.start()
            up = self._server.up.wait(START_SECONDS)
        except BaseException:  # an interrupt
            self.stop()
            raise
        if not up or not self._server.started:
            trouble = self._server.trouble
            self.stop()
            raise ConfigError(
                f"the endpoint on {self.host} does not come up: {type(trouble).__name__}"
            )

        try:
            known = self._knows_its_neighbours()
        except BaseException:
            self.stop()
            raise
        if not known:
            self.stop()
            raise ConfigError(
                "this system has a list of connections, /proc/net/tcp, and does not list them: "
                "nobody could be told from other users",
                hint="use --via process, or --via env",
            )

    def _knows_its_neighbours(self) -> bool:
        """Return whether a connection of our own would be known as that."""
        port = self._listening.getsockname()[1]
        with contextlib.closing(socket.create_connection((ADDRESS, port), START_SECONDS)) as own:
            return is_neighbour(own.getsockname(), own.getpeername())

    def stop(self) -> None:
        """Serve no longer."""
        if self._server is not None:
            self._server.should_exit = True
            self._server.force_exit = True
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join(START_SECONDS)
        with contextlib.suppress(OSError):
            # A forked child has the socket, too, and would keep the port.
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._socket.close()

    def __enter__(self) -> Endpoint:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def variables(self, name: str) -> Mapping[str, str]:
        """Return the variables that lead an AWS SDK to the role *name*. The token is secret."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": self.urls[name],
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": self.tokens[name],
        }
