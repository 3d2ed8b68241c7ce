"""Sessions that give a new credentials object at each look: the same keys are the same signer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.credentials import Credentials as BotocoreCredentials
from scenes import HUB, SPOKE

import rolecall
from rolecall import Role, RoleChain
from rolecall.chain import GivenSession
from rolecall.testing import FakeClock, StrictCloud

SERIAL = "arn:aws:iam::123456789012:mfa/me"
OTHER = "arn:aws:iam::210987654321:role/Other"


class OwnSession(botocore.session.Session):
    """A program's own kind of session: it finds its keys anew each time that it is asked."""

    keys: tuple[str, str]
    clients = 0

    def get_credentials(self) -> BotocoreCredentials:
        return BotocoreCredentials(*self.keys)

    def create_client(self, *arguments: Any, **keywords: Any) -> Any:
        self.clients += 1
        return super().create_client(*arguments, **keywords)


@pytest.fixture
def own(cloud: StrictCloud) -> OwnSession:
    session = OwnSession()
    like: Any = cloud.session()
    for name, value in like._session.instance_variables().items():
        session.set_config_variable(name, value)
    held = like.get_credentials()
    session.keys = (held.access_key, held.secret_key)
    return session


@pytest.fixture(params=["boto3", "botocore"])
def parent(request: pytest.FixtureRequest, own: OwnSession) -> Any:
    return own if request.param == "botocore" else boto3.Session(botocore_session=own)


def test_one_client_serves_all_refreshes(
    parent: Any, own: OwnSession, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    credentials = rolecall.assume_role(parent, HUB, clock=fake_clock).get_credentials()

    for _ in range(5):
        credentials.refresh()

    assert cloud.calls("AssumeRole") == 5
    assert own.clients == 1


def test_other_keys_get_a_client_of_their_own(
    parent: Any, own: OwnSession, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    """Else a session would go on as who it was before."""
    credentials = rolecall.assume_role(parent, HUB, clock=fake_clock).get_credentials()
    before = own.keys
    credentials.refresh()
    held = cloud.credentials(user="somebody-else")
    own.keys = (held.access_key, held.secret_key)
    credentials.refresh()

    signed = [call.access_key for call in cloud.log if call.operation == "AssumeRole"]
    assert signed == [before[0], held.access_key]
    assert own.clients == 2


def test_two_chains_share_their_hub(parent: Any, cloud: StrictCloud, fake_clock: FakeClock) -> None:
    def chain(spoke: str) -> RoleChain:
        return RoleChain(GivenSession(parent), Role(arn=HUB), Role(arn=spoke))

    for spoke in (SPOKE, OTHER):
        chain(spoke).session(clock=fake_clock).get_credentials().get_frozen_credentials()

    assert cloud.calls("AssumeRole") == 3


def counting() -> tuple[list[str], Callable[[], str]]:
    asked: list[str] = []

    def code() -> str:
        asked.append(f"{len(asked) + 1:06}")
        return asked[-1]

    return asked, code


def test_one_code_serves_all_roles_of_an_mfa_session(
    parent: Any, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    cloud.mfa_codes(SERIAL, *(f"{number:06}" for number in range(1, 10)))
    asked, code = counting()

    for role in (HUB, HUB, SPOKE):
        rolecall.assume_role(
            parent,
            role,
            SerialNumber=SERIAL,
            mfa_session=timedelta(hours=1),
            mfa_token_provider=code,
            clock=fake_clock,
        ).get_credentials().get_frozen_credentials()

    assert asked == ["000001"]
    assert cloud.calls("GetSessionToken") == 1
