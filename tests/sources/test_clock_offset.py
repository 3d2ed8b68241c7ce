"""AWS's clock against the local one: a Date header has whole seconds and is as old as the way."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from rolecall.sources.sts import clock_offset

SENT = datetime(2030, 1, 1, 12, tzinfo=timezone.utc)
RECEIVED = SENT + timedelta(seconds=0.5)


def offset(date: datetime | None) -> timedelta:
    return clock_offset(date, SENT.timestamp(), RECEIVED.timestamp())


@pytest.mark.parametrize("seconds", [-2, -1, 0, 2])
def test_a_date_within_two_seconds_leaves_the_local_clock_believed(seconds: int) -> None:
    assert offset(SENT + timedelta(seconds=seconds)) == timedelta(0)


@pytest.mark.parametrize("seconds", [-3, 3, 61 * 60, -61 * 60])
def test_further_off_a_life_comes_out_a_second_too_short_never_too_long(seconds: int) -> None:
    assert offset(SENT + timedelta(seconds=seconds)) == timedelta(seconds=seconds + 1)


def test_without_a_date_the_local_clock_is_believed() -> None:
    assert offset(None) == timedelta(0)
