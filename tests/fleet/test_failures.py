"""What an exception says went wrong, told by its code; and nothing of it stays."""

from __future__ import annotations

import asyncio
import builtins
import concurrent.futures
import gc
import json
import pickle
import socket
import subprocess
import traceback
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    WaiterError,
)
from hypothesis import given
from hypothesis import strategies as st

from rolecall.errors import (
    AccessDenied,
    ConfigError,
    CredentialsExpired,
    MFARequired,
    StoreError,
    Throttled,
    Unreachable,
)
from rolecall.fleet.results.failures import failure_of, redacted, release
from rolecall.sources.refusals import translate

VECTORS = json.loads((Path(__file__).parent / "vectors" / "failures.json").read_text("utf-8"))
SECRET = "wFakeSecret0000000000000000000000000FAKE"
ARN = "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Administrator_0123456789abcdef/ann"


def refusal(
    code: str | None, status: int | None = None, operation: str = "ListThings", said: str = "no"
) -> ClientError:
    response: dict[str, Any] = {"ResponseMetadata": {"HTTPStatusCode": status}}
    if code is not None:
        response["Error"] = {"Code": code, "Message": said}
    return ClientError(response, operation)  # type: ignore[arg-type]


# Kinds


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: f"{case['code']}-{case.get('status')}")
def test_a_code_means_what_the_vectors_say(case: dict[str, Any]) -> None:
    error = refusal(case["code"], case.get("status"), case.get("operation", "ListThings"))

    failure = failure_of(error, region=case.get("region"))

    assert failure.kind == case["kind"], case["docs"]
    assert failure.code == case["code"]
    if "retryable" in case:
        assert failure.retryable is case["retryable"]


def test_every_vector_says_where_it_is_written() -> None:
    assert all(case["docs"] for case in VECTORS)


def test_throttling_and_timeouts_may_be_tried_again_and_refusals_may_not() -> None:
    by_kind: dict[str, set[bool]] = {}
    for case in VECTORS:
        failure = failure_of(refusal(case["code"], case.get("status")), region=case.get("region"))
        by_kind.setdefault(failure.kind, set()).add(failure.retryable)

    del by_kind["function"]
    assert by_kind == {
        "throttled": {True},
        "timeout": {True},
        "access_denied": {False},
        "region_disabled": {False},
    }


def test_a_pickled_modelled_exception_has_the_kind_that_it_had() -> None:
    client = boto3.client(
        "organizations",
        "us-east-1",
        aws_access_key_id="AKIAFAKE",
        aws_secret_access_key="fake-secret",
    )
    modelled = client.exceptions.AccessDeniedException(
        refusal("AccessDeniedException", 400).response, "ListAccounts"
    )

    arrived = pickle.loads(pickle.dumps(modelled))

    assert type(arrived) is not type(modelled)
    assert failure_of(arrived).kind == failure_of(modelled).kind == "access_denied"
    assert failure_of(arrived).message == failure_of(modelled).message


@pytest.mark.parametrize(
    "response",
    [
        {},
        {"Error": {}},
        {"Error": None},
        {"Error": {"Code": None}},
        {"Error": {"Code": ["odd"]}},
        {"Error": "AccessDenied", "ResponseMetadata": None},
        {"ResponseMetadata": {"HTTPStatusCode": "odd"}},
    ],
)
def test_an_answer_without_a_code_is_no_reason_to_fail(response: Any) -> None:
    error = refusal("made later")
    error.response = response

    failure = failure_of(error)

    assert (failure.kind, failure.code) == ("function", None)


def test_a_bare_error_of_another_server_is_read_too() -> None:
    error = ClientError({"Code": "AccessDenied", "Message": "no"}, "ListBuckets")  # type: ignore[typeddict-unknown-key]

    assert (failure_of(error).kind, failure_of(error).code) == ("access_denied", "AccessDenied")


