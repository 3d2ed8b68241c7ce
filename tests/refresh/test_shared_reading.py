"""What readers get while the source answers: every law by every driver."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from queue import SimpleQueue
from typing import Any

import pytest
from drivers import Readers

from rolecall import AccessDenied, RefreshPolicy
from rolecall.errors import Unreachable
from rolecall.refresh import Event, Phase
from rolecall.testing import FakeClock, FakeSource, Gate

ReadersOf = Callable[..., Readers]

STALE = timedelta(minutes=41)  # of one hour; a refresh is due after 40 minutes
CRITICAL = timedelta(minutes=59, seconds=30)  # callers wait from 59 minutes on
EXPIRED = timedelta(hours=1, seconds=1)


def test_the_first_read_fetches_and_the_next_do_not(
    readers_of: ReadersOf, source: FakeSource
) -> None:
    readers = readers_of()

    held = readers.get()

    assert readers.get() is held
    assert source.calls == 1


def test_stale_readers_return_before_the_source_answers(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    readers = readers_of()
    held = readers.get()
    clock.tick(STALE)
    source.before = gate = Gate()

    with gate:
        read = [reader.result(timeout=20) for reader in readers.start(100)]
        gate.wait_for_arrival()

        assert not gate.is_open
        assert all(credentials is held for credentials in read)
    readers.settle()
    assert source.calls == 2
    assert readers.get() is not held


def test_fifty_cold_readers_share_one_fetch(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    readers = readers_of()
    source.before = gate = Gate()

    with gate:
        started = readers.start(50)
        clock.wait_for_waiters(50)
        gate.open()
        read = {id(reader.result(timeout=20)) for reader in started}

    assert len(read) == 1
    assert source.calls == 1


def test_fifty_readers_of_expired_credentials_share_one_failure(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    readers = readers_of()
    readers.get()
    clock.tick(EXPIRED)
    source.error = AccessDenied("STS says AccessDenied")
    source.before = gate = Gate()

    with gate:
        started = readers.start(50)
        clock.wait_for_waiters(50)
        gate.open()
        errors = [reader.exception(timeout=20) for reader in started]

    assert source.calls == 2
    assert all(isinstance(error, AccessDenied) for error in errors)
    assert len({id(error) for error in errors}) == 50, "each reader gets an exception of its own"


def test_critical_readers_wait_for_a_second_and_then_get_what_is_valid(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    readers = readers_of()
    held = readers.get()
    clock.tick(CRITICAL)
    source.before = gate = Gate()

    with gate:
        [reader] = readers.start()
        gate.wait_for_arrival()
        clock.wait_for_waiters()
        clock.tick(seconds=0.9)
        assert not reader.done()
        clock.tick(seconds=0.2)

        assert reader.result(timeout=20) is held
        # Once per attempt: nobody waits for this fetch again.
        assert readers.get() is held
    assert source.calls == 2


def test_a_critical_reader_gets_new_credentials_if_they_come_in_time(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    readers = readers_of()
    held = readers.get()
    clock.tick(CRITICAL)

    assert readers.get() is not held


class NotingClock(FakeClock):
    """A `FakeClock` that notes whenever somebody begins to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: SimpleQueue[float | None] = SimpleQueue()

    def wait(self, future: Future[Any], timeout: float | None) -> bool:
        self.waits.put(timeout)
        return super().wait(future, timeout)


def test_a_reader_whose_credentials_die_while_it_waits_goes_on_waiting(
    readers_of: ReadersOf,
) -> None:
    clock = NotingClock()
    source = FakeSource(clock)
    policy = RefreshPolicy(critical_wait=timedelta(minutes=5))
    readers = readers_of(source=source, clock=clock, policy=policy)
    held = readers.get()
    clock.waits = SimpleQueue()
    clock.tick(CRITICAL)
    source.before = gate = Gate()

    with gate:
        [reader] = readers.start()
        gate.wait_for_arrival()
        assert clock.waits.get(timeout=20) == pytest.approx(30)
        clock.wait_for_waiters()
        clock.tick(seconds=31)
        assert clock.waits.get(timeout=20) == pytest.approx(29), "what is left of the fetch's time"
        gate.open()

        assert reader.result(timeout=20) is not held


