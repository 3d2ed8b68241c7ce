from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import boto3
import pytest

# What profiles tests write is the same for synchronous and asynchronous sessions.
sys.path.append(str(Path(__file__).parent.parent / "sessions"))

from aiobotocore.session import AioSession
from made_parents import World
from scenes import HUB, AioAssume, aio_session_of

from rolecall.aio import assume_role
from rolecall.refresh import Event
from rolecall.testing import FakeClock, StrictCloud

#: The first aioboto3 in the numbering of today; the museum pieces with lower numbers, which pip
#: finds for a newer aiobotocore, do not work with it.
FIRST_AIOBOTO3 = 15


def _installed(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _has_aioboto3() -> bool:
    found = _installed("aioboto3")
    return found is not None and int(found.partition(".")[0]) >= FIRST_AIOBOTO3


# Not skipped one by one: where aioboto3 is too old, importing the modules fails.
collect_ignore_glob = [] if _has_aioboto3() else ["test_aioboto3*.py"]


def pytest_report_header() -> list[str]:
    """Say which libraries are tested, and why some modules are left out."""
    found = [f"{name} {_installed(name) or '-'}" for name in ("aiobotocore", "botocore", "s3fs")]
    lines = [", ".join(found)]
    if not _has_aioboto3():
        lines.append(
            f"test_aioboto3*.py are left out: they need aioboto3 >= {FIRST_AIOBOTO3}, "
            f"and here is {_installed('aioboto3') or 'none'}"
        )
    return lines


@pytest.fixture
def cloud(fake_clock: FakeClock, strict_cloud: StrictCloud) -> StrictCloud:
    """A strict cloud that tells time by the fake clock."""
    return strict_cloud


@pytest.fixture
def world(cloud: StrictCloud, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The cloud, and a home and an environment to write into."""
    return World(cloud, own_home, monkeypatch)


@pytest.fixture
def aio_user(cloud: StrictCloud) -> AioSession:
    """An aiobotocore session of an IAM user of the cloud, by keys set by hand."""
    session: AioSession = aio_session_of(cloud)
    return session


@pytest.fixture
def user(cloud: StrictCloud) -> boto3.Session:
    return cloud.session()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def aio_assume(aio_user: AioSession, fake_clock: FakeClock, events: list[Event]) -> AioAssume:
    """`rolecall.aio.assume_role` on the fake clock, from the user unless another one is given."""

    def aio_assume(RoleArn: str = HUB, session: Any = aio_user, **keywords: Any) -> Any:
        options = {"clock": fake_clock, "on_event": events.append, **keywords}
        return assume_role(session, RoleArn, **options)

    return aio_assume
