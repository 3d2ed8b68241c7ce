"""The lock of `RedisStore`, races scripted: leases, fencing, waiting, forks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from bad_servers import Proxy
from redis_rig import RedisServer
from redis_scene import (
    LOCK,
    SESSION,
    Open,
    fresh,
    warnings,
)

from rolecall.clock import SYSTEM_CLOCK
from rolecall.stores import RedisStore, Stored
from rolecall.testing import FakeSource, Gate
from rolecall.testing.contracts import (
    AT_ONCE,
    KEY,
    PATIENCE,
)


def test_a_held_lock_is_renewed(open_redis: Open, client: Any) -> None:
    store = open_redis(lease=timedelta(milliseconds=400))
    with store.lock(KEY, PATIENCE) as held:
        assert held
        with open_redis().lock(KEY, timedelta(seconds=1.6)) as other:  # four leases
            assert other is False
        assert 0 < client.pttl(LOCK) <= 400


def test_whoever_was_overtaken_does_not_replace_what_the_next_one_stored(
    store: RedisStore, rival: RedisStore, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with store.lock(KEY, PATIENCE):
        client.delete(LOCK)  # as if it had slept longer than its lease
        with rival.lock(KEY, AT_ONCE) as held:
            assert held
            rival.put(KEY, fresh(2))
        store.put(KEY, fresh(1))

    got = rival.get(KEY)
    assert got is not None
    assert got.access_key == fresh(2).access_key
    assert len(warnings(caplog)) == 1


def test_whoever_overtook_replaces_what_the_one_before_stored_late(
    store: RedisStore, rival: RedisStore, client: Any
) -> None:
    with store.lock(KEY, PATIENCE):
        client.delete(LOCK)
        with rival.lock(KEY, AT_ONCE) as held:
            assert held
            store.put(KEY, fresh(1))
            rival.put(KEY, fresh(2))

    got = store.get(KEY)
    assert got is not None
    assert got.access_key == fresh(2).access_key


def test_each_holder_has_a_higher_number_even_if_redis_clock_is_set_back(
    store: RedisStore, client: Any
) -> None:
    """As Redis sees it, what is stored then comes from the future."""
    store.put(KEY, fresh(1))
    future = int(client.hget(SESSION, "fence")) + 10**12
    client.hset(SESSION, "fence", future)

    with store.lock(KEY, PATIENCE):
        store.put(KEY, fresh(2))

    assert int(client.hget(SESSION, "fence")) == future + 1
    got = store.get(KEY)
    assert got is not None
    assert got.access_key == fresh(2).access_key


def test_what_is_put_without_the_lock_is_newest(store: RedisStore, rival: RedisStore) -> None:
    with store.lock(KEY, PATIENCE):
        store.put(KEY, fresh(1))
    rival.put(KEY, fresh(2))

    got = store.get(KEY)
    assert got is not None
    assert got.access_key == fresh(2).access_key


def test_whoever_was_overtaken_does_not_free_the_lock_of_the_next_one(
    store: RedisStore, rival: RedisStore, client: Any
) -> None:
    with ExitStack() as overtaken, ExitStack() as holding:
        overtaken.enter_context(store.lock(KEY, PATIENCE))
        client.delete(LOCK)
        assert holding.enter_context(rival.lock(KEY, AT_ONCE))
        token = client.get(LOCK)

        overtaken.close()

        assert client.get(LOCK) == token


def test_whoever_was_overtaken_does_not_renew_the_lock_of_the_next_one(
    open_redis: Open, client: Any
) -> None:
    store = open_redis(lease=timedelta(milliseconds=100))
    with store.lock(KEY, PATIENCE):
        client.set(LOCK, "fake-token-of-the-next-one", px=60_000)
        with open_redis().lock(KEY, timedelta(seconds=0.5)) as held:  # five leases
            assert held is False

        assert client.pttl(LOCK) > 50_000


@pytest.fixture
def waits(server: RedisServer, open_redis: Open) -> Iterator[Callable[[], Future[bool | None]]]:
    """Return what lets a rival wait for the lock; when it returns, the rival has seen it taken."""
    asks = Gate()
    asks.open()
    with Proxy(server.port) as proxy, ThreadPoolExecutor(1) as threads:
        waiting = open_redis(proxy.url)

        def note(request: bytes) -> None:
            if b"EVALSHA" in request:
                asks.pass_through()

        proxy.after = note

        def wait() -> bool | None:
            with waiting.lock(KEY, timedelta(minutes=10)) as held:
                return held

        def start() -> Future[bool | None]:
            waiter = threads.submit(wait)
            asks.wait_for_arrival(3)  # the first may be of a server that does not know the script
            return waiter

        yield start


def test_waiting_ends_once_a_rival_has_stored_something(
    store: RedisStore, waits: Callable[[], Future[bool | None]]
) -> None:
    """Not once the lock is free: ten thousand who wait for one fetch need not queue for it."""
    with store.lock(KEY, PATIENCE) as held:
        assert held
        waiter = waits()
        store.put(KEY, fresh())

        assert waiter.result(PATIENCE.total_seconds()) is False


def test_what_was_stored_before_does_not_end_the_wait(
    store: RedisStore, waits: Callable[[], Future[bool | None]]
) -> None:
    store.put(KEY, fresh())
    with store.lock(KEY, PATIENCE) as held:
        assert held
        waiter = waits()

    assert waiter.result(PATIENCE.total_seconds()) is True


def test_many_threads_on_one_store_make_one_call(store: RedisStore) -> None:
    source = FakeSource(SYSTEM_CLOCK)
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(Stored(source, store, KEY).get) for _ in range(8)]
        keys = {one.result(PATIENCE.total_seconds()).access_key for one in asked}

    assert keys == {"ASIAFAKE000000000001"}
    assert source.calls == 1


def test_a_lock_that_would_never_end_is_not_heeded(store: RedisStore, client: Any) -> None:
    client.set(LOCK, "somebody's")

    with store.lock(KEY, PATIENCE) as held:
        assert held


def test_a_forked_child_neither_frees_nor_renews_its_parents_lock(
    open_redis: Open, client: Any, fork: Callable[..., Any]
) -> None:
    store = open_redis(lease=timedelta(milliseconds=500))
    with ExitStack() as parents:
        assert parents.enter_context(store.lock(KEY, PATIENCE))

        def child() -> bool:
            parents.close()
            with store.lock(KEY, timedelta(seconds=1)) as held:  # two leases
                return held is False

        assert fork(child).said_yes()
        with open_redis().lock(KEY, AT_ONCE) as held:
            assert held is False

    with open_redis().lock(KEY, AT_ONCE) as held:
        assert held


def test_a_forked_child_does_not_put_under_its_parents_number(
    store: RedisStore, fork: Callable[..., Any]
) -> None:
    with store.lock(KEY, PATIENCE):

        def child() -> bool:
            store.put(KEY, fresh(2))
            return store.get(KEY) is not None

        assert fork(child).said_yes()
        store.put(KEY, fresh(1))

    got = store.get(KEY)
    assert got is not None
    assert got.access_key == fresh(2).access_key
