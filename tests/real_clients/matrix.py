"""Every client in every way that it can get credentials, and what is learnt of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from children import Outcome
from clients import CLIENTS, ENDPOINT, PROCESS, Client

from rolecall.testing.cloud import Call

LIFETIMES = 5

#: How long credentials live. A program has at least half of that, when it has just got them. Of
#: those that start a process before each call, all start a long one when that half begins.
LIFETIME: Mapping[str, timedelta] = {
    ENDPOINT: timedelta(seconds=10),
    PROCESS: timedelta(seconds=14),
}

MATRIX: tuple[tuple[Client, str], ...] = tuple(
    (client, by) for client in CLIENTS for by in client.by
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One program's run.

    Attributes:
        calls: What it called, signed with keys of its role.
    """

    outcome: Outcome
    calls: tuple[Call, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """All that was run at once: the clients that get credentials in one way.

    Attributes:
        runs: By the client's name.
        strangers: Calls that were signed with no key that the cloud ever gave out.
    """

    runs: Mapping[str, Run]
    strangers: tuple[Call, ...]
