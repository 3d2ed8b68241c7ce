"""`Stored`: one session shared through a store, with the races scripted."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from rolecall.credentials import Credentials
from rolecall.errors import AccessDenied, CredentialsExpired, FetchError
from rolecall.stores import FileStore, JSONFileCache, MappingStore, MemoryStore, Stored, as_store
from rolecall.stores.store import PERSONS_LOCK_TIMEOUT
from rolecall.testing import FakeClock, FakeSource, Gate
from rolecall.testing.contracts import WatchedStore
from rolecall.testing.source import FAKE_SECRET, FAKE_TOKEN

KEY = "0123456789abcdef0123456789abcdef"
MINUTE = timedelta(minutes=1)
PATIENCE = 20


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def source(clock: FakeClock) -> FakeSource:
    return FakeSource(clock)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def stored(source: FakeSource, store: MemoryStore, clock: FakeClock) -> Stored:
    return Stored(source, store, KEY, clock=clock, fresh_for=5 * MINUTE)


def rivals(
    clock: FakeClock, lifetime: timedelta = timedelta(hours=1), number: int = 77
) -> Credentials:
    """Return what another process would save now."""
    return FakeSource(clock, lifetime).make(number, clock.now)


class BrokenStore:
    """A store that is down."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get(self, key: str) -> Credentials | None:
        raise self.error

    def put(self, key: str, credentials: Credentials) -> None:
        raise self.error

    def delete(self, key: str) -> None:
        raise self.error

    def lock(self, key: str, timeout: timedelta) -> AbstractContextManager[bool]:
        raise self.error


class RivalFirst(MemoryStore):
    """A store in which somebody else saves just before our lock is given."""

    def __init__(self, saves: Credentials) -> None:
        super().__init__()
        self.saves = saves

    def lock(self, key: str, timeout: timedelta) -> AbstractContextManager[bool]:
        self.put(key, self.saves)
        return super().lock(key, timeout)


# ── looking ──────────────────────────────────────────────────────────────────────────────


def test_the_first_one_fetches_and_the_next_one_finds_it(
    source: FakeSource, store: MemoryStore, clock: FakeClock
) -> None:
    first = Stored(source, store, KEY, clock=clock).get()
    second = Stored(source, store, KEY, clock=clock).get()

    assert first == second
    assert source.calls == 1


def test_an_entry_with_little_left_is_not_taken(
    stored: Stored, store: MemoryStore, source: FakeSource, clock: FakeClock
) -> None:
    store.put(KEY, rivals(clock, 5 * MINUTE))

    got = stored.get()

    assert got.access_key == "ASIAFAKE000000000001"
    assert got == store.get(KEY)


def test_an_entry_with_a_little_more_left_is_taken(
    stored: Stored, store: MemoryStore, source: FakeSource, clock: FakeClock
) -> None:
    store.put(KEY, rivals(clock, 5 * MINUTE + timedelta(microseconds=1)))

    assert stored.get() == store.get(KEY)
    assert source.calls == 0


@pytest.mark.parametrize("hours", [-1, 1])
def test_what_is_left_is_reckoned_by_the_clock_of_aws(
    stored: Stored, store: MemoryStore, source: FakeSource, clock: FakeClock, hours: int
) -> None:
    """A wall clock that is an hour off neither hides an hour of life nor adds one."""
    far = FakeSource(clock)
    far.offset = timedelta(hours=hours)
    store.put(KEY, far.make(77, clock.now))

    assert stored.get().access_key == "ASIAFAKE000000000077"

    clock.tick(minutes=56)

    fresh = Stored(source, store, KEY, clock=clock, fresh_for=5 * MINUTE)
    assert fresh.get().access_key == "ASIAFAKE000000000001"


def test_an_entry_that_never_expires_is_not_taken(clock: FakeClock) -> None:
    class Careless(MemoryStore):
        def get(self, key: str) -> Credentials | None:
            return replace(rivals(clock), expires_at=None)

    source = FakeSource(clock)

    assert Stored(source, Careless(), KEY, clock=clock).get().expires_at is not None
    assert source.calls == 1


def test_long_term_keys_of_the_source_are_handed_out_and_not_stored(
    stored: Stored, store: MemoryStore, source: FakeSource
) -> None:
    source.answer = Credentials(access_key="AKIAFAKE", secret_key=FAKE_SECRET)

    assert stored.get() is source.answer
    assert store.get(KEY) is None


