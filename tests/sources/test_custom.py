"""`CallableSource`: any callable, whatever it answers and however it fails."""

from __future__ import annotations

import functools
import gc
import logging
import pickle
import traceback
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import botocore.credentials
import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from rolecall.credentials import Credentials
from rolecall.errors import AccessDenied, CredentialsExpired, FetchError, MFARequired
from rolecall.sources.custom import CallableSource
from rolecall.testing import FakeClock

SECRET = "fake-secret-do-not-leak"
TOKEN = "fake-token-do-not-leak"
#: What a real secret access key looks like, and a piece of a token.
REALISTIC_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
WHEN = datetime(2030, 1, 1, 1, tzinfo=timezone.utc)

METADATA = {
    "access_key": "ASIAFAKE000000000001",
    "secret_key": SECRET,
    "token": TOKEN,
    "expiry_time": "2030-01-01T01:00:00Z",
}
INNER = {
    "AccessKeyId": "ASIAFAKE000000000001",
    "SecretAccessKey": SECRET,
    "SessionToken": TOKEN,
    "Expiration": WHEN,
}
ACCOUNT = "012345678901"
USER = {"AssumedRoleId": "AROA:x", "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/A/x"}
EXPECTED = Credentials(
    access_key="ASIAFAKE000000000001", secret_key=SECRET, token=TOKEN, expires_at=WHEN
)


def source_of(answer: object) -> CallableSource:
    return CallableSource(lambda: answer, name="fetch", clock=FakeClock())


def raising(error: BaseException) -> CallableSource:
    def fetch() -> object:
        raise error

    return CallableSource(fetch, name="fetch", clock=FakeClock())


def shown(error: BaseException) -> str:
    """Return all that a traceback of *error* would tell."""
    return "".join(traceback.format_exception(error)) + repr(error)


# ── what it takes ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "account"),
    [
        (METADATA, None),
        ({**METADATA, "account_id": ACCOUNT}, ACCOUNT),
        ({**METADATA, "account_id": 12345678901}, ACCOUNT),
        ({**METADATA, "account_id": "not an account"}, None),
        (INNER, None),
        ({"Credentials": INNER}, None),
        ({"Credentials": INNER, "AssumedRoleUser": USER, "ResponseMetadata": {}}, ACCOUNT),
        ({"Credentials": INNER, "FederatedUser": USER}, ACCOUNT),
        ({"Credentials": INNER, "AssumedRoleUser": {"Arn": "nonsense"}}, None),
        ({"Credentials": {**INNER, "AccountId": ACCOUNT}}, ACCOUNT),
        ({"Version": 1, **INNER, "Expiration": "2030-01-01T01:00:00Z"}, None),
    ],
    ids=[
        "botocore metadata",
        "with account",
        "with a number for an account",
        "with something else for an account",
        "STS Credentials",
        "GetSessionToken",
        "AssumeRole",
        "GetFederationToken",
        "an unreadable user",
        "a botocore cache entry",
        "credential_process",
    ],
)
def test_every_usual_answer_is_understood(answer: dict[str, Any], account: str | None) -> None:
    got = source_of(answer).get()

    assert (got.access_key, got.secret_key, got.token) == (EXPECTED.access_key, SECRET, TOKEN)
    assert got.expires_at == WHEN
    assert got.account_id == account


def test_credentials_of_ours_are_passed_on_as_they_are() -> None:
    assert source_of(EXPECTED).get() is EXPECTED


def test_credentials_of_ours_need_not_expire() -> None:
    forever = Credentials(access_key="AKIAFAKE", secret_key=SECRET)

    assert source_of(forever).get() is forever


@pytest.mark.parametrize(
    "expiry",
    [
        WHEN,
        WHEN.astimezone(timezone(timedelta(hours=-7))),
        "2030-01-01T01:00:00Z",
        "2030-01-01t01:00:00z",
        "2030-01-01T01:00:00UTC",
        "2030-01-01T01:00:00 UTC",
        "2030-01-01T01:00:00GMT",
        "2030-01-01T01:00:00+00:00",
        "2030-01-01T01:00:00+0000",
        "2030-01-01T06:30:00+05:30",
        "2029-12-31T18:00:00-07",
        "2030-01-01 01:00:00+00:00",
        "20300101T010000Z",
        "2030-01-01T01:00Z",
        "2030-01-01T01:00:00.000Z",
        "2030-01-01T01:00:00.000000000Z",
        " 2030-01-01T01:00:00Z\n",
    ],
    ids=str,
)
def test_every_usual_spelling_of_an_instant_is_understood(expiry: object) -> None:
    assert source_of({**METADATA, "expiry_time": expiry}).get().expires_at == WHEN


