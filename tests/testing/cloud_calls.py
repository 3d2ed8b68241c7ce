"""Calls to a `StrictCloud` that its tests make over and over."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from rolecall.testing.cloud import StrictCloud

HUB, SPOKE = "123456789012", "210987654321"
ONCE = Config(retries={"total_max_attempts": 1})
#: botocore would refuse the arguments before the cloud sees them.
UNCHECKED = Config(parameter_validation=False)


def assume(cloud: StrictCloud, arn: str | None = None, **keywords: Any) -> dict[str, Any]:
    """Return the Credentials of a new session of a user."""
    sts = cloud.session().client("sts", config=ONCE)
    answer = sts.assume_role(RoleArn=arn or cloud.role("Reader"), RoleSessionName="me", **keywords)
    found: dict[str, Any] = answer["Credentials"]
    return found


def client(
    cloud: StrictCloud, service: str, keys: dict[str, Any] | None = None, **more: Any
) -> Any:
    """Return a client of a user, or of the session that *keys* belong to."""
    if keys is None:
        return cloud.session().client(service, config=more.get("config", ONCE))
    return boto3.Session(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys.get("SessionToken"), "us-east-1"
    ).client(service, endpoint_url=cloud.url, config=more.get("config", ONCE))


def refusal(call: Any, **keywords: Any) -> tuple[str, int]:
    """Return code and status with which *call* is refused."""
    with pytest.raises(ClientError) as caught:
        call(**keywords)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]
