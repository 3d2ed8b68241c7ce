"""A Redis that is down, slow, full, forbidden or no Redis at all costs nobody their call."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from bad_servers import Behaviour, FaultyServer, Proxy, answers, closes_at_once, never_answers
from redis_rig import RedisServer
from redis_scene import (
    A_WHILE,
    FERNET_KEY,
    FIRST,
    LOCK,
    PASSWORD,
    SECOND,
    SESSION,
    closed_port,
    fresh,
    store_at,
    stored,
    warnings,
)

from rolecall.clock import SYSTEM_CLOCK
from rolecall.stores import RedisStore
from rolecall.testing import FakeClock, FakeSource
from rolecall.testing.contracts import (
    AT_ONCE,
    KEY,
    PATIENCE,
)

pytestmark = pytest.mark.usefixtures("nothing_leaks")


# No Redis

HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>no</html>"

BAD: dict[str, Behaviour] = {
    "never answers": never_answers,
    "closes at once": closes_at_once,
    "a web server": answers(HTTP),
    "random bytes": answers(Random(7).randbytes(512) + b"\r\n"),
    "nothing but zeros": answers(bytes(4096)),
    "a line without end": answers(b"+" + b"x" * 100_000),
    "an answer of 10 GB": answers(b"$9999999999\r\nxx"),
    "an answer of negative length": answers(b"$-7\r\n"),
    "an answer that is cut off": answers(b"*3\r\n:1\r\n$5\r\nab"),
    "lists in lists": answers(b"*1\r\n" * 500 + b":1\r\n"),
    "yes to everything": answers(b"+OK\r\n"),
    "a number": answers(b":1\r\n"),
    "a text": answers(b"$5\r\nhello\r\n"),
    "nil": answers(b"$-1\r\n"),
    "an empty list": answers(b"*0\r\n"),
    "a list of two": answers(b"*2\r\n:1\r\n:2\r\n"),
    "a list of three": answers(b"*3\r\n:9\r\n:9\r\n:9\r\n"),
    "a list of three texts": answers(b"*3\r\n$1\r\nx\r\n$1\r\ny\r\n$1\r\nz\r\n"),
    "a lock with an odd number": answers(b"*3\r\n:1\r\n$1\r\nx\r\n$1\r\ny\r\n"),
    "a lock for a long time": answers(b"*3\r\n:0\r\n$9\r\n999999999\r\n$1\r\n0\r\n"),
    "a lock for no time that can be told": answers(b"*3\r\n:0\r\n$3\r\nnan\r\n$1\r\n0\r\n"),
    "an entry for ever": answers(b"*2\r\n$1\r\nx\r\n:99999999999999999\r\n"),
    "an unknown error": answers(b"-FAKE said fake-password\r\n"),
    "an error without a word": answers(b"-\r\n"),
    "loading": answers(b"-LOADING Redis is loading the dataset in memory\r\n"),
    "busy with a script": answers(b"-BUSY Redis is busy running a script\r\n"),
    "another node of a cluster": answers(b"-MOVED 3999 127.0.0.1:6381\r\n"),
    "too many clients": answers(b"-ERR max number of clients reached\r\n"),
    "protected": answers(b"-DENIED Redis is running in protected mode\r\n"),
    "a login is wanted": answers(b"-NOAUTH Authentication required.\r\n"),
    "no such command": answers(b"-ERR unknown command 'EVALSHA', with args beginning with: \r\n"),
    "no such script, ever": answers(b"-NOSCRIPT No matching script. Please use EVAL.\r\n"),
}


@pytest.fixture(params=BAD)
def bad_server(request: pytest.FixtureRequest) -> Iterator[FaultyServer]:
    with FaultyServer(BAD[request.param]) as server:
        yield server


def test_what_is_no_redis_costs_nobody_their_call(
    bad_server: FaultyServer, caplog: pytest.LogCaptureFixture
) -> None:
    source = FakeSource(SYSTEM_CLOCK)
    store = RedisStore(bad_server.url, encryption_key=FERNET_KEY)
    began = time.monotonic()

    got = stored(source, store).get()

    assert got.access_key == FIRST
    assert source.calls == 1
    assert time.monotonic() - began < 5
    # One, but for a server that seems to work in one way and not in another.
    assert 1 <= len(warnings(caplog)) <= 3


def test_what_is_no_redis_raises_nothing(bad_server: FaultyServer) -> None:
    store = RedisStore(bad_server.url, encryption_key=FERNET_KEY)

    store.put(KEY, fresh())
    store.delete(KEY)
    with store.lock(KEY, AT_ONCE):
        pass

    assert store.get(KEY) is None


def test_a_server_that_is_down_is_warned_of_once(
    tmp_path: Path, clock: FakeClock, source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_at(f"redis://127.0.0.1:{closed_port(tmp_path)}/0", clock)

    for number in (1, 2, 3):
        assert stored(source, store).get().access_key == f"ASIAFAKE{number:012d}"
        clock.tick(A_WHILE)

    (warning,) = warnings(caplog)
    assert "ConnectionError" in warning


def test_a_server_that_never_answers_costs_one_time_out(
    clock: FakeClock, source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    with FaultyServer(never_answers) as server:
        store = store_at(server.url, clock)

        assert stored(source, store).get().access_key == FIRST
        assert stored(source, store).get().access_key == SECOND
        assert server.accepted == 1

        clock.tick(A_WHILE)
        stored(source, store).get()
        assert server.accepted == 2

    assert len(warnings(caplog)) == 1


# One that was there before


def test_one_that_comes_back_is_used_again(
    own_server: RedisServer, clock: FakeClock, source: FakeSource
) -> None:
    store = store_at(own_server.url(), clock)
    stored(source, store).get()

    own_server.stop()
    assert stored(source, store).get().access_key == SECOND
    own_server.start()
    clock.tick(A_WHILE)
    third = stored(source, store).get()

    assert store_at(own_server.url(), clock).get(KEY) == third
    assert stored(source, store).get() == third
    assert source.calls == 3


def test_one_that_dies_during_the_fetch_costs_nobody_their_call(
    own_server: RedisServer,
    clock: FakeClock,
    source: FakeSource,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = store_at(own_server.url(), clock)
    source.before = own_server.stop

    assert stored(source, store).get().access_key == FIRST

    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, 6))
def test_a_connection_that_is_lost_at_any_step_costs_nobody_their_call(
    server: RedisServer,
    clock: FakeClock,
    source: FakeSource,
    caplog: pytest.LogCaptureFixture,
    step: int,
    answered: bool,
) -> None:
    """The script of any step did run, or did not; whoever sent it never learns which."""
    stored(FakeSource(clock), store_at(server.url(), clock)).get()  # so that scripts are known
    with server.client() as client:
        client.delete(SESSION)
    with Proxy(server.port) as proxy:
        steps = 0

        def count(request: bytes) -> None:
            nonlocal steps
            steps += b"EVALSHA" in request
            if steps == step:
                proxy.down()

        if answered:
            proxy.after = count
        else:
            proxy.before = count
        assert stored(source, store_at(proxy.url, clock)).get().access_key == FIRST

    assert source.calls == 1
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, 6))
def test_a_connection_that_is_lost_once_goes_unnoticed(
    server: RedisServer,
    clock: FakeClock,
    source: FakeSource,
    caplog: pytest.LogCaptureFixture,
    step: int,
    answered: bool,
) -> None:
    stored(FakeSource(clock), store_at(server.url(), clock)).get()
    with server.client() as client, Proxy(server.port) as proxy:
        client.delete(SESSION)
        steps = 0

        def count(request: bytes) -> None:
            nonlocal steps
            steps += b"EVALSHA" in request
            if steps == step and b"EVALSHA" in request:
                proxy.cut()

        if answered:
            proxy.after = count
        else:
            proxy.before = count
        got = stored(source, store_at(proxy.url, clock)).get()

        assert store_at(server.url(), clock).get(KEY) == got
        assert not client.exists(LOCK)
    assert got.access_key == FIRST
    assert warnings(caplog) == []


def test_idle_connections_that_the_server_has_closed_go_unnoticed(
    server: RedisServer, clock: FakeClock, source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_at(server.url(), clock)
    made = stored(source, store).get()
    with server.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)

    assert store.get(KEY) == made
    assert warnings(caplog) == []


def test_one_that_is_suspended_is_waited_for_once(
    own_server: RedisServer, clock: FakeClock, source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_at(own_server.url(), clock)
    made = stored(source, store).get()
    own_server.pause()
    began = time.monotonic()

    assert stored(source, store).get().access_key == SECOND
    assert stored(source, store).get().access_key == "ASIAFAKE000000000003"
    assert time.monotonic() - began < 5

    assert len(warnings(caplog)) == 1
    own_server.resume()
    clock.tick(A_WHILE)
    assert store.get(KEY) == made


# One that keeps nothing


def test_a_full_one_costs_nobody_their_call(
    own_server: RedisServer, clock: FakeClock, source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_at(own_server.url(), clock)
    with own_server.client() as client:
        client.config_set("maxmemory", 1)

        assert stored(source, store).get().access_key == FIRST
        assert 1 <= len(warnings(caplog)) <= 2  # no lock, nothing kept

        client.config_set("maxmemory", 0)
    second = stored(source, store).get()
    assert store.get(KEY) == second


def test_what_was_kept_before_one_was_full_is_not_lost(
    own_server: RedisServer, clock: FakeClock, source: FakeSource
) -> None:
    store = store_at(own_server.url(), clock)
    kept = stored(source, store).get()
    with own_server.client() as client:
        client.config_set("maxmemory", 1)
    clock.tick(timedelta(minutes=1))
    newer = source.get()

    store.put(KEY, newer)

    assert store.get(KEY) in (kept, newer)
    stored(source, store_at(own_server.url(), clock)).get()
    assert source.calls == 2


def test_a_read_only_replica_is_read_and_costs_nobody_their_call(
    tmp_path: Path,
    redis_program: str,
    clock: FakeClock,
    source: FakeSource,
    caplog: pytest.LogCaptureFixture,
) -> None:
    at_once = {"repl-diskless-sync": "yes", "repl-diskless-sync-delay": 0}
    with ExitStack() as servers:
        first = servers.enter_context(
            RedisServer(tmp_path, program=redis_program, settings=at_once)
        )
        settings = {"replicaof": f"127.0.0.1 {first.port}"}
        replica = servers.enter_context(
            RedisServer(tmp_path, program=redis_program, settings=settings)
        )
        made = stored(source, store_at(first.url(), clock)).get()
        with first.client() as client:
            client.set("written", "last")  # WAIT waits for what this connection has written
            assert client.wait(1, int(PATIENCE.total_seconds() * 1000)) == 1

        store = store_at(replica.url(), clock)
        assert stored(source, store).get() == made
        assert warnings(caplog) == []

        clock.tick(timedelta(minutes=59.5))
        assert stored(source, store).get().access_key == SECOND
    assert 1 <= len(warnings(caplog)) <= 2  # no lock, nothing kept


# One that does not let us


@pytest.mark.parametrize(
    "rights",
    [
        "~rolecall:* -@all",
        "~others:* +@all",
        "~rolecall:* +@all -set",
        "~rolecall:* +@all -hset",
        "~rolecall:* +@all -@scripting",
    ],
)
def test_a_user_without_rights_still_gets_a_session(
    tmp_path: Path,
    redis_program: str,
    clock: FakeClock,
    source: FakeSource,
    caplog: pytest.LogCaptureFixture,
    rights: str,
) -> None:
    users = {"app": f"on >{PASSWORD} {rights}"}
    with RedisServer(tmp_path, program=redis_program, users=users) as server:
        store = store_at(server.url(user="app", password=PASSWORD), clock)

        assert stored(source, store).get().access_key == FIRST

    assert 1 <= len(warnings(caplog)) <= 3  # not read, no lock, nothing kept


@pytest.mark.parametrize("password", ["", f"{PASSWORD}-but-another"])
def test_a_wrong_password_costs_nobody_their_call_and_is_not_shown(
    tmp_path: Path,
    redis_program: str,
    clock: FakeClock,
    source: FakeSource,
    caplog: pytest.LogCaptureFixture,
    password: str,
) -> None:
    users = {"app": f"on >{PASSWORD} ~* +@all", "default": "on >fake-password-of-all ~* +@all"}
    with RedisServer(tmp_path, program=redis_program, users=users) as server:
        user = "app" if password else ""
        store = store_at(server.url(user=user, password=password), clock)

        assert stored(source, store).get().access_key == FIRST

    (warning,) = warnings(caplog)
    assert "Authentication" in warning
