"""Clocks that are set, and sandboxes that freeze, while a fetch or a pause is under way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from drivers import Driver, Readers
from hypothesis import example, given
from hypothesis import strategies as st

from rolecall import Credentials, CredentialsExpired, RefreshPolicy, Unreachable
from rolecall.refresh import Phase, Refresher
from rolecall.testing import FakeClock, FakeSource
from rolecall.testing.clock import START

HOUR = 3600.0

ReadersOf = Callable[..., Readers]


class Stepped:
    """AWS, over a connection in the middle of which somebody sets the local clock.

    AWS's clock is right: it started together with the fake one's boot hand.

    Args:
        wrong: Seconds by which the local clock is ahead of AWS's when the request is sent.
        step: Seconds by which it is set forward before the answer is there.
        way: Seconds the answer takes.
        measured: Whether the answer says by how much the clock is off; else it counts as right.
    """

    def __init__(
        self, lifetime: float, wrong: float, step: float, way: float, *, measured: bool
    ) -> None:
        self.clock = FakeClock(START)
        self._boot = self.clock.boottime()
        self._step = step
        self._way = way
        self._measured = measured
        self.lifetime = lifetime
        self.clock.jump(wrong)

    def life_left(self) -> float:
        """Return the seconds that AWS goes on accepting what it issued."""
        return self.lifetime - (self.clock.boottime() - self._boot)

    def get(self) -> Credentials:
        self.clock.tick(self._way)
        self.clock.jump(self._step)
        truth = START.timestamp() + self.clock.boottime() - self._boot
        offset = timedelta(seconds=truth - self.clock.time())
        return Credentials(
            access_key="ASIAFAKE000000000001",
            secret_key="fake-secret",
            token="fake-token",
            expires_at=START + timedelta(seconds=self.lifetime),
            clock_offset=offset if self._measured else timedelta(0),
        )


def steps(*at: float) -> st.SearchStrategy[float]:
    return st.sampled_from([0.0, *at]) | st.floats(-2 * HOUR, 2 * HOUR)


@given(
    lifetime=st.sampled_from([900.0, HOUR, 12 * HOUR]),
    wrong=steps(-HOUR, HOUR),
    step=steps(-HOUR, HOUR),
    way=st.floats(0.0, 10.0),
    later=steps(-HOUR, HOUR),
    passes=st.floats(0.0, 2 * HOUR),
)
@example(lifetime=HOUR, wrong=-HOUR, step=HOUR, way=0.0, later=-HOUR, passes=61 * 60.0)
@example(lifetime=HOUR, wrong=HOUR, step=-HOUR, way=1.0, later=0.0, passes=HOUR)
@example(lifetime=HOUR, wrong=0.0, step=-HOUR, way=1.0, later=0.0, passes=HOUR)
def test_no_step_of_the_clock_lengthens_a_life(
    lifetime: float, wrong: float, step: float, way: float, later: float, passes: float
) -> None:
    """Where the offset was measured, or the clock was right at either end of the flight."""
    measured = wrong != 0 and wrong + step != 0
    source = Stepped(lifetime, wrong, step, way, measured=measured)
    refresher = Refresher(source, clock=source.clock, rng=lambda: 0.0, name="stepped")
    try:
        refresher.get()
    except CredentialsExpired:
        return  # a life may come out too short, down to nothing

    for seconds in (0.0, later):
        source.clock.jump(seconds)
        assert refresher.remaining is not None
        assert refresher.remaining.total_seconds() <= max(source.life_left(), 0.0) + 1e-3
    source.clock.tick(passes)
    if source.life_left() <= -1e-3:
        assert refresher.phase is Phase.EXPIRED


def test_a_clock_that_is_put_right_in_flight_leaves_the_life_as_it_is(driver: Driver) -> None:
    """A machine boots an hour slow; NTP sets its clock while the first request is on its way."""
    source = Stepped(HOUR, wrong=-HOUR, step=HOUR, way=1.0, measured=False)
    refresher = Refresher(source, clock=source.clock, rng=lambda: 0.0, name="stepped")

    Readers(driver, refresher).get()

    assert refresher.remaining == timedelta(seconds=HOUR - 1)
    assert refresher.phase is Phase.FRESH
    source.clock.jump(hours=-1)
    source.clock.tick(hours=1)
    assert refresher.phase is Phase.EXPIRED


def test_a_freeze_is_noticed_after_a_clock_was_set_back_in_flight(driver: Driver) -> None:
    source = Stepped(HOUR, wrong=0.0, step=-HOUR, way=1.0, measured=False)
    refresher = Refresher(source, clock=source.clock, rng=lambda: 0.0, name="stepped")
    readers = Readers(driver, refresher)
    held = readers.get()
    refresher.source = FakeSource(source.clock)

    source.clock.jump(hours=1)

    assert readers.get() is not held


@pytest.mark.parametrize("slow", [-HOUR, HOUR], ids=["slow", "fast"])
def test_a_clock_that_is_put_right_in_flight_costs_no_further_call(
    driver: Driver, slow: float
) -> None:
    source = Stepped(12 * HOUR, wrong=slow, step=-slow, way=1.0, measured=False)
    calls: list[float] = []

    class Counting:
        def get(self) -> Credentials:
            calls.append(source.clock.boottime())
            return source.get()

    refresher = Refresher(Counting(), clock=source.clock, rng=lambda: 0.0, name="stepped")
    readers = Readers(driver, refresher)

    for _ in range(6):
        readers.get()
        source.clock.tick(hours=1)

    assert len(calls) == 1


# ── frozen ───────────────────────────────────────────────────────────────────────────────


def outage(readers: Readers, clock: FakeClock, at_least: float) -> None:
    """Let the source fail until the pause is *at_least* so many seconds long."""
    for _ in range(20):
        readers.get()
        readers.settle()
        failure = readers.refresher.state.failure
        if failure is not None:
            pause = failure.until - clock.boottime()
            if pause >= at_least:
                return
            clock.tick(pause)
    raise AssertionError(f"no pause was {at_least} s long")


def test_a_sandbox_that_thaws_asks_at_once_however_long_the_pause_was(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    """Its own clock stood still: the credentials are dead and the outage long over."""
    source.lifetime = timedelta(hours=12)
    readers = readers_of(rng=lambda: 0.99)
    readers.get()
    clock.tick(hours=11, minutes=15)
    source.error = Unreachable("down")
    outage(readers, clock, at_least=200)
    source.error = None

    clock.jump(hours=1)

    assert readers.get().access_key != "ASIAFAKE000000000001"
    assert readers.refresher.phase is Phase.FRESH


def test_a_refusal_is_not_remembered_over_a_freeze(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource
) -> None:
    readers = readers_of(policy=RefreshPolicy(on_permanent_error="raise"))
    readers.get()
    clock.tick(minutes=45)
    source.error = PermissionError("not trusted")
    source.error.retryable = False  # type: ignore[attr-defined]
    with pytest.raises(PermissionError):
        readers.refresh()
    with pytest.raises(PermissionError):
        readers.get()
    source.error = None

    clock.jump(minutes=5)
    readers.get()
    readers.settle()

    assert readers.get().access_key == "ASIAFAKE000000000003"


@pytest.mark.parametrize("seconds", [-HOUR, -1.0])
def test_a_clock_that_is_set_back_ends_no_pause_early_and_lengthens_none(
    readers_of: ReadersOf, clock: FakeClock, source: FakeSource, seconds: float
) -> None:
    readers = readers_of()
    source.error = Unreachable("down")
    with pytest.raises(Unreachable):
        readers.get()
    assert readers.refresher.state.failure is not None
    pause = readers.refresher.state.failure.until - clock.boottime()

    clock.jump(seconds)
    with pytest.raises(Unreachable):
        readers.get()
    assert source.calls == 1
    clock.tick(pause)
    with pytest.raises(Unreachable):
        readers.get()

    assert source.calls == 2
