"""A program that runs as a role outlives its credentials, whatever it is made with."""

from __future__ import annotations

import pytest
from children import REFUSALS
from clients import ENDPOINT, PROCESS
from matrix import LIFETIMES, MATRIX, Wave

# A wave runs in the fixture of whichever of its tests is the first.
pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def wave(request: pytest.FixtureRequest, by: str) -> Wave:
    """Return the clients that get credentials in the way *by*."""
    found: Wave = request.getfixturevalue(f"wave_by_{by}")
    return found


@pytest.mark.parametrize(
    ("name", "by"),
    [pytest.param(client.name, by, id=f"{client.name} by {by}") for client, by in MATRIX],
)
def test_a_program_that_runs_over_five_lifetimes_never_fails(wave: Wave, name: str) -> None:
    run = wave.runs[name]

    assert run.outcome.code == 0, f"{run.outcome}\n{run.outcome.words[-3000:]}"
    assert [call for call in run.calls if call.status in REFUSALS | {None}] == []
    keys = {call.access_key for call in run.calls if call.service == "s3"}
    assert len(keys) >= LIFETIMES, f"{len(run.calls)} calls with {len(keys)} keys"


@pytest.mark.parametrize("by", [ENDPOINT, PROCESS])
def test_no_call_was_signed_by_a_stranger_or_not_at_all(wave: Wave) -> None:
    assert wave.strangers == ()
