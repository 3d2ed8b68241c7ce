"""Fetches that hang, get lost or are given up: every law by every driver."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from drivers import Readers

from rolecall import AccessDenied, RefreshPolicy
from rolecall.errors import Unreachable
from rolecall.testing import FakeClock, FakeSource, Gate

ReadersOf = Callable[..., Readers]

STALE = timedelta(minutes=41)  # of one hour; a refresh is due after 40 minutes
EXPIRED = timedelta(hours=1, seconds=1)


def test_a_reader_that_gives_up_does_not_end_the_fetch(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    readers = readers_of(policy=RefreshPolicy(fetch_timeout=timedelta(seconds=30)))
    source.before = gate = Gate()

    with gate:
        [reader] = readers.start()
        gate.wait_for_arrival()
        clock.wait_for_waiters()
        clock.tick(seconds=30)
        with pytest.raises(Unreachable, match="within 30 s"):
            reader.result(timeout=20)
        assert readers.refresher._flight is not None
        gate.open()
        readers.settle()

    assert readers.get().access_key == "ASIAFAKE000000000001"
    assert source.calls == 1


def test_a_lost_fetch_is_replaced_and_its_late_answer_is_dropped(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    events: list[str] = []
    readers = readers_of(on_event=lambda event: events.append(event.kind))
    readers.get()
    clock.tick(STALE)
    source.before = gate = Gate()
    readers.get()
    gate.wait_for_arrival()
    lost = readers.refresher._flight
    clock.jump(seconds=61)  # the sandbox was frozen: only the wall clock went on
    source.before = None

    readers.get()
    readers.settle()
    newest = readers.get()
    gate.open()
    assert lost is not None
    lost.future.result(timeout=20)

    assert readers.get() is newest
    assert newest.access_key == "ASIAFAKE000000000003"
    # The new fetch does not wait for those who are told of the lost one.
    assert sorted(events) == ["fetch_lost", "late_answer", "refreshed", "refreshed"]


def test_a_late_answer_that_is_fresher_is_used(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    readers = readers_of()
    readers.get()
    clock.tick(STALE)
    source.before = gate = Gate()
    readers.get()
    gate.wait_for_arrival()
    lost = readers.refresher._flight
    clock.jump(seconds=61)
    source.before = None
    source.error = Unreachable("down")
    readers.get()
    readers.settle()
    source.error = None
    gate.open()
    assert lost is not None
    lost.future.result(timeout=20)

    assert readers.get().access_key == "ASIAFAKE000000000002"


def test_a_late_failure_says_nothing_of_the_fetch_that_replaced_it(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    readers = readers_of()
    readers.get()
    clock.tick(STALE)
    gate = Gate()

    def fail_late() -> None:
        gate.pass_through()
        raise AccessDenied("far too late")

    source.before = fail_late
    readers.get()
    gate.wait_for_arrival()
    lost = readers.refresher._flight
    clock.jump(seconds=61)
    source.before = second = Gate()
    readers.get()
    second.wait_for_arrival()
    newer = readers.refresher._flight
    gate.open()
    assert lost is not None
    lost.future.result(timeout=20)

    assert readers.refresher._flight is newer
    assert readers.refresher.state.failure is None
    second.open()
    assert newer is not None
    newer.future.result(timeout=20)


def test_refresh_joins_the_fetch_that_is_in_the_air(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    readers = readers_of()
    readers.get()
    clock.tick(STALE)
    source.before = gate = Gate()
    readers.get()
    gate.wait_for_arrival()

    with gate:
        forced = readers.start_refresh()
        clock.wait_for_waiters()
        gate.open()

        assert forced.result(timeout=20).access_key == "ASIAFAKE000000000002"
    assert source.calls == 2


def test_a_source_that_hangs_for_ever_costs_a_handful_of_threads(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    readers = readers_of()
    readers.get()
    clock.tick(EXPIRED)
    source.before = gate = Gate()

    with gate:
        for number in range(8):
            [reader] = readers.start()
            if number < 4:
                gate.wait_for_arrival(number + 1)
                clock.wait_for_waiters()
                clock.tick(seconds=61)
            with pytest.raises(Unreachable):
                reader.result(timeout=20)
            clock.tick(seconds=6)

        assert source.calls == 1 + 4
        fetching = [thread.name for thread in threading.enumerate()].count("rolecall-refresh")
        assert fetching == 4
    for lost in list(readers.refresher._lost):
        lost.future.result(timeout=20)


def test_refresh_fetches_at_once_and_tells_its_failure(
    readers_of: ReadersOf, source: FakeSource
) -> None:
    readers = readers_of()
    held = readers.get()

    assert readers.refresh() is not held
    source.error = Unreachable("down")
    with pytest.raises(Unreachable):
        readers.refresh()
    assert readers.get().access_key == "ASIAFAKE000000000002"
