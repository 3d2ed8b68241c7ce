"""Credentials and errors as values."""

from __future__ import annotations

import copy
import pickle

import pytest

from rolecall import Credentials, CredentialsExpired
from rolecall.testing import FakeClock, FakeSource


def test_errors_travel_to_another_process() -> None:
    error = CredentialsExpired("gone", hint="sign in", context={"a": 1}, retryable=False)

    again = pickle.loads(pickle.dumps(error))

    assert (str(again), again.hint, dict(again.context), again.retryable) == (
        "gone (sign in)",
        "sign in",
        {"a": 1},
        False,
    )


def test_credentials_are_copied_but_never_pickled(clock: FakeClock, source: FakeSource) -> None:
    held = source.get()

    assert copy.deepcopy(held) is copy.copy(held) is held
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="send a RoleChain"):
            pickle.dumps(held, protocol)


def test_credentials_must_be_whole_and_aware() -> None:
    with pytest.raises(ValueError, match="access_key"):
        Credentials(access_key="", secret_key="fake-secret")
    with pytest.raises(ValueError, match="secret_key"):
        Credentials(access_key="ASIAFAKE", secret_key="")
