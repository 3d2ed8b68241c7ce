"""Where neither the source nor the store has anything newer, both are left alone for a while."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from rolecall.credentials import Credentials, Source
from rolecall.errors import AccessDenied, FetchError
from rolecall.refresh import Refresher, RefreshPolicy
from rolecall.stores import MemoryStore, Stored
from rolecall.testing import FakeClock, FakeSource
from rolecall.testing.contracts import KEY

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)

#: Without threads: a refresh that is due runs in whoever notices it.
POLICY = RefreshPolicy(refresh_in="caller")


class Counting(MemoryStore):
    """Counts how often it is looked into."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def get(self, key: str) -> Credentials | None:
        self.looks += 1
        return super().get(key)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store() -> Counting:
    return Counting()


def refresher(source: Source, clock: FakeClock) -> Refresher:
    return Refresher(source, clock=clock, policy=POLICY, rng=lambda: 0.5, name="it")


def reads_until_the_end(
    of: Refresher, clock: FakeClock, source: FakeSource, each: Callable[[], object] = lambda: None
) -> int:
    """Read each second for an hour, for as long as there is something; return the source's calls.

    What is held must be valid at each read.
    """
    before = source.calls
    for _ in range(3600):
        try:
            held = of.get()
        except FetchError:
            break
        assert held.expires_at is not None
        assert held.expires_at > clock.now
        each()
        clock.tick(1)
    return source.calls - before


@pytest.mark.parametrize("error", [FetchError("down"), AccessDenied("no")], ids=repr)
def test_a_source_that_fails_is_asked_no_oftener_for_there_being_a_store(
    clock: FakeClock, store: Counting, error: FetchError
) -> None:
    """What the store has is what is held: the engine hears of the failure and pauses."""
    plain = FakeSource(clock)
    held = refresher(plain, clock)
    held.get()
    plain.error = error
    without = reads_until_the_end(held, clock, plain)

    source = FakeSource(clock)
    shared = refresher(Stored(source, store, KEY, clock=clock), clock)
    shared.get()
    source.error = error
    looks = store.looks
    with_store = reads_until_the_end(shared, clock, source)

    assert 3 <= with_store <= without
    assert store.looks - looks <= 2 * with_store, "a look before and after the lock"


def test_a_process_that_starts_on_a_stale_entry_while_the_source_fails_asks_seldom(
    clock: FakeClock, store: Counting
) -> None:
    """Nothing better is to be had: the entry counts as new, with the windows of what is left."""
    source = FakeSource(clock)
    store.put(KEY, source.make(77, clock.now))
    clock.tick(HOUR - 50 * SECOND)
    source.error = FetchError("down")

    calls = reads_until_the_end(
        refresher(Stored(source, store, KEY, clock=clock), clock), clock, source
    )

    assert 2 <= calls <= 15


@pytest.mark.parametrize("left", [1, 3, 10, 59], ids=lambda left: f"{left} s left")
def test_the_last_seconds_of_an_entry_are_no_storm(
    clock: FakeClock, store: Counting, left: int
) -> None:
    source = FakeSource(clock)
    store.put(KEY, source.make(77, clock.now))
    clock.tick(HOUR - left * SECOND)
    source.error = FetchError("down")
    it = refresher(Stored(source, store, KEY, clock=clock), clock)

    for _ in range(100 * left - 1):
        assert it.get().access_key == "ASIAFAKE000000000077"
        clock.tick(0.01)

    # The pause is a second at least, and none is longer than a quarter of what is left.
    assert source.calls <= left + 2


def test_entries_that_are_hardly_fresher_are_taken_and_still_not_asked_for_at_each_read(
    clock: FakeClock, store: Counting
) -> None:
    """As of a rival with a clock of its own, who puts the same session again and again."""
    source = FakeSource(clock)
    it = refresher(Stored(source, store, KEY, clock=clock), clock)
    held = it.get()
    assert held.expires_at is not None
    ends = held.expires_at
    source.error = FetchError("down")
    number = 100

    def rival_saves() -> None:
        nonlocal number
        number += 1
        life = ends - clock.now + number * timedelta(milliseconds=1)
        store.put(KEY, FakeSource(clock, life).make(number, clock.now))

    looks = store.looks
    calls = reads_until_the_end(it, clock, source, rival_saves)

    assert calls <= 20
    assert store.looks - looks <= 2 * (calls + 20)


def test_each_answer_of_the_store_is_fresher_than_the_one_before(
    clock: FakeClock, store: Counting
) -> None:
    source = FakeSource(clock)
    stored = Stored(source, store, KEY, clock=clock)
    first = stored.get()
    source.error = FetchError("down")
    for again in (first, FakeSource(clock, HOUR - SECOND).make(8, clock.now)):
        store.put(KEY, again)
        with pytest.raises(FetchError, match="down"):
            stored.get()

    fresher = FakeSource(clock, HOUR + SECOND).make(9, clock.now)
    store.put(KEY, fresher)

    assert stored.get() is fresher
    with pytest.raises(FetchError, match="down"):
        stored.get()


def test_a_recovered_source_is_asked_within_its_pause(clock: FakeClock, store: Counting) -> None:
    source = FakeSource(clock)
    it = refresher(Stored(source, store, KEY, clock=clock), clock)
    before = it.get()
    source.error = FetchError("down")
    clock.tick(minutes=50)
    assert it.get() == before
    source.error = None

    clock.tick(minutes=5)

    assert it.get() != before
    assert it.get() == store.get(KEY)
