"""Real processes on one directory. Every other race is scripted, in `test_stored`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from rolecall.stores import FileStore
from rolecall.testing.contracts import KEY

PATIENCE = 60

PRELUDE = """
import os, sys, time
from datetime import datetime, timedelta, timezone
from rolecall.credentials import Credentials
from rolecall.stores import FileStore, Stored

key, directory = sys.argv[1:]
store = FileStore(directory)

class Counting:
    def get(self):
        counter = os.open(directory + ".calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(counter, b".")
        os.close(counter)
        return Credentials(
            access_key=f"ASIAFAKE{os.getpid():012d}",
            secret_key="fake-secret",
            token="fake-token",
            expires_at=datetime.now(timezone.utc) + timedelta(hours=1),
        )

def say(*words):
    print(*words, flush=True)
"""

GETS = (
    PRELUDE
    + """
say("ready")
sys.stdin.readline()
say(Stored(Counting(), store, key).get().access_key)
"""
)

HOLDS = (
    PRELUDE
    + """
with store.lock(key, timedelta(seconds=30)) as held:
    say(held)
    sys.stdin.readline()
"""
)

# The first look at the lock is certain to find it taken; after it, this one waits.
WAITS = (
    PRELUDE
    + """
with store.lock(key, timedelta(0)) as held:
    say(held)
with store.lock(key, timedelta(seconds=30)) as held:
    say(held, time.monotonic())
"""
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileStore:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return FileStore(tmp_path / "entries")


@contextmanager
def process(script: str, store: FileStore) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", script, KEY, str(store.path)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
    ) as one:
        try:
            yield one
        finally:
            one.kill()


def line(of: subprocess.Popen[str]) -> str:
    assert of.stdout is not None
    return of.stdout.readline().strip()


def go(one: subprocess.Popen[str]) -> None:
    assert one.stdin is not None
    one.stdin.write("\n")
    one.stdin.flush()


@pytest.mark.timeout(PATIENCE)
def test_sixteen_cold_processes_make_one_call(store: FileStore) -> None:
    with ExitStack() as stack:
        all_of_them = [stack.enter_context(process(GETS, store)) for _ in range(16)]
        assert [line(one) for one in all_of_them] == ["ready"] * 16

        for one in all_of_them:
            go(one)
        keys = {line(one) for one in all_of_them}

    assert len(keys) == 1
    assert store.path.with_name("entries.calls").read_bytes() == b"."


@pytest.mark.timeout(PATIENCE)
def test_a_holder_that_is_killed_frees_the_lock_for_whoever_waits(store: FileStore) -> None:
    with process(HOLDS, store) as holder:
        assert line(holder) == "True"
        with process(WAITS, store) as waiter:
            assert line(waiter) == "False"

            killed = time.monotonic()
            holder.send_signal(signal.SIGKILL)
            assert holder.wait(PATIENCE) == -signal.SIGKILL
            held, at = line(waiter).split()

    assert held == "True"
    assert 0 < float(at) - killed < 1
    with store.lock(KEY, timedelta(seconds=1)) as ours:
        assert ours


@pytest.mark.timeout(PATIENCE)
def test_whoever_waits_fetches_once_the_holder_is_killed(store: FileStore) -> None:
    with process(HOLDS, store) as holder, process(GETS, store) as waiter:
        assert line(holder) == "True"
        with store.lock(KEY, timedelta(0)) as held:
            assert not held
        assert line(waiter) == "ready"
        go(waiter)

        holder.send_signal(signal.SIGKILL)
        assert holder.wait(PATIENCE) == -signal.SIGKILL

        with store.lock(KEY, timedelta(seconds=1)) as held:
            assert held
        assert line(waiter) == f"ASIAFAKE{waiter.pid:012d}"
