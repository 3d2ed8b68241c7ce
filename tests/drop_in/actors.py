"""Who is who in these tests, and how to see what they sent and who they became."""

from __future__ import annotations

from typing import Any

import boto3

READER = "arn:aws:iam::210987654321:role/Reader"
WRITER = "arn:aws:iam::210987654321:role/team/Writer"
SPOKE = "arn:aws:iam::345678901234:role/Spoke"
DEVICE = "arn:aws:iam::123456789012:mfa/fake-user"


def arn_of(session: boto3.Session) -> str:
    """Return who *session* is, as STS sees it."""
    return str(session.client("sts").get_caller_identity()["Arn"])


def name_of(session: boto3.Session) -> str:
    """Return the role session name of *session*, as STS sees it."""
    return arn_of(session).rpartition("/")[2]


def fetch(session: boto3.Session) -> Any:
    """Return the keys of *session*, which assumes its role unless that was done before."""
    credentials = session.get_credentials()
    assert credentials is not None
    return credentials.get_frozen_credentials()


def requests_of(session: boto3.Session) -> list[dict[str, Any]]:
    """Return a list to which the arguments of each STS call signed by *session* are added."""
    requests: list[dict[str, Any]] = []
    session.events.register(
        "before-parameter-build.sts", lambda params, **_: requests.append(dict(params))
    )
    return requests