@pytest.mark.parametrize(
    "error",
    [
        AccessDenied("hop 0: STS says AccessDenied", context={"code": "AccessDenied"}),
        CredentialsExpired("they are expired"),
        MFARequired("a code is needed"),
        Unreachable("nobody answers"),
        StoreError("the store is down"),
        ConfigError("the profile is not there"),
        translate(refusal("AccessDenied", 403, "AssumeRole"), "hop 0"),
        translate(ConnectTimeoutError(endpoint_url="http://127.0.0.1"), "hop 0"),
        NoCredentialsError(),
        CredentialRetrievalError(provider="sso", error_msg="signed out"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_keeps_a_role_from_being_assumed_is_its_own_kind(error: Exception) -> None:
    assert failure_of(error, region="eu-west-1").kind == "assume_role"


def test_sts_that_throttles_is_throttling() -> None:
    error = translate(refusal("ThrottlingException", 400, "AssumeRole"), "hop 0")

    failure = failure_of(error)

    assert isinstance(error, Throttled)
    assert (failure.kind, failure.retryable) == ("throttled", True)
    assert failure.code == "ThrottlingException"


def test_throttling_that_has_no_code_is_throttling() -> None:
    failure = failure_of(Throttled("too many calls"))

    assert (failure.kind, failure.retryable, failure.code) == ("throttled", True, None)


def test_sts_that_is_off_in_the_region_is_a_disabled_region() -> None:
    error = translate(refusal("RegionDisabledException", 403, "AssumeRole"), "hop 0")

    failure = failure_of(error)

    assert (failure.kind, failure.retryable) == ("region_disabled", False)


def test_an_error_of_ours_says_itself_whether_to_try_again() -> None:
    assert failure_of(Unreachable("nobody answers")).retryable is True
    assert failure_of(MFARequired("a code is needed")).retryable is False
    assert failure_of(Unreachable("gone", retryable=False)).retryable is False


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError("late"),
        socket.timeout("late"),  # noqa: UP041 - its own class was one of OSError's once
        concurrent.futures.TimeoutError(),
        asyncio.TimeoutError(),
        subprocess.TimeoutExpired("true", 3),
        ConnectTimeoutError(endpoint_url="http://127.0.0.1"),
        ReadTimeoutError(endpoint_url="http://127.0.0.1"),
    ],
    ids=lambda error: f"{type(error).__module__}.{type(error).__name__}",
)
def test_what_took_too_long_is_a_timeout(error: BaseException) -> None:
    failure = failure_of(error)

    assert (failure.kind, failure.retryable, failure.code) == ("timeout", True, None)


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (EndpointConnectionError(endpoint_url="http://127.0.0.1"), True),
        (ConnectionResetError("gone"), True),
        (ValueError("a bug"), False),
        (KeyError("a bug"), False),
        (KeyboardInterrupt(), False),
        (SystemExit(3), False),
    ],
    ids=lambda one: type(one).__name__,
)
def test_all_else_is_the_function_s_own(error: BaseException, retryable: bool) -> None:
    failure = failure_of(error, region="eu-west-1")

    assert (failure.kind, failure.retryable, failure.code) == ("function", retryable, None)
    assert failure.type == type(error).__name__


def test_a_failed_transfer_has_the_code_of_what_made_it_fail() -> None:
    """s3transfer says so in an error of boto3's, which has the code in its text only."""
    try:
        try:
            raise refusal("AccessDenied", 403, "PutObject")
        except ClientError as error:
            raise S3UploadFailedError(f"no upload: {error}")  # noqa: B904 - as boto3 does
    except S3UploadFailedError as error:
        failure = failure_of(error)

    assert (failure.kind, failure.code) == ("access_denied", "AccessDenied")


def test_a_waiter_that_was_refused_has_the_code_of_the_refusal() -> None:
    error = WaiterError("bucket_exists", "refused", refusal("AccessDenied", 403).response)

    assert (failure_of(error).kind, failure_of(error).code) == ("access_denied", "AccessDenied")


# Text


def test_a_message_says_what_the_error_says() -> None:
    failure = failure_of(refusal("AccessDenied", 403, said=f"User: {ARN} may not"))

    assert failure.message == (
        f"An error occurred (AccessDenied) when calling the ListThings operation: User: {ARN} "
        "may not"
    )


@pytest.mark.parametrize(
    "useful",
    [
        f"User: {ARN} is not authorized to perform: s3:ListAllMyBuckets",
        "RequestId: 7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "request 4442587FB7D0A2F9 was refused",
        "hop 1: STS says ExpiredToken: The security token is expired",
        "botocore.exceptions.TokenRetrievalError: Error when retrieving it",
        "botocore.exceptions.NoCredentialsError: Unable to locate credentials",
        "there are no source credentials: set AWS_PROFILE",
    ],
)
def test_what_is_useful_stays(useful: str) -> None:
    assert failure_of(RuntimeError(useful)).message == useful


