"""What is served is renewed on time though nobody asks."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from collections.abc import Iterator
from typing import Any

import pytest
from asking import ask, served
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rolecall.clock import SYSTEM_CLOCK
from rolecall.endpoint.app import Served
from rolecall.endpoint.server import Endpoint, renewing
from rolecall.errors import AccessDenied, Unreachable
from rolecall.testing import FakeClock, FakeSource, Gate

HOUR = 3600.0

#: `renewing` looks at least so often whether something is due.
LOOK_SECONDS = 30.0


class _Ticking(selectors.DefaultSelector):
    """Lets a clock tick where an event loop would wait."""

    def __init__(self, clock: FakeClock, one: Served) -> None:
        super().__init__()
        self._clock = clock
        self._one = one

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "the loop would wait for ever"
        if timeout > 0:
            settle(self._one)  # a fetch takes no time
            self._clock.tick(max(timeout, 0.001))  # it knows nothing below a microsecond
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that lives by a `FakeClock`: hours pass at once."""

    def __init__(self, clock: FakeClock, one: Served) -> None:
        super().__init__(_Ticking(clock, one))
        self._clock = clock

    def time(self) -> float:
        return self._clock.boottime()


def settle(one: Served) -> None:
    """Wait until no refresh is in the air."""
    flight = one.refresher._flight
    if flight is not None:
        flight.future.result(timeout=20)


def renewed_for(seconds: float, one: Served, clock: FakeClock) -> None:
    """Let *one* be renewed for so long, asked by nobody."""

    async def for_a_while() -> None:
        task = asyncio.ensure_future(renewing(one))
        await asyncio.sleep(seconds)
        assert not task.done()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()

    loop = _Loop(clock, one)
    try:
        loop.run_until_complete(for_a_while())
    finally:
        loop.close()
    settle(one)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def source(clock: FakeClock) -> FakeSource:
    return FakeSource(clock)


@pytest.fixture
def one(clock: FakeClock, source: FakeSource) -> Served:
    return served(source, clock=clock)


def test_an_hours_session_is_renewed_though_nobody_asks(
    clock: FakeClock, source: FakeSource, one: Served
) -> None:
    renewed_for(10 * HOUR, one, clock)

    # It lives 60 minutes, and is renewed when 25 of them are left: every 35, and no more often.
    assert source.calls in (17, 18)


def test_whoever_asks_seldom_is_handed_what_lives_long(
    clock: FakeClock, source: FakeSource, one: Served
) -> None:
    """An SDK comes back after fifty minutes, and must not be handed what has ten left."""
    for _ in range(12):
        renewed_for(50 * 60, one, clock)

        remaining = one.refresher.remaining
        assert remaining is not None
        assert remaining.total_seconds() > 25 * 60 - LOOK_SECONDS


def test_nothing_is_fetched_before_it_is_due(
    clock: FakeClock, source: FakeSource, one: Served
) -> None:
    one.refresher.get()

    renewed_for(35 * 60 - 1, one, clock)
    assert source.calls == 1
    renewed_for(LOOK_SECONDS + 2, one, clock)
    assert source.calls == 2


@given(st.lists(st.floats(0.3, HOUR), min_size=1, max_size=3))
@settings(max_examples=25)
@example([35 * 60 - 0.1, 0.5, HOUR])
def test_there_is_one_fetch_for_each_time_that_one_is_due(spans: list[float]) -> None:
    clock = FakeClock()
    source = FakeSource(clock)
    one = served(source, clock=clock)
    for seconds in spans:
        renewed_for(seconds, one, clock)

    # At most a quarter of a second late each time, and at the start of each span; and the clock
    # is a thousandth fast.
    seconds = sum(spans)
    assert source.calls <= 1 + (seconds + 1) / (35 * 60)
    assert source.calls >= (seconds - 0.25 * len(spans)) / (35 * 60 + 0.5)


def test_a_machine_that_slept_renews_within_a_look(
    clock: FakeClock, source: FakeSource, one: Served
) -> None:
    """asyncio's clock does not count a suspended machine's time."""
    renewed_for(60, one, clock)
    assert source.calls == 1

    async def sleeps() -> None:
        task = asyncio.ensure_future(renewing(one))
        await asyncio.sleep(1)
        clock.jump(hours=3)
        await asyncio.sleep(LOOK_SECONDS + 1)
        task.cancel()

    loop = _Loop(clock, one)
    try:
        loop.run_until_complete(sleeps())
    finally:
        loop.close()
    assert source.calls == 2


@pytest.mark.parametrize(("error", "most"), [(Unreachable("fake"), 60), (AccessDenied("fake"), 60)])
def test_a_source_that_fails_is_left_alone_as_the_rules_say(
    clock: FakeClock, source: FakeSource, one: Served, error: Exception, most: int
) -> None:
    one.refresher.get()
    source.error = error

    renewed_for(HOUR - 1, one, clock)

    # It is tried in the last 25 minutes, which is 6,000 looks.
    assert 3 < source.calls - 1 < most
    renewed_for(300, one, clock)
    source.error = None
    if one.is_over:
        # Refused for good: it is asked again when somebody wants the role.
        assert isinstance(error, AccessDenied)
        assert asyncio.run(one.answer())[0] == 200
    renewed_for(300, one, clock)
    assert one.refresher.phase.name == "FRESH"


def test_a_role_that_was_revoked_is_not_asked_for_all_night(
    clock: FakeClock, source: FakeSource, one: Served
) -> None:
    source.error = AccessDenied("fake")

    renewed_for(8 * HOUR, one, clock)

    assert source.calls == 1


@pytest.mark.parametrize("error", [Unreachable("fake"), ValueError("fake")])
def test_a_source_that_never_gave_anything_is_not_hammered(
    clock: FakeClock, source: FakeSource, one: Served, error: Exception
) -> None:
    """Nobody asks: there is no hurry. The rules pause for one to five seconds."""
    source.error = error

    renewed_for(600, one, clock)

    assert 600 / 5.5 < source.calls < 600


# ── at an endpoint ───────────────────────────────────────────────────────────────────────


@pytest.fixture
def hanging() -> Iterator[tuple[FakeSource, Gate]]:
    source = FakeSource(SYSTEM_CLOCK)
    source.before = gate = Gate()
    with gate:
        yield source, gate


def test_an_endpoint_fetches_what_it_serves_before_anybody_asks(
    hanging: tuple[FakeSource, Gate],
) -> None:
    source, gate = hanging
    with Endpoint([served(source)]) as endpoint:
        gate.wait_for_arrival()
        gate.open()
        settle(endpoint.served[0])

        assert ask(endpoint).status == 200
    assert source.calls == 1


def test_each_role_of_an_endpoint_is_renewed_though_another_hangs(
    hanging: tuple[FakeSource, Gate],
) -> None:
    source, gate = hanging
    arrivals = Gate()
    good = FakeSource(SYSTEM_CLOCK)
    good.before = arrivals
    other = Served(name="other", refresher=served(good).refresher)
    with arrivals, Endpoint([served(source), other]):
        gate.wait_for_arrival()
        arrivals.wait_for_arrival()

    assert (source.calls, good.calls) == (1, 1)


def test_nothing_is_renewed_after_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[bool] = []

    async def noted(one: Served) -> None:
        try:
            await renewing(one)
        finally:
            ended.append(True)

    monkeypatch.setattr("rolecall.endpoint.server.renewing", noted)
    endpoint = Endpoint([served(FakeSource(SYSTEM_CLOCK))])
    with endpoint:
        assert ask(endpoint).status == 200
    assert ended == [True]
