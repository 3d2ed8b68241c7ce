from __future__ import annotations

from typing import Any

import boto3
import pytest
from actors import requests_of

from rolecall.testing import StrictCloud


@pytest.fixture
def parent(strict_cloud: StrictCloud) -> boto3.Session:
    """A session of an IAM user, with explicit keys."""
    return strict_cloud.session()


@pytest.fixture
def asked(parent: boto3.Session) -> list[dict[str, Any]]:
    """The arguments of each STS call that *parent* signs."""
    return requests_of(parent)


@pytest.fixture
def ambient(strict_cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch) -> StrictCloud:
    """The cloud, with an environment that makes this process one of its users."""
    for name, value in strict_cloud.environ().items():
        monkeypatch.setenv(name, value)
    return strict_cloud