@pytest.mark.parametrize(
    "text",
    [
        f"{{'SecretAccessKey': '{SECRET}'}}",
        f"the key is {SECRET}",
        "<SecretAccessKey>fake-secret</SecretAccessKey>",
        "aws_session_token=fake-secret",
        "password: 'fake-secret'",
        "https://fake.example/x?X-Amz-Signature=fake-secret&X-Amz-Expires=60",
        "redis://:fake-secret@127.0.0.1:6379/0",
        "https://ann:fake-secret@proxy.example:3128",
        "Authorization: Bearer fake-secret",
        f"{ARN} token=fake-secret",
    ],
)
def test_what_looks_like_a_secret_goes(text: str) -> None:
    def work() -> None:
        try:
            raise OSError(text)
        except OSError as error:
            raise RuntimeError(f"again: {text}") from error

    failure = failure_of(caught(work))

    for shown in (failure.message, failure.traceback, repr(failure)):
        assert SECRET not in shown
        assert "fake-secret" not in shown


@pytest.mark.parametrize(
    ("fits", "too_long"),
    [
        (f"token{'x' * 60}=fake-secret", f"token{'x' * 61}=fake-secret"),
        (f"a{'+' * 30}://ann:fake-secret@host", f"a{'+' * 31}://ann:fake-secret@host"),
    ],
    ids=["a name", "a scheme"],
)
def test_a_name_that_is_followed_by_a_secret_has_an_end(fits: str, too_long: str) -> None:
    """Without one, a text of many like beginnings takes minutes, in which no thread runs."""
    assert "fake-secret" not in redacted(fits)
    assert redacted(too_long) == too_long


@pytest.mark.parametrize(
    ("fits", "too_long"),
    [
        (f"Invalid{'x' * 40}Token: word", f"Invalid{'x' * 41}Token: word"),
        (f"InvalidToken{'x' * 40}: word", f"InvalidToken{'x' * 41}: word"),
        (f"token{'x' * 55}Error: word", f"xxxtoken{'x' * 53}Error: word"),
    ],
    ids=["before", "after", "error"],
)
def test_the_beginning_of_an_error_has_an_end(fits: str, too_long: str) -> None:
    assert redacted(fits) == fits
    assert "word" not in redacted(too_long)


@given(
    noise=st.sampled_from(["a-a-", "a.a.", "a+", "InvalidToken", "token", "Error", "arn:aws-"]),
    times=st.integers(0, 300),
    name=st.sampled_from(
        ["aws_secret_access_key", "X-Amz-Security-Token", "SecretAccessKey", "db-password"]
    ),
    error=st.sampled_from(
        ["ExpiredToken", "InvalidClientTokenIdException", "botocore.exceptions.ReadTimeoutError"]
    ),
)
def test_whatever_stands_around_it_a_secret_goes_and_the_rest_stays(
    noise: str, times: int, name: str, error: str
) -> None:
    around = f"{noise * times}\n"
    useful = f"{error}: The request of {ARN} was refused\n"
    secrets = [f"{name}=fake-secret", f"it is {SECRET}", "amqp+ssl://ann:fake-secret@host/x"]

    shown = redacted(around + useful + around + " , ".join(secrets) + f"\n{around}")

    assert useful in shown
    assert "fake-secret" not in shown
    assert SECRET not in shown


def test_a_message_is_short_and_keeps_its_start_and_end() -> None:
    failure = failure_of(RuntimeError("first " + "word " * 2_000 + "last"))

    assert len(failure.message) <= 1_000
    assert failure.message.startswith("first word")
    assert failure.message.endswith("word last")
    assert "[…]" in failure.message


@pytest.mark.parametrize("length", [999, 1_000, 1_001])
def test_a_message_is_shortened_only_where_it_must_be(length: int) -> None:
    text = "." * length

    message = failure_of(RuntimeError(text)).message

    assert (message == text) is (length <= 1_000)
    assert len(message) <= 1_000


def test_no_half_of_a_secret_stays_where_a_message_is_cut() -> None:
    for before in range(380, 520, 7):
        message = failure_of(RuntimeError("." * before + SECRET + "." * 1_000)).message

        assert "Secret000" not in message
        assert "000FAKE" not in message


def test_a_str_that_raises_breaks_nothing() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even that")

    failure = failure_of(caught(raising(Mute())))

    assert (failure.kind, failure.type, failure.message) == ("function", "Mute", "")
    assert "Mute" in failure.traceback


