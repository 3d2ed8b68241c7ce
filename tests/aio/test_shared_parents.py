"""What several roles ask of one parent, or several tasks of one person, is asked once."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import pytest
from aiobotocore.credentials import AioRefreshableCredentials
from aiobotocore.session import AioSession
from botocore.credentials import RefreshableCredentials
from event_loops import in_a_thread, silence, turns
from scenes import HUB, SPOKE, AioAssume, aio_session_of, keys_of, run

from rolecall import Role, RoleChain
from rolecall.aio import refreshable_session
from rolecall.chain import GivenSession
from rolecall.refresh.flight import MOST_ASKERS, Askers, on_behalf_of
from rolecall.sessions.aio.beside import CredentialsBesideTheLoop
from rolecall.sources.mfa import PromptedCode
from rolecall.testing import FakeClock, Gate, StrictCloud
from rolecall.testing.clock import PATIENCE_SECONDS

__all__ = ["silence"]

pytestmark = pytest.mark.usefixtures("silence")

SERIAL = "arn:aws:iam::123456789012:mfa/me"
OTHER = "arn:aws:iam::210987654321:role/Other"
LONG_AGO = datetime(2020, 1, 1, tzinfo=timezone.utc)


# ── a parent that renews itself ──────────────────────────────────────────────────────────


class Renewing:
    """Renews a parent's credentials by a coroutine, in so many turns that all others meet it."""

    def __init__(self, cloud: StrictCloud) -> None:
        held = cloud.credentials()
        self.calls = 0
        self._keys = {"access_key": held.access_key, "secret_key": held.secret_key, "token": None}

    async def __call__(self) -> dict[str, Any]:
        self.calls += 1
        await turns()
        # aiobotocore tells time by the machine's clock.
        later = datetime.now(timezone.utc) + timedelta(hours=1)
        return {**self._keys, "expiry_time": later.isoformat()}


@pytest.fixture
def renewing(cloud: StrictCloud) -> Renewing:
    return Renewing(cloud)


@pytest.fixture
def parent(cloud: StrictCloud, renewing: Renewing) -> AioSession:
    """A session into which a program has put credentials of its own, which have expired."""
    session: AioSession = aio_session_of(cloud, user=None)
    session._credentials = AioRefreshableCredentials(
        "fake", "fake-secret", "fake-token", LONG_AGO, refresh_using=renewing, method="own"
    )
    return session


def test_three_roles_of_a_parent_that_renews_itself_survive_three_runs(
    aio_assume: AioAssume,
    cloud: StrictCloud,
    parent: AioSession,
    renewing: Renewing,
    fake_clock: FakeClock,
) -> None:
    """aiobotocore's own lock belongs to the first event loop on which two meet at it."""
    children = [aio_assume(role, parent) for role in (HUB, SPOKE, OTHER)]

    async def main() -> list[Any]:
        return await asyncio.gather(*[keys_of(child) for child in children])

    keys = []
    for _ in range(3):
        keys += [frozen.access_key for frozen in run(main())]
        parent._credentials._expiry_time = LONG_AGO
        fake_clock.tick(hours=2)

    assert len(set(keys)) == 9
    assert renewing.calls == 3


def test_roles_of_one_parent_on_loops_of_their_own_renew_it_once(
    aio_assume: AioAssume, parent: AioSession, renewing: Renewing
) -> None:
    children = [aio_assume(role, parent) for role in (HUB, SPOKE, OTHER)]
    for child in children:
        run(child.get_credentials())

    programs = [in_a_thread(lambda child=child: run(keys_of(child))) for child in children]

    assert len({program.result(PATIENCE_SECONDS).access_key for program in programs}) == 3
    assert renewing.calls == 1


# ── what is held ─────────────────────────────────────────────────────────────────────────


