"""`RedisStore` on a real server: what it keeps, for how long, and what Redis sees of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from redis_rig import RedisServer
from redis_scene import (
    FERNET_KEY,
    HOUR,
    LOCK,
    OTHER_FERNET_KEY,
    OTHER_SESSION,
    ROLE,
    SESSION,
    Open,
    foreign,
    fresh,
    plant,
    warnings,
)

from rolecall.clock import SYSTEM_CLOCK
from rolecall.stores import RedisStore, Store, Stored
from rolecall.stores.aws_time import this_boot
from rolecall.stores.entry import to_document
from rolecall.testing import FakeClock, FakeSource
from rolecall.testing.clock import START
from rolecall.testing.contracts import (
    AT_ONCE,
    KEY,
    OTHER_KEY,
    PATIENCE,
    StoreContract,
    credentials,
)


class TestRedisStore(StoreContract):
    # Of an entry from this very machine it knows how far the clock was off, where the system says
    # which boot this is.
    keeps_clock_offset = this_boot() is not None

    @pytest.fixture
    def store(self, open_redis: Open) -> Store:
        self.open_redis = open_redis
        return open_redis()

    def reopen(self, store: Store) -> Store:
        return self.open_redis()


class TestRedisStoreOfAClientThatDecodes(TestRedisStore):
    @pytest.fixture
    def store(self, server: RedisServer, open_redis: Open) -> Iterator[Store]:
        self.open_redis = open_redis
        with redis.Redis.from_url(server.url(), decode_responses=True) as client:
            yield RedisStore(client, encryption_key=FERNET_KEY)


# What Redis gets to see


def test_redis_sees_neither_secret_nor_token_nor_key_id_nor_role(
    store: RedisStore, client: Any
) -> None:
    made = fresh()
    with client.monitor() as monitor:
        with store.lock(KEY, PATIENCE):
            store.put(KEY, made)
        assert store.get(KEY) == made
        client.echo("that was all")
        sent = ""
        while "that was all" not in sent:
            sent += monitor.next_command()["command"] + "\n"

    kept = b"".join(key + (client.dump(key) or b"") for key in client.scan_iter())
    seen = sent.encode() + kept
    assert SESSION.encode() in seen
    for secret in (made.secret_key, made.token, made.access_key, made.account_id, ROLE, FERNET_KEY):
        assert str(secret).encode() not in seen


def test_an_entry_sealed_with_another_key_is_a_miss_and_replaced(
    open_redis: Open, store: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    open_redis(encryption_key=OTHER_FERNET_KEY).put(KEY, fresh(7))
    source = FakeSource(SYSTEM_CLOCK)

    assert store.get(KEY) is None
    got = Stored(source, store, KEY).get()

    assert store.get(KEY) == got
    assert source.calls == 1
    assert len(warnings(caplog)) == 1
    assert FERNET_KEY not in caplog.text
    assert OTHER_FERNET_KEY not in caplog.text


def test_keys_can_be_rotated(open_redis: Open) -> None:
    old = open_redis(encryption_key=OTHER_FERNET_KEY)
    both = open_redis(encryption_key=[FERNET_KEY, OTHER_FERNET_KEY])
    new = open_redis(encryption_key=FERNET_KEY)

    old.put(KEY, fresh(1))
    assert both.get(KEY) is not None
    assert new.get(KEY) is None

    both.put(KEY, fresh(2))
    assert new.get(KEY) is not None
    assert old.get(KEY) is None


def test_an_entry_copied_to_anothers_name_is_not_taken_for_the_others(
    store: RedisStore, client: Any
) -> None:
    store.put(OTHER_KEY, fresh())
    client.copy(OTHER_SESSION, SESSION)

    assert store.get(OTHER_KEY) is not None
    assert store.get(KEY) is None


def test_two_prefixes_do_not_meet(open_redis: Open, client: Any) -> None:
    one, other = open_redis(prefix="one"), open_redis(prefix="other")
    one.put(KEY, fresh())

    assert other.get(KEY) is None
    with one.lock(KEY, PATIENCE), other.lock(KEY, AT_ONCE) as held:
        assert held
    assert [key for key in client.scan_iter() if not key.startswith(b"one:")] == []


# How long it is kept


@pytest.mark.parametrize("offset", [0, 1800, -1800])
def test_an_entry_lives_as_long_as_the_session(
    store: RedisStore, client: Any, offset: float
) -> None:
    source = FakeSource(SYSTEM_CLOCK)
    source.offset = timedelta(seconds=offset)  # a local clock that is wrong changes nothing
    store.put(KEY, source.get())

    assert abs(client.pttl(SESSION) / 1000 - 3600) < 2


def test_an_entry_that_replaces_another_lives_as_long_as_its_own_session(
    store: RedisStore, client: Any
) -> None:
    store.put(KEY, fresh(1, 8 * HOUR))
    store.put(KEY, fresh(2, HOUR))

    assert client.pttl(SESSION) <= 3600_000


def test_an_entry_is_gone_when_its_session_is(own_server: RedisServer) -> None:
    store = RedisStore(own_server.url(), encryption_key=FERNET_KEY)
    with own_server.client() as client, client.pubsub() as events:
        client.config_set("notify-keyspace-events", "Ex")
        events.psubscribe("__keyevent@0__:expired")
        assert events.get_message(timeout=PATIENCE.total_seconds())["type"] == "psubscribe"

        store.put(KEY, fresh(1, timedelta(seconds=1)))
        assert client.exists(SESSION)

        expired = events.get_message(timeout=PATIENCE.total_seconds())
        assert expired["data"] == SESSION.encode()
        assert client.dbsize() == 0


def test_what_has_expired_is_not_kept(store: RedisStore, client: Any) -> None:
    store.put(KEY, fresh(1, timedelta(seconds=-1)))

    assert client.dbsize() == 0


def test_a_lock_leaves_nothing_behind(store: RedisStore, client: Any) -> None:
    with store.lock(KEY, PATIENCE):
        assert 0 < client.pttl(LOCK) <= 800

    assert client.dbsize() == 0


# What time it is by AWS's clock


@pytest.mark.parametrize(
    ("ahead", "noted"),
    [
        (HOUR, HOUR),
        (timedelta(seconds=1), AT_ONCE),  # no more than a slow network makes of it
        (-HOUR, AT_ONCE),  # or an entry that Redis forgot to end would live for ever
    ],
)
def test_a_clock_that_is_behind_shows_in_an_entry_of_another_machine(
    open_redis: Open, client: Any, ahead: timedelta, noted: timedelta
) -> None:
    clock = FakeClock()
    made = credentials(expires_at=START + ahead + HOUR)
    plant(client, foreign(to_document(made, KEY, clock)))

    got = open_redis(clock=clock).get(KEY)

    assert got is not None
    assert abs(got.clock_offset - noted) < timedelta(seconds=2)


def test_a_process_trusts_the_offset_it_has_measured_itself(open_redis: Open, client: Any) -> None:
    clock = FakeClock()
    store = open_redis(clock=clock)
    behind = timedelta(minutes=-20)
    measured = credentials(issued_at=START + behind, expires_at=START + HOUR, clock_offset=behind)
    store.put(OTHER_KEY, measured)
    # By AWS's clock, which whoever wrote it knew.
    plant(client, foreign(to_document(credentials(), KEY, clock)), lives=HOUR - behind)

    got = store.get(KEY)

    assert got is not None
    assert got.clock_offset == behind


def test_a_local_clock_that_is_set_back_does_not_lengthen_a_session(open_redis: Open) -> None:
    clock = FakeClock()
    source = FakeSource(clock)
    Stored(source, open_redis(clock=clock), KEY, clock=clock).get()

    clock.jump(hours=-2)
    Stored(source, open_redis(clock=clock), KEY, clock=clock).get()
    assert source.calls == 1

    clock.tick(minutes=61)
    Stored(source, open_redis(clock=clock), KEY, clock=clock).get()
    assert source.calls == 2
