"""Whether a stored session is worth starting with is the refresher's own rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import rolecall
from rolecall import Credentials, JSONFileCache, RefreshPolicy
from rolecall.refresh import Phase, Refresher
from rolecall.sessions.credentials import RefreshingCredentials
from rolecall.stores import FileStore, MappingStore, MemoryStore, Stored
from rolecall.testing import FakeClock, FakeSource, StrictCloud

KEY = "0123456789abcdef0123456789abcdef"
ROLE = "arn:aws:iam::123456789012:role/Hub"


class DatedSource(FakeSource):
    """Says when its answers were issued, as STS's do."""

    def get(self) -> Credentials:
        return replace(super().get(), issued_at=self.clock.now + self.offset)  # type: ignore[attr-defined]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def source(clock: FakeClock) -> DatedSource:
    return DatedSource(clock)


def rivals(clock: FakeClock, lifetime: timedelta, left: timedelta) -> Credentials:
    """Return what a rival was given so long ago that *left* of *lifetime* is left."""
    issued_at = clock.now + left - lifetime
    return replace(FakeSource(clock, lifetime).make(77, issued_at), issued_at=issued_at)


@pytest.mark.parametrize(
    ("lifetime", "ahead", "policy"),
    [
        (timedelta(hours=1), timedelta(minutes=20), RefreshPolicy()),
        (timedelta(minutes=15), timedelta(minutes=5), RefreshPolicy()),
        (timedelta(hours=12), timedelta(hours=1), RefreshPolicy()),
        (timedelta(hours=1), timedelta(minutes=5), RefreshPolicy(ahead=timedelta(minutes=5))),
        (timedelta(hours=1), timedelta(minutes=15), RefreshPolicy.aws_sdk()),
        (timedelta(seconds=30), timedelta(seconds=10), RefreshPolicy()),
    ],
)
def test_an_entry_is_taken_until_its_refresh_is_due(
    clock: FakeClock,
    source: DatedSource,
    lifetime: timedelta,
    ahead: timedelta,
    policy: RefreshPolicy,
) -> None:
    def asked(left: timedelta) -> bool:
        store, before = MemoryStore(), source.calls
        store.put(KEY, rivals(clock, lifetime, left))
        stored = Stored(source, store, KEY, clock=clock, policy=policy)
        refresher = Refresher(stored, clock=clock, policy=policy, rng=lambda: 0.0, name="it")
        refresher.get()
        assert refresher.phase is Phase.FRESH
        return source.calls > before

    assert not asked(ahead + timedelta(milliseconds=1))
    assert asked(ahead)
    assert asked(ahead - timedelta(seconds=1))


def test_a_process_does_not_start_on_the_last_two_minutes_of_anothers_session(
    clock: FakeClock, source: DatedSource
) -> None:
    store = MemoryStore()

    def process(name: str) -> Refresher:
        stored = Stored(source, store, KEY, clock=clock)
        refresher = Refresher(stored, clock=clock, rng=lambda: 0.0, name=name)
        refresher.get()
        return refresher

    process("one")
    clock.tick(minutes=58)
    late = process("another")

    assert source.calls == 2
    assert late.phase is Phase.FRESH
    assert late.remaining == timedelta(hours=1)


