"""What every store and every source must do, as test classes to inherit from.

::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self):
            return MyStore()
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol

from ..clock import SYSTEM_CLOCK, Clock
from ..credentials import Credentials, Source
from ..stores import Store, Stored, cache_key
from .clock import PATIENCE_SECONDS, START, FakeClock
from .gate import Gate
from .source import FAKE_SECRET, FAKE_TOKEN, FakeSource

AT_ONCE = timedelta(0)
PATIENCE = timedelta(seconds=PATIENCE_SECONDS)


def key_of(source: str, **request: Any) -> str:
    """Return the key under which *source* stores a session of one and the same role."""
    role = {"RoleArn": "arn:aws:iam::123456789012:role/Contract", **request}
    return cache_key(role, source=source, partition="aws")


KEY = key_of("AKIAFAKEALICE")
OTHER_KEY = key_of("AKIAFAKEBOB")


def credentials(number: int = 1, **changes: Any) -> Credentials:
    """Return made-up credentials with every field set."""
    made = Credentials(
        access_key=f"ASIAFAKECONTRACT{number:04d}",
        secret_key=f"{FAKE_SECRET}/+={number}",
        token=f"{FAKE_TOKEN}/+={number}",
        expires_at=START + timedelta(hours=number, microseconds=123456),
        account_id="012345678901",
        clock_offset=timedelta(seconds=-3660.5),
    )
    return replace(made, **changes)


class _Get(Protocol):
    def __call__(self, key: str) -> Credentials | None: ...


class _Put(Protocol):
    def __call__(self, key: str, credentials: Credentials) -> None: ...


class _Delete(Protocol):
    def __call__(self, key: str) -> None: ...


class WatchedStore:
    """A `Store` like another one, with a gate that shows who comes to its lock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.get: _Get = store.get
        self.put: _Put = store.put
        self.delete: _Delete = store.delete
        self.comes_to_lock: Gate = Gate()
        self.comes_to_lock.open()

    def lock(self, key: str, timeout: timedelta) -> AbstractContextManager[bool | None]:
        """Note that somebody came, then lock."""
        self.comes_to_lock.pass_through()
        return self._store.lock(key, timeout)


