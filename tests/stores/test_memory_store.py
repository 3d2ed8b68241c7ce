"""`MemoryStore`: threads share, forked children start without anybody's lock."""

from __future__ import annotations

import os
import pickle
from datetime import timedelta

import pytest

from rolecall.stores import MemoryStore
from rolecall.testing.contracts import KEY, credentials


def test_a_lock_held_at_a_fork_is_free_in_the_child() -> None:
    store = MemoryStore()
    store.put(KEY, credentials())

    with store.lock(KEY, timedelta(0)):
        child = os.fork()
        if child == 0:
            with store.lock(KEY, timedelta(0)) as held:
                os._exit(0 if held and store.get(KEY) == credentials() else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_it_holds_secrets_and_refuses_to_pickle() -> None:
    with pytest.raises(TypeError, match="holds secrets"):
        pickle.dumps(MemoryStore())