def test_fractions_of_a_second_are_kept() -> None:
    got = source_of({**METADATA, "expiry_time": "2030-01-01T01:00:00.12345678Z"}).get()

    assert got.expires_at == WHEN.replace(microsecond=123456)


# ── what it refuses ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "fetch returned None"),
        (SECRET, "fetch returned str, not credentials"),
        ((SECRET, TOKEN), "fetch returned tuple, not credentials"),
        (b"", "fetch returned bytes, not credentials"),
        (True, "fetch returned bool, not credentials"),
        (
            botocore.credentials.ReadOnlyCredentials("AKIAFAKE", SECRET, TOKEN),
            "fetch returned botocore.credentials.ReadOnlyCredentials, "
            "which does not say when it expires",
        ),
        (
            botocore.credentials.Credentials("AKIAFAKE", SECRET, TOKEN),
            "fetch returned botocore.credentials.Credentials, which does not say when it expires",
        ),
        (
            {"access_key": "AKIAFAKE", "secret": SECRET, "expiry": WHEN},
            "fetch returned dict with keys access_key, secret, expiry: "
            "missing secret_key, token, expiry_time",
        ),
        ({}, "fetch returned dict with keys (none): missing access_key, secret_key, token, expiry"),
        (
            {SECRET * 3: 1, TOKEN + "!": 2, 5: 3},
            "fetch returned dict with keys <str>, <str>, <int>: missing",
        ),
        (
            {f"key{number}": SECRET for number in range(40)},
            "key11 and 28 more: missing access_key",
        ),
        (
            {name: value for name, value in METADATA.items() if name != "expiry_time"},
            "fetch returned dict with keys access_key, secret_key, token: missing expiry_time",
        ),
        ({**METADATA, "token": None}, "missing token"),
        ({**METADATA, "secret_key": ""}, "missing secret_key"),
        ({**METADATA, "secret_key": 5}, "secret_key is int, not str"),
        ({**METADATA, "secret_key": b"x"}, "secret_key is bytes, not str"),
        ({**METADATA, "token": TOKEN + "\n"}, "token has white space around it"),
        (
            {**METADATA, "expiry_time": datetime(2030, 1, 1)},
            "expiry_time is 2030-01-01T00:00:00 without a time zone: make it aware",
        ),
        (
            {**METADATA, "expiry_time": "2030-01-01T01:00:00"},
            "expiry_time is 2030-01-01T01:00:00 without a time zone: add Z or an offset",
        ),
        (
            {**METADATA, "expiry_time": datetime.max.replace(tzinfo=timezone(-timedelta(hours=1)))},
            "expiry_time is not a date there is in UTC: 9999-12-31",
        ),
        ({**METADATA, "expiry_time": 1893459600}, "expiry_time is int, not an aware datetime"),
        ({**METADATA, "expiry_time": SECRET}, "expiry_time is not ISO 8601: str of 23 characters"),
        ({**METADATA, "expiry_time": "2030-13-01T00:00:00Z"}, "is not a date there is: 2030-13-01"),
        ({**METADATA, "expiry_time": "0001-01-01T00:00:00+14:00"}, "is not a date there is"),
        ({**METADATA, "expiry_time": "2030-01-01"}, "expiry_time is not ISO 8601: 2030-01-01"),
        ({"Credentials": None}, "with keys Credentials: Credentials is NoneType, not a dict"),
        (
            {"Credentials": {"AccessKeyId": "AKIAFAKE"}, "AssumedRoleUser": USER},
            "with keys Credentials, AssumedRoleUser, and in Credentials AccessKeyId: "
            "missing SecretAccessKey, SessionToken, Expiration",
        ),
        ({"Version": 2, **INNER}, "Version is not 1"),
        (
            {**METADATA, "token": 5, "expiry_time": 5},
            "token is int, not str; expiry_time is int",
        ),
    ],
)
def test_a_wrong_answer_is_refused_with_what_it_was_minus_secrets(
    answer: object, message: str
) -> None:
    with pytest.raises(FetchError) as caught:
        source_of(answer).get()

    assert message in str(caught.value)
    assert "return a dict with access_key, secret_key, token and expiry_time" in str(caught.value)
    assert caught.value.retryable is (answer is None)
    assert SECRET not in shown(caught.value)
    assert TOKEN not in shown(caught.value)


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(minutes=61)])
def test_an_expired_answer_is_refused_and_says_when_it_expired(ago: timedelta) -> None:
    clock = FakeClock(WHEN + ago)

    with pytest.raises(CredentialsExpired, match="expired at 2030-01-01T01:00:00") as caught:
        CallableSource(lambda: METADATA, name="fetch", clock=clock).get()

    assert f"{ago} ago" in str(caught.value)
    assert caught.value.retryable is True


