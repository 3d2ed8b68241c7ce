"""Credentials that somebody else fetched are due when they are due for whoever fetched them."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rolecall.credentials import Credentials
from rolecall.refresh import Refresher, RefreshPolicy
from rolecall.refresh.decide import Do, decide
from rolecall.refresh.state import EMPTY, Held, Instant, Phase, phase
from rolecall.refresh.transitions import SOONEST_REFRESH_SECONDS, landed
from rolecall.sessions.handing import HANDING_POLICY
from rolecall.testing import FakeClock, FakeSource

#: When the one who fetched them did: both hands of its clock.
ISSUED = Instant(5000.0, datetime(2030, 1, 1, tzinfo=timezone.utc).timestamp())

POLICIES = st.sampled_from(
    [
        RefreshPolicy(),
        HANDING_POLICY,
        RefreshPolicy.aws_sdk(),
        RefreshPolicy(ahead=timedelta(hours=2)),
        RefreshPolicy(ahead=timedelta(0), margin=timedelta(0)),
        RefreshPolicy(margin=timedelta(minutes=30)),
    ]
)
LIVES = st.one_of(
    st.sampled_from([0.5, 1.0, 59.9, 60.0, 61.0, 900.0, 3600.0, 43200.0]), st.floats(0.5, 129600)
)
#: Which part of its life is over when another process gets it.
PARTS = st.one_of(st.sampled_from([0.0, 1e-9, 0.5, 0.58, 0.66, 0.9, 0.99]), st.floats(0, 0.99))
CHANCES = st.floats(0, 1, exclude_max=True)


def credentials(life: float, *, whole: bool = True) -> Credentials:
    issued = datetime.fromtimestamp(ISSUED.wall, timezone.utc)
    return Credentials(
        access_key="ASIAFAKE000000000001",
        secret_key="fake-secret",
        token="fake-token",
        expires_at=issued + timedelta(seconds=life),
        issued_at=issued if whole else None,
    )


def later(seconds: float) -> Instant:
    return Instant(ISSUED.boot + seconds, ISSUED.wall + seconds)


def held_after(
    age: float, life: float, policy: RefreshPolicy, chance: float = 0.0, *, whole: bool = True
) -> Held:
    """Return what is held by one who gets credentials of that age, in seconds."""
    now = later(age)
    held = landed(EMPTY, credentials(life, whole=whole), now, now, policy, chance).held
    assert held is not None
    return held


@given(LIVES, PARTS, POLICIES, CHANCES, st.booleans())
@example(3600.0, 0.99, HANDING_POLICY, 0.0, True)
@example(3600.0, 0.99, RefreshPolicy(ahead=timedelta(hours=2)), 0.0, True)
def test_what_has_landed_is_never_due_at_once(
    life: float, part: float, policy: RefreshPolicy, chance: float, whole: bool
) -> None:
    now = later(part * life)
    state = landed(EMPTY, credentials(life, whole=whole), now, now, policy, chance)

    assert phase(state.held, now) is Phase.FRESH
    assert decide(state, now, policy, None, 20.0).do is Do.SERVE


@given(LIVES, PARTS, POLICIES, CHANCES)
def test_the_windows_are_those_of_the_process_that_fetched_them(
    life: float, part: float, policy: RefreshPolicy, chance: float
) -> None:
    theirs = held_after(0.0, life, policy, chance)
    ours = held_after(part * life, life, policy, chance)
    soonest = part * life + min((1 - part) * life / 2, SOONEST_REFRESH_SECONDS) + ISSUED.boot

    assert ours.dead_at == pytest.approx(theirs.dead_at, abs=1e-5)
    assert ours.refresh_at == pytest.approx(max(theirs.refresh_at, soonest), abs=1e-5)
    assert ours.block_at == pytest.approx(max(theirs.block_at, soonest), abs=1e-5)


@given(LIVES, PARTS, POLICIES, CHANCES, st.booleans())
def test_the_phases_come_in_their_order(
    life: float, part: float, policy: RefreshPolicy, chance: float, whole: bool
) -> None:
    held = held_after(part * life, life, policy, chance, whole=whole)

    assert held.refresh_at <= held.block_at <= held.dead_at
    assert held.refresh_at - (ISSUED.boot + part * life) > 0


@given(LIVES, PARTS, POLICIES)
def test_without_the_instant_of_issue_what_is_left_is_the_whole(
    life: float, part: float, policy: RefreshPolicy
) -> None:
    left = (1 - part) * life
    assume(left > 1e-3)
    held = held_after(part * life, life, policy, whole=False)
    windows = policy.windows_for(held.lifetime)

    soonest = ISSUED.boot + part * life + min(left / 2, SOONEST_REFRESH_SECONDS)
    assert held.refresh_at == pytest.approx(max(held.dead_at - windows.ahead, soonest), abs=1e-5)


def test_an_instant_of_issue_in_the_future_makes_no_life_shorter() -> None:
    """A clock may have been wrong when they were stored."""
    wrong = replace(
        credentials(3600.0), issued_at=datetime.fromtimestamp(ISSUED.wall + 3500, timezone.utc)
    )
    held = landed(EMPTY, wrong, ISSUED, ISSUED, RefreshPolicy(), 0.0).held

    assert held is not None
    assert held.refresh_at == held_after(0.0, 3600.0, RefreshPolicy()).refresh_at


def test_what_never_expires_is_never_due() -> None:
    endless = replace(credentials(1.0), expires_at=None)
    held = landed(EMPTY, endless, ISSUED, ISSUED, RefreshPolicy(), 0.0).held

    assert held is not None
    assert math.isinf(held.refresh_at)
    assert math.isinf(held.block_at)


def test_a_source_that_hands_out_what_is_old_is_not_asked_by_every_read() -> None:
    """It has nothing newer: such as a session of a program's own, under another policy."""
    clock = FakeClock()
    source = FakeSource(clock)
    source.answer = replace(source.make(1, clock.now), issued_at=clock.now - timedelta(hours=9))
    refresher = Refresher(source, policy=HANDING_POLICY, clock=clock, rng=lambda: 0.0)

    for _ in range(3600):
        refresher.get()
        flight = refresher._flight
        if flight is not None:
            flight.future.result(timeout=20)
        clock.tick(0.9)

    assert 0 < source.calls <= 3600 * 0.9 / SOONEST_REFRESH_SECONDS + 5
