"""How often a hub role is assumed on the way to twenty others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..benchmark import BRS, Ask, Benchmark, Measure, Target, Value, at_most, exactly
from ..clock import clock_of_all
from ..libraries import open_chain, open_role, warm_up

_HUB = "arn:aws:iam::123456789012:role/Hub"
_HOURS = 2
#: lifetime (seconds) → how long before its end rolecall refreshes.
_AHEAD = {3600: 1200, 900: 300}


def _target(lifetime: int) -> Target:
    most = 1 + _HOURS * 3600 / (lifetime - _AHEAD[lifetime])
    return at_most(most, f"≤ 1 + T/(lifetime − ahead) = {most:g}")


def _measures(lifetime: int) -> tuple[Measure, ...]:
    return (
        Measure(
            key=f"hub {lifetime}",
            title=f"{lifetime} s: hub assumed",
            unit="calls",
            target=_target(lifetime),
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
    "is, through one hub role; with roles of 3600 s and of 900 s. The spokes trust the hub alone. "
    "The hours pass on a clock that leaps, for every library and for AWS. At first the program "
    "keeps one session of the hub for all; *apart* are spokes that are opened on their own, as by "
    "functions that are given ARNs.",
    measures=(
        *_measures(3600),
        *_measures(900),
        Measure(
            key="apart",
            title="3600 s, apart: hub assumed",
            unit="calls",
            target=_target(3600),
            compared=True,
        ),
    ),
    rounds=1,
    size={"spokes": 20, "every": 120, "hours": _HOURS},
    scenes={
        "hub": lambda stage: stage.hub_calls(),
        "trust": lambda stage, arn: stage.cloud.trust(arn, [_HUB]),
    },
)


def measure(library: str, ask: Ask, *, spokes: int, every: int, hours: int) -> dict[str, Value]:
    """Return how often roles were assumed, and calls that went astray."""
    parent = warm_up(library)
    clock, leap = clock_of_all(ask)
    arns = [f"arn:aws:iam::{200000000000 + number}:role/Spoke" for number in range(spokes)]
    for arn in arns:
        ask("trust", arn)

    def live(sessions: Iterable[Any]) -> tuple[int, int, int]:
        hub_before, all_before, astray = ask("hub"), ask("sts"), 0
        clients = [_sts(library, session) for session in sessions]
        for step in range(hours * 3600 // every):
            if step:
                leap(every)
            for arn, client in zip(arns, clients, strict=True):
                astray += client.get_caller_identity()["Account"] not in arn
        return ask("hub") - hub_before, ask("sts") - all_before, astray

    found: dict[str, Value] = {}
    for lifetime in _AHEAD:
        hub = open_role(library, parent, _HUB, seconds=lifetime, clock=clock)
        sessions = [open_role(library, hub, arn, seconds=lifetime, clock=clock) for arn in arns]
        found[f"hub {lifetime}"], found[f"all {lifetime}"], found[f"wrong {lifetime}"] = live(
            sessions
        )
    apart = [open_chain(library, parent, _HUB, arn, clock=clock) for arn in arns]
    found["apart"] = live(apart)[0]
    return found


def _sts(library: str, session: Any) -> Any:
    # boto3-refresh-session answers client("sts") with the client of whoever assumes the role.
    return session.client("sts", **({"region_name": "us-east-1"} if library == BRS else {}))