@pytest.mark.parametrize("hours", [-1, 1])
def test_expiry_is_reckoned_by_the_clock_of_aws_where_it_is_known(hours: int) -> None:
    offset = timedelta(hours=hours)
    answer = Credentials(
        access_key="ASIAFAKE", secret_key=SECRET, token=TOKEN, expires_at=WHEN, clock_offset=offset
    )
    clock = FakeClock(WHEN - offset - timedelta(seconds=1))
    source = CallableSource(lambda: answer, clock=clock)

    assert source.get() is answer

    clock.tick(1)

    with pytest.raises(CredentialsExpired):
        source.get()


# ── coroutines ───────────────────────────────────────────────────────────────────────────


async def fetch_later() -> dict[str, Any]:
    return METADATA


async def generate_later() -> Any:
    yield METADATA


class Later:
    async def __call__(self) -> dict[str, Any]:
        return METADATA


@pytest.mark.parametrize(
    "fetch",
    [fetch_later, generate_later, Later(), functools.partial(fetch_later)],
    ids=["function", "generator", "object", "partial"],
)
def test_a_coroutine_function_is_refused_at_once(fetch: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match="is a coroutine function"):
        CallableSource(fetch)


def test_a_returned_coroutine_is_refused_and_closed() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FetchError, match=r"returned coroutine.*plain function") as caught:
            CallableSource(lambda: fetch_later(), name="fetch").get()
        assert caught.value.retryable is False
        del caught
        gc.collect()


@pytest.mark.parametrize("fetch", [None, METADATA, "fetch"], ids=["None", "dict", "str"])
def test_what_cannot_be_called_is_refused_at_once(fetch: Any) -> None:
    with pytest.raises(TypeError, match="must be a callable that returns credentials, got"):
        CallableSource(fetch)


# ── what it raises ───────────────────────────────────────────────────────────────────────


def test_what_the_callable_raises_is_wrapped_and_chained() -> None:
    error = ValueError("the vault is sealed\nand more")

    with pytest.raises(FetchError, match=r"ValueError: the vault is sealed$") as caught:
        raising(error).get()

    assert caught.value.__cause__ is error
    assert caught.value.retryable is True


def test_what_the_callable_raises_may_say_whether_to_retry() -> None:
    error = ValueError("no such role")
    error.retryable = False  # type: ignore[attr-defined]

    with pytest.raises(FetchError) as caught:
        raising(error).get()

    assert caught.value.retryable is False


@pytest.mark.parametrize(
    "error",
    [AccessDenied("hop 0: STS says AccessDenied"), KeyboardInterrupt()],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_ours_and_ctrl_c_are_passed_on(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        raising(error).get()

    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (ClientError({"Error": {"Code": "AccessDenied"}}, "AssumeRole"), AccessDenied),
        (ClientError({"Error": {"Code": "AccessDenied"}}, "GetSecretValue"), AccessDenied),
        (ClientError({}, "AssumeRole"), FetchError),
        (NoCredentialsError(), CredentialsExpired),
    ],
)
def test_errors_of_botocore_are_ours_as_well(error: Exception, ours: type[FetchError]) -> None:
    with pytest.raises(type(error)) as caught:
        raising(error).get()

    assert isinstance(caught.value, ours)
    assert str(caught.value).startswith("fetch: ")


