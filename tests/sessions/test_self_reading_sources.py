"""Whoever is asked for credentials may himself ask rolecall for some: nobody waits for himself."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.credentials import CredentialProvider, CredentialResolver
from scenes import HUB, SPOKE, Assume, settle
from written_profiles import arn_of

import rolecall
from rolecall import FetchError
from rolecall.refresh import Event, Refresher
from rolecall.testing import FakeClock, FakeSource, Gate, StrictCloud

PATIENCE_SECONDS = 20


def promptly(call: Callable[[], Any]) -> Any:
    """Return what *call* returns; fail if it hangs, and leave its thread behind then."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future.result(PATIENCE_SECONDS)


# ── providers ────────────────────────────────────────────────────────────────────────────


class Own(CredentialProvider):
    """A program's own provider, as it is registered with botocore."""

    METHOD = CANONICAL_NAME = "own"

    def __init__(self, load: Callable[[], Any]) -> None:
        super().__init__()
        self._load = load

    def load(self) -> Any:
        return self._load()


def provided_by(load: Callable[[], Any], like: boto3.Session) -> boto3.Session:
    core = botocore.session.Session()
    for name in ("config_file", "credentials_file", "profile"):
        core.set_config_variable(name, like._session.get_config_variable(name))
    core.register_component("credential_provider", CredentialResolver([Own(load)]))
    return boto3.Session(botocore_session=core, region_name="us-east-1")


def test_a_provider_may_assume_a_role_itself(
    assume: Assume, user: boto3.Session, cloud: StrictCloud
) -> None:
    parent = provided_by(lambda: assume().get_credentials(), user)

    session = promptly(lambda: assume(SPOKE, session=parent))

    assert "assumed-role/Spoke" in arn_of(session)
    assert cloud.calls("AssumeRole") == 2


def test_a_provider_may_read_what_it_assumes(assume: Assume, user: boto3.Session) -> None:
    def load() -> Any:
        credentials = assume().get_credentials()
        assert credentials.access_key
        return credentials

    session = promptly(lambda: assume(SPOKE, session=provided_by(load, user)))

    assert "assumed-role/Spoke" in arn_of(session)


def test_a_slow_provider_holds_nobody_up_but_its_own_session(
    assume: Assume, user: boto3.Session
) -> None:
    gate = Gate()

    def load() -> Any:
        gate.pass_through()
        return user.get_credentials()

    slow = provided_by(load, user)
    with ThreadPoolExecutor(1) as pool, gate:
        held_up = pool.submit(assume, SPOKE, session=slow)
        gate.wait_for_arrival()

        assert promptly(lambda: arn_of(assume()))
        assert not held_up.done()

        gate.open()
        assert arn_of(held_up.result(PATIENCE_SECONDS))


# ── callables ────────────────────────────────────────────────────────────────────────────


def test_a_callable_that_uses_its_own_session_is_told_so_at_once(
    user: boto3.Session, fake_clock: FakeClock
) -> None:
    """It would wait for itself, and everybody else for it, until the fetch counts as lost."""

    def fetch() -> Any:
        return session.client("sts").assume_role(RoleArn=HUB, RoleSessionName="me")

    session = rolecall.refreshable_session(fetch, base_session=user, clock=fake_clock)

    with pytest.raises(FetchError, match="uses the very session") as caught:
        promptly(session.get_credentials().get_frozen_credentials)

    assert not caught.value.retryable
    assert "session of its own" in caught.value.hint


@pytest.mark.parametrize("ask", ["refresh", "get_frozen_credentials"])
def test_it_is_told_so_however_it_asks(fake_clock: FakeClock, ask: str) -> None:
    session = rolecall.refreshable_session(
        lambda: getattr(session.get_credentials(), ask)(), region_name="eu-west-1", clock=fake_clock
    )

    with pytest.raises(FetchError, match="uses the very session"):
        promptly(getattr(session.get_credentials(), ask))


def test_a_callable_may_use_its_own_session_while_that_is_valid(
    fake_clock: FakeClock, fake_source: FakeSource
) -> None:
    """As to sign out, or to count: what is held goes on being served."""
    seen: list[str] = []

    def fetch() -> rolecall.Credentials:
        if seen:
            seen.append(session.get_credentials().access_key)
        else:
            seen.append("")
        return fake_source.get()

    session = rolecall.refreshable_session(fetch, region_name="eu-west-1", clock=fake_clock)
    session.get_credentials().get_frozen_credentials()
    fake_clock.tick(minutes=45)
    session.get_credentials().get_frozen_credentials()
    settle(session)

    assert seen == ["", "ASIAFAKE000000000001"]
    assert session.get_credentials().access_key == "ASIAFAKE000000000002"


