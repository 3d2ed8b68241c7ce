"""A person at the terminal is asked in the main thread, whichever hop asks for the code."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import boto3
import pytest
from scenes import HUB, SPOKE, Assume, settle
from written_profiles import arn_of, become

import rolecall
from rolecall.sources.mfa import GivenThenAsked, PromptedCode, StaticCode, code_source
from rolecall.testing import FakeClock, StrictCloud

SERIAL = "arn:aws:iam::123456789012:mfa/me"
PATIENCE_SECONDS = 20


class Person:
    """Sits at a terminal and types the next code; notes who asked."""

    def __init__(self) -> None:
        self.asked_in: list[threading.Thread] = []

    def __call__(self, prompt: str) -> str:
        self.asked_in.append(threading.current_thread())
        return f"{len(self.asked_in):06}"


@pytest.fixture
def person() -> Person:
    return Person()


@pytest.fixture
def prompt(person: Person, fake_clock: FakeClock) -> PromptedCode:
    return PromptedCode(SERIAL, ask=person, terminal=lambda: True, clock=fake_clock)


@pytest.fixture(autouse=True)
def with_mfa_only(cloud: StrictCloud) -> None:
    cloud.trust(HUB, mfa=True)


def asked_in_main(person: Person, times: int) -> bool:
    return person.asked_in == [threading.main_thread()] * times


def test_an_mfa_session_below_a_role_prompts_in_the_main_thread(
    assume: Assume, cloud: StrictCloud, person: Person, prompt: PromptedCode
) -> None:
    session = assume(
        SerialNumber=SERIAL, mfa_token_provider=prompt, mfa_session=timedelta(hours=12)
    )

    assert "assumed-role/Hub/" in arn_of(session)
    assert asked_in_main(person, 1)
    assert cloud.calls("GetSessionToken") == 1


def test_a_spoke_of_a_hub_with_mfa_prompts_in_the_main_thread(
    assume: Assume, person: Person, prompt: PromptedCode
) -> None:
    hub = assume(SerialNumber=SERIAL, mfa_token_provider=prompt)
    spoke = assume(SPOKE, session=assume(SPOKE, session=hub))

    assert "assumed-role/Spoke/" in arn_of(spoke)
    assert asked_in_main(person, 1)


def test_a_chain_whose_hub_wants_mfa_prompts_in_the_main_thread(
    cloud: StrictCloud,
    fake_clock: FakeClock,
    person: Person,
    prompt: PromptedCode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    become(monkeypatch, cloud, "alice")
    chain = rolecall.RoleChain(
        rolecall.Ambient(), rolecall.Role(HUB, mfa_serial=SERIAL), rolecall.Role(SPOKE)
    )

    session = chain.session(clock=fake_clock, mfa_token_provider=prompt)

    assert "assumed-role/Spoke/" in arn_of(session)
    assert asked_in_main(person, 1)


def test_a_spoke_behind_a_cache_prompts_in_the_main_thread(
    assume: Assume, person: Person, prompt: PromptedCode
) -> None:
    hub = assume(SerialNumber=SERIAL, mfa_token_provider=prompt, cache={})

    assert "assumed-role/Spoke/" in arn_of(assume(SPOKE, session=hub, cache={}))
    assert asked_in_main(person, 1)


@pytest.mark.parametrize("minutes", [11, 14.6], ids=["stale", "critical"])
def test_nobody_is_asked_for_a_spoke_whose_hub_is_valid(
    assume: Assume,
    cloud: StrictCloud,
    fake_clock: FakeClock,
    person: Person,
    prompt: PromptedCode,
    minutes: float,
) -> None:
    """It is refreshed beside the program's work, as any other."""
    hub = assume(SerialNumber=SERIAL, mfa_token_provider=prompt)
    calling: list[threading.Thread] = []
    hub.events.register("before-send.sts", lambda **_: calling.append(threading.current_thread()))
    spoke = assume(SPOKE, session=hub, DurationSeconds=900)
    arn_of(spoke)

    fake_clock.tick(minutes=minutes)
    arn_of(spoke)
    settle(spoke)

    assert asked_in_main(person, 1)
    assert cloud.calls("AssumeRole") == 3
    first, second = calling
    assert first is threading.main_thread()
    assert second is not threading.main_thread()


