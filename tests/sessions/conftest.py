from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

# The Redis server of one store's tests is that of these, too.
sys.path.append(str(Path(__file__).parent.parent / "stores"))

from redis_rig import wheel_program
from redis_scene import server, shared_redis
from scenes import HUB, Assume

import rolecall
from rolecall.refresh import Event
from rolecall.testing import FakeClock, StrictCloud

__all__ = ["server", "shared_redis"]


@pytest.fixture(scope="session")
def redis_program() -> str:
    return wheel_program()


@pytest.fixture
def cloud(fake_clock: FakeClock, strict_cloud: StrictCloud) -> StrictCloud:
    """A strict cloud that tells time by the fake clock."""
    return strict_cloud


@pytest.fixture
def user(cloud: StrictCloud) -> boto3.Session:
    return cloud.session()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def assume(user: boto3.Session, fake_clock: FakeClock, events: list[Event]) -> Assume:
    """`rolecall.assume_role` on the fake clock, from the user unless another parent is given."""

    def assume(RoleArn: str = HUB, session: Any = user, **keywords: Any) -> rolecall.RoleSession:
        options = {"clock": fake_clock, "on_event": events.append, **keywords}
        return rolecall.assume_role(session, RoleArn, **options)

    return assume