def test_text_that_no_file_takes_is_escaped() -> None:
    failure = failure_of(OSError("no such file: b\udce9b\u00e9"))

    assert failure.message == "no such file: b\\udce9b\u00e9"
    failure.traceback.encode()


def test_a_traceback_is_as_python_prints_it_with_its_causes() -> None:
    def work() -> None:
        try:
            {}["missing"]
        except KeyError as error:
            raise RuntimeError("no such thing") from error

    error = caught(work)

    failure = failure_of(error)

    printed = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert failure.traceback == printed
    assert "direct cause" in printed


def test_a_traceback_without_end_loses_its_middle() -> None:
    def deep(levels: int) -> None:
        if levels:
            # Alternating lines: Python prints a repeated line three times only.
            deep(levels - 1) if levels % 2 else wide(levels - 1)
        raise RuntimeError("the very last")

    def wide(levels: int) -> None:
        deep(levels)

    failure = failure_of(caught(lambda: deep(300)))

    assert len(failure.traceback) <= 20_000
    assert failure.traceback.startswith("Traceback (most recent call last)")
    assert failure.traceback.endswith("RuntimeError: the very last\n")
    assert "[…]" in failure.traceback


# Letting go


class Session:
    """Stands for what must not stay alive."""


def caught(work: Callable[[], object]) -> BaseException:
    try:
        work()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def raising(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


def plainly(session: Session) -> None:
    raise ValueError("plain")


def keeping_it(session: Session) -> None:
    try:
        raise ValueError("kept in a local variable")
    except ValueError as error:
        kept = error
        raise
    finally:
        assert kept


def chained(session: Session) -> None:
    try:
        plainly(session)
    except ValueError as error:
        raise RuntimeError("from") from error


def from_elsewhere(session: Session) -> None:
    error = caught(lambda: plainly(session))
    raise RuntimeError("from, and while handling nothing") from error


def while_handling(session: Session) -> None:
    try:
        chained(session)
    except RuntimeError:
        {}["while handling"]


def in_a_ring(session: Session) -> None:
    first, second = ValueError("first"), ValueError("second")
    try:
        raise first
    except ValueError:
        try:
            raise second from first
        except ValueError:
            first.__cause__ = second
            raise


def as_an_argument(session: Session) -> None:
    error = caught(lambda: plainly(session))
    raise RuntimeError("urllib3 does so", [error])


def as_an_attribute(session: Session) -> None:
    raise EndpointConnectionError(
        endpoint_url="http://127.0.0.1", error=caught(lambda: plainly(session))
    )


@dataclass(frozen=True)
class Frozen(Exception):
    number: int


def frozen(session: Session) -> None:
    raise Frozen(3)


def in_a_group(session: Session) -> None:
    error = caught(lambda: chained(session))
    group = getattr(builtins, "ExceptionGroup", RuntimeError)  # since Python 3.11
    raise group("group", [error, group("inner", [error])])


@pytest.mark.parametrize(
    "work",
    [
        plainly,
        keeping_it,
        chained,
        from_elsewhere,
        while_handling,
        in_a_ring,
        as_an_argument,
        as_an_attribute,
        frozen,
        in_a_group,
    ],
)
def test_a_failure_and_its_error_keep_no_session_alive(work: Callable[[Session], None]) -> None:
    session = Session()
    seen = weakref.ref(session)
    error = caught(partial(work, session))
    del session
    gc.collect()
    assert seen() is not None, "the traceback is what holds it"

    failure = failure_of(error)
    release(error)

    gc.collect()
    assert seen() is None
    assert failure.traceback


def test_a_failure_alone_keeps_nothing_of_its_error() -> None:
    session = Session()
    seen = weakref.ref(session)
    failures = [failure_of(caught(partial(while_handling, session))) for _ in range(3)]
    del session

    gc.collect()

    assert seen() is None
    assert len(failures) == 3


def test_releasing_leaves_the_words() -> None:
    error = caught(lambda: chained(Session()))

    release(error)

    assert error.__traceback__ is None
    assert isinstance(error.__cause__, ValueError)
    assert str(error.__cause__) == "plain"


@pytest.mark.parametrize(
    "code", ["AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException"]
)
def test_a_key_that_is_not_good_is_no_region_that_is_disabled(code: str) -> None:
    error = ClientError({"Error": {"Code": code, "Message": "no"}}, "DescribeThings")

    assert failure_of(error, region="us-east-1").kind == "access_denied"
    assert failure_of(error, region="af-south-1").kind == "region_disabled"
