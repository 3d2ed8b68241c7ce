"""The runs that the tests of this folder read: all clients of a way at once, over five lifetimes.

In two waves, since all of them at once are too much for two cores.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from children import PATIENCE_SECONDS, Child, as_role
from clients import CLIENTS, ENDPOINT, PROCESS, environ
from matrix import LIFETIME, LIFETIMES, MATRIX, Run, Wave

from rolecall.testing import StrictCloud

STARTING_AT_ONCE = 3

VERSIONS = pytest.StashKey[dict[str, str]]()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what was run."""
    for name, version in config.stash.get(VERSIONS, {}).items():
        terminalreporter.write_line(f"{name}: {version}")


@pytest.fixture(scope="session")
def wave_by_endpoint(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Wave:
    """Run every client that asks the endpoint, about a minute."""
    pytestconfig.stash[VERSIONS] = {client.name: client.version() for client in CLIENTS}
    return _wave(ENDPOINT, tmp_path_factory)


@pytest.fixture(scope="session")
def wave_by_process(tmp_path_factory: pytest.TempPathFactory) -> Wave:
    """Run every client that starts a credential_process, about a minute and a half."""
    return _wave(PROCESS, tmp_path_factory)


def _wave(by: str, tmp_path_factory: pytest.TempPathFactory) -> Wave:
    clients = [client for client, way in MATRIX if way == by]
    # An account for each, so that the cloud's log tells whose a call was.
    accounts = {
        client.name: f"1000000000{number:02}" for number, client in enumerate(clients, start=1)
    }
    lifetime = LIFETIME[by]
    seconds = LIFETIMES * lifetime.total_seconds()
    children: dict[str, Child] = {}
    with StrictCloud(lifetime=lifetime) as cloud:
        try:
            for client in clients:
                # All at once they would keep those that run already waiting for a processor.
                for child in list(children.values())[: 1 - STARTING_AT_ONCE]:
                    child.read(time.monotonic() + PATIENCE_SECONDS, successes=1)
                account, folder = accounts[client.name], tmp_path_factory.mktemp("client")
                command = client.command(by, seconds)
                children[client.name] = _start(command, by, cloud, account, folder)
            give_up = time.monotonic() + seconds + PATIENCE_SECONDS
            outcomes = {name: child.outcome(give_up) for name, child in children.items()}
        finally:
            for child in children.values():
                child.kill()
        log = [call for call in cloud.log if call.service != "iam"]
    return Wave(
        runs={
            name: Run(
                outcome=outcomes[name],
                calls=tuple(
                    call
                    for call in log
                    if call.account == account and (call.access_key or "").startswith("ASIA")
                ),
            )
            for name, account in accounts.items()
        },
        strangers=tuple(call for call in log if call.account is None),
    )


def _start(command: list[str], by: str, cloud: StrictCloud, account: str, folder: Path) -> Child:
    bucket = f"fake-{account}"
    cloud.session(account=account).client("s3").create_bucket(Bucket=bucket)
    return Child(
        as_role(cloud.role("Client", account), by, command),
        {**environ(), **cloud.environ(), "BUCKET": bucket},
        folder,
    )
