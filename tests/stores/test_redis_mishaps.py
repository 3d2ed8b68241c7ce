"""Mishaps around `RedisStore`: Ctrl-C, forks, paused machines, clocks of two clouds."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import redis
from redis_rig import RedisServer
from redis_scene import FERNET_KEY, HOUR, SESSION, Open

from rolecall.errors import ConfigError
from rolecall.stores import RedisStore
from rolecall.stores.redis_lease import LEASE, LONGEST_HELD, Lease, keep
from rolecall.stores.sealing import Sealer
from rolecall.testing import FakeClock, FakeSource
from rolecall.testing.clock import PATIENCE_SECONDS
from rolecall.testing.contracts import KEY, OTHER_KEY, PATIENCE


def test_ctrl_c_while_the_renewing_thread_starts_leaves_no_lock_for_ever(
    open_redis: Open, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thread.start waits for the thread: that is where Ctrl-C arrives."""
    store = open_redis(lease=timedelta(milliseconds=200))
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        real(thread)
        if thread.name.startswith("rolecall "):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(KeyboardInterrupt), store.lock(KEY, PATIENCE):
            pass
    try:
        with open_redis().lock(KEY, timedelta(seconds=1.5)) as held:  # seven leases
            assert held
    finally:
        for lease in store._leases.values():
            lease.ended.set_result(None)
    assert store._leases == {}


def test_a_paused_machine_believes_redis_that_time_has_passed(
    open_redis: Open, client: Any
) -> None:
    """Both local clocks stood still (a virtual machine): only the server's time to live tells."""
    clock = FakeClock()
    store = open_redis(clock=clock)
    source = FakeSource(clock, HOUR)
    store.put(KEY, source.get())
    client.pexpire(SESSION, 300_000)  # 55 minutes of Redis' own time later
    got = store.get(KEY)
    assert got is not None
    assert got.expires_at is not None
    left = got.expires_at - (datetime.fromtimestamp(clock.time(), timezone.utc) + got.clock_offset)
    assert left <= timedelta(minutes=6), left


def test_the_clock_of_one_sts_is_not_that_of_another(open_redis: Open) -> None:
    """An emulator whose clock is behind must not lengthen the sessions of AWS in one store."""
    clock = FakeClock()
    store = open_redis(clock=clock)
    source = FakeSource(clock, HOUR)
    store.put(KEY, source.get())
    behind = source.get()
    assert behind.expires_at is not None
    behind = replace(behind, clock_offset=timedelta(hours=-1), issued_at=behind.expires_at - HOUR)
    store.put(OTHER_KEY, behind)
    got = store.get(KEY)
    assert got is not None
    assert got.expires_at is not None
    left = got.expires_at - (datetime.fromtimestamp(clock.time(), timezone.utc) + got.clock_offset)
    assert left <= HOUR + timedelta(seconds=5), left


def test_text_that_is_not_ascii_is_a_miss_to_a_client_that_decodes(server: RedisServer) -> None:
    client = redis.Redis.from_url(server.url(), decode_responses=True)
    store = RedisStore(client, encryption_key=FERNET_KEY)
    client.hset(SESSION, mapping={"fence": "1", "entry": "gäräage"})
    try:
        assert store.get(KEY) is None
    finally:
        client.close()


def test_a_sealer_does_not_pickle() -> None:
    with pytest.raises(TypeError, match="does not pickle"):
        pickle.dumps(Sealer(FERNET_KEY))


def test_a_child_of_a_fork_does_not_hang_on_the_lock_of_the_clients_pool(open_redis: Open) -> None:
    """A thread is taking a connection while another one forks."""
    store = open_redis()
    store.get(KEY)
    held, done = threading.Event(), threading.Event()

    def take() -> None:
        with store._client.connection_pool._lock:
            held.set()
            assert done.wait(20)

    thread = threading.Thread(target=take)
    thread.start()
    assert held.wait(10)
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        store.get(KEY)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    done.set()
    thread.join(10)
    assert status == 0


def test_a_lock_whose_holder_hangs_is_not_renewed_for_ever() -> None:
    clock = FakeClock()
    renewed = threading.Event()
    times = []

    def run(script: str, keys: Any, arguments: Any, read: Any) -> Any:
        times.append(clock.boottime())
        renewed.set()
        return read(1)

    before = set(threading.enumerate())
    held = Lease(name="fake-lock", token="fake", number="1")
    keep(run, held, LEASE, clock)
    (thread,) = set(threading.enumerate()) - before
    clock.wait_for_waiters()
    clock.tick(LEASE)
    assert renewed.wait(PATIENCE_SECONDS)
    clock.wait_for_waiters()

    clock.tick(LONGEST_HELD)
    thread.join(PATIENCE_SECONDS / 4)
    ended = not thread.is_alive()
    held.ended.set_result(None)

    assert ended
    assert len(times) == 1


@pytest.mark.parametrize(
    "url",
    [
        "redis://u%3Afake-pw%40h",
        "redis://fake-pw#@h",
        "redis://u:12345/fake-pw@h",
        "redis://a b@c d",
    ],
)
def test_a_password_that_was_not_encoded_is_not_taken_for_the_host(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RedisStore(url, encryption_key=FERNET_KEY)

    assert "fake-pw" not in str(caught.value)


def test_an_address_of_ipv6_may_have_a_zone() -> None:
    store = RedisStore("redis://[fe80::1%25eth0]:6379/0", encryption_key=FERNET_KEY)

    assert "fe80::1" in repr(store)
