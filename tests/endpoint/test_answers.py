from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import pytest
from asking import (
    NAME,
    ROLE,
    Answer,
    all_of,
    answer_in,
    ask,
    closing,
    connected,
    request,
    said,
    served,
)
from hypothesis import example, given
from hypothesis import strategies as st

import rolecall
from rolecall.clock import SYSTEM_CLOCK
from rolecall.credentials import Credentials
from rolecall.endpoint.app import Served
from rolecall.endpoint.server import Endpoint
from rolecall.errors import (
    AccessDenied,
    CredentialsExpired,
    FetchError,
    RolecallError,
    Throttled,
    Unreachable,
)
from rolecall.refresh import RefreshPolicy
from rolecall.sessions.handing import handing
from rolecall.sources.mfa import PromptedCode
from rolecall.testing import FakeClock, FakeSource, Gate, StrictCloud

HUB = "arn:aws:iam::123456789012:role/Hub"
DEVICE = "arn:aws:iam::123456789012:mfa/fake-user"

#: The JavaScript SDK waits one second; the endpoint promises this.
PROMISE_SECONDS = 0.8

#: botocore asks again at every request from 15 minutes on.
PROMISED_LEFT = timedelta(minutes=20)


def answer(one: Served) -> tuple[int, Any]:
    """Return what *one* answers, on an event loop of its own, however slow the machine is."""
    found = asyncio.run(one.answer())
    if found[1].get("code") == "Pending":
        settle(one)
        found = asyncio.run(one.answer())
    return found


def timed(endpoint: Endpoint) -> tuple[Answer, float]:
    began = SYSTEM_CLOCK.boottime()
    found = ask(endpoint)
    return found, SYSTEM_CLOCK.boottime() - began


def settle(one: Served) -> None:
    """Wait until no refresh is in the air."""
    flight = one.refresher._flight
    if flight is not None:
        flight.future.result(timeout=20)


def of_session(session: Any, **keywords: Any) -> Served:
    return Served(name=NAME, refresher=handing(session, **keywords), role_arn=HUB)


@pytest.fixture
def user(strict_cloud: StrictCloud) -> boto3.Session:
    return strict_cloud.session()


# ── what is said ─────────────────────────────────────────────────────────────────────────


def test_the_document_is_what_sdks_parse_and_nothing_else() -> None:
    source = FakeSource(SYSTEM_CLOCK)
    held = source.answer = Credentials(
        access_key="ASIAFAKE000000000001",
        secret_key="fake-secret-key-do-not-leak",
        token="fake-session-token-do-not-leak",
        expires_at=datetime(2099, 12, 31, 23, 59, 58, 999999, tzinfo=timezone.utc),
    )
    with Endpoint([served(source)]) as endpoint:
        found = ask(endpoint)

    assert {
        "AccessKeyId": held.access_key,
        "SecretAccessKey": held.secret_key,
        "Token": held.token,
        "Expiration": "2099-12-31T23:59:58Z",
        "AccountId": "123456789012",
        "RoleArn": ROLE,
    } == found.json
    assert found.headers["content-type"] == "application/json"


