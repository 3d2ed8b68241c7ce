"""A session that is given other credentials is somebody else from then on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.session import Session
from scenes import HUB, SPOKE, settle

import rolecall
from rolecall import GivenSession, MemoryStore, RoleChain
from rolecall.sources.upstream import botocore_session
from rolecall.testing import FakeClock, StrictCloud

SERIAL = "arn:aws:iam::123456789012:mfa/fake"
Make = Callable[[Session], rolecall.RoleSession]


@pytest.fixture
def core(cloud: StrictCloud) -> Session:
    """A session of Alice."""
    return botocore_session(cloud.session(user="alice"))


def become_bob(core: Session, cloud: StrictCloud) -> str:
    """Give *core* Bob's keys, and return his access key id."""
    held = cloud.credentials(user="bob")
    core.set_credentials(held.access_key, held.secret_key)
    return held.access_key


def signers(cloud: StrictCloud, operation: str = "AssumeRole") -> list[str]:
    return [str(call.access_key) for call in cloud.log if call.operation == operation]


def fetch(session: boto3.Session) -> Any:
    return session.get_credentials().get_frozen_credentials()


@pytest.fixture(params=["assume_role", "chain", "mfa_session", "shared store"])
def make(request: pytest.FixtureRequest, fake_clock: FakeClock) -> Make:
    """Each way to a role session of somebody's."""
    store = MemoryStore()
    codes = iter(f"{number:06}" for number in range(100))

    def made(core: Session) -> rolecall.RoleSession:
        if request.param == "chain":
            chain: rolecall.RoleSession = RoleChain(GivenSession(core), HUB).session(
                clock=fake_clock
            )
            return chain
        keywords: dict[str, Any] = {"clock": fake_clock}
        if request.param == "mfa_session":
            keywords |= {"SerialNumber": SERIAL, "mfa_token_provider": lambda: next(codes)}
            keywords |= {"mfa_session": timedelta(hours=12)}
        if request.param == "shared store":
            keywords |= {"cache": store}
        return rolecall.assume_role(core, HUB, **keywords)

    return made


def test_roles_are_assumed_by_whom_the_session_is_now(
    make: Make, core: Session, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    before = make(core)
    fetch(before)
    operation = "GetSessionToken" if cloud.calls("GetSessionToken") else "AssumeRole"
    alice = signers(cloud, operation)
    fake_clock.tick(seconds=31)  # a device shows another code then

    bob = become_bob(core, cloud)
    after = make(core)

    assert fetch(after).access_key != fetch(before).access_key
    assert signers(cloud, operation) == [*alice, bob]


def test_a_session_that_was_made_before_follows_at_its_next_refresh(
    core: Session, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    """As one that follows a parent whose keys a program renews by hand."""
    hub = rolecall.assume_role(core, HUB, clock=fake_clock)
    fetch(hub)

    bob = become_bob(core, cloud)
    fake_clock.tick(minutes=50)
    fetch(hub)
    settle(hub)

    assert signers(cloud)[-1] == bob


def test_what_is_assumed_from_it_is_stored_as_whose_it_is_then(
    core: Session, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    store = MemoryStore()
    hub = rolecall.assume_role(core, HUB, clock=fake_clock)
    first = fetch(rolecall.assume_role(hub, SPOKE, clock=fake_clock, cache=store))

    become_bob(core, cloud)
    hub.get_credentials().refresh()
    second = fetch(rolecall.assume_role(hub, SPOKE, clock=fake_clock, cache=store))

    assert second.access_key != first.access_key, "Bob was handed what Alice's hub had assumed"
