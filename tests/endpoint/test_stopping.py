from __future__ import annotations

import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from asking import PATIENCE, all_of, ask, connected, port_of, request, served

from rolecall import endpoint as public
from rolecall.clock import SYSTEM_CLOCK
from rolecall.endpoint import server
from rolecall.endpoint.server import Endpoint
from rolecall.errors import ConfigError
from rolecall.testing import FakeSource, Gate

THREAD = "rolecall-endpoint"


def serving_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


def new_endpoint() -> Endpoint:
    return Endpoint([served(FakeSource(SYSTEM_CLOCK))])


def test_after_the_end_nothing_runs_and_nothing_listens() -> None:
    with new_endpoint() as endpoint:
        assert ask(endpoint).status == 200

    assert serving_threads() == []
    with pytest.raises(ConnectionRefusedError):
        connected(endpoint)


def test_open_connections_are_closed_at_the_end() -> None:
    with new_endpoint() as endpoint:
        idle, asked, half = (connected(endpoint) for _ in range(3))
        asked.sendall(request(endpoint))
        seen = b""
        while b'"RoleArn"' not in seen:  # head and body may come apart; the body in one piece
            found = asked.recv(65536)
            assert found
            seen += found
        half.sendall(request(endpoint)[:40])

    for connection in (idle, asked, half):
        with connection:
            assert all_of(connection) == b""
    assert serving_threads() == []


def test_a_fetch_that_hangs_does_not_delay_the_end(caplog: pytest.LogCaptureFixture) -> None:
    source = FakeSource(SYSTEM_CLOCK)
    source.before = gate = Gate()
    with gate:
        endpoint = Endpoint([served(source)])
        endpoint.start()
        with connected(endpoint) as waiting:
            waiting.sendall(request(endpoint))
            gate.wait_for_arrival()
            began = SYSTEM_CLOCK.boottime()
            endpoint.stop()
            seconds = SYSTEM_CLOCK.boottime() - began
            assert b" 200 " not in all_of(waiting)

    assert serving_threads() == []
    assert seconds < 3
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_what_strangers_send_is_no_line_on_the_users_terminal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A program without a logging configuration has warnings on its stderr."""
    with new_endpoint() as endpoint:
        for sent in (
            b"rubbish\r\n\r\n",
            request(endpoint, headers=[("Connection", "Upgrade"), ("Upgrade", "websocket")]),
            request(endpoint, headers=[("X-Large", "a" * 20_000)]),
        ):
            with connected(endpoint) as connection:
                connection.sendall(sent)
                all_of(connection)

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_connection_that_is_lost_in_the_middle_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with new_endpoint() as endpoint:
        for sent in (b"", request(endpoint)[:30], request(endpoint)):
            connection = connected(endpoint)
            connection.sendall(sent)
            # A reset instead of an end.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
        assert ask(endpoint).status == 200

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_stopping_twice_and_before_the_start_is_fine() -> None:
    endpoint = new_endpoint()
    endpoint.stop()
    endpoint.stop()
    again = new_endpoint()
    with again:
        pass
    again.stop()


def test_no_descriptor_is_left() -> None:
    def use() -> None:
        with new_endpoint() as endpoint:
            ask(endpoint)

    use()
    gc.collect()
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    for _ in range(3):
        use()
    gc.collect()
    after = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0

    assert before == after


def test_a_taken_port_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 cannot be had"):
            Endpoint([served(None)], port=port)


def test_a_port_that_is_none_is_told() -> None:
    with pytest.raises(ConfigError, match="70000"):
        Endpoint([served(None)], port=70000)


def test_a_server_that_does_not_come_up_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise OSError("fake trouble")

    monkeypatch.setattr(server._Server, "startup", fails)
    endpoint = new_endpoint()

    with pytest.raises(ConfigError, match="does not come up: OSError"):
        endpoint.start()

    assert serving_threads() == []
    with pytest.raises(ConnectionRefusedError):
        connected(endpoint)


def test_a_table_that_does_not_show_our_own_connection_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a sandbox whose /proc is another's: no child could ever be answered."""
    monkeypatch.setattr(server, "is_neighbour", lambda peer, local: False)
    endpoint = new_endpoint()

    with pytest.raises(ConfigError, match="/proc/net/tcp") as caught:
        endpoint.start()

    assert "--via process" in str(caught.value.hint)
    assert serving_threads() == []
    with pytest.raises(ConnectionRefusedError):
        connected(endpoint)


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, OSError])
def test_a_start_that_ends_while_it_looks_for_itself_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, trouble: type[BaseException]
) -> None:
    """Ctrl-C, or no descriptor for the connection of its own."""

    def fails(self: Endpoint) -> bool:
        raise trouble

    monkeypatch.setattr(Endpoint, "_knows_its_neighbours", fails)
    endpoint = new_endpoint()
    with pytest.raises((trouble, ConfigError)):
        endpoint.__enter__()
    left = serving_threads()
    endpoint.stop()

    assert left == []


def test_an_interrupted_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the server comes up."""
    endpoint = new_endpoint()
    came_up = threading.Event.wait

    def interrupted(self: threading.Event, timeout: float | None = None) -> bool:
        came_up(self, timeout)
        if sys._getframe(1).f_globals["__name__"] == server.__name__:
            raise KeyboardInterrupt
        return True

    monkeypatch.setattr(threading.Event, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        endpoint.__enter__()
    monkeypatch.undo()
    left = serving_threads()
    endpoint.stop()

    assert left == []


def test_a_forked_child_does_not_serve(fork: Callable[..., object], tmp_path: Path) -> None:
    """The child has the socket, but the server is its parent's: it ends with it."""
    read, write = os.pipe()
    endpoint = new_endpoint()
    endpoint.start()

    def until_told() -> bool:
        os.close(write)
        return os.read(read, 1) == b""

    child = fork(until_told)
    os.close(read)
    try:
        assert ask(endpoint).status == 200
        endpoint.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port_of(endpoint)), PATIENCE)
    finally:
        os.close(write)
        assert child.said_yes()  # type: ignore[attr-defined]


def test_a_forked_child_that_leaves_the_block_takes_nothing_from_its_parent(
    fork: Callable[..., object], expiring_session: object
) -> None:
    with public.serving(expiring_session) as child_environ:
        url = child_environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
        token = Path(child_environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
        with public.serving(expiring_session):
            pass

        def leaves() -> bool:
            block.__exit__(None, None, None)
            return True

        block = public.serving(expiring_session)
        inner = Path(block.__enter__()["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
        assert fork(leaves).said_yes()  # type: ignore[attr-defined]
        still_there = inner.exists()
        block.__exit__(None, None, None)

        assert token.exists()
        assert url
    assert still_there
    assert not inner.exists()
    assert not token.exists()
