"""What the tests of `RedisStore` have in common: servers, stores and made-up sessions."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from redis_rig import Certificates, RedisServer, make_certificates

from rolecall.clock import SYSTEM_CLOCK
from rolecall.credentials import Credentials
from rolecall.stores import RedisStore, Stored
from rolecall.testing import FakeClock, FakeSource
from rolecall.testing.contracts import (
    KEY,
    OTHER_KEY,
)
from rolecall.testing.source import FAKE_SECRET, FAKE_TOKEN

FERNET_KEY, OTHER_FERNET_KEY = (RedisStore.generate_key() for _ in range(2))
SESSION, LOCK = f"rolecall:{{{KEY}}}:session", f"rolecall:{{{KEY}}}:lock"
OTHER_SESSION = f"rolecall:{{{OTHER_KEY}}}:session"
HOUR = timedelta(hours=1)
ROLE = "arn:aws:iam::123456789012:role/Contract"

FIRST, SECOND = "ASIAFAKE000000000001", "ASIAFAKE000000000002"
PASSWORD = "fake-password"

#: Longer than a store leaves alone what was of no help.
A_WHILE = timedelta(seconds=60)

Open = Callable[..., RedisStore]


def fresh(number: int = 1, lifetime: timedelta = HOUR) -> Credentials:
    """Return a session that begins now by the machine's clock."""
    return FakeSource(SYSTEM_CLOCK, lifetime).make(number, datetime.now(timezone.utc))


def plant(client: Any, document: object, *, lives: timedelta = HOUR) -> None:
    """Store *document* as another version or another machine would have."""
    sealed = Fernet(FERNET_KEY).encrypt(json.dumps(document).encode())
    client.hset(SESSION, mapping={"fence": "1", "entry": sealed})
    client.pexpire(SESSION, lives)


def foreign(document: dict[str, Any]) -> dict[str, Any]:
    """Return *document* as if another machine had written it."""
    document["rolecall"]["anchor"]["boot"] = "fake-boot-of-another-machine"
    return document


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what a program's user was told."""
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


def store_at(url: str, clock: FakeClock) -> RedisStore:
    """Return the store at *url* of a process whose time a test moves."""
    return RedisStore(url, encryption_key=FERNET_KEY, clock=clock)


def stored(source: FakeSource, store: RedisStore) -> Stored:
    """Return the session as another process would come to it."""
    return Stored(source, store, KEY, clock=source.clock, lock_timeout=timedelta(seconds=1))


def closed_port(folder: Path) -> int:
    """Return a port on which nobody listens: that of a server that was never started."""
    return RedisServer(folder).port


@pytest.fixture(scope="session")
def shared_redis(
    redis_program: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis"), program=redis_program) as server:
        yield server


@pytest.fixture
def server(shared_redis: RedisServer) -> RedisServer:
    """Return a server that has nothing in it; leave it running, and its settings alone."""
    with shared_redis.client() as client:
        client.flushall()
    return shared_redis


@pytest.fixture
def own_server(redis_program: str, tmp_path: Path) -> Iterator[RedisServer]:
    """Return a server that the test may stop, pause and spoil."""
    with RedisServer(tmp_path, program=redis_program) as server:
        yield server


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def open_redis(server: RedisServer) -> Open:
    def open_redis(url: str = "", *, encryption_key: Any = FERNET_KEY, **rest: Any) -> RedisStore:
        return RedisStore(url or server.url(), encryption_key=encryption_key, **rest)

    return open_redis


@pytest.fixture
def store(open_redis: Open) -> RedisStore:
    return open_redis()


@pytest.fixture
def rival(open_redis: Open) -> RedisStore:
    """Return the store as another process would have it."""
    return open_redis()


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    with server.client() as client:
        yield client


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def source(clock: FakeClock) -> FakeSource:
    return FakeSource(clock)


@pytest.fixture
def nothing_leaks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that logged a secret, or a warning with a traceback."""
    caplog.set_level(logging.DEBUG, logger="rolecall")
    yield
    logged = caplog.get_records("call")  # those of now are of the teardown
    text = "\n".join(one.getMessage() for one in logged)
    for secret in (FAKE_SECRET, FAKE_TOKEN, FERNET_KEY, OTHER_FERNET_KEY, PASSWORD):
        assert secret not in text
    assert [one for one in logged if one.exc_info] == []
