"""How often a hub role is assumed on the way to twenty others."""

from __future__ import annotations

from typing import Any

from ..benchmark import ROLECALL, Ask, Benchmark, Measure, Value, at_most, exactly
from ..clock import LeapingClock, lead_botocore
from ..libraries import open_role, warm_up

_HUB = "arn:aws:iam::123456789012:role/Hub"
_HOURS = 2
#: lifetime (seconds) → how long before its end rolecall refreshes.
_AHEAD = {3600: 1200, 900: 300}


def _measures(lifetime: int) -> tuple[Measure, ...]:
    most = 1 + _HOURS * 3600 / (lifetime - _AHEAD[lifetime])
    return (
        Measure(
            key=f"hub {lifetime}",
            title=f"{lifetime} s: hub assumed",
            unit="calls",
            target=at_most(most, f"≤ 1 + T/(lifetime − ahead) = {most:g}"),
            compared=True,
        ),
        Measure(
            key=f"all {lifetime}",
            title=f"{lifetime} s: roles assumed in all",
            unit="calls",
            compared=True,
        ),
        Measure(
            key=f"wrong {lifetime}",
            title=f"{lifetime} s: calls in a wrong account",
            unit="calls",
            target=exactly(0),
        ),
    )


BENCHMARK = Benchmark(
    title="A hub and twenty spokes",
    about=f"{_HOURS} hours of a program that asks in each of 20 accounts every two minutes who it "
    "is, through one hub role; with roles of 3600 s and of 900 s. The hours pass on a clock that "
    "leaps, for every library and for AWS. A peer refreshes an hour's session 15 minutes before "
    "its end, rolecall 20, so that it has more time to bear an outage; hence its one call more.",
    measures=(*_measures(3600), *_measures(900)),
    rounds=1,
    size={"spokes": 20, "every": 120, "hours": _HOURS},
    scenes={
        "leap": lambda stage, seconds: stage.clock.leap(seconds),
        "hub": lambda stage: stage.hub_calls(),
        "all": lambda stage: stage.cloud.calls("AssumeRole"),
    },
)


def measure(library: str, ask: Ask, *, spokes: int, every: int, hours: int) -> dict[str, Value]:
    """Return how often roles were assumed, and calls that went astray."""
    clock = LeapingClock()
    lead_botocore(clock)
    parent = warm_up(library)
    found: dict[str, Value] = {}
    for lifetime in _AHEAD:
        hub_before, all_before = ask("hub"), ask("all")
        hub = open_role(library, parent, _HUB, seconds=lifetime, clock=clock)
        clients = {
            account: _sts(library, hub, account, lifetime, clock)
            for account in (f"{200000000000 + number}" for number in range(spokes))
        }
        astray = 0
        for step in range(hours * 3600 // every):
            if step:
                ask("leap", every)
                clock.leap(every)
            for account, client in clients.items():
                astray += client.get_caller_identity()["Account"] != account
        found[f"hub {lifetime}"] = ask("hub") - hub_before
        found[f"all {lifetime}"] = ask("all") - all_before
        found[f"wrong {lifetime}"] = astray
    return found


def _sts(library: str, hub: Any, account: str, lifetime: int, clock: LeapingClock) -> Any:
    arn = f"arn:aws:iam::{account}:role/Spoke"
    session = open_role(library, hub, arn, seconds=lifetime, clock=clock)
    if library == ROLECALL:
        return session.client("sts")
    # boto3-refresh-session answers client("sts") with the client of whoever assumes the role.
    return session.client("sts", region_name="us-east-1")
