"""STS hangs, and then hangs up, while programs are a role: they do not notice."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from children import PATIENCE_SECONDS, REFUSALS, Child, Outcome, as_role
from clients import CLIENTS, ENDPOINT, PROCESS, PROGRAMS, environ, python

import rolecall
from rolecall.endpoint import serving
from rolecall.testing import StrictCloud
from rolecall.testing.cloud import Call

pytestmark = pytest.mark.timeout(240)

#: Renewed when half of it is over; the other half is for all programs to make some calls in.
LIFETIME = timedelta(seconds=20)
#: Calls that each program is to make in an outage.
ROUNDS = 2
#: By process, each call costs a start of Python while credentials are to be renewed.
PROCESS_LIFETIME = timedelta(seconds=40)
#: For longer than any test waits.
FOREVER_SECONDS = PATIENCE_SECONDS * 10
STOPWATCH = "the endpoint itself"
NAMES = (*(client.name for client in CLIENTS if ENDPOINT in client.by), STOPWATCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What became of the programs.

    Attributes:
        rounds: How many rounds of calls each made while STS hung, and while it was down.
        calls: All calls to S3.
    """

    outcomes: Mapping[str, Outcome]
    rounds: Mapping[str, tuple[int, int]]
    calls: tuple[Call, ...] = field(repr=False)


@pytest.fixture(scope="module")
def outage(tmp_path_factory: pytest.TempPathFactory) -> Outage:
    """Run every client at one endpoint while STS hangs, recovers, is down and recovers."""
    with StrictCloud(lifetime=LIFETIME) as cloud:
        role = cloud.role("Client")
        session = rolecall.assume_role(cloud.session(), role)
        surroundings = {**environ(), "AWS_ENDPOINT_URL": cloud.url}
        with (
            serving(session, environ=surroundings) as served,
            running(cloud, served, tmp_path_factory) as children,
        ):
            go_on(children, 1)
            hung = rounds_in_an_outage(cloud, children)
            down = rounds_in_an_outage(cloud, children, down=True)
            go_on(children, 1)
            # Whatever is over by now has failed.
            outcomes = {name: child.outcome(time.monotonic()) for name, child in children.items()}
        calls = tuple(call for call in cloud.log if call.service == "s3")
    return Outage(
        outcomes=outcomes,
        rounds={name: (hung[name], down[name]) for name in children},
        calls=calls,
    )


@contextmanager
def running(
    cloud: StrictCloud, served: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Child]]:
    """Run a program of each client, and the stopwatch, until the end of ``with``."""
    commands = {
        client.name: client.command(ENDPOINT, FOREVER_SECONDS)
        for client in CLIENTS
        if ENDPOINT in client.by
    }
    commands[STOPWATCH] = [python(), str(PROGRAMS / "stopwatch.py"), f"{FOREVER_SECONDS:g}"]
    s3 = cloud.session().client("s3")
    children: dict[str, Child] = {}
    try:
        for number, (name, command) in enumerate(commands.items()):
            bucket = f"fake-bucket-{number}"
            s3.create_bucket(Bucket=bucket)
            folder = tmp_path_factory.mktemp("client")
            children[name] = Child(command, {**served, "BUCKET": bucket}, folder)
        yield children
    finally:
        for child in children.values():
            child.kill()


def rounds_in_an_outage(
    cloud: StrictCloud, children: Mapping[str, Child], *, down: bool = False
) -> Mapping[str, int]:
    """Let STS hang, or hang up, from the next renewal on; return the rounds each child made."""
    if down:
        with cloud.hold("AssumeRole") as gate:
            cloud.reset_connections("AssumeRole")
            gate.wait_for_arrival()
    else:
        cloud.hold("AssumeRole").wait_for_arrival()
    made = go_on(children, ROUNDS)
    cloud.recover()
    return made


def go_on(children: Mapping[str, Child], rounds: int) -> Mapping[str, int]:
    """Return how many more rounds each has made, once that is *rounds* or it has ended."""
    now = time.monotonic()
    for child in children.values():
        child.read(now)  # what it has said by now is no news
    before = {name: child.successes for name, child in children.items()}
    for name, child in children.items():
        # The round that is under way may have made its calls before.
        child.read(now + PATIENCE_SECONDS, before[name] + 1 + rounds)
    return {name: child.successes - before[name] - 1 for name, child in children.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_program_goes_on_with_the_last_good_credentials(outage: Outage, name: str) -> None:
    outcome = outage.outcomes[name]

    assert outcome.code is None, f"{outcome}\n{outcome.words[-3000:]}"
    hung, down = outage.rounds[name]
    assert hung >= ROUNDS
    assert down >= ROUNDS


def test_no_call_was_refused(outage: Outage) -> None:
    assert [call for call in outage.calls if call.status in REFUSALS] == []


def test_credentials_were_renewed_between_the_outages_and_after(outage: Outage) -> None:
    keys = {call.access_key for call in outage.calls if call.access_key}

    assert len({key for key in keys if key.startswith("ASIA")}) >= 3


def test_a_process_prints_what_is_stored_while_sts_is_down(tmp_path: Path) -> None:
    # boto3 asks before each call, while its credentials are about to expire.
    client = next(client for client in CLIENTS if client.name == "boto3")
    with StrictCloud(lifetime=PROCESS_LIFETIME) as cloud:
        cloud.session().client("s3").create_bucket(Bucket="fake-bucket")
        child = Child(
            as_role(cloud.role("Client"), PROCESS, client.command(PROCESS, FOREVER_SECONDS)),
            {**environ(), **cloud.environ(), "BUCKET": "fake-bucket"},
            tmp_path,
        )
        try:
            go_on({"it": child}, 1)
            made = rounds_in_an_outage(cloud, {"it": child}, down=True)
            go_on({"it": child}, 1)
            outcome = child.outcome(time.monotonic())
        finally:
            child.kill()
        refused = [
            call for call in cloud.log if call.service == "s3" and call.status in REFUSALS | {None}
        ]

    assert outcome.code is None, f"{outcome}\n{outcome.words[-3000:]}"
    assert made["it"] >= ROUNDS
    assert refused == []