def test_an_entry_whose_age_is_not_known_is_judged_by_what_is_left(
    clock: FakeClock, source: DatedSource
) -> None:
    """As those that botocore and older versions have written."""
    store = MemoryStore()
    old = rivals(clock, timedelta(hours=1), timedelta(minutes=6))
    store.put(KEY, replace(old, issued_at=None))

    def first(fresh_for: timedelta) -> Credentials:
        return Stored(source, store, KEY, clock=clock, fresh_for=fresh_for).get()

    assert first(timedelta(minutes=5)).access_key == old.access_key
    assert first(timedelta(minutes=6)).access_key != old.access_key


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(hours=-1)], ids=str)
def test_an_entry_that_was_issued_after_its_end_is_not_fresh(
    clock: FakeClock, source: DatedSource, lifetime: timedelta
) -> None:
    store = MemoryStore()
    entry = FakeSource(clock).make(77, clock.now)
    assert entry.expires_at is not None
    store.put(KEY, replace(entry, issued_at=entry.expires_at - lifetime))

    assert Stored(source, store, KEY, clock=clock).get().access_key != entry.access_key


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: MemoryStore(),
        lambda folder: MappingStore({}),
        lambda folder: FileStore(folder / "store"),
        lambda folder: JSONFileCache(str(folder / "cache")).store,
    ],
    ids=["memory", "mapping", "files", "JSON files"],
)
@pytest.mark.parametrize("dated", [True, False])
def test_a_store_gives_back_when_a_session_was_issued(
    make: Callable[[Path], Any], clock: FakeClock, tmp_path: Path, dated: bool
) -> None:
    entry = rivals(clock, timedelta(hours=1), timedelta(minutes=30))
    entry = entry if dated else replace(entry, issued_at=None)
    store = make(tmp_path)

    store.put(KEY, entry)

    assert store.get(KEY) == entry
    assert store.get(KEY).issued_at == entry.issued_at


# ── sessions ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("skew", [0, -61, 61])
def test_a_program_that_starts_late_gets_a_session_of_its_own(
    strict_cloud: StrictCloud, fake_clock: FakeClock, tmp_path: Path, skew: int
) -> None:
    strict_cloud.skew = timedelta(minutes=skew)
    parent = strict_cloud.session()

    def program() -> RefreshingCredentials:
        cache = JSONFileCache(str(tmp_path / "cache"))
        session = rolecall.assume_role(parent, ROLE, cache=cache, clock=fake_clock)
        credentials = session.get_credentials()
        credentials.get_frozen_credentials()
        return credentials

    program()
    fake_clock.tick(minutes=39)
    program()
    assert strict_cloud.calls("AssumeRole") == 1
    fake_clock.tick(minutes=2)

    late = program()

    assert strict_cloud.calls("AssumeRole") == 2
    assert late.state == "fresh"


def test_an_operators_window_holds_for_the_store_too(
    strict_cloud: StrictCloud,
    fake_clock: FakeClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ROLECALL_AHEAD", "120")
    parent = strict_cloud.session()
    for minutes, calls in ((0, 1), (57, 1), (2, 2)):
        fake_clock.tick(minutes=minutes)
        cache = JSONFileCache(str(tmp_path / "cache"))
        session = rolecall.assume_role(parent, ROLE, cache=cache, clock=fake_clock)
        assert session.get_credentials().access_key

        assert strict_cloud.calls("AssumeRole") == calls


def test_valid_for_is_ensured_past_what_others_have_stored(
    clock: FakeClock, source: DatedSource
) -> None:
    """Theirs is newer than what is held, and still too old."""
    store = MemoryStore()

    def credentials() -> RefreshingCredentials:
        refresher = Refresher(Stored(source, store, KEY, clock=clock), clock=clock, name="it")
        made = RefreshingCredentials(
            refresher, method="assume-role", identity="it", client=lambda: None
        )
        made.get_frozen_credentials()
        return made

    mine, theirs = credentials(), credentials()
    clock.tick(minutes=25)
    theirs.refresh()
    clock.tick(minutes=9)

    mine.ensure_valid_for(minutes=55)

    assert mine.remaining == timedelta(hours=1)
    assert source.calls == 3
    mine.ensure_valid_for(minutes=60)
    assert source.calls == 3


def test_longer_than_a_session_lives_is_refused_behind_a_store_too(
    strict_cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    session = rolecall.assume_role(strict_cloud.session(), ROLE, cache={}, clock=fake_clock)

    with pytest.raises(rolecall.ConfigError, match="longer DurationSeconds"):
        session.get_credentials().ensure_valid_for(hours=2)

    assert strict_cloud.calls("AssumeRole") <= 3