def test_what_is_not_known_is_left_out() -> None:
    source = FakeSource(SYSTEM_CLOCK)
    source.account_id = None
    one = Served(name=NAME, refresher=served(source).refresher)

    status, document = answer(one)

    assert status == 200
    assert {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"} == set(document)


@pytest.mark.parametrize("hours", [-3, 0, 5])
def test_the_expiration_is_by_the_local_clock(
    strict_cloud: StrictCloud, user: boto3.Session, hours: int
) -> None:
    """A program that went by AWS's clock would use dead keys, or ask all the time."""
    strict_cloud.skew = timedelta(hours=hours)
    session = rolecall.assume_role(user, HUB, DurationSeconds=3600)

    status, document = answer(of_session(session))

    assert status == 200
    expires = datetime.strptime(document["Expiration"], "%Y-%m-%dT%H:%M:%SZ")
    left = expires.replace(tzinfo=timezone.utc).timestamp() - SYSTEM_CLOCK.time()
    assert 3500 < left < 3610


# ── trouble ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (AccessDenied("fake refusal"), 500, "AccessDenied"),
        (Unreachable("fake silence"), 503, "Unreachable"),
        (Throttled("fake haste"), 503, "Throttled"),
        (FetchError("fake trouble", retryable=False), 500, "FetchError"),
        (ValueError("fake bug"), 500, "InternalError"),
        (KeyboardInterrupt(), 503, "FetchError"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_failure_is_a_5xx_with_a_code_and_a_message(
    error: BaseException, status: int, code: str
) -> None:
    source = FakeSource(SYSTEM_CLOCK)
    source.error = error
    with Endpoint([served(source)]) as endpoint:
        found = ask(endpoint)

    assert (status, code) == (found.status, found.json["code"])
    assert {"code", "message"} == set(found.json)
    assert found.json["message"]
    assert found.headers["cache-control"] == "no-store"


def test_a_message_shows_no_secret_of_somebody_elses_exception() -> None:
    source = FakeSource(SYSTEM_CLOCK)
    secret = "Fake0Secret1Key2That3Looks4Like5One6Of7Aws8"
    source.error = ValueError(f"could not use SecretAccessKey={secret} token={secret}")
    with Endpoint([served(source)]) as endpoint:
        found = ask(endpoint)

    assert found.status == 500
    assert secret.encode() not in found.body


def test_credentials_without_an_end_are_never_handed_out() -> None:
    source = FakeSource(SYSTEM_CLOCK)
    source.answer = Credentials(access_key="AKIAFAKE000000000001", secret_key="fake-secret")
    status, document = answer(served(source))

    assert status == 500
    assert "fake-secret" not in json.dumps(document)


@pytest.mark.parametrize("on_expired", ["raise", "serve"])
def test_expired_credentials_are_never_handed_out(
    strict_cloud: StrictCloud, user: boto3.Session, on_expired: Any
) -> None:
    clock = FakeClock(datetime.fromtimestamp(SYSTEM_CLOCK.time(), timezone.utc))
    session = rolecall.assume_role(
        user, HUB, clock=clock, refresh_policy=RefreshPolicy(on_expired=on_expired)
    )
    one = of_session(session)
    assert answer(one)[0] == 200
    strict_cloud.fail("AssumeRole", code="AccessDenied", status=403)
    clock.tick(minutes=61)

    for _ in range(3):
        status, document = answer(one)
        assert status in (500, 503)
        assert {"code", "message"} == set(document)
        clock.tick(minutes=2)


def test_the_last_good_credentials_are_handed_out_while_the_source_fails(
    fake_clock: FakeClock,
) -> None:
    source = FakeSource(fake_clock)
    one = served(source, clock=fake_clock)
    _, first = answer(one)
    source.error = Unreachable("fake silence")

    for _ in range(11):
        fake_clock.tick(minutes=5)
        assert (200, first) == answer(one)
        settle(one)

    fake_clock.tick(minutes=5)
    assert answer(one)[0] == 503


# ── in time ──────────────────────────────────────────────────────────────────────────────


def test_an_sts_that_hangs_delays_nobody_who_can_be_given_something(
    strict_cloud: StrictCloud, user: boto3.Session
) -> None:
    strict_cloud.lifetime = timedelta(seconds=3)
    one = of_session(rolecall.assume_role(user, HUB))
    answers: list[tuple[int, float, float]] = []
    with Endpoint([one]) as endpoint:
        assert ask(endpoint).status == 200
        with strict_cloud.hold("AssumeRole"):
            while (left := one.refresher.remaining) and len(answers) < 5000:
                found, seconds = timed(endpoint)
                answers.append((found.status, seconds, left.total_seconds()))
            late, late_seconds = timed(endpoint)

    # Whoever asked in the last moment may have waited until it was over.
    assert {200} == {status for status, _, left in answers if left > PROMISE_SECONDS}
    assert max(seconds for _, seconds, _ in answers) < PROMISE_SECONDS
    assert late.status == 503
    assert late_seconds < PROMISE_SECONDS


def test_nothing_held_and_an_sts_that_hangs_is_a_503_in_time(
    strict_cloud: StrictCloud, user: boto3.Session
) -> None:
    one = of_session(rolecall.assume_role(user, HUB))
    with Endpoint([one]) as endpoint:
        with strict_cloud.hold("AssumeRole") as gate:
            late, seconds = timed(endpoint)
            gate.wait_for_arrival()
            again, _ = timed(endpoint)
        settle(one)

        assert ask(endpoint).status == 200
    assert (late.status, again.status) == (503, 503)
    assert late.json["code"] == "Pending"
    assert seconds < PROMISE_SECONDS
    assert strict_cloud.calls("AssumeRole") == 1


def test_who_asks_while_others_wait_is_not_held_up_by_them(endpoint_of_two: Any) -> None:
    """Fifty wait for what hangs; another role is handed out all the same."""
    endpoint, gate = endpoint_of_two
    with ThreadPoolExecutor(50) as pool:
        waiting = [pool.submit(ask, endpoint) for _ in range(50)]
        gate.wait_for_arrival()
        began = SYSTEM_CLOCK.boottime()
        with connected(endpoint) as connection:
            target = endpoint.urls["other"].removeprefix(f"http://{endpoint.host}")
            token = endpoint.tokens["other"].encode()
            connection.sendall(closing(request(endpoint, target=target, token=token)))
            found = answer_in(all_of(connection))[0]
        seconds = SYSTEM_CLOCK.boottime() - began
        assert {503} == {one.result(timeout=20).status for one in waiting}

    assert found.status == 200
    assert seconds < PROMISE_SECONDS


@pytest.fixture
def endpoint_of_two() -> Iterator[tuple[Endpoint, Gate]]:
    hanging = FakeSource(SYSTEM_CLOCK)
    hanging.before = gate = Gate()
    good = Served(name="other", refresher=served(FakeSource(SYSTEM_CLOCK)).refresher)
    with gate, Endpoint([served(hanging), good]) as endpoint:
        yield endpoint, gate


@pytest.mark.parametrize("trouble", ["down", "denied"])
def test_an_sts_that_is_away_or_refuses_is_told_at_once(
    strict_cloud: StrictCloud, user: boto3.Session, trouble: str
) -> None:
    one = of_session(
        rolecall.assume_role(user, HUB, sts_client_kwargs={"config": boto3_without_retries()})
    )
    if trouble == "down":
        strict_cloud.down()
    else:
        strict_cloud.fail("AssumeRole")

    with Endpoint([one]) as endpoint:
        found, seconds = timed(endpoint)

    assert found.status in (500, 503)
    assert {"code", "message"} == set(found.json)
    assert seconds < PROMISE_SECONDS


def boto3_without_retries() -> Any:
    from botocore.config import Config

    return Config(retries={"total_max_attempts": 1})


# ── nobody is asked ──────────────────────────────────────────────────────────────────────


@pytest.fixture
def prompts() -> list[str]:
    return []


@pytest.fixture
def with_mfa(user: boto3.Session, prompts: list[str]) -> rolecall.RoleSession:
    """A session whose device's code somebody at a terminal would type."""

    def typed(prompt: str) -> str:
        prompts.append(prompt)
        return f"{123455 + len(prompts)}"

    return rolecall.assume_role(
        user,
        HUB,
        SerialNumber=DEVICE,
        mfa_token_provider=PromptedCode(DEVICE, ask=typed, terminal=lambda: True),
    )


def test_nobody_is_asked_for_a_code_because_of_a_request(
    with_mfa: rolecall.RoleSession, prompts: list[str]
) -> None:
    with Endpoint([of_session(with_mfa)]) as endpoint:
        answers = [timed(endpoint) for _ in range(5)]

    assert prompts == []
    assert {503} == {found.status for found, _ in answers}
    assert {"MFARequired"} == {found.json["code"] for found, _ in answers}
    assert all("use the session itself" in found.json["message"] for found, _ in answers)
    assert max(seconds for _, seconds in answers) < PROMISE_SECONDS


def test_whoever_starts_it_is_asked_and_then_all_are_answered(
    with_mfa: rolecall.RoleSession, prompts: list[str]
) -> None:
    one = of_session(with_mfa)
    one.refresher.get()
    with Endpoint([one]) as endpoint:
        assert ask(endpoint).status == 200

    assert len(prompts) == 1


def test_a_request_that_nobody_could_answer_takes_no_prompt_from_the_program_itself(
    with_mfa: rolecall.RoleSession, prompts: list[str]
) -> None:
    """The program is at the terminal: its own session asks there, whatever a child asked before."""
    with Endpoint([of_session(with_mfa)]) as endpoint:
        assert ask(endpoint).status == 503

        with_mfa.get_credentials().get_frozen_credentials()
        assert len(prompts) == 1


# ── how long what is handed out lives ────────────────────────────────────────────────────


def handed_lefts(one: Served, clock: FakeClock, gaps: list[float]) -> list[timedelta]:
    """Return how long what was handed out still lived, after each of so many minutes."""
    lefts = []
    for minutes in gaps:
        clock.tick(minutes=minutes)
        status, document = answer(one)
        assert status == 200
        expires = datetime.strptime(document["Expiration"], "%Y-%m-%dT%H:%M:%SZ")
        lefts.append(expires.replace(tzinfo=timezone.utc) - clock.now)
        settle(one)
    return lefts


@given(st.lists(st.floats(0, 4.9), min_size=1, max_size=60))
@example([1.0] * 120)
@example([0.5] * 90)
def test_a_busy_child_is_always_handed_more_than_twenty_minutes(gaps: list[float]) -> None:
    clock = FakeClock()
    one = served(FakeSource(clock), clock=clock)

    assert min(handed_lefts(one, clock, [0, *gaps])) > PROMISED_LEFT


@given(st.lists(st.floats(0, 130), min_size=1, max_size=12))
@example([39.9])
@example([40.0])
@example([50.0])
@example([59.9])
def test_a_child_that_seldom_asks_is_handed_more_than_twenty_minutes_too(
    gaps: list[float],
) -> None:
    """With less than fifteen, botocore would ask again at every request."""
    clock = FakeClock()
    one = served(FakeSource(clock), clock=clock)

    assert min(handed_lefts(one, clock, [0, *gaps])) >= PROMISED_LEFT


@pytest.mark.parametrize("age", [0, 20, 34, 36, 39, 45, 50, 58, 61])
def test_a_session_that_is_old_when_serving_begins_is_handed_out_young(
    fake_clock: FakeClock, strict_cloud: StrictCloud, user: boto3.Session, age: int
) -> None:
    session = rolecall.assume_role(user, HUB, clock=fake_clock)
    session.get_credentials().get_frozen_credentials()
    fake_clock.tick(minutes=age)

    lefts = handed_lefts(of_session(session), fake_clock, [0, 1, 1, 1, 1, 1, 1, 1, 1])

    assert min(lefts) > PROMISED_LEFT


def test_what_the_program_itself_used_for_a_while_is_handed_out_young(
    fake_clock: FakeClock, strict_cloud: StrictCloud, user: boto3.Session
) -> None:
    """The child asks again after the program's session was renewed, and has grown old once more."""
    session = rolecall.assume_role(user, HUB, clock=fake_clock)
    one = of_session(session)
    handed_lefts(one, fake_clock, [0])
    fake_clock.tick(minutes=61)
    session.get_credentials().get_frozen_credentials()

    lefts = handed_lefts(one, fake_clock, [48])

    assert lefts[0] > PROMISED_LEFT


# ── how many calls ───────────────────────────────────────────────────────────────────────


def test_a_hundred_requests_make_one_call(strict_cloud: StrictCloud, user: boto3.Session) -> None:
    with Endpoint([of_session(rolecall.assume_role(user, HUB))]) as endpoint:
        got = said(endpoint, request(endpoint) * 99 + closing(request(endpoint)))

    assert got.count(b"HTTP/1.1 200 ") == 100
    assert strict_cloud.calls("AssumeRole") == 1


def test_fifty_who_ask_at_once_make_one_call(
    strict_cloud: StrictCloud, user: boto3.Session
) -> None:
    one = of_session(rolecall.assume_role(user, HUB))
    with Endpoint([one]) as endpoint, ThreadPoolExecutor(50) as pool:
        found = [one.result(timeout=20) for one in [pool.submit(ask, endpoint) for _ in range(50)]]

    # A slow machine may let some of them wait for longer than they are kept waiting.
    assert {one.status for one in found} <= {200, 503}
    assert strict_cloud.calls("AssumeRole") == 1


def test_a_refused_source_is_not_asked_again_by_every_request() -> None:
    source = FakeSource(SYSTEM_CLOCK)
    source.error = AccessDenied("fake refusal")
    with Endpoint([served(source)]) as endpoint:
        for _ in range(20):
            assert ask(endpoint).status == 500

    assert source.calls < 5


@pytest.mark.parametrize(
    "error", [RolecallError("fake"), CredentialsExpired("fake"), ValueError("fake")]
)
def test_a_failure_is_never_a_200(error: Exception) -> None:
    source = FakeSource(SYSTEM_CLOCK)
    source.error = error

    assert answer(served(source))[0] >= 500
