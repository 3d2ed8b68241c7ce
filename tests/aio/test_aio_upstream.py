"""What rolecall leans on in aiobotocore and aioboto3 is still where it was."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import aiobotocore.credentials
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentialResolver, AioRefreshableCredentials
from aiobotocore.hooks import AioHierarchicalEmitter
from aiobotocore.session import AioSession
from botocore.config import Config

from rolecall.sources.upstream import PRIVATE_AIO_NAMES


@pytest.mark.parametrize(
    ("module", "owner", "name", "why"),
    [one for one in PRIVATE_AIO_NAMES if find_spec(one[0].partition(".")[0])],
)
def test_a_private_name_is_still_there(module: str, owner: str | None, name: str, why: str) -> None:
    home = import_module(module)
    source = inspect.getsource(home if owner is None else getattr(home, owner))

    assert name in source, f"{module}.{owner}.{name} is gone: {why}"


def test_credentials_still_start_as_we_call_them() -> None:
    """AioRefreshingCredentials calls this initializer, so that its attributes exist."""
    made = AioRefreshableCredentials("", "", "", None, lambda: None, "method")

    assert made.method == "method"


@pytest.mark.parametrize(
    "method",
    [
        AioSession.get_credentials,
        AioRefreshableCredentials.get_frozen_credentials,
        AioCredentialResolver.load_credentials,
        AioHierarchicalEmitter._emit,
    ],
)
def test_what_we_override_or_hand_coroutines_to_is_still_awaited(
    method: Callable[..., Any],
) -> None:
    assert inspect.iscoroutinefunction(method)


def test_an_asynchronous_configuration_takes_a_plain_one() -> None:
    merged = AioConfig(connector_args={"keepalive_timeout": 5}).merge(Config(read_timeout=7))

    assert isinstance(merged, AioConfig)
    assert merged.read_timeout == 7
    assert merged.connector_args["keepalive_timeout"] == 5


def test_all_that_its_credentials_can_be_asked_is_answered_by_ours() -> None:
    from rolecall.aio import AioRefreshingCredentials

    asked = {
        name
        for name, one in vars(aiobotocore.credentials.AioRefreshableCredentials).items()
        if inspect.iscoroutinefunction(one) and not name.startswith("_protected")
    }

    assert asked - set(vars(AioRefreshingCredentials)) == set()
