"""Real processes on one Redis. Every other race is scripted, in `test_redis_store`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis_rig import RedisServer
from redis_scene import LOCK

from rolecall.stores import RedisStore
from rolecall.testing.cloud import StrictCloud
from rolecall.testing.contracts import KEY

PATIENCE = 60

#: How long a lock outlives its holder at most, by the server's clock. Whoever waits for it then
#: has to be given a turn by a busy machine, too.
LEASE_MILLISECONDS = 800
NEXT_SECONDS = 1.5

PRELUDE = """
import os, sys, time
from datetime import datetime, timedelta, timezone
from rolecall.credentials import Credentials
from rolecall.stores import Stored, open_store

key, counter = sys.argv[1:]
store = open_store()

def say(*words):
    print(*words, flush=True)

def heard():
    return sys.stdin.readline()

class Counting:
    def get(self):
        file = os.open(counter, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(file, b".")
        os.close(file)
        return Credentials(
            access_key=f"ASIAFAKE{os.getpid():012d}",
            secret_key="fake-secret",
            token="fake-token",
            expires_at=datetime.now(timezone.utc) + timedelta(hours=1),
        )
"""

GETS = (
    PRELUDE
    + """
say("ready")
heard()
say(Stored(Counting(), store, key).get().access_key)
"""
)

HOLDS = (
    PRELUDE
    + """
with store.lock(key, timedelta(seconds=30)) as held:
    say(held)
    heard()
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

WORKS = """
import sys, threading
import boto3, rolecall
from rolecall.stores import open_store

session = rolecall.assume_role(boto3.Session(), sys.argv[1], cache=open_store())
sts, used = session.client("sts"), set()
print("ready", flush=True)
sys.stdin.readline()
calls, failures, pause = 0, [], threading.Event()
while len(used) < int(sys.argv[2]):
    calls += 1
    try:
        sts.get_caller_identity()
    except Exception as error:
        failures.append(repr(error))
    used.add(session.get_credentials().get_frozen_credentials().access_key)
    pause.wait(0.1)
print(calls, len(failures), *failures[:1], flush=True)
"""

Start = Callable[..., AbstractContextManager["subprocess.Popen[str]"]]


@pytest.fixture
def environ(server: RedisServer) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "ROLECALL_STORE": server.url(),
        "ROLECALL_STORE_KEY": RedisStore.generate_key(),
    }


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    return tmp_path / "calls"


@pytest.fixture
def process(environ: dict[str, str], counter: Path) -> Start:
    def start(script: str) -> AbstractContextManager[subprocess.Popen[str]]:
        return running(script, KEY, str(counter), environ=environ)

    return start


@contextmanager
def running(
    script: str, *arguments: str, environ: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
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


def wait_for_a_renewal(client: Any) -> None:
    with client.monitor() as monitor:
        for one in monitor.listen():
            if one["command"].upper().startswith("PEXPIRE"):
                return


@pytest.mark.timeout(PATIENCE)
def test_sixteen_cold_processes_on_one_redis_make_one_call(process: Start, counter: Path) -> None:
    with ExitStack() as stack:
        all_of_them = [stack.enter_context(process(GETS)) for _ in range(16)]
        assert [line(one) for one in all_of_them] == ["ready"] * 16

        for one in all_of_them:
            go(one)
        keys = {line(one) for one in all_of_them}

    assert len(keys) == 1
    assert counter.read_bytes() == b"."


@pytest.mark.timeout(PATIENCE)
def test_a_holder_that_is_killed_holds_the_next_one_up_for_about_a_lease(
    process: Start, client: Any
) -> None:
    with process(HOLDS) as holder:
        assert line(holder) == "True"
        with process(WAITS) as waiter:
            assert line(waiter) == "False"
            wait_for_a_renewal(client)

            killed = time.monotonic()
            holder.send_signal(signal.SIGKILL)
            assert holder.wait(PATIENCE) == -signal.SIGKILL
            left = client.pttl(LOCK)
            held, at = line(waiter).split()

    # Not -1, which is for ever. -2: it has ended already.
    assert left == -2 or 0 <= left <= LEASE_MILLISECONDS
    assert held == "True"
    assert 0 < float(at) - killed < NEXT_SECONDS


@pytest.mark.timeout(PATIENCE)
def test_whoever_waits_fetches_once_the_holder_is_killed(process: Start, counter: Path) -> None:
    with process(HOLDS) as holder, ExitStack() as stack:
        assert line(holder) == "True"
        waiters = [stack.enter_context(process(GETS)) for _ in range(4)]
        assert [line(one) for one in waiters] == ["ready"] * 4
        for one in waiters:
            go(one)

        holder.send_signal(signal.SIGKILL)
        assert holder.wait(PATIENCE) == -signal.SIGKILL
        keys = {line(one) for one in waiters}

    assert len(keys) == 1
    assert counter.read_bytes() == b"."


WORKERS = 8
SESSIONS = 4
LIFETIME = timedelta(seconds=6)


@pytest.mark.timeout(3 * PATIENCE)
def test_many_workers_on_one_redis_make_as_many_calls_as_one_over_several_lifetimes(
    environ: dict[str, str],
) -> None:
    """Each works until it has signed with its fourth session; these die by the machine's clock."""
    with StrictCloud(lifetime=LIFETIME) as cloud, ExitStack() as stack:
        role = cloud.role("Reader")
        users = ["fake-many"] * WORKERS + ["fake-one"]
        workers = [
            stack.enter_context(
                running(WORKS, role, str(SESSIONS), environ=environ | cloud.environ(user=user))
            )
            for user in users
        ]
        assert [line(one) for one in workers] == ["ready"] * len(workers)

        for one in workers:
            go(one)
        did = [line(one).split(maxsplit=2) for one in workers]
        many, one_alone = (
            sum(
                call.operation == "AssumeRole"
                and call.access_key == cloud.credentials(user=user).access_key
                for call in cloud.log
            )
            for user in ("fake-many", "fake-one")
        )

    assert [failures for _, failures, *_ in did] == ["0"] * len(workers), did
    assert one_alone == SESSIONS
    # One more where a worker was starved for so long that it missed one.
    assert SESSIONS <= many <= SESSIONS + 1