# ── listeners ────────────────────────────────────────────────────────────────────────────


def test_a_listener_may_read_whatever_it_is_told(
    fake_clock: FakeClock, fake_source: FakeSource
) -> None:
    """A fetch that was given up is told of once the new one is on its way, not before."""
    told: list[tuple[str, str]] = []

    def listen(event: Event) -> None:
        try:
            told.append((event.kind, refresher.get().access_key))
        except FetchError as error:
            told.append((event.kind, type(error).__name__))

    refresher = Refresher(
        fake_source, clock=fake_clock, rng=lambda: 0.0, name="told", on_event=listen
    )
    gate = Gate()
    fake_source.before = gate
    with gate, ThreadPoolExecutor(1) as pool:
        first = pool.submit(refresher.get)
        gate.wait_for_arrival()
        hanging = refresher._flight
        fake_clock.wait_for_waiters()
        fake_clock.tick(seconds=61)
        with pytest.raises(rolecall.Unreachable):
            first.result(PATIENCE_SECONDS)
        fake_source.before = None

        held = promptly(refresher.get)

        assert held.access_key == "ASIAFAKE000000000002"
        assert sorted(told) == [(kind, held.access_key) for kind in ("fetch_lost", "refreshed")]
    assert hanging is not None
    hanging.future.result(PATIENCE_SECONDS)


def test_a_listener_that_reads_hears_of_a_failure_as_everybody_does(
    fake_clock: FakeClock, fake_source: FakeSource
) -> None:
    told: list[str] = []

    def listen(event: Event) -> None:
        with pytest.raises(rolecall.Unreachable, match="away"):
            refresher.get()
        told.append(event.kind)

    refresher = Refresher(fake_source, clock=fake_clock, name="told", on_event=listen)
    fake_source.error = rolecall.Unreachable("away")

    with pytest.raises(rolecall.Unreachable, match="away"):
        promptly(refresher.get)

    assert told == ["refresh_failed"]


# ── finalizers ───────────────────────────────────────────────────────────────────────────


class Handle:
    """Something in a cycle that a program closes with the session's credentials."""

    def __init__(self, close: Callable[[], object]) -> None:
        self.me = self
        self.close = close

    def __del__(self) -> None:
        self.close()


class Moment:
    """Lets the collector run where it may run anyway: while a refresher's lock is held."""

    def __init__(self) -> None:
        self.refresher: Refresher | None = None

    def passes(self) -> None:
        refresher = self.refresher
        if refresher is not None and refresher._lock._is_owned():  # type: ignore[attr-defined]
            self.refresher = None
            gc.collect()


class WatchedClock(FakeClock):
    """Is read in the lock where an answer is put in its place."""

    def __init__(self, moment: Moment) -> None:
        super().__init__()
        self._moment = moment

    def boottime(self) -> float:
        self._moment.passes()
        return super().boottime()


class WatchedSource(FakeSource):
    """Is asked for its time-out in the lock where a fetch is decided on."""

    moment = Moment()

    @property
    def timeout(self) -> None:
        self.moment.passes()


@pytest.mark.parametrize("where", ["decision", "answer"])
def test_a_finalizer_that_reads_in_the_refreshers_lock_does_not_wait_for_it(where: str) -> None:
    outcomes: list[str] = []
    decision, answer = Moment(), Moment()
    source = WatchedSource(WatchedClock(answer))
    source.moment = decision
    refresher = Refresher(source, clock=source.clock, name="finalized")

    def close() -> None:
        try:
            outcomes.append(refresher.get().access_key)
        except FetchError as error:
            outcomes.append(str(error))

    Handle(close)
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        if where == "decision":
            decision.refresher = refresher
        else:
            source.before = lambda: setattr(answer, "refresher", refresher)
        held = promptly(refresher.get)
    finally:
        if was_enabled:
            gc.enable()

    assert held.access_key == "ASIAFAKE000000000001"
    assert len(outcomes) == 1
    assert "uses the very session" in outcomes[0]