def test_a_session_used_on_many_short_lived_loops_does_not_hold_them() -> None:
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def fetch() -> dict[str, Any]:
        later = datetime.now(timezone.utc) + timedelta(hours=1)
        keys = {"access_key": "ASIAFAKE", "secret_key": "fake-secret", "token": "fake-token"}
        return {**keys, "expiry_time": later.isoformat()}

    session = refreshable_session(fetch)

    async def use() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await keys_of(session)

    for _ in range(2 * MOST_ASKERS):
        run(use())
    gc.collect()

    assert sum(loop() is not None for loop in loops) == 0


def test_a_hundred_tasks_that_wait_for_botocores_credentials_cost_one_thread() -> None:
    gate = Gate()

    def refresh() -> dict[str, str]:
        gate.pass_through()
        later = datetime.now(timezone.utc) + timedelta(hours=1)
        keys = {"access_key": "ASIAFAKE", "secret_key": "fake-secret", "token": "fake-token"}
        return {**keys, "expiry_time": later.isoformat()}

    theirs = RefreshableCredentials("fake", "fake", "fake", LONG_AGO, refresh, "own")
    credentials = CredentialsBesideTheLoop(theirs, client=dict)

    async def main() -> tuple[int, set[str]]:
        before = threading.active_count()
        tasks = [asyncio.create_task(credentials.get_frozen_credentials()) for _ in range(100)]
        await turns(3)
        tasks[0].cancel()
        await turns(3)
        more = threading.active_count() - before
        gate.open()
        read = await asyncio.gather(*tasks[1:])
        return more, {frozen.access_key for frozen in read}

    assert run(main()) == (1, {"ASIAFAKE"})


# ── codes ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_two_chains_with_one_source_of_codes_share_their_hub(
    kind: str, user: boto3.Session, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    cloud.mfa_codes(SERIAL, "000001", "000002")
    asked: list[str] = []

    def plain() -> str:
        asked.append(f"{len(asked) + 1:06}")
        return asked[-1]

    async def coroutine() -> str:
        return plain()

    hub = Role(arn=HUB, mfa_serial=SERIAL)
    sessions = [
        RoleChain(GivenSession(user), hub, Role(arn=spoke)).aio_session(
            mfa_token_provider=plain if kind == "plain" else coroutine, clock=fake_clock
        )
        for spoke in (SPOKE, OTHER)
    ]

    for session in sessions:
        run(keys_of(session))

    assert asked == ["000001"]
    assert cloud.calls("AssumeRole") == 3


def test_one_code_of_a_coroutine_serves_all_roles_of_an_mfa_session(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    cloud.mfa_codes(SERIAL, "000001", "000002")
    asked: list[str] = []

    async def code() -> str:
        asked.append(f"{len(asked) + 1:06}")
        return asked[-1]

    for role in (HUB, SPOKE):
        run(
            keys_of(
                aio_assume(
                    role,
                    SerialNumber=SERIAL,
                    mfa_session=timedelta(hours=1),
                    mfa_token_provider=code,
                )
            )
        )

    assert asked == ["000001"]


def test_the_main_threads_prompt_waits_for_that_of_a_task() -> None:
    """The task's prompt waits a fifth of a real second for one that must not come beside it."""
    gate, beside = Gate(), threading.Event()
    overlapped: list[bool] = []

    def answer_beside(prompt: str) -> str:
        gate.pass_through()
        overlapped.append(beside.wait(0.2))
        return "000001"

    def answer_in_main(prompt: str) -> str:
        beside.set()
        return "000002"

    def about_to_ask() -> bool:
        gate.open()
        return True

    worker = PromptedCode(SERIAL, ask=answer_beside, terminal=lambda: True)
    main = PromptedCode(SERIAL, ask=answer_in_main, terminal=about_to_ask)

    def work() -> str:
        with on_behalf_of(Askers(), person=True):
            return worker.code()

    working = in_a_thread(work)
    gate.wait_for_arrival()

    assert main.code() == "000002"
    assert working.result(PATIENCE_SECONDS) == "000001"
    assert overlapped == [False]
