from __future__ import annotations

import copy
import pickle
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rolecall import ConfigError, RefreshPolicy
from rolecall.refresh import ExponentialBackoff, UniformBackoff

LIFETIMES = st.floats(0.001, 129_600)


@pytest.mark.parametrize(
    ("lifetime", "ahead", "margin"),
    [(5, 5 / 3, 1 / 6), (900, 300, 30), (3600, 1200, 60), (43_200, 3600, 60), (1.5, 0.75, 0.075)],
)
def test_windows_scale_with_the_lifetime(lifetime: float, ahead: float, margin: float) -> None:
    windows = RefreshPolicy().windows_for(lifetime)

    assert windows.ahead == pytest.approx(ahead)
    assert windows.margin == pytest.approx(margin)


@pytest.mark.parametrize(
    ("minutes", "window"), [(10, 5), (20, 5), (20.5, 15), (89.9, 15), (90, 60), (360, 60)]
)
def test_the_aws_sdk_windows_go_in_steps(minutes: float, window: float) -> None:
    windows = RefreshPolicy.aws_sdk().windows_for(minutes * 60)

    assert windows.ahead == window * 60
    assert windows.margin == 60


def test_an_explicit_window_wins_over_the_aws_sdk_steps() -> None:
    policy = RefreshPolicy.aws_sdk(ahead=timedelta(minutes=30))

    assert policy.windows_for(6 * 3600).ahead == 1800


@given(LIFETIMES, st.floats(0, 10**6), st.floats(0, 10**6))
@example(900.0, 100_000.0, 100_000.0)
def test_explicit_windows_never_take_more_than_half_the_lifetime(
    lifetime: float, ahead: float, margin: float
) -> None:
    policy = RefreshPolicy(ahead=timedelta(seconds=ahead), margin=timedelta(seconds=margin))

    windows = policy.windows_for(lifetime)

    assert 0 <= windows.margin <= windows.ahead <= lifetime / 2


@given(LIFETIMES)
@example(0.001)
@example(20 * 60.0)
def test_the_aws_sdk_window_is_never_the_whole_life(lifetime: float) -> None:
    assert RefreshPolicy.aws_sdk().windows_for(lifetime).ahead < lifetime


@given(st.integers(1, 40), st.floats(0.001, 10**6), st.booleans(), st.floats(0, 0.9999))
@example(1, 0.001, True, 0.0)
def test_a_pause_never_lasts_much_beyond_the_life_that_is_left(
    failures: int, left: float, permanent: bool, chance: float
) -> None:
    pause = ExponentialBackoff().pause(failures, left, permanent, chance)

    assert 0 < pause <= min(300, left + 5)


@given(st.integers(1, 40), st.sampled_from([None, 0.0, -5.0]), st.booleans(), st.floats(0, 0.9999))
def test_without_valid_credentials_the_source_is_asked_again_within_five_seconds(
    failures: int, left: float | None, permanent: bool, chance: float
) -> None:
    assert 1 <= ExponentialBackoff().pause(failures, left, permanent, chance) <= 5


def test_pauses_grow_with_each_failure_up_to_five_minutes() -> None:
    backoff = ExponentialBackoff()

    pauses = [backoff.pause(count, 100_000, False, 0.5) for count in (1, 2, 3, 8, 30)]

    assert pauses == [2, 4, 8, 256, 300]


def test_a_refusal_is_asked_about_again_after_a_minute() -> None:
    pauses = [ExponentialBackoff().pause(1, 1000, True, chance) for chance in (0, 0.5)]

    assert pauses == [30, 60]


def test_the_aws_sdk_pause_is_five_to_ten_minutes_whatever_is_left() -> None:
    backoff = UniformBackoff()

    assert [backoff.pause(9, -1, False, chance) for chance in (0, 0.4)] == [300, 420]
    assert backoff.pause(1, None, False, 0.5) == 0
    assert 1 <= backoff.pause(1, 100, True, 0.5) <= 5


def test_all_that_is_wrong_with_a_policy_is_said_at_once() -> None:
    with pytest.raises(ValueError, match="on_expired") as caught:
        RefreshPolicy(ahead=300, jitter=2, on_expired="maybe")  # type: ignore[arg-type]

    assert "ahead must be a timedelta, got 300" in str(caught.value)
    assert "jitter must be from 0 to 1, got 2" in str(caught.value)


def test_the_environment_overrides_the_windows() -> None:
    policy = RefreshPolicy(ahead=timedelta(seconds=1)).with_environ(
        {"ROLECALL_AHEAD": "120", "ROLECALL_MARGIN": " 7.5 "}
    )

    assert policy.ahead == timedelta(seconds=120)
    assert policy.margin == timedelta(seconds=7.5)


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", "1e99"])
def test_a_window_of_the_environment_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="ROLECALL_MARGIN") as caught:
        RefreshPolicy().with_environ({"ROLECALL_AHEAD": text, "ROLECALL_MARGIN": text})

    assert f"ROLECALL_AHEAD={text!r}" in str(caught.value)


def test_an_empty_environment_changes_nothing() -> None:
    policy = RefreshPolicy()

    assert policy.with_environ({"ROLECALL_AHEAD": ""}) is policy


def test_policies_are_values() -> None:
    policy = RefreshPolicy.aws_sdk()

    assert pickle.loads(pickle.dumps(policy)) == policy == copy.deepcopy(policy)
    assert hash(RefreshPolicy()) == hash(RefreshPolicy())
    assert policy != RefreshPolicy()
