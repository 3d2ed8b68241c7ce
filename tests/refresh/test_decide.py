"""Laws of the rulebook, each on the value and each at the state's own edges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rolecall import Credentials, CredentialsExpired, FetchError, RefreshPolicy
from rolecall.refresh import decide as rules
from rolecall.refresh import transitions
from rolecall.refresh.decide import Do
from rolecall.refresh.state import Flying, Held, Instant, Phase, State, phase

BOOT, WALL = 5000.0, 1_900_000_000.0
SENT = Instant(BOOT, WALL)
POLICY = RefreshPolicy()
SDK = RefreshPolicy.aws_sdk()
POLICIES = st.sampled_from([POLICY, SDK, RefreshPolicy(on_permanent_error="raise")])
LIMIT = 60.0
MICRO = 1e-6

LIFETIMES = st.sampled_from([0.5, 2, 5, 60, 900, 1200, 3600, 5400, 43_200, 129_600]) | st.floats(
    0.1, 129_600
)
CHANCES = st.floats(0, 1, exclude_max=True)


class Down(FetchError):
    """May go away."""


class Refused(FetchError):
    retryable = False


def credentials(lifetime: float, **values: Any) -> Credentials:
    expires = datetime.fromtimestamp(WALL, timezone.utc) + timedelta(seconds=lifetime)
    defaults = {
        "access_key": "ASIAFAKE000000000001",
        "secret_key": "fake-secret",
        "token": "fake-token",
        "expires_at": expires,
    }
    return Credentials(**{**defaults, **values})


def held_for(
    lifetime: float, chance: float = 0.0, policy: RefreshPolicy = POLICY, **values: Any
) -> State:
    return transitions.landed(State(), credentials(lifetime, **values), SENT, SENT, policy, chance)


def after(seconds: float, *, wall: float | None = None) -> Instant:
    return Instant(BOOT + seconds, WALL + (seconds if wall is None else wall))


@dataclass(frozen=True)
class Moment:
    state: State
    now: Instant
    flying: Flying | None
    policy: RefreshPolicy

    @property
    def held(self) -> Held:
        assert self.state.held is not None
        return self.state.held

    @property
    def decision(self) -> rules.Decision:
        return rules.decide(self.state, self.now, self.policy, self.flying, LIMIT)


@st.composite
def moments(
    draw: st.DrawFn,
    phases: tuple[Phase, ...] = (Phase.FRESH, Phase.STALE, Phase.CRITICAL, Phase.EXPIRED),
    policies: st.SearchStrategy[RefreshPolicy] = POLICIES,
    pausing: bool = False,
) -> Moment:
    """A held snapshot, at or beside one of its own edges, with or without a failure and a flight.

    The wall clock may have jumped, and a service may have rejected the key, so that the phase may
    be a later one than those asked for. With *pausing* the last attempt failed just now.
    """
    policy = draw(policies)
    lifetime = draw(LIFETIMES)
    state = held_for(lifetime, draw(CHANCES), policy)
    held = state.held
    assert held is not None
    edges = {
        Phase.FRESH: (BOOT, held.refresh_at),
        Phase.STALE: (held.refresh_at, held.block_at),
        Phase.CRITICAL: (held.block_at, held.dead_at),
        Phase.EXPIRED: (held.dead_at, held.dead_at + 4000),
    }
    first, last = edges[draw(st.sampled_from(phases))]
    inside = draw(st.sampled_from([0.0, MICRO, 0.5, 1 - MICRO])) * (last - first)
    moment = first + inside - BOOT
    # Set forward, the wall clock ends a pause.
    jumps = [0.0, 0.0, -3600.0, -0.5] + ([] if pausing else [2.0, 3600.0])
    now = after(moment, wall=moment + draw(st.sampled_from(jumps)))
    if pausing or draw(st.booleans()):
        error = draw(st.sampled_from([Down("down"), Refused("no")]))
        ago = draw(st.sampled_from([0.0, 0.4] if pausing else [0.0, 0.5, 10, 400]))
        failed_at = after(max(0.0, moment - ago))
        state = transitions.failed(state, error, failed_at, policy, draw(CHANCES))
    if draw(st.integers(0, 5)) == 5:
        state = transitions.invalidated(state, "ASIAFAKE000000000001", now, policy)
    flying = None
    if draw(st.booleans()):
        started = after(max(0.0, moment - draw(st.sampled_from([0.0, 0.9, 20]))))
        waited = draw(st.sampled_from([None, started.boot + 1]))
        flying = Flying(started, LIMIT, waited)
    return Moment(state, now, flying, policy)


# ── laws ─────────────────────────────────────────────────────────────────────────────────


@given(LIFETIMES, CHANCES, POLICIES)
@example(0.1, 0.0, POLICY)
@example(900, 0.999999, POLICY)
def test_new_credentials_are_fresh_whatever_their_lifetime(
    lifetime: float, chance: float, policy: RefreshPolicy
) -> None:
    state = held_for(lifetime, chance, policy)

    assert phase(state.held, SENT) is Phase.FRESH
    assert rules.decide(state, SENT, policy, None, LIMIT).do is Do.SERVE


KEEPING = st.just(POLICY)


@given(moments((Phase.EXPIRED,), KEEPING))
def test_expired_credentials_are_never_served_unless_the_policy_says_so(moment: Moment) -> None:
    assume(phase(moment.held, moment.now) is Phase.EXPIRED)

    assert moment.decision.do in (Do.WAIT, Do.RAISE)
    assert rules.after_waiting(moment.state, moment.now, moment.policy).do is Do.RAISE


@given(moments((Phase.FRESH, Phase.STALE, Phase.CRITICAL), KEEPING))
def test_no_failure_is_raised_while_credentials_are_valid(moment: Moment) -> None:
    assume(phase(moment.held, moment.now) is not Phase.EXPIRED)

    assert moment.decision.do is not Do.RAISE
    assert rules.after_waiting(moment.state, moment.now, moment.policy).do is Do.SERVE


@given(moments((Phase.FRESH, Phase.STALE), KEEPING))
def test_fresh_and_stale_readers_never_wait(moment: Moment) -> None:
    assume(phase(moment.held, moment.now) in (Phase.FRESH, Phase.STALE))

    assert moment.decision.do in (Do.SERVE, Do.SERVE_AND_REFRESH)


@given(moments((Phase.CRITICAL,), KEEPING))
def test_critical_readers_wait_a_second_an_attempt_and_never_past_expiry(moment: Moment) -> None:
    assume(phase(moment.held, moment.now) is Phase.CRITICAL)

    assert 0 <= moment.decision.wait <= min(1.0, moment.held.left(moment.now))


@given(moments())
def test_a_fetch_is_started_only_where_none_is_in_the_air(moment: Moment) -> None:
    if moment.flying is not None:
        assert not moment.decision.start


@given(moments((Phase.FRESH,)))
def test_no_fetch_is_started_while_fresh(moment: Moment) -> None:
    assume(phase(moment.held, moment.now) is Phase.FRESH)

    assert not moment.decision.start


@given(moments(pausing=True))
def test_no_fetch_is_started_in_a_pause(moment: Moment) -> None:
    failure = moment.state.failure
    assume(failure is not None and failure.pauses(moment.now))

    assert not moment.decision.start


@given(moments())
def test_every_wait_is_bounded_by_the_fetch(moment: Moment) -> None:
    assert 0 <= moment.decision.wait <= LIMIT


@given(LIFETIMES, st.floats(-(10**7), 10**7), st.floats(0, 10**6))
@example(3600, -3600, 3599)
def test_a_clock_set_back_never_lengthens_a_life(
    lifetime: float, jump: float, passed: float
) -> None:
    held = held_for(lifetime).held
    assert held is not None

    left = held.left(after(passed, wall=passed + jump))

    assert left <= lifetime - passed + 1e-3


@given(LIFETIMES, st.floats(0, 10**6))
@example(3600, 3600)
def test_a_frozen_boot_clock_never_hides_time(lifetime: float, asleep: float) -> None:
    held = held_for(lifetime).held
    assert held is not None

    assert held.left(Instant(BOOT, WALL + asleep)) <= lifetime - asleep + 1e-3


@given(LIFETIMES, CHANCES)
@example(900, 0.999999)
def test_phases_come_in_order(lifetime: float, chance: float) -> None:
    held = held_for(lifetime, chance).held
    assert held is not None

    assert BOOT < held.refresh_at <= held.block_at <= held.dead_at


@given(
    st.sampled_from([900, 1200, 3600, 5400, 43_200]),
    CHANCES,
    st.lists(CHANCES, min_size=1, max_size=7),
    st.booleans(),
)
def test_at_least_three_and_a_bounded_number_of_attempts_fit_in_before_expiry(
    lifetime: float, chance: float, chances: list[float], permanent: bool
) -> None:
    state = held_for(lifetime, chance)
    held = state.held
    assert held is not None
    error = Refused("no") if permanent else Down("down")
    moment, attempts = held.refresh_at - BOOT, 0
    while BOOT + moment < held.dead_at:
        attempts += 1
        luck = chances[attempts % len(chances)]
        state = transitions.failed(state, error, after(moment), POLICY, luck)
        assert state.failure is not None
        moment = max(moment, state.failure.until - BOOT)

    assert 3 <= attempts <= (130 if permanent else 80)


@given(LIFETIMES, st.floats(1e-5, 1e6))
def test_an_answer_never_replaces_anything_if_it_is_dead(lifetime: float, late: float) -> None:
    with pytest.raises(CredentialsExpired):
        transitions.landed(
            State(), credentials(lifetime), SENT, after(lifetime + late), POLICY, 0.5
        )


@given(LIFETIMES, st.floats(-1e6, 1e6))
@example(900, 3660)
@example(900, -3660)
def test_a_wrong_local_clock_neither_shortens_nor_lengthens_a_life(
    lifetime: float, offset: float
) -> None:
    expires = datetime.fromtimestamp(WALL + offset + lifetime, timezone.utc)
    answer = credentials(lifetime, expires_at=expires, clock_offset=timedelta(seconds=offset))

    state = transitions.landed(State(), answer, SENT, SENT, POLICY, 0.0)

    assert state.held is not None
    assert state.held.lifetime == pytest.approx(lifetime, abs=1e-2)


@given(moments(), st.text(min_size=1))
def test_another_key_is_not_invalidated(moment: Moment, key: str) -> None:
    assume(key != moment.held.credentials.access_key)

    assert transitions.invalidated(moment.state, key, moment.now, moment.policy) is moment.state


@given(moments(), CHANCES)
def test_a_failure_never_touches_what_is_held(moment: Moment, chance: float) -> None:
    after_failure = transitions.failed(
        moment.state, Down("down"), moment.now, moment.policy, chance
    )

    assert after_failure.held is moment.state.held


# ── corners ──────────────────────────────────────────────────────────────────────────────


def test_credentials_without_an_expiry_stay_fresh_for_ever() -> None:
    answer = credentials(1, expires_at=None, token=None)

    state = transitions.landed(State(), answer, SENT, SENT, POLICY, 0.5)

    assert phase(state.held, after(1e9)) is Phase.FRESH


def test_a_success_ends_the_outage_and_its_growing_pauses() -> None:
    state = held_for(43_200)
    for number in range(5):
        state = transitions.failed(state, Down("down"), after(40_000 + number), POLICY, 0.5)
    answer = credentials(86_400, access_key="ASIAFAKE000000000002")

    state = transitions.landed(state, answer, SENT, after(40_010), POLICY, 0.5)

    assert state.failure is None
    again = transitions.failed(state, Down("down"), after(40_011), POLICY, 0.5).failure
    assert again is not None
    assert again.count == 1


def test_a_rejected_key_is_expired_at_once() -> None:
    state = transitions.invalidated(held_for(3600), "ASIAFAKE000000000001", after(10), POLICY)

    assert phase(state.held, after(10)) is Phase.EXPIRED
    assert rules.decide(state, after(10), POLICY, None, LIMIT) == (Do.WAIT, LIMIT, True)


def test_a_rejection_ends_the_pause_by_default_and_not_as_aws_sdks_do() -> None:
    failed = transitions.failed(held_for(3600), Down("down"), after(10), POLICY, 0.5)

    ours = transitions.invalidated(failed, "ASIAFAKE000000000001", after(10), POLICY)
    theirs = transitions.invalidated(failed, "ASIAFAKE000000000001", after(10), SDK)

    assert ours.failure is None
    assert theirs.failure is failed.failure


def test_the_rejected_key_is_not_taken_again() -> None:
    state = transitions.invalidated(held_for(3600), "ASIAFAKE000000000001", after(10), POLICY)

    with pytest.raises(CredentialsExpired, match="again"):
        transitions.landed(state, credentials(3600), SENT, after(11), POLICY, 0.5)


def test_rejections_in_quick_succession_are_believed_less_and_less() -> None:
    state, moment, believed = held_for(43_200), 0.0, 0
    for number in range(2000):
        moment += 1
        held = state.held
        assert held is not None
        if held.rejected:
            key = f"ASIAFAKE{number + 2:012d}"
            state = transitions.landed(
                state, credentials(43_200, access_key=key), SENT, after(moment), POLICY, 0.5
            )
        before = state
        assert state.held is not None
        state = transitions.invalidated(
            state, state.held.credentials.access_key, after(moment), POLICY
        )
        believed += state is not before

    assert believed < 20


def test_rejections_long_apart_are_all_believed() -> None:
    state = held_for(43_200)
    for number in range(5):
        moment = 1000.0 * (number + 1)
        assert state.held is not None
        state = transitions.invalidated(
            state, state.held.credentials.access_key, after(moment), POLICY
        )
        assert state.held is not None
        assert state.held.rejected
        answer = credentials(43_200, access_key=f"ASIAFAKE{number + 2:012d}")
        state = transitions.landed(state, answer, SENT, after(moment), POLICY, 0.5)


def test_an_identity_never_changes_under_a_session() -> None:
    state = held_for(3600, account_id="123456789012")
    answer = credentials(7200, account_id="210987654321", access_key="ASIAFAKE000000000002")

    with pytest.raises(FetchError, match="210987654321") as caught:
        transitions.landed(state, answer, SENT, after(1), POLICY, 0.5)

    assert not caught.value.retryable


def test_a_pause_ends_by_either_clock() -> None:
    failure = transitions.failed(held_for(3600), Down("down"), after(2400), POLICY, 0.5).failure

    assert failure is not None
    assert failure.pauses(after(2401))
    assert not failure.pauses(after(2500))
    assert not failure.pauses(after(2401, wall=2500)), "the sandbox was frozen meanwhile"


@pytest.mark.parametrize(("chance", "ahead"), [(0.0, 1200), (0.5, 1080), (0.999999, 960)])
def test_a_refresh_comes_up_to_a_fifth_of_its_window_later(chance: float, ahead: float) -> None:
    held = held_for(3600, chance).held

    assert held is not None
    assert held.dead_at - held.refresh_at == pytest.approx(ahead, abs=0.01)


def test_a_fetch_is_lost_by_either_clock() -> None:
    flying = Flying(SENT, LIMIT)

    assert not flying.lost(after(60))
    assert flying.lost(after(60.1))
    assert flying.lost(after(1, wall=61))


def test_moving_the_expiry_moves_every_phase_along() -> None:
    state = held_for(3600)
    soon = datetime.fromtimestamp(WALL + 100 + 30, timezone.utc)

    moved = transitions.expiring(state, soon, after(100))

    assert moved.held is not None
    assert moved.held.left(after(100)) == pytest.approx(30)
    assert phase(moved.held, after(100)) is Phase.CRITICAL
    assert moved.held.credentials.expires_at == soon


def test_moving_the_expiry_of_nothing_does_nothing() -> None:
    assert transitions.expiring(State(), datetime.now(timezone.utc), SENT) == State()


@pytest.mark.parametrize(("lifetime", "most"), [(900, 13), (1200, 10), (3600, 4), (43_200, 1)])
def test_source_calls_in_two_hours_follow_from_the_lifetime(lifetime: float, most: int) -> None:
    """One read a second for two hours; botocore makes 7200 calls for 900 s credentials."""
    state, calls = State(), 0
    for second in range(7200):
        now = after(second)
        if rules.decide(state, now, POLICY, None, LIMIT).start:
            calls += 1
            expires = datetime.fromtimestamp(now.wall + lifetime, timezone.utc)
            state = transitions.landed(
                state, credentials(lifetime, expires_at=expires), now, now, POLICY, 0.0
            )

    ahead = POLICY.windows_for(lifetime).ahead
    assert calls <= min(most, math.ceil(1 + 7200 / (lifetime - ahead)))
