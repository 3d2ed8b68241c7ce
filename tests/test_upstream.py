"""The private names of botocore and boto3 that rolecall leans on are still where they were."""

from __future__ import annotations

import inspect
from importlib import import_module

import boto3
import botocore.credentials
import botocore.session
import pytest

from rolecall.sources.upstream import PRIVATE_NAMES, botocore_session


@pytest.mark.parametrize(("module", "owner", "name", "why"), PRIVATE_NAMES)
def test_a_private_name_is_still_there(module: str, owner: str | None, name: str, why: str) -> None:
    home = import_module(module)
    holder = home if owner is None else getattr(home, owner)
    source = inspect.getsource(holder)

    assert name in source, f"{module}.{owner}.{name} is gone: {why}"


def test_a_boto3_session_still_holds_its_botocore_session() -> None:
    assert isinstance(botocore_session(boto3.Session()), botocore.session.Session)
    assert botocore_session(None) is botocore_session(boto3._get_default_session())


def test_botocores_own_credentials_still_start_as_we_call_them() -> None:
    """RefreshingCredentials calls this initializer, so that its attributes exist."""
    parameters = list(
        inspect.signature(botocore.credentials.RefreshableCredentials.__init__).parameters
    )

    assert parameters[1:7] == [
        "access_key",
        "secret_key",
        "token",
        "expiry_time",
        "refresh_using",
        "method",
    ]
