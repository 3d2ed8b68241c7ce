"""Names and helpers that the tests of sessions share."""

from __future__ import annotations

from collections.abc import Callable

import rolecall

HUB = "arn:aws:iam::123456789012:role/Hub"
SPOKE = "arn:aws:iam::210987654321:role/Spoke"

Assume = Callable[..., rolecall.RoleSession]


def settle(session: rolecall.RoleSession) -> None:
    """Wait until no background refresh of *session* is in the air."""
    flight = session.get_credentials()._refresher._flight
    if flight is not None:
        flight.future.result(timeout=20)
