"""What is in a session's place in Redis and is none: a miss, and replaced."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from redis_rig import RedisServer
from redis_scene import (
    FIRST,
    LOCK,
    SECOND,
    SESSION,
    foreign,
    plant,
    store_at,
    stored,
    warnings,
)

from rolecall.credentials import Credentials
from rolecall.stores.entry import to_document
from rolecall.testing import FakeClock, FakeSource
from rolecall.testing.contracts import (
    KEY,
)

pytestmark = pytest.mark.usefixtures("nothing_leaks")


def whole(clock: FakeClock) -> dict[str, Any]:
    return to_document(FakeSource(clock).make(7, clock.now), KEY, clock)


def newer_schema(clock: FakeClock) -> Any:
    document = whole(clock)
    document["rolecall"]["schema"] += 1
    return document


def without_secret(clock: FakeClock) -> Any:
    document = whole(clock)
    del document["Credentials"]["SecretAccessKey"]
    return document


def no_time(clock: FakeClock) -> Any:
    document = whole(clock)
    document["Credentials"]["Expiration"] = "fake"
    return document


@pytest.mark.parametrize(
    "document",
    [newer_schema, without_secret, no_time, lambda _: None, lambda _: [1], lambda _: "fake"],
    ids=["newer schema", "no secret", "no time", "null", "a list", "a text"],
)
def test_a_sealed_entry_that_is_none_is_a_miss_and_replaced(
    server: RedisServer, clock: FakeClock, source: FakeSource, document: Callable[..., Any]
) -> None:
    store = store_at(server.url(), clock)
    with server.client() as client:
        plant(client, document(clock))

    assert store.get(KEY) is None
    got = stored(source, store).get()

    assert store.get(KEY) == got
    assert got.access_key == FIRST


def bigger(entry: bytes) -> bytes:
    return entry * 200


def flipped(entry: bytes) -> bytes:
    return entry[:60] + bytes([entry[60] ^ 1]) + entry[61:]


def cut_off(entry: bytes) -> bytes:
    return entry[: len(entry) // 2]


def plain(_: bytes) -> bytes:
    return b'{"Credentials": {}}'


def binary(_: bytes) -> bytes:
    return bytes(range(256))


def empty(_: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("spoil", [bigger, flipped, cut_off, plain, binary, empty])
def test_an_entry_that_cannot_be_opened_is_a_miss_and_replaced(
    server: RedisServer,
    clock: FakeClock,
    source: FakeSource,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[bytes], bytes],
) -> None:
    store = store_at(server.url(), clock)
    stored(FakeSource(clock), store).get()
    with server.client() as client:
        client.hset(SESSION, "entry", spoil(client.hget(SESSION, "entry")))

    assert store.get(KEY) is None
    got = stored(source, store).get()

    assert store.get(KEY) == got
    assert source.calls == 1
    assert len(warnings(caplog)) <= 1


def as_text(client: Any, key: str) -> None:
    client.set(key, "fake", px=60_000)


def as_list(client: Any, key: str) -> None:
    client.lpush(key, "fake")


def as_hash(client: Any, key: str) -> None:
    client.hset(key, "fake", "fake")


def as_odd_number(client: Any, key: str) -> None:
    client.hset(key, mapping={"fence": "fake", "entry": "fake"})


@pytest.mark.parametrize("spoil", [as_text, as_list, as_hash, as_odd_number])
def test_something_else_in_an_entrys_place_is_a_miss_and_replaced(
    server: RedisServer, clock: FakeClock, source: FakeSource, spoil: Callable[..., None]
) -> None:
    store = store_at(server.url(), clock)
    with server.client() as client:
        spoil(client, SESSION)

    assert store.get(KEY) is None
    got = stored(source, store).get()

    assert store.get(KEY) == got


@pytest.mark.parametrize("spoil", [as_list, as_hash])
def test_something_else_in_a_locks_place_holds_nobody_up(
    server: RedisServer, clock: FakeClock, source: FakeSource, spoil: Callable[..., None]
) -> None:
    store = store_at(server.url(), clock)
    with server.client() as client:
        spoil(client, LOCK)

    assert stored(source, store).get().access_key == FIRST


@pytest.mark.parametrize(
    "fence", ["inf", "-inf", "nan", "1e400", "9007199254740993", "-1", "0x10", " 7 "]
)
def test_an_odd_number_beside_an_entry_stops_nobody(
    server: RedisServer, clock: FakeClock, source: FakeSource, fence: str
) -> None:
    store = store_at(server.url(), clock)
    with server.client() as client:
        client.hset(SESSION, mapping={"fence": fence, "entry": "fake"})

    got: Credentials = stored(source, store).get()

    assert store.get(KEY) == got


@pytest.mark.parametrize("whose", [foreign, lambda document: document], ids=["foreign", "own"])
@pytest.mark.parametrize("lives", [None, 10**14, 10**17], ids=["ever", "3000 years", "more"])
def test_an_entry_that_redis_would_keep_too_long_ends_with_its_session(
    server: RedisServer,
    clock: FakeClock,
    source: FakeSource,
    whose: Callable[..., Any],
    lives: int | None,
) -> None:
    store = store_at(server.url(), clock)
    with server.client() as client:
        plant(client, whose(whole(clock)))
        if lives is None:
            client.persist(SESSION)
        else:
            client.pexpire(SESSION, lives)
    store.get(KEY)  # raises nothing
    assert stored(source, store).get().access_key in (FIRST, "ASIAFAKE000000000007")

    with server.client() as client:
        client.persist(SESSION)
    clock.tick(timedelta(minutes=60))

    assert stored(source, store).get().access_key in (FIRST, SECOND)
    assert source.calls > 0
