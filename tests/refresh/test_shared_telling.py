"""What listeners and logs are told: the same by every driver, and no secret."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from drivers import DRIVERS, Driver, Readers

from rolecall import FetchError, RefreshPolicy
from rolecall.errors import AccessDenied, Unreachable
from rolecall.refresh import Event, Refresher
from rolecall.refresh.aio import AsyncRefresher
from rolecall.testing import FakeClock, FakeSource, Gate
from rolecall.testing.source import FAKE_SECRET, FAKE_TOKEN

ReadersOf = Callable[..., Readers]


def test_listeners_hear_what_happens_and_no_secret(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    events: list[Event] = []
    readers = readers_of(on_event=events.append, rng=lambda: 0.5)
    key = readers.get().access_key
    readers.refresher.invalidate(key)
    source.error = Unreachable("down")
    with pytest.raises(Unreachable):
        readers.get()

    assert [event.kind for event in events] == ["refreshed", "invalidated", "refresh_failed"]
    assert events[0].access_key == key
    assert events[0].expires_at == clock.now + timedelta(hours=1)
    assert events[2].next_attempt == pytest.approx(3)
    assert events[2].error is source.error
    assert FAKE_SECRET not in repr(events)
    assert FAKE_TOKEN not in repr(events)


def test_a_listener_that_raises_costs_nobody_their_credentials(
    readers_of: ReadersOf, caplog: pytest.LogCaptureFixture
) -> None:
    def listener(event: Event) -> None:
        raise RuntimeError("a listener's own mistake")

    assert readers_of(on_event=listener).get()
    assert "on_event raised for refreshed" in caplog.text


def test_logs_reprs_and_states_hold_no_secret(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    readers = readers_of()
    held = readers.get()
    readers.refresher.invalidate(held.access_key)
    readers.get()
    source.error = Unreachable("down")
    with pytest.raises(Unreachable) as caught:
        readers.refresh()

    told = "".join(
        [
            caplog.text,
            repr(readers.refresher),
            repr(AsyncRefresher(readers.refresher)),
            repr(readers.refresher.state),
            repr(held),
            "".join(traceback.format_exception(caught.value)),
        ]
    )
    assert held.access_key in told
    assert FAKE_SECRET not in told
    assert FAKE_TOKEN not in told


def story(driver: Driver) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Return what is told, and what readers get, in one long life of a session."""
    clock = FakeClock()
    source = FakeSource(clock)
    told: list[tuple[Any, ...]] = []
    got: list[str] = []
    told_of_loss = threading.Event()

    def listen(event: Event) -> None:
        error = None if event.error is None else str(event.error)
        told.append(
            (event.kind, event.access_key, event.expires_at, event.next_attempt, error, clock.now)
        )
        if event.kind == "fetch_lost":
            told_of_loss.set()

    policy = RefreshPolicy(on_expired="serve")
    refresher = Refresher(
        source, policy=policy, clock=clock, rng=lambda: 0.5, name="the session", on_event=listen
    )
    readers = Readers(driver, refresher)

    def read(work: Callable[[], Any] = readers.get) -> None:
        try:
            got.append(work().access_key)
        except FetchError as error:
            got.append(f"{type(error).__name__}: {error}")
        readers.settle()

    source.error = AccessDenied("not yet")
    read()
    read()
    clock.tick(seconds=5)
    source.error = None
    read()
    for minutes, error in [(37, None), (45, Unreachable("down")), (16, Unreachable("down"))]:
        clock.tick(minutes=minutes)
        source.error = error
        read()
        read(readers.refresh)
        read()
    source.error = None
    clock.tick(minutes=5)
    read()
    refresher.invalidate(got[-1])
    read()
    clock.tick(minutes=43)
    with Gate() as first, Gate() as second:
        source.before = first
        readers.get()
        first.wait_for_arrival()
        lost = refresher._flight
        assert lost is not None
        source.before = second
        clock.tick(seconds=61)
        newer = readers.start_refresh()
        # Those who are told of the lost fetch do not hold up the new one: else the order is open.
        assert told_of_loss.wait(20)
        second.open()
        got.append(newer.result(timeout=20).access_key)
        source.lifetime = timedelta(minutes=30)
        first.open()
        lost.future.result(timeout=20)
    read()
    return told, got


def test_the_same_story_is_told_alike_by_every_driver() -> None:
    told = {}
    for name, make_driver in DRIVERS.items():
        driver = make_driver()
        told[name] = story(driver)
        driver.close()

    kinds = {event[0] for event in told["threads"][0]}
    assert kinds == {
        "refreshed",
        "refresh_failed",
        "invalidated",
        "expired_served",
        "fetch_lost",
        "late_answer",
    }, "the story leaves nothing out"
    for name in DRIVERS:
        assert told[name] == told["threads"], name
