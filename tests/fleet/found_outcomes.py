"""Outcomes as a run would give them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from rolecall.fleet.results.outcomes import Failure, Kind, Outcome
from rolecall.fleet.targets import Account, Target

EPOCH = datetime(2026, 11, 1, 12, 0, 0, 250, tzinfo=timezone.utc)
ACCOUNT = "012345678901"


def target(
    account: str = ACCOUNT, *, name: str = "team-a", region: str | None = "eu-west-1"
) -> Target:
    return Target(
        account=Account(account, name=name, ou_path="/prod/eu"),
        region=region,
        role=f"arn:aws:iam::{account}:role/Auditor",
    )


def found(value: Any, *, account: str = ACCOUNT, name: str = "team-a") -> Outcome:
    """Return the outcome of a function that returned *value*."""
    return Outcome(
        target=target(account, name=name),
        value=value,
        started=EPOCH,
        elapsed=timedelta(seconds=1.5),
    )


def failed(
    *,
    account: str = ACCOUNT,
    kind: Kind = "access_denied",
    code: str | None = "AccessDenied",
    message: str = "no",
) -> Outcome:
    """Return the outcome of a function that raised."""
    return Outcome(
        target=target(account, region=None),
        error=Failure(kind=kind, type="ClientError", code=code, message=message),
        started=EPOCH,
        elapsed=timedelta(seconds=0.25),
        attempts=2,
    )