class StoreContract:
    """What a `Store` must do. Inherit and give a fixture ``store`` that is empty.

    `reopen` may return another handle on the same data, as another process would have.

    Attributes:
        keeps_clock_offset: False for a store of several machines, each with a clock of its own, and
            for a foreign format that has no place for it.
    """

    keeps_clock_offset: bool = True

    def reopen(self, store: Store) -> Store:
        """Return *store* as somebody else would see it."""
        return store

    def test_it_is_a_store(self, store: Store) -> None:
        assert isinstance(store, Store)

    def test_an_empty_store_has_nothing(self, store: Store) -> None:
        assert store.get(KEY) is None

    def test_what_was_put_comes_back_whole(self, store: Store) -> None:
        store.put(KEY, credentials())

        assert self._kept(credentials()) == self.reopen(store).get(KEY)

    def test_an_account_that_is_not_known_stays_unknown(self, store: Store) -> None:
        store.put(KEY, credentials(account_id=None))

        assert self._kept(credentials(account_id=None)) == self.reopen(store).get(KEY)

    def test_what_is_put_replaces_what_was_there(self, store: Store) -> None:
        store.put(KEY, credentials(1))
        store.put(KEY, credentials(2))

        assert self._kept(credentials(2)) == self.reopen(store).get(KEY)

    def test_what_was_deleted_is_gone(self, store: Store) -> None:
        store.put(KEY, credentials())
        store.delete(KEY)

        assert self.reopen(store).get(KEY) is None

    def test_deleting_nothing_is_no_error(self, store: Store) -> None:
        store.delete(KEY)

        assert store.get(KEY) is None

    def test_two_principals_never_see_each_others_entries(self, store: Store) -> None:
        store.put(KEY, credentials(1))
        assert store.get(OTHER_KEY) is None

        store.put(OTHER_KEY, credentials(2))
        store.delete(KEY)

        assert store.get(KEY) is None
        assert self._kept(credentials(2)) == store.get(OTHER_KEY)

    def test_long_term_keys_are_not_kept(self, store: Store) -> None:
        store.put(KEY, credentials(expires_at=None))
        store.put(OTHER_KEY, credentials(token=None))

        assert store.get(KEY) is None
        assert store.get(OTHER_KEY) is None

    def test_a_held_lock_is_not_given_twice(self, store: Store) -> None:
        with store.lock(KEY, PATIENCE) as held, ThreadPoolExecutor(1) as rival:
            assert held
            assert rival.submit(self._try_lock, store, KEY).result(PATIENCE_SECONDS) is False

        assert self._try_lock(store, KEY) is True

    def test_locks_of_two_keys_do_not_meet(self, store: Store) -> None:
        with store.lock(KEY, PATIENCE), ThreadPoolExecutor(1) as rival:
            assert rival.submit(self._try_lock, store, OTHER_KEY).result(PATIENCE_SECONDS) is True

    def test_an_error_under_the_lock_frees_it(self, store: Store) -> None:
        try:
            with store.lock(KEY, PATIENCE):
                raise LookupError("under the lock")
        except LookupError:
            pass

        assert self._try_lock(store, KEY) is True

    def test_what_did_not_get_the_lock_does_not_free_it(self, store: Store) -> None:
        with store.lock(KEY, PATIENCE), ThreadPoolExecutor(1) as rival:
            for _ in range(2):
                assert rival.submit(self._try_lock, store, KEY).result(PATIENCE_SECONDS) is False

    def test_whoever_waited_takes_what_a_rival_saved_meanwhile(self, store: Store) -> None:
        clock = FakeClock()
        source = FakeSource(clock)
        watched = WatchedStore(store)
        rivals = credentials(clock_offset=timedelta(0))

        with ThreadPoolExecutor(1) as waiter:
            with self.reopen(store).lock(KEY, PATIENCE):
                late = waiter.submit(Stored(source, watched, KEY, clock=clock).get)
                watched.comes_to_lock.wait_for_arrival()
                self.reopen(store).put(KEY, rivals)
            got = late.result(PATIENCE_SECONDS)

        assert rivals == got
        assert source.calls == 0

    def test_its_repr_shows_no_secret(self, store: Store) -> None:
        store.put(KEY, credentials())

        assert FAKE_SECRET not in repr(store)
        assert FAKE_TOKEN not in repr(store)

    def test_it_pickles_without_secrets_or_not_at_all(self, store: Store) -> None:
        store.put(KEY, credentials())

        _assert_no_secret_in_pickle(store, credentials())

    def _kept(self, put: Credentials) -> Credentials:
        return put if self.keeps_clock_offset else replace(put, clock_offset=timedelta(0))

    @staticmethod
    def _try_lock(store: Store, key: str) -> bool | None:
        with store.lock(key, AT_ONCE) as held:
            return held


class SourceContract:
    """What a `Source` must do. Inherit and give a fixture ``source`` that has credentials.

    Attributes:
        clock: The clock by which what it hands out must be valid.
    """

    clock: Clock = SYSTEM_CLOCK

    def test_it_is_a_source(self, source: Source) -> None:
        assert isinstance(source, Source)

    def test_what_it_hands_out_is_valid_now(self, source: Source) -> None:
        got = source.get()

        assert isinstance(got, Credentials)
        now = datetime.fromtimestamp(self.clock.time(), timezone.utc) + got.clock_offset
        assert got.expires_at is None or got.expires_at > now

    def test_it_can_be_asked_again(self, source: Source) -> None:
        first, second = source.get(), source.get()

        assert first.account_id == second.account_id

    def test_threads_may_ask_at_the_same_time(self, source: Source) -> None:
        with ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(source.get) for _ in range(8)]

            assert all(isinstance(one.result(PATIENCE_SECONDS), Credentials) for one in asked)

    def test_no_secret_is_in_its_repr_or_the_log(self, source: Source, caplog: Any) -> None:
        with caplog.at_level(logging.DEBUG):
            got = source.get()

        for secret in _secrets(got):
            assert secret not in repr(source)
            assert secret not in repr(got)
            assert secret not in caplog.text

    def test_it_pickles_without_secrets_or_not_at_all(self, source: Source) -> None:
        _assert_no_secret_in_pickle(source, source.get())


def _secrets(of: Credentials) -> Iterator[str]:
    yield of.secret_key
    if of.token:
        yield of.token


def _assert_no_secret_in_pickle(this: object, held: Credentials) -> None:
    try:
        pickled = pickle.dumps(this)
    except Exception:  # refusing is fine, in whatever words
        return
    for secret in _secrets(held):
        assert secret.encode() not in pickled
