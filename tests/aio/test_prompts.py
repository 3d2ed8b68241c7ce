"""MFA codes for asynchronous sessions: from callables and commands, and asked of a person."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from datetime import timedelta
from typing import Any

import pytest
from event_loops import arrival, silence, turns, waiting
from scenes import HUB, SPOKE, AioAssume, caller_arn, keys_of, run, settle

import rolecall
from rolecall.refresh import Event
from rolecall.sources.mfa import PromptedCode
from rolecall.testing import FakeClock, Gate, StrictCloud

__all__ = ["silence"]

pytestmark = pytest.mark.usefixtures("silence")

SERIAL = "arn:aws:iam::123456789012:mfa/me"
CODE = "314159"


@pytest.fixture(autouse=True)
def with_mfa_only(cloud: StrictCloud) -> None:
    cloud.trust(HUB, mfa=True)
    cloud.mfa_codes(SERIAL, CODE, *(f"{number:06}" for number in range(1, 10)))


class Person:
    """Sits at a terminal and types the next code once a gate is open; notes who asked."""

    def __init__(self) -> None:
        self.asked_in: list[threading.Thread] = []
        self.before = Gate()
        self.at_once = 0
        self.most_at_once = 0

    def __call__(self, prompt: str) -> str:
        self.asked_in.append(threading.current_thread())
        number = len(self.asked_in)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.before.pass_through()
        self.at_once -= 1
        return f"{number:06}"


@pytest.fixture
def person() -> Person:
    return Person()


@pytest.fixture
def prompt(person: Person, fake_clock: FakeClock) -> PromptedCode:
    return PromptedCode(SERIAL, ask=person, terminal=lambda: True, clock=fake_clock)


# ── callables and commands ───────────────────────────────────────────────────────────────


def test_a_plain_callable_is_asked_in_a_thread(aio_assume: AioAssume) -> None:
    asked_in = []

    def code() -> str:
        asked_in.append(threading.current_thread())
        return CODE

    run(caller_arn(aio_assume(SerialNumber=SERIAL, mfa_token_provider=code)))

    assert len(asked_in) == 1
    assert asked_in[0] is not threading.current_thread()


def test_a_coroutine_function_runs_on_the_loop_that_waits(aio_assume: AioAssume) -> None:
    ran_on = []

    async def code() -> str:
        ran_on.append(asyncio.get_running_loop())
        await turns()
        return CODE

    session = aio_assume(SerialNumber=SERIAL, mfa_token_provider=code)

    async def main() -> asyncio.AbstractEventLoop:
        await keys_of(session)
        return asyncio.get_running_loop()

    assert [run(main())] == ran_on


def test_a_command_is_run_in_a_thread(aio_assume: AioAssume) -> None:
    argv = [sys.executable, "-c", f"print({CODE!r})"]

    arn = run(caller_arn(aio_assume(SerialNumber=SERIAL, mfa_token_provider=argv)))

    assert "assumed-role/Hub/" in arn


def test_what_a_coroutine_function_raises_is_wrapped_and_shows_no_code(
    aio_assume: AioAssume,
) -> None:
    async def code() -> str:
        raise LookupError(f"no {CODE}")

    with pytest.raises(rolecall.MFARequired, match="LookupError") as caught:
        run(keys_of(aio_assume(SerialNumber=SERIAL, mfa_token_provider=code)))

    assert CODE not in str(caught.value)


def test_an_mfa_session_asks_once_for_all_roles(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    asked = []

    async def code() -> str:
        asked.append(1)
        return f"{len(asked):06}"

    session = aio_assume(
        SerialNumber=SERIAL, mfa_token_provider=code, mfa_session=timedelta(hours=12)
    )
    run(caller_arn(session))
    fake_clock.tick(hours=2)
    run(caller_arn(session))

    assert asked == [1]
    assert cloud.calls("GetSessionToken") == 1
    assert cloud.calls("AssumeRole") == 2


# ── a person ─────────────────────────────────────────────────────────────────────────────


def test_a_person_is_asked_in_a_thread_while_the_loop_turns(
    aio_assume: AioAssume, person: Person, prompt: PromptedCode
) -> None:
    async def main() -> None:
        session = aio_assume(SerialNumber=SERIAL, mfa_token_provider=prompt)
        task = asyncio.create_task(caller_arn(session))
        await arrival(person.before)
        await turns()
        assert not task.done()
        person.before.open()
        assert "assumed-role/Hub/" in await task

    run(main())

    (asked_in,) = person.asked_in
    assert asked_in is not threading.main_thread()


def test_two_sessions_at_once_ask_one_after_the_other(
    aio_assume: AioAssume, fake_clock: FakeClock, person: Person, prompt: PromptedCode
) -> None:
    other = PromptedCode(SERIAL, ask=person, terminal=lambda: True, clock=fake_clock)

    async def main() -> None:
        tasks = [
            asyncio.create_task(
                keys_of(aio_assume(SerialNumber=SERIAL, mfa_token_provider=provider))
            )
            for provider in (prompt, other)
        ]
        await arrival(person.before)
        await waiting(fake_clock, 2)  # both have their fetch in the air
        await turns()
        person.before.open()
        await asyncio.gather(*tasks)

    run(main())

    assert len(person.asked_in) == 2
    assert person.most_at_once == 1


def test_a_background_refresh_never_asks_a_person(
    aio_assume: AioAssume,
    fake_clock: FakeClock,
    person: Person,
    prompt: PromptedCode,
    events: list[Event],
) -> None:
    person.before.open()
    session = aio_assume(SerialNumber=SERIAL, mfa_token_provider=prompt)

    async def main() -> None:
        held = await keys_of(session)
        fake_clock.tick(minutes=50)
        assert await keys_of(session) == held
        await settle(session)
        assert await keys_of(session) == held

        fake_clock.tick(hours=1)
        assert await keys_of(session) != held

    run(main())
    assert len(person.asked_in) == 2


def test_a_spoke_of_a_hub_with_mfa_asks_for_it_once(
    aio_assume: AioAssume, person: Person, prompt: PromptedCode
) -> None:
    person.before.open()
    hub = aio_assume(SerialNumber=SERIAL, mfa_token_provider=prompt)
    spoke = aio_assume(SPOKE, session=aio_assume(SPOKE, session=hub))

    assert "assumed-role/Spoke/" in run(caller_arn(spoke))
    assert len(person.asked_in) == 1


def test_a_task_that_is_cancelled_leaves_the_question_and_its_answer_to_the_next(
    aio_assume: AioAssume, person: Person, prompt: PromptedCode, cloud: StrictCloud
) -> None:
    async def main() -> None:
        session = aio_assume(SerialNumber=SERIAL, mfa_token_provider=prompt)
        first = asyncio.create_task(keys_of(session))
        await arrival(person.before)
        first.cancel()
        second = asyncio.create_task(keys_of(session))
        await turns()
        person.before.open()
        await second

    run(main())
    assert len(person.asked_in) == 1
    assert cloud.calls("AssumeRole") == 1


def test_without_a_terminal_a_task_is_told_that_a_code_is_needed(
    aio_assume: AioAssume, fake_clock: FakeClock, person: Person
) -> None:
    nobody = PromptedCode(SERIAL, ask=person, terminal=lambda: False, clock=fake_clock)
    session = aio_assume(SerialNumber=SERIAL, mfa_token_provider=nobody)

    with pytest.raises(rolecall.MFARequired, match=r"no terminal to ask at .*mfa_token_provider"):
        run(keys_of(session))

    assert person.asked_in == []


def test_a_callable_whose_answer_must_be_awaited_gives_codes(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    """Whatever its type says: a lambda, for one."""

    async def code() -> str:
        return CODE

    session = aio_assume(SerialNumber=SERIAL, mfa_token_provider=lambda: code())

    run(keys_of(session))

    assert cloud.calls("AssumeRole") == 1


async def codes() -> Any:
    yield CODE


class Codes:
    async def __call__(self) -> Any:
        yield CODE


@pytest.mark.parametrize(
    "provider",
    [codes, functools.partial(Codes()), Codes()],
    ids=["function", "partial", "object"],
)
def test_a_generator_of_codes_is_refused_at_the_call(aio_assume: AioAssume, provider: Any) -> None:
    with pytest.raises(TypeError, match="asynchronous generator"):
        aio_assume(SerialNumber=SERIAL, mfa_token_provider=provider)


@pytest.mark.parametrize("provider", [7, object()], ids=lambda one: type(one).__name__)
def test_what_gives_no_codes_is_refused_at_the_call(aio_assume: AioAssume, provider: Any) -> None:
    with pytest.raises(TypeError, match="mfa_token_provider must be a callable"):
        aio_assume(SerialNumber=SERIAL, mfa_token_provider=provider)
