"""`MemoryStore`: threads share, forked children start without anybody's lock."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from rolecall.stores import MemoryStore
from rolecall.testing.contracts import KEY, credentials


def test_a_lock_held_at_a_fork_is_free_in_the_child(fork: Callable[..., Any]) -> None:
    store = MemoryStore()
    store.put(KEY, credentials())

    def free() -> bool:
        with store.lock(KEY, timedelta(0)) as held:
            return held and store.get(KEY) == credentials()

    with store.lock(KEY, timedelta(0)):
        child = fork(free)

    assert child.said_yes()


def test_it_holds_secrets_and_refuses_to_pickle() -> None:
    with pytest.raises(TypeError, match="holds secrets"):
        pickle.dumps(MemoryStore())