# ── no progress ──────────────────────────────────────────────────────────────────────────


def test_what_was_handed_out_is_not_taken_from_the_store_again(
    stored: Stored, source: FakeSource, clock: FakeClock
) -> None:
    """The refresher asks only when it needs newer ones: the same again would not help it."""
    first = stored.get()
    clock.tick(minutes=20)

    second = stored.get()

    assert second.access_key != first.access_key
    assert source.calls == 2


def test_what_a_rival_refreshed_since_is_taken(
    stored: Stored, store: MemoryStore, source: FakeSource, clock: FakeClock
) -> None:
    stored.get()
    clock.tick(minutes=40)
    store.put(KEY, rivals(clock))

    assert stored.get() == store.get(KEY)
    assert source.calls == 1


def test_an_older_entry_than_was_handed_out_is_not_taken(
    stored: Stored, store: MemoryStore, source: FakeSource, clock: FakeClock
) -> None:
    older = rivals(clock)
    clock.tick(minutes=10)
    stored.get()
    store.put(KEY, older)

    assert stored.get().access_key == "ASIAFAKE000000000002"


def test_two_who_ask_at_once_share_one_fetch(
    source: FakeSource, store: MemoryStore, clock: FakeClock
) -> None:
    """Who waited for the lock did not have what the other was handed meanwhile."""
    watched = WatchedStore(store)
    stored = Stored(source, watched, KEY, clock=clock)
    source.before = gate = Gate()

    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(stored.get) for _ in range(2)]
        gate.wait_for_arrival()
        watched.comes_to_lock.wait_for_arrival(2)
        gate.open()
        got = [one.result(PATIENCE) for one in asked]

    assert got[0] == got[1]
    assert source.calls == 1


# ── the lock ─────────────────────────────────────────────────────────────────────────────


def test_it_looks_again_once_it_has_the_lock(source: FakeSource, clock: FakeClock) -> None:
    store = RivalFirst(rivals(clock))

    assert Stored(source, store, KEY, clock=clock).get() == store.saves
    assert source.calls == 0


def test_what_a_rival_just_saved_is_taken_however_short_it_lives(
    source: FakeSource, clock: FakeClock
) -> None:
    """Or credentials that live shorter than fresh_for would be fetched once for each process."""
    store = RivalFirst(rivals(clock, timedelta(seconds=5)))

    assert Stored(source, store, KEY, clock=clock).get() == store.saves
    assert source.calls == 0


def test_what_a_rival_just_saved_is_not_taken_if_it_is_expired(
    source: FakeSource, clock: FakeClock
) -> None:
    store = RivalFirst(rivals(clock, timedelta(0)))

    Stored(source, store, KEY, clock=clock).get()

    assert source.calls == 1


def test_an_old_entry_is_not_mistaken_for_one_that_a_rival_just_saved(
    source: FakeSource, clock: FakeClock
) -> None:
    store = RivalFirst(rivals(clock, timedelta(seconds=5)))
    store.put(KEY, store.saves)

    Stored(source, store, KEY, clock=clock).get()

    assert source.calls == 1


def test_the_lock_is_held_while_fetching_and_free_afterwards(
    stored: Stored, store: MemoryStore, source: FakeSource
) -> None:
    seen = []

    def try_lock() -> None:
        with store.lock(KEY, timedelta(0)) as held:
            seen.append(held)

    source.before = try_lock
    stored.get()
    try_lock()

    assert seen == [False, True]


def test_a_failed_fetch_frees_the_lock(
    stored: Stored, store: MemoryStore, source: FakeSource
) -> None:
    source.error = FetchError("down")
    with pytest.raises(FetchError):
        stored.get()

    with store.lock(KEY, timedelta(0)) as held:
        assert held


@pytest.mark.parametrize("error", [None, FetchError("down"), KeyboardInterrupt()], ids=repr)
def test_the_lock_is_released_once_however_the_fetch_ends(
    source: FakeSource, clock: FakeClock, error: BaseException | None
) -> None:
    """Not left to the garbage collector: an exception's traceback may keep the lock alive."""
    steps = []

    class Lock:
        def __enter__(self) -> bool:
            steps.append("locked")
            return True

        def __exit__(self, *_: object) -> None:
            steps.append("released")

    class Watched(MemoryStore):
        def lock(self, key: str, timeout: timedelta) -> AbstractContextManager[bool]:
            return Lock()

    source.error = error
    with suppress(FetchError, KeyboardInterrupt):
        Stored(source, Watched(), KEY, clock=clock).get()

    assert steps == ["locked", "released"]


