"""What a run came to, and when too many have failed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from rolecall.fleet import Account, Failure, Outcome, Summary, Target
from rolecall.fleet.results.outcomes import Kind
from rolecall.fleet.results.tally import Tally

ONE, TWO = "111122223333", "222233334444"


def failed(account: str, region: str, kind: Kind) -> Outcome:
    return Outcome(
        target=Target(account=Account(account), region=region),
        error=Failure(kind=kind, type="ClientError", code="AccessDenied", message="no"),
        started=datetime(2030, 1, 1, tzinfo=timezone.utc),
        elapsed=timedelta(0),
    )


def test_an_account_that_cannot_be_entered_counts_once_however_many_regions() -> None:
    tally = Tally(1)

    too_many = [
        tally.count(failed(account, region, "assume_role"))
        for account in (ONE, TWO)
        for region in ("eu-west-1", "eu-west-2", "us-east-1")
    ]

    assert too_many == [False, False, False, True, True, True]
    assert tally.failed["assume_role"] == 6


def test_what_fails_in_an_account_counts_for_each_region() -> None:
    tally = Tally(1)

    too_many = [
        tally.count(failed(ONE, region, "access_denied")) for region in ("eu-west-1", "eu-west-2")
    ]

    assert too_many == [False, True]


@pytest.mark.parametrize(
    ("summary", "text"),
    [
        (Summary(ok=3), "3 ok"),
        (Summary(ok=1, failed={"throttled": 2}), "1 ok, 2 failed (throttled 2)"),
        (Summary(ok=1, skipped=4), "1 ok, 4 done before"),
        (
            Summary(not_run=(Target(account=Account(ONE)),), stopped="deadline"),
            "0 ok, 1 not run (deadline)",
        ),
        (
            Summary(not_run=(Target(account=Account(ONE)),)),
            "0 ok, 1 not run (the plan has no regions for them)",
        ),
    ],
)
def test_a_summary_is_one_line(summary: Summary, text: str) -> None:
    assert str(summary) == text
