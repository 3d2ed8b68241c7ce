"""The organization whose accounts a fleet goes to. Runs in the process that plays AWS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from rolecall.clock import SYSTEM_CLOCK, Clock
from rolecall.testing.cloud.answers import Answer, Refused, refusal
from rolecall.testing.cloud.faults import Fault
from rolecall.testing.cloud.request import Request

from .stage import Stage

_MANAGEMENT = "123456789012"
_NO_BUCKETS = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<Owner><ID>fake-owner</ID></Owner><Buckets></Buckets></ListAllMyBucketsResult>"
)


def found(stage: Stage, accounts: int) -> list[str]:
    """Make the user's account the management account of an organization; return the members' ids.

    Straight in moto's state: over its API a thousand accounts would take longer than the benchmark.
    """
    from moto.backends import get_backend

    made = get_backend("organizations")[_MANAGEMENT]["aws"]
    made.create_organization("us-east-1", FeatureSet="ALL")
    for number in range(accounts):
        made.create_account(AccountName=f"account-{number}", Email=f"account-{number}@example.com")
    return [one.id for one in made.accounts if one.id != _MANAGEMENT]


def buckets(stage: Stage) -> None:
    """Let S3 list no buckets from now on, without moto: four fifths of its time are moto's.

    Signatures and sessions are checked as ever.
    """

    def act(request: Request) -> Answer:
        stage.cloud._up.keys.check(request)
        return Answer(status=200, headers=(("Content-Type", "application/xml"),), body=_NO_BUCKETS)

    stage.cloud._up.faults.add(Fault(operation="ListBuckets", act=act))


def reached(stage: Stage, operation: str) -> int:
    """Return in how many accounts *operation* was answered."""
    return len({call.account for call in stage.cloud.log if _done(call, operation)})


def answered(stage: Stage, operation: str) -> int:
    """Return how often *operation* was answered without an error."""
    return sum(_done(call, operation) for call in stage.cloud.log)


def refused(stage: Stage, code: str) -> int:
    """Return how many requests got the error *code*."""
    return sum(call.code == code for call in stage.cloud.log)


def limit(stage: Stage, rate: float, burst: int) -> None:
    """Let STS answer *rate* AssumeRole calls a second from now on, and *burst* at once."""
    stage.cloud.recover()
    bucket = Bucket(rate, burst)

    def act(request: Request) -> Answer | None:
        if bucket.take():
            return None
        return refusal(request, Refused("Throttling", 400, "Rate exceeded"))

    stage.cloud._up.faults.add(Fault(operation="AssumeRole", act=act))


SCENES: Mapping[str, Callable[..., Any]] = {
    "organization": found,
    "buckets": buckets,
    "reached": reached,
    "answered": answered,
    "refused": refused,
    "limit": limit,
    "hub": lambda stage: stage.hub_calls(),
}


def _done(call: Any, operation: str) -> bool:
    return bool(call.operation == operation and call.status == 200)


class Bucket:
    """A token bucket, as AWS limits its APIs."""

    def __init__(self, rate: float, burst: int, clock: Clock = SYSTEM_CLOCK) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._lock = threading.Lock()  # guards the two below
        self._tokens = float(burst)
        self._at = clock.boottime()

    def take(self) -> bool:
        """Return whether there was a token; it is gone now."""
        with self._lock:
            now = self._clock.boottime()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True