def test_the_person_is_asked_again_once_hub_and_spoke_have_died(
    assume: Assume, fake_clock: FakeClock, person: Person, prompt: PromptedCode
) -> None:
    hub = assume(SerialNumber=SERIAL, mfa_token_provider=prompt)
    spoke = assume(SPOKE, session=hub)
    arn_of(spoke)

    fake_clock.tick(hours=2)

    assert "assumed-role/Spoke/" in arn_of(spoke)
    assert asked_in_main(person, 2)


def test_a_worker_thread_is_told_that_it_shows_no_prompt(
    assume: Assume, person: Person, prompt: PromptedCode
) -> None:
    spoke = assume(SPOKE, session=assume(SerialNumber=SERIAL, mfa_token_provider=prompt))

    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(arn_of, spoke).exception(PATIENCE_SECONDS)

    assert isinstance(error, rolecall.MFARequired)
    assert "only the main thread" in str(error)
    assert person.asked_in == []


# ── a code that was given ────────────────────────────────────────────────────────────────


@pytest.fixture
def sent(user: boto3.Session) -> list[str]:
    """The codes that STS was sent."""
    codes: list[str] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        if "TokenCode" in params:
            codes.append(params["TokenCode"])

    user.events.register("before-parameter-build.sts", note)
    return codes


def counting() -> Callable[[], str]:
    codes = iter(("222222", "333333"))
    return lambda: next(codes)


def test_a_code_that_was_given_is_sent_first_and_the_provider_asked_afterwards(
    assume: Assume, fake_clock: FakeClock, sent: list[str]
) -> None:
    session = assume(SerialNumber=SERIAL, TokenCode="111111", mfa_token_provider=counting())
    arn_of(session)
    assert sent == ["111111"]

    for _ in range(2):
        fake_clock.tick(hours=2)
        arn_of(session)

    assert sent == ["111111", "222222", "333333"]


def test_it_is_sent_first_for_an_mfa_session_too(
    assume: Assume, fake_clock: FakeClock, sent: list[str]
) -> None:
    session = assume(
        SerialNumber=SERIAL,
        TokenCode="111111",
        mfa_token_provider=counting(),
        mfa_session=timedelta(hours=1),
    )
    arn_of(session)
    assert sent == ["111111"]

    fake_clock.tick(hours=2)
    arn_of(session)

    assert sent == ["111111", "222222"]


def test_a_given_code_prompts_nobody_and_the_ones_after_it_do(
    assume: Assume, fake_clock: FakeClock, person: Person, prompt: PromptedCode, sent: list[str]
) -> None:
    session = assume(SerialNumber=SERIAL, TokenCode="111111", mfa_token_provider=prompt)
    arn_of(session)
    assert person.asked_in == []

    fake_clock.tick(hours=2)
    arn_of(session)

    assert sent == ["111111", "000001"]
    assert asked_in_main(person, 1)


def test_what_follows_a_given_code_is_interactive_once_that_is_used(prompt: PromptedCode) -> None:
    codes = GivenThenAsked(StaticCode("111111", SERIAL), prompt)

    assert not codes.interactive
    assert codes.code() == "111111"
    assert codes.interactive
    assert "111111" not in repr(codes)


def test_a_given_code_is_no_provider_of_another_role(
    assume: Assume, sent: list[str], prompt: PromptedCode
) -> None:
    """The provider is shared by all roles of a session, the one code is not."""
    provider = counting()
    arn_of(assume(SerialNumber=SERIAL, TokenCode="111111", mfa_token_provider=provider))
    arn_of(assume(SPOKE, SerialNumber=SERIAL, mfa_token_provider=provider))

    assert sent == ["111111", "222222"]
    assert code_source(prompt, SERIAL) is prompt
