"""What tests of runs share: a cloud for each module, and runs that need none."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.loaders import Loader
from fleet_scenes import Line, Watch, answered

from rolecall.fleet import FanOut, fan_out
from rolecall.sources.upstream import botocore_session
from rolecall.testing import FakeClock, StrictCloud


@pytest.fixture(scope="module")
def cloud_clock() -> FakeClock:
    """The clock of the module's cloud: it goes on from test to test."""
    return FakeClock()


@pytest.fixture(scope="module")
def _module_cloud(cloud_clock: FakeClock) -> Iterator[StrictCloud]:
    with StrictCloud(clock=cloud_clock) as cloud:
        yield cloud


@pytest.fixture
def cloud(_module_cloud: StrictCloud) -> Iterator[StrictCloud]:
    """The module's cloud, without the faults of the test before."""
    yield _module_cloud
    _module_cloud.lifetime = None
    _module_cloud.recover()


@pytest.fixture(scope="module")
def _loader() -> Loader:
    return Loader()


@pytest.fixture
def user(cloud: StrictCloud, _loader: Loader) -> boto3.Session:
    """A user of the cloud, who reads service models once in a module."""
    session = cloud.session()
    botocore_session(session).register_component("data_loader", _loader)
    return session


@pytest.fixture(scope="module")
def offline() -> boto3.Session:
    """A session that can sign, and has nobody to talk to but what stands for STS."""
    return answered(
        boto3.Session(
            aws_access_key_id="AKIAFAKE000000000001",
            aws_secret_access_key="fake-secret-key-do-not-leak",
            region_name="us-east-1",
        )
    )


@pytest.fixture
def accounts() -> Callable[[int], list[str]]:
    """Return a function that makes up so many account ids."""
    return lambda number: [f"{111122220000 + one}" for one in range(1, number + 1)]


@pytest.fixture
def fan(
    offline: boto3.Session, fake_clock: FakeClock, accounts: Callable[[int], list[str]]
) -> Callable[..., FanOut]:
    """Return a function that makes a run whose functions call no AWS, on the fake clock."""

    def fan(targets: Any = 3, **keywords: Any) -> FanOut:
        chosen = accounts(targets) if isinstance(targets, int) else targets
        return fan_out(offline, chosen, **{"role": "Auditor", "clock": fake_clock, **keywords})

    return fan


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.held.open()


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Looks at what a test makes, and nothing else: garbage is collected often."""
    gc.collect()
    gc.freeze()
    yield Watch()
    gc.unfreeze()