def test_after_the_deadline_it_fetches_without_the_lock_and_says_so(
    source: FakeSource, store: MemoryStore, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    stuck = Stored(source, store, KEY, clock=clock, lock_timeout=timedelta(0))

    with store.lock(KEY, timedelta(0)), ThreadPoolExecutor(1) as other:
        got = other.submit(stuck.get).result(PATIENCE)

    assert got == store.get(KEY)
    assert "fetching without the lock" in caplog.text


def test_a_lock_that_fails_to_release_costs_nobody_the_answer(
    source: FakeSource, clock: FakeClock
) -> None:
    class Slippery(MemoryStore):
        @contextmanager
        def lock(self, key: str, timeout: timedelta) -> Iterator[bool]:
            yield True
            raise ConnectionError("gone")

    assert Stored(source, Slippery(), KEY, clock=clock).get().access_key == "ASIAFAKE000000000001"


# ── faults ───────────────────────────────────────────────────────────────────────────────


def test_a_failed_fetch_goes_unnoticed_while_the_store_has_something_valid(
    stored: Stored, store: MemoryStore, source: FakeSource, clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    store.put(KEY, rivals(clock, MINUTE))
    source.error = AccessDenied("hop 0: STS says AccessDenied")

    assert stored.get() == store.get(KEY)
    assert "STS says AccessDenied" in caplog.text


def test_a_failed_fetch_is_raised_to_whoever_has_the_entry_already(
    stored: Stored, store: MemoryStore, source: FakeSource, clock: FakeClock
) -> None:
    """The engine needs the error to choose its pause, and keeps serving what it has."""
    stored.get()
    source.error = error = AccessDenied("no")
    clock.tick(minutes=40)

    with pytest.raises(AccessDenied) as caught:
        stored.get()

    assert caught.value is error


def test_a_failed_fetch_does_not_bring_an_expired_entry_back(
    stored: Stored, store: MemoryStore, source: FakeSource, clock: FakeClock
) -> None:
    store.put(KEY, rivals(clock, MINUTE))
    source.error = FetchError("down")
    clock.tick(MINUTE)

    with pytest.raises(FetchError, match="down"):
        stored.get()


def test_an_entry_that_expires_while_the_fetch_fails_is_not_handed_out(
    stored: Stored, store: MemoryStore, source: FakeSource, clock: FakeClock
) -> None:
    store.put(KEY, rivals(clock, MINUTE))
    source.error = FetchError("down")
    source.before = lambda: clock.tick(MINUTE)

    with pytest.raises(FetchError, match="down"):
        stored.get()


def test_an_expired_answer_is_neither_stored_nor_handed_out(
    stored: Stored, store: MemoryStore, source: FakeSource
) -> None:
    source.lifetime = timedelta(0)

    with pytest.raises(CredentialsExpired, match="answered credentials that expired"):
        stored.get()

    assert store.get(KEY) is None


def test_an_interrupt_is_no_failed_fetch(
    stored: Stored, store: MemoryStore, source: FakeSource, clock: FakeClock
) -> None:
    store.put(KEY, rivals(clock, MINUTE))
    source.error = KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt):
        stored.get()


def test_a_store_that_is_down_costs_nobody_their_call_and_is_told_of_once(
    source: FakeSource, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = BrokenStore(ConnectionError(f"redis://user:{FAKE_SECRET}@localhost"))
    stored = Stored(source, store, KEY, clock=clock)

    with caplog.at_level(logging.DEBUG):
        stored.get()
        stored.get()

    assert source.calls == 2
    warned = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert [one.split("cannot be ")[1].split(":")[0] for one in warned] == [
        "read",
        "locked",
        "written",
    ]
    assert FAKE_SECRET not in caplog.text


# ── rejected keys ────────────────────────────────────────────────────────────────────────


def test_a_rejected_key_does_not_come_back_from_the_store(
    stored: Stored, store: MemoryStore, source: FakeSource
) -> None:
    revoked = stored.get()

    stored.reject(revoked.access_key)

    assert stored.get().access_key != revoked.access_key
    assert store.get(KEY) != revoked


def test_a_rejected_key_does_not_come_back_when_the_fetch_fails(
    stored: Stored, store: MemoryStore, source: FakeSource, clock: FakeClock
) -> None:
    store.put(KEY, rivals(clock, MINUTE))
    stored.reject("ASIAFAKE000000000077")
    source.error = FetchError("down")

    with pytest.raises(FetchError, match="down"):
        stored.get()


def test_after_a_rejection_a_session_that_ends_earlier_is_taken_too(
    stored: Stored, store: MemoryStore, source: FakeSource, clock: FakeClock
) -> None:
    """The role's maximum may have been lowered; what was rejected is no measure of newness."""
    revoked = stored.get()
    store.put(KEY, rivals(clock, 30 * MINUTE))

    stored.reject(revoked.access_key)

    assert stored.get().access_key == "ASIAFAKE000000000077"


def test_a_source_that_repeats_a_rejected_key_does_not_get_it_stored(
    stored: Stored, store: MemoryStore, source: FakeSource
) -> None:
    source.answer = stored.get()
    store.delete(KEY)
    stored.reject(source.answer.access_key)

    stored.get()

    assert store.get(KEY) is None


def test_only_the_last_rejections_are_remembered(
    stored: Stored, store: MemoryStore, source: FakeSource, clock: FakeClock
) -> None:
    store.put(KEY, rivals(clock))
    for number in range(77, 77 + 9):
        stored.reject(f"ASIAFAKE{number:012d}")

    assert stored.get().access_key == "ASIAFAKE000000000077"


def test_a_rejection_is_passed_on_to_a_store_below(
    source: FakeSource, store: MemoryStore, clock: FakeClock
) -> None:
    below = MemoryStore()
    both = Stored(Stored(source, below, KEY, clock=clock), store, KEY, clock=clock)
    revoked = both.get()

    both.reject(revoked.access_key)

    assert both.get().access_key != revoked.access_key


# ── the rest ─────────────────────────────────────────────────────────────────────────────


def test_what_the_source_says_of_itself_holds_for_it(
    source: FakeSource, store: MemoryStore
) -> None:
    plain = Stored(source, store, KEY, lock_timeout=MINUTE)
    source.interactive = True  # type: ignore[attr-defined]
    assert plain.interactive
    assert plain.timeout is None

    source.timeout = MINUTE  # type: ignore[attr-defined]
    # Whoever holds the lock may be looking for their telephone.
    assert plain.timeout == MINUTE + PERSONS_LOCK_TIMEOUT

    source.interactive = False  # type: ignore[attr-defined]
    assert plain.timeout == 2 * MINUTE


@pytest.mark.parametrize("make", [MemoryStore, FileStore, lambda: MappingStore({})])
def test_a_store_is_taken_as_it_is(make: type[MemoryStore]) -> None:
    store = make()

    assert as_store(store) is store


def test_a_json_file_cache_is_taken_as_its_file_store(tmp_path: object) -> None:
    cache = JSONFileCache(str(tmp_path))

    assert as_store(cache) is cache.store


def test_any_mapping_becomes_a_store() -> None:
    assert isinstance(as_store({}), MappingStore)


def test_what_is_neither_store_nor_mapping_is_refused() -> None:
    with pytest.raises(TypeError, match="needs __getitem__, __setitem__ and __contains__, got int"):
        as_store(5)  # type: ignore[arg-type]


def test_it_shows_where_it_stores_and_no_secret(stored: Stored) -> None:
    stored.get()

    assert "MemoryStore(1 entries), 0123456789ab…)" in repr(stored)
    assert FAKE_SECRET not in repr(stored)
    assert FAKE_TOKEN not in repr(stored)


def test_it_does_not_pickle(stored: Stored) -> None:
    with pytest.raises(TypeError, match="pickle a RoleChain"):
        pickle.dumps(stored)


def test_a_session_is_kept_under_no_key_where_who_assumes_changed_meanwhile(
    clock: FakeClock, source: FakeSource, store: MemoryStore
) -> None:
    """Parent credentials may become another principal's while STS is asked."""
    stored = Stored(source, store, lambda: "bob" if source.calls else "alice", clock=clock)

    stored.get()

    assert store.get("alice") is None
    assert store.get("bob") is None
