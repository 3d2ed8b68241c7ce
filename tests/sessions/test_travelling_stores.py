"""A session that was pickled with a store which is not to be had where it arrives."""

from __future__ import annotations

import pickle

import boto3
import pytest
from scenes import HUB
from written_profiles import become

import rolecall
from rolecall.stores import keyring_backends
from rolecall.testing import StrictCloud


@pytest.mark.parametrize("kind", ["redis", "keyring"])
def test_a_store_that_is_not_there_does_not_cost_the_session(
    cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    become(monkeypatch, cloud, "alice")
    if kind == "redis":
        monkeypatch.setenv("ROLECALL_STORE", "redis://127.0.0.1:1")
        monkeypatch.setenv("ROLECALL_STORE_KEY", rolecall.RedisStore.generate_key())
        store = rolecall.open_store()
    else:
        monkeypatch.setattr(keyring_backends, "_KEEP_NOTHING", {})
        store = rolecall.KeyringStore()
    data = pickle.dumps(rolecall.assume_role(boto3.Session(), HUB, cache=store))
    monkeypatch.undo()
    become(monkeypatch, cloud, "alice")  # another machine: no ROLECALL_STORE_KEY, no keyring
    monkeypatch.setenv("ROLECALL_STORE", "redis://127.0.0.1:1")

    assert pickle.loads(data).chain is not None