@pytest.mark.parametrize(
    "message",
    [
        f"cannot use {REALISTIC_SECRET} here",
        f"unexpected answer {INNER}",
        f"bad request: secret_access_key={SECRET}&x=1",
        f'{{"SessionToken": "{TOKEN}"}}',
        f"password: {SECRET}",
    ],
)
def test_a_message_with_what_looks_like_a_secret_is_redacted_and_not_chained(message: str) -> None:
    with pytest.raises(FetchError, match="raised ValueError: ") as caught:
        raising(ValueError(message)).get()

    told = shown(caught.value)
    for secret in (SECRET, TOKEN, REALISTIC_SECRET):
        assert secret not in told
    assert caught.value.__context__ is None
    assert "[redacted]" in told


@pytest.mark.parametrize("place", ["message", "second line", "cause", "context", "note"])
def test_a_secret_handed_out_before_is_known_wherever_it_stands(place: str) -> None:
    answers = [METADATA]

    def fetch() -> object:
        if answers:
            return answers.pop()
        error = ValueError({"message": f"{SECRET}", "second line": f"x\n{SECRET}"}.get(place, "x"))
        if place == "note":
            error.__notes__ = [f"seen: {SECRET}"]  # type: ignore[attr-defined]
        if place == "cause":
            raise error from RuntimeError(SECRET)
        if place == "context":
            try:
                raise RuntimeError(SECRET)
            except RuntimeError:
                raise error  # noqa: B904 - the context is what is tested
        raise error

    source = CallableSource(fetch, name="fetch", clock=FakeClock())
    source.get()

    with pytest.raises(FetchError) as caught:
        source.get()

    assert SECRET not in shown(caught.value)


def test_an_ordinary_message_is_left_alone() -> None:
    """Paths and ARNs are long, and are what helps."""
    message = (
        "no /srv/projects/company/platform/service/credentials/current for "
        "arn:aws:iam::123456789012:role/teams/platform/deployer-of-everything"
    )

    with pytest.raises(FetchError) as caught:
        raising(OSError(message)).get()

    assert message in str(caught.value)
    assert caught.value.__cause__ is not None


def test_an_endless_message_is_cut() -> None:
    with pytest.raises(FetchError) as caught:
        raising(ValueError("x y " * 10_000)).get()

    assert len(str(caught.value)) < 300


def test_an_exception_that_cannot_be_printed_is_named() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    with pytest.raises(FetchError, match=r"^fetch raised Mute$"):
        raising(Mute()).get()


# ── the rest ─────────────────────────────────────────────────────────────────────────────


def test_its_name_is_the_callables() -> None:
    class Fetcher:
        def __call__(self) -> object:
            return METADATA

        def fetch(self) -> object:
            return METADATA

    assert "test_custom.fetch_now)" in repr(CallableSource(fetch_now))
    assert "test_custom.fetch_now)" in repr(CallableSource(functools.partial(fetch_now)))
    assert "Fetcher" in repr(CallableSource(Fetcher()))
    assert "Fetcher.fetch" in repr(CallableSource(Fetcher().fetch))
    assert repr(CallableSource(fetch_now, name="the vault")) == "CallableSource(the vault)"


def fetch_now() -> object:
    return METADATA


def test_arguments_bound_to_the_callable_are_not_shown() -> None:
    def fetch(password: str) -> object:
        return METADATA

    assert SECRET not in repr(CallableSource(functools.partial(fetch, SECRET)))


def test_it_does_not_pickle() -> None:
    source = CallableSource(fetch_now, clock=FakeClock())
    source.get()

    with pytest.raises(TypeError, match="does not pickle"):
        pickle.dumps(source)


def test_errors_pickle_without_secrets() -> None:
    with pytest.raises(FetchError) as caught:
        source_of({**METADATA, "expiry_time": None}).get()

    pickled = pickle.dumps(caught.value)

    assert SECRET.encode() not in pickled
    assert str(pickle.loads(pickled)) == str(caught.value)


def test_nothing_is_logged_of_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        source_of(METADATA).get()

    assert SECRET not in caplog.text


def test_an_mfa_code_that_is_asked_for_inside_is_passed_on() -> None:
    with pytest.raises(MFARequired):
        raising(MFARequired("no terminal")).get()
