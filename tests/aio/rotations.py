"""Rotations without waiting: seconds that pass as a test says, and what the cloud saw meanwhile."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import fsspec.asyn
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from s3fs import S3FileSystem

# The SeaweedFS of the synchronous sessions' tests is that of these, too.
sys.path.append(str(Path(__file__).parent.parent / "real"))

from seaweed import ALICE, START_SECONDS, Seaweed

from rolecall.refresh import Event
from rolecall.testing import FakeClock, StrictCloud
from rolecall.testing.clock import PATIENCE_SECONDS
from rolecall.testing.oidc import OidcIssuer

#: How long a session lives, though 15 minutes is the least that can be asked for.
LIFETIME = timedelta(seconds=4)

#: Time that passes with each step of a test, and steps enough for three rotations and more.
MOMENT = timedelta(seconds=0.8)
MOMENTS = 20

#: The first keys and those of three rotations.
LEAST_KEYS = 4

#: A call that fails is not made again behind a test's back.
ONCE = AioConfig(retries={"total_max_attempts": 1})

BUCKET = "fake-bucket"


class Rotations:
    """The lives of a role's sessions, one after the other, on the clock of the strict cloud."""

    def __init__(self, cloud: StrictCloud, clock: FakeClock) -> None:
        self._cloud = cloud
        self._clock = clock
        self._began = clock.boottime()

    def moments(self, count: int = MOMENTS) -> Iterator[int]:
        """Number the steps of a test; time passes after each."""
        for number in range(count):
            yield number
            self.pass_a_moment()

    def pass_a_moment(self) -> None:
        """Let time pass."""
        self._pass(MOMENT)

    def pass_with_each_request(self, session: Any, time: timedelta = MOMENT) -> None:
        """Let *time* pass before each request of the clients that *session* makes from now on."""
        inner = getattr(session, "_session", session)
        events = inner.get_component("event_emitter")
        events.register("before-call", lambda **_: self._pass(time))

    def end_a_life(self) -> None:
        """Let all keys die that there are."""
        self._pass(LIFETIME)

    def _pass(self, time: timedelta) -> None:
        # Or a slow machine lets a whole life pass while one request for new keys is on its way.
        for thread in threading.enumerate():
            if thread.name == "rolecall-refresh":
                thread.join(PATIENCE_SECONDS)
                assert not thread.is_alive()
        self._clock.tick(time)

    def keys(self, service: str) -> list[str | None]:
        """Return the access keys that *service* was called with, each once, in that order."""
        used = (call.access_key for call in self._cloud.log if call.service == service)
        return list(dict.fromkeys(used))

    def accounts(self, service: str) -> set[str | None]:
        """Return whose keys *service* was called with."""
        return {call.account for call in self._cloud.log if call.service == service}

    def check(self, service: str, *, roles: int = 1) -> None:
        """Fail unless *service* saw three rotations, refused nothing, and STS was asked seldom."""
        refused = [
            call
            for call in self._cloud.log
            if call.status is None or call.status in (400, 401, 403) or call.status >= 500
        ]
        assert refused == []
        assert len(self.keys(service)) >= LEAST_KEYS
        self.check_assumed(roles=roles)

    def check_assumed(self, *, roles: int = 1) -> None:
        """Fail if STS was asked more often than the lives that have passed call for."""
        passed = timedelta(seconds=self._clock.boottime() - self._began)
        # The window in which new keys are fetched ahead of time is a third of a life.
        most = 1 + passed / (LIFETIME * 2 / 3)
        assert self._cloud.calls("AssumeRole") <= roles * most


@pytest.fixture
def rotations(cloud: StrictCloud, fake_clock: FakeClock) -> Rotations:
    """Sessions that live four seconds of the fake clock."""
    cloud.lifetime = LIFETIME
    return Rotations(cloud, fake_clock)


# ── s3fs ─────────────────────────────────────────────────────────────────────────────────

FileSystem = Callable[..., S3FileSystem]


@pytest.fixture(scope="session")
def fsspec_loop() -> asyncio.AbstractEventLoop:
    """The one loop that fsspec runs in a thread of its own, for as long as the process lives."""
    loop: asyncio.AbstractEventLoop = fsspec.asyn.get_loop()
    # aiobotocore gives this loop work for threads, which then live as long: let there be one, now.
    pool = ThreadPoolExecutor(1)
    pool.submit(int).result(timeout=PATIENCE_SECONDS)
    loop.call_soon_threadsafe(loop.set_default_executor, pool)
    return loop


@pytest.fixture
def file_system(fsspec_loop: asyncio.AbstractEventLoop) -> Iterator[FileSystem]:
    """Open file systems with the sessions given; a call that fails is not made again."""

    def file_system(session: Any, **keywords: Any) -> S3FileSystem:
        options = {"config_kwargs": {"retries": {"total_max_attempts": 1}}, **keywords}
        opened = S3FileSystem(session=session, use_listings_cache=False, **options)
        opened.retries = 1
        return opened

    S3FileSystem.clear_instance_cache()
    yield file_system
    # It closes its clients when nobody knows it any more.
    S3FileSystem.clear_instance_cache()
    gc.collect()


# ── on SeaweedFS, where time really passes ───────────────────────────────────────────────

#: How long its sessions live: three rotations of them fit into a test.
SEAWEED_LIFETIME = timedelta(seconds=3)

#: How many at a time write to it in a test.
WRITERS = 5

#: Where a test would go on for ever that sees no rotation.
SEAWEED_SECONDS = 12.0


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A server whose sessions live three seconds, with a bucket."""
    with OidcIssuer() as issuer:
        server = Seaweed(tmp_path_factory.mktemp("weed"), issuer, SEAWEED_LIFETIME)
        server.start()
        try:
            s3 = server.session().client("s3")
            s3.create_bucket(Bucket=BUCKET)
            # The first objects take seconds, since volumes are made for them: not in a test.
            with ThreadPoolExecutor(WRITERS) as pool:
                for done in [
                    pool.submit(s3.put_object, Bucket=BUCKET, Key=f"{number}", Body=b"hello")
                    for number in range(10 * WRITERS)
                ]:
                    done.result(timeout=START_SECONDS)
            yield server
        finally:
            server.stop()


@pytest.fixture
def alice(seaweed: Seaweed) -> AioSession:
    """An aiobotocore session of alice, in which every service is the SeaweedFS."""
    like: Any = seaweed.session(ALICE)
    session = AioSession()
    for name, value in like._session.instance_variables().items():
        session.set_config_variable(name, value)
    session.set_credentials(ALICE.access_key, ALICE.secret_key)
    return session


class Lives:
    """The keys that the requests of a session were signed with, and what STS was asked for."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._keys: set[str] = set()

    def watch(self, session: Any) -> None:
        """Note the keys of all clients that *session* makes from now on."""
        inner = getattr(session, "_session", session)
        inner.get_component("event_emitter").register("before-send", self._note)

    def _note(self, request: Any, **_: Any) -> None:
        found = re.search(r"Credential=(\w+)/", _text(request.headers["Authorization"]))
        assert found is not None
        self._keys.add(found.group(1))

    @property
    def enough(self) -> bool:
        """Whether there have been three rotations."""
        return len(self._keys) >= LEAST_KEYS

    def check(self, *, roles: int = 1) -> None:
        """Fail unless there were three rotations, by one call of STS each, and none failed.

        Args:
            roles: Of how many roles *events* tell.
        """
        assert self.enough
        assert {event.kind for event in self.events} == {"refreshed"}
        # New keys may have come that nothing was signed with yet.
        assert len(self.events) <= roles * (len(self._keys) + 1)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
