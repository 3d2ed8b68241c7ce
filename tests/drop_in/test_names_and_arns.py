"""The functions beside `assume_role` that build ARNs and session names for Lambda functions."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any

import boto3
import pytest
from actors import name_of

import rolecall
from rolecall.testing import StrictCloud

# ── get_role_arn ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "keywords", "expected"),
    [
        (("123456789012", "Reader"), {}, "arn:aws:iam::123456789012:role/Reader"),
        ((123456789012, "Reader"), {}, "arn:aws:iam::123456789012:role/Reader"),
        ((42, "Reader"), {}, "arn:aws:iam::000000000042:role/Reader"),
        (("42", "Reader"), {}, "arn:aws:iam::000000000042:role/Reader"),
        (("42", "team/Reader"), {}, "arn:aws:iam::000000000042:role/team/Reader"),
        (("42", "/team/data/Reader"), {}, "arn:aws:iam::000000000042:role/team/data/Reader"),
        (("42", "/Reader"), {}, "arn:aws:iam::000000000042:role/Reader"),
        (("42", "Reader", "team"), {}, "arn:aws:iam::000000000042:role/team/Reader"),
        (("42", "Reader"), {"path": "/team"}, "arn:aws:iam::000000000042:role/team/Reader"),
        (("42", "Reader"), {"path": "team/"}, "arn:aws:iam::000000000042:role/team/Reader"),
        (("42", "Reader"), {"path": "/team/"}, "arn:aws:iam::000000000042:role/team/Reader"),
        (("42", "Reader"), {"path": "/a/b/"}, "arn:aws:iam::000000000042:role/a/b/Reader"),
        (("42", "Reader"), {"path": "/"}, "arn:aws:iam::000000000042:role/Reader"),
        (("42", "Reader"), {"path": ""}, "arn:aws:iam::000000000042:role/Reader"),
        (("42", "Reader"), {"partition": "aws-cn"}, "arn:aws-cn:iam::000000000042:role/Reader"),
        (
            (),
            {"account_id": 42, "role_name": "Reader", "path": "a", "partition": "aws-us-gov"},
            "arn:aws-us-gov:iam::000000000042:role/a/Reader",
        ),
    ],
)
def test_the_arn_of_a_role_is_put_together(
    arguments: tuple[Any, ...], keywords: dict[str, Any], expected: str
) -> None:
    assert rolecall.get_role_arn(*arguments, **keywords) == expected


def test_a_path_in_the_name_and_beside_it_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="path"):
        rolecall.get_role_arn("123456789012", "team/Reader", path="data")


def test_the_arn_of_a_role_is_accepted_by_assume_role(parent: boto3.Session) -> None:
    arn = rolecall.get_role_arn(210987654321, "/team/Reader")

    assert rolecall.assume_role(parent, arn).chain is not None


# ── get_assumed_role_session_arn ─────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "keywords", "expected"),
    [
        (("123456789012", "Reader", "me"), {}, "123456789012:assumed-role/Reader/me"),
        ((42, "Reader", "me"), {}, "000000000042:assumed-role/Reader/me"),
        (("42", "team/Reader", "me"), {}, "000000000042:assumed-role/Reader/me"),
        (("42", "/team/data/Reader", "me"), {}, "000000000042:assumed-role/Reader/me"),
        (
            (),
            {"account_id": "42", "role_name": "Reader", "role_session_name": "me"},
            "000000000042:assumed-role/Reader/me",
        ),
    ],
)
def test_the_arn_of_a_role_session_is_of_sts_and_without_the_path(
    arguments: tuple[Any, ...], keywords: dict[str, Any], expected: str
) -> None:
    arn = rolecall.get_assumed_role_session_arn(*arguments, **keywords)

    assert arn == f"arn:aws:sts::{expected}"


def test_the_arn_of_a_role_session_has_the_partition_that_is_given() -> None:
    arn = rolecall.get_assumed_role_session_arn("42", "Reader", "me", "aws-cn")

    assert arn == "arn:aws-cn:sts::000000000042:assumed-role/Reader/me"


def test_the_arn_of_a_role_session_is_the_one_that_sts_tells(parent: boto3.Session) -> None:
    arn = rolecall.get_role_arn(210987654321, "/team/Reader")
    child = rolecall.assume_role(parent, arn, RoleSessionName="me")

    expected = rolecall.get_assumed_role_session_arn(210987654321, "/team/Reader", "me")
    assert child.get_credentials().whoami().arn == expected


# ── generate_lambda_session_name ─────────────────────────────────────────────────────────

NAME = "AWS_LAMBDA_FUNCTION_NAME"
VERSION = "AWS_LAMBDA_FUNCTION_VERSION"
STREAM = "AWS_LAMBDA_LOG_STREAM_NAME"
SANDBOX = "0123456789abcdef0123456789abcdef"
LOG_STREAM = f"2026/11/21/[$LATEST]{SANDBOX}"


@pytest.mark.parametrize(
    ("environ", "arguments", "expected"),
    [
        pytest.param(
            {NAME: "billing", STREAM: LOG_STREAM}, {}, f"billing.{SANDBOX}", id="all found"
        ),
        pytest.param(
            {NAME: "billing", VERSION: "$LATEST", STREAM: LOG_STREAM},
            {},
            f"billing.{SANDBOX}",
            id="$LATEST is dropped",
        ),
        pytest.param(
            {NAME: "billing", VERSION: "", STREAM: LOG_STREAM},
            {},
            f"billing.{SANDBOX}",
            id="an empty version is dropped",
        ),
        pytest.param(
            {NAME: "billing", VERSION: "7", STREAM: LOG_STREAM},
            {},
            f"billing.7.{SANDBOX}",
            id="a version is kept",
        ),
        pytest.param(
            {NAME: "x", VERSION: "8", STREAM: LOG_STREAM},
            {"function_name": "billing", "function_version": "7", "identifier": "me"},
            "billing.7.me",
            id="arguments win",
        ),
        pytest.param(
            {},
            {"function_name": "billing", "function_version": 7, "identifier": "me"},
            "billing.7.me",
            id="a version may be a number",
        ),
        pytest.param(
            {STREAM: LOG_STREAM},
            {"function_name": "billing", "function_version": "$LATEST"},
            f"billing.{SANDBOX}",
            id="$LATEST as an argument is dropped",
        ),
        pytest.param(
            {},
            {"function_name": "n" * 60, "identifier": "me"},
            "n" * 60,
            id="60: no room for an identifier",
        ),
        pytest.param(
            {},
            {"function_name": "n" * 70, "identifier": "me"},
            "n" * 64,
            id="70: the name is cut",
        ),
        pytest.param(
            {STREAM: LOG_STREAM},
            {"function_name": "n" * 59},
            "n" * 59 + ".0123",
            id="59: four characters of the identifier",
        ),
        pytest.param(
            {STREAM: LOG_STREAM},
            {"function_name": "n" * 55, "function_version": "123"},
            "n" * 55 + ".123." + SANDBOX[:4],
            id="59 with the version: both stay",
        ),
        pytest.param(
            {STREAM: LOG_STREAM},
            {"function_name": "n" * 55, "function_version": "1234"},
            "n" * 55 + "." + SANDBOX[:8],
            id="60 with the version: the version goes",
        ),
        pytest.param(
            {},
            {"function_name": "billing", "identifier": "i" * 80},
            "billing." + "i" * 56,
            id="an identifier is cut",
        ),
        pytest.param(
            {},
            {"function_name": "bil ling/ä", "identifier": "a:b"},
            "bil_ling_.a_b",
            id="other characters become one _",
        ),
        pytest.param(
            {},
            {"function_name": "a+b", "identifier": "_=,.@-"},
            "a_b._=,.@-",
            id="a plus is another character",
        ),
        pytest.param(
            {NAME: "billing", STREAM: "2026/11/21/[7]word"},
            {},
            "billing.word",
            id="the trailing word of the stream",
        ),
    ],
)
def test_the_name_of_a_lambda_functions_session(
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    arguments: dict[str, Any],
    expected: str,
) -> None:
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)

    assert rolecall.generate_lambda_session_name(**arguments) == expected


def test_without_a_function_name_it_is_a_key_error() -> None:
    with pytest.raises(KeyError, match=NAME):
        rolecall.generate_lambda_session_name()


@pytest.mark.parametrize("stream", [None, "", "2026/11/21/[7]-"])
def test_without_a_log_stream_the_identifier_is_a_timestamp_of_twenty_digits(
    monkeypatch: pytest.MonkeyPatch, stream: str | None
) -> None:
    if stream is not None:
        monkeypatch.setenv(STREAM, stream)
    before = datetime.now(timezone.utc)

    name = rolecall.generate_lambda_session_name("billing")

    found = re.fullmatch(r"billing\.(\d{20})", name)
    assert found is not None, name
    made = datetime.strptime(f"{found[1]}+0000", "%Y%m%d%H%M%S%f%z")
    assert before <= made <= datetime.now(timezone.utc)


@pytest.mark.parametrize(
    ("length", "pattern"),
    [
        (43, r"n{43}\.\d{20}"),
        (44, r"n{44}\.\d{19}"),
        (49, r"n{49}\.\d{14}"),
        (50, r"n{50}\.[a-z0-9]{13}"),
        (59, r"n{59}\.[a-z0-9]{4}"),
        (60, r"n{60}"),
    ],
)
def test_where_less_than_fourteen_digits_fit_the_identifier_is_random(
    length: int, pattern: str
) -> None:
    names = {rolecall.generate_lambda_session_name("n" * length) for _ in range(20)}

    assert all(re.fullmatch(pattern, name) for name in names), names
    if "a-z" in pattern:
        assert len(names) > 1


def test_the_name_of_a_lambda_functions_session_is_accepted_by_sts(
    strict_cloud: StrictCloud, parent: boto3.Session
) -> None:
    name = rolecall.generate_lambda_session_name("billing", "7", "sandbox")

    assert (
        name_of(
            rolecall.assume_role(
                parent, "arn:aws:iam::210987654321:role/Reader", RoleSessionName=name
            )
        )
        == "billing.7.sandbox"
    )


# ── the names themselves ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name",
    [
        "AUTOMATIC_ROLE_SESSION_NAME",
        "JSONFileCache",
        "__version__",
        "assume_role",
        "generate_lambda_session_name",
        "get_assumed_role_session_arn",
        "get_role_arn",
        "patch_boto3",
    ],
)
def test_every_name_that_programs_import_is_there(name: str) -> None:
    assert hasattr(rolecall, name)
    assert name in rolecall.__all__
