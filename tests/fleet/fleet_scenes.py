"""What tests of runs have in common: functions that wait, and eyes on what is kept alive."""

from __future__ import annotations

import gc
import threading
import weakref
from datetime import datetime, timezone
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse

from rolecall.fleet import Target
from rolecall.testing import Gate

#: What is there after so much real time, is held.
HELD_SECONDS = 5.0


def number(target: Target) -> int:
    return int(target.account.id) % 1000


def answered(session: boto3.Session) -> boto3.Session:
    """Have *session*'s roles assumed on the spot, for good: nothing is sent to STS."""

    def answer(params: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        credentials = {
            "AccessKeyId": "ASIAFAKE000000000001",
            "SecretAccessKey": "fake-secret-key-of-a-role",
            "SessionToken": "fake-token",
            "Expiration": datetime(2999, 1, 1, tzinfo=timezone.utc),
        }
        arn = (
            params["body"]["RoleArn"].replace(":iam:", ":sts:").replace(":role/", ":assumed-role/")
        )
        parsed = {"Credentials": credentials, "AssumedRoleUser": {"Arn": f"{arn}/fake"}}
        return AWSResponse("", 200, {}, None), parsed

    session.events.register("before-call.sts.AssumeRole", answer)
    return session


class Line:
    """A function that returns at once for the first targets, and holds the others at a gate."""

    def __init__(self, free: int = 1) -> None:
        self.free = free
        self.held = Gate()
        self.begun: list[int] = []
        self.ended: list[int] = []

    def __call__(self, session: boto3.Session, target: Target) -> int:
        self.begun.append(number(target))
        if number(target) > self.free:
            self.held()
        self.ended.append(number(target))
        return number(target)


class Watch:
    """Tells whether all that it was shown is gone from memory."""

    def __init__(self) -> None:
        self._seen: list[weakref.ref[Any]] = []

    def __call__(self, *things: Any) -> None:
        """Look at *things*, without holding them."""
        self._seen += map(weakref.ref, things)

    @property
    def seen(self) -> int:
        """How many things it was shown."""
        return len(self._seen)

    @property
    def alive(self) -> int:
        """How many are there when garbage has been collected."""
        gc.collect()
        return sum(one() is not None for one in list(self._seen))

    def all_gone(self) -> bool:
        """Wait until a thread has let go of the last one, too; False: they are held."""
        for one in self._seen:
            thing = one()
            if thing is None:
                continue
            gone = threading.Event()
            weakref.finalize(thing, gone.set).atexit = False
            del thing
            gc.collect()
            if not gone.wait(HELD_SECONDS):
                return False
        return True
