"""How often roles are assumed for three regions of each account, and on the way through a hub."""

from __future__ import annotations

from typing import Any

from ..benchmark import COVE, FLEET_LIBRARIES, Ask, Benchmark, Measure, Value, exactly, library_of
from ..fleet_libraries import read_credentials, require, run_in_each, warm_up
from ..libraries import SESSION_NAME, open_role
from ..organization import SCENES

_ACCOUNTS = 200
_REGIONS = ("us-east-1", "eu-west-1", "ap-south-1")
_HUB = "arn:aws:iam::123456789012:role/Hub"

BENCHMARK = Benchmark(
    title="A fleet: AssumeRole calls",
    about=f"{_ACCOUNTS} accounts, three regions each, 20 threads; the function reads its keys. "
    "Then once more through a hub role, one region each. botocove is given a session that was made "
    "of the hub's keys.",
    measures=(
        Measure(
            key="calls",
            title="AssumeRole calls for an account's three regions",
            unit="calls",
            target=exactly(1),
            compared=True,
        ),
        Measure(key="hub", title="through a hub: hub assumed", unit="calls", target=exactly(1)),
        Measure(
            key="spokes",
            title="through a hub: AssumeRole calls for an account",
            unit="calls",
            target=exactly(1),
            compared=True,
        ),
    ),
    libraries=FLEET_LIBRARIES,
    rounds=1,
    size={"accounts": _ACCOUNTS},
    quick={"accounts": 3},
    scenes=SCENES,
)


def measure(column: str, ask: Ask, *, accounts: int) -> dict[str, Value]:
    """Return how often roles were assumed."""
    ids = ask("organization", accounts)
    parent = warm_up(column)
    require(run_in_each(column, parent, ids, read_credentials, workers=20, regions=_REGIONS))
    calls, direct = ask("sts"), ask("hub")
    hub = _open_hub(column, parent)
    require(run_in_each(column, hub, ids, read_credentials, workers=20))
    hubs = ask("hub") - direct
    return {
        "calls": calls / accounts,
        "hub": hubs,
        "spokes": (ask("sts") - calls - hubs) / accounts,
    }


def _open_hub(column: str, parent: Any) -> Any:
    if column != COVE:
        return open_role(library_of(column), parent, _HUB)
    import boto3

    found = parent.client("sts").assume_role(RoleArn=_HUB, RoleSessionName=SESSION_NAME)
    return boto3.Session(
        aws_access_key_id=found["Credentials"]["AccessKeyId"],
        aws_secret_access_key=found["Credentials"]["SecretAccessKey"],
        aws_session_token=found["Credentials"]["SessionToken"],
    )
