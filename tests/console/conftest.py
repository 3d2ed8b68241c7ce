from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from federation_endpoint import FederationEndpoint

import rolecall
from rolecall.console import sign_in_url
from rolecall.testing import StrictCloud

SignIn = Callable[..., str]


@pytest.fixture
def endpoint(strict_cloud: StrictCloud) -> Iterator[FederationEndpoint]:
    with FederationEndpoint(strict_cloud, chained_roles={"Spoke"}) as endpoint:
        yield endpoint


@pytest.fixture
def page() -> Iterator[FederationEndpoint]:
    """An endpoint that answers whatever it is told to, with no AWS behind it."""
    with FederationEndpoint(None) as page:
        yield page


@pytest.fixture
def user(strict_cloud: StrictCloud) -> boto3.Session:
    return strict_cloud.session(region_name="eu-west-1")


@pytest.fixture
def hub(user: boto3.Session) -> rolecall.RoleSession:
    return rolecall.assume_role(user, "arn:aws:iam::123456789012:role/Hub")


@pytest.fixture
def anybody() -> boto3.Session:
    """A session of nobody knows whom, for where AWS is not to look at the keys."""
    return boto3.Session(
        "ASIAFAKEANYBODY", "fake-secret/A1+x=", "fake-token/A1+x==", region_name="eu-west-1"
    )


@pytest.fixture
def sign_in(endpoint: FederationEndpoint) -> SignIn:
    """`sign_in_url`, asking the endpoint of the test."""

    def sign_in(session: Any, **keywords: Any) -> str:
        return sign_in_url(session, **{"endpoint_url": endpoint.url, **keywords})

    return sign_in