def test_expired_credentials_are_not_served(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    readers = readers_of()
    readers.get()
    clock.tick(EXPIRED)
    source.error = Unreachable("STS is down")

    with pytest.raises(Unreachable):
        readers.get()


def test_expired_credentials_are_served_and_told_where_the_policy_says_so(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    events: list[Event] = []
    readers = readers_of(policy=RefreshPolicy(on_expired="serve"), on_event=events.append)
    held = readers.get()
    clock.tick(EXPIRED)
    source.error = Unreachable("STS is down")

    assert [readers.get() for _ in range(3)] == [held] * 3
    assert [event.kind for event in events] == ["refreshed", "refresh_failed", "expired_served"]


def test_credentials_without_expiry_are_fetched_once(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    made = source.make(1, clock.now)
    source.answer = replace(made, expires_at=None, token=None)
    readers = readers_of()
    readers.get()
    clock.tick(days=4000)

    assert readers.get() is source.answer
    assert source.calls == 1
    assert readers.refresher.remaining is None


@pytest.mark.parametrize("jump", [-3600, -61, 61, 3600, 86_400], ids="{:+}s".format)
def test_no_clock_fault_serves_dead_credentials(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource, jump: int
) -> None:
    readers = readers_of()
    readers.get()
    clock.jump(jump)
    clock.tick(EXPIRED)
    source.error = Unreachable("down")

    with pytest.raises(Unreachable):
        readers.get()


def test_a_suspended_machine_finds_its_credentials_expired(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    readers = readers_of()
    held = readers.get()
    clock.jump(hours=2)  # the boot clock stood still

    assert readers.get() is not held


@pytest.mark.parametrize("minutes", [-61, 61])
def test_a_machine_whose_clock_is_an_hour_off_makes_no_more_calls(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource, minutes: int
) -> None:
    source.offset = timedelta(minutes=minutes)
    readers = readers_of()

    for _ in range(7200 + 1):
        clock.tick(seconds=1)
        readers.get()
        readers.settle()

    assert source.calls == 4


def test_all_stale_readers_but_the_first_are_served_where_the_policy_lets_a_caller_refresh(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    """As in AWS's SDKs: whoever finds the refresh due pays for it, and nobody else does."""
    readers = readers_of(policy=RefreshPolicy(refresh_in="caller"))
    held = readers.get()
    clock.tick(STALE)
    source.before = gate = Gate()

    with gate:
        [first] = readers.start()
        clock.wait_for_waiters()
        gate.wait_for_arrival()
        others = [reader.result(timeout=20) for reader in readers.start(10)]
        assert others == [held] * 10
        assert not first.done()
        gate.open()
        assert first.result(timeout=20) is not held
    assert source.calls == 2


# ── rejections ───────────────────────────────────────────────────────────────────────────


def test_a_rejected_key_is_replaced_at_the_next_read(
    readers_of: ReadersOf, source: FakeSource
) -> None:
    readers = readers_of()
    held = readers.get()

    assert readers.refresher.invalidate(held.access_key)
    assert readers.get() is not held
    assert not readers.refresher.invalidate(held.access_key), "another key is held by now"
    assert source.calls == 2


def test_the_source_hears_of_a_rejected_key(readers_of: ReadersOf, source: FakeSource) -> None:
    rejected: list[str] = []
    source.reject = rejected.append  # type: ignore[attr-defined]
    readers = readers_of()

    readers.refresher.invalidate(readers.get().access_key)

    assert rejected == ["ASIAFAKE000000000001"]


def test_a_key_that_is_taken_back_is_served_again_until_its_next_attempt(
    readers_of: ReadersOf, source: FakeSource
) -> None:
    readers = readers_of()
    held = readers.get()
    readers.refresher.invalidate(held.access_key)
    source.error = Unreachable("down")
    with pytest.raises(Unreachable):
        readers.get()

    readers.refresher.reinstate(held.access_key)

    assert readers.get() is held
    assert readers.refresher.phase is not Phase.EXPIRED
