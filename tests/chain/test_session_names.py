"""Session names say where a program runs, and are always legal."""

from __future__ import annotations

import re
from datetime import datetime, timezone

import pytest
from cases import vectors
from hypothesis import example, given
from hypothesis import strategies as st

from rolecall.chain import (
    AUTOMATIC_ROLE_SESSION_NAME,
    clean,
    generate_lambda_session_name,
    session_name,
)
from rolecall.testing.clock import FakeClock

LEGAL = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")
CLOCK = FakeClock(datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc))
TELLING = [
    "AWS_ROLE_SESSION_NAME", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_LOG_STREAM_NAME", "GITHUB_REPOSITORY", "GITHUB_WORKFLOW", "GITHUB_RUN_ID",
    "CI_PROJECT_PATH", "CI_JOB_ID", "ECS_CONTAINER_METADATA_URI_V4", "KUBERNETES_SERVICE_HOST",
    "POD_NAMESPACE", "HOSTNAME",
]  # fmt: skip


def named(environ, user="alice", host="laptop"):
    return session_name(environ, clock=CLOCK, user=user, host=host, rng=lambda: 0.0)


def lambda_named(*arguments, rng=lambda: 0.0, **environ):
    return generate_lambda_session_name(*arguments, environ=environ, clock=CLOCK, rng=rng)


@pytest.mark.parametrize("case", vectors("session_names"))
def test_the_name_says_where_the_program_runs(case):
    user, host = case.get("user", "alice"), case.get("host", "laptop")

    assert case["name"] == named(case["environ"], user, host)


@given(
    st.dictionaries(st.sampled_from(TELLING), st.text(max_size=100))
    | st.dictionaries(st.sampled_from(TELLING), st.text("ab-/.", min_size=50, max_size=100)),
    st.sampled_from([{}, {"GITHUB_ACTIONS": "true"}, {"GITLAB_CI": "true"}]),
    st.text(),
    st.text(),
)
def test_a_name_is_legal_wherever_it_is_made(environ, ci, user, host):
    assert LEGAL.fullmatch(named({**environ, **ci}, user, host))


@given(st.text())
@example("")
@example("!")
@example("a")
@example("." * 70)
@example(AUTOMATIC_ROLE_SESSION_NAME)
@example("é" * 200)
def test_a_cleaned_name_is_legal_and_clean(text):
    cleaned = clean(text)

    assert LEGAL.fullmatch(cleaned)
    assert cleaned == clean(cleaned)


@given(st.from_regex(LEGAL, fullmatch=True))
def test_a_legal_name_stays_as_it_is(name):
    assert name == clean(name)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a b//c", "a_b_c"),
        ("Jürgen Müßig", "Jurgen_Mu_ig"),
        (" padded ", "padded"),
        ("x", "x_"),
        ("数据", "rolecall"),
        ("x" * 63 + "-tail", "x" * 63),
    ],
)
def test_names_are_cleaned_sensibly(text, cleaned):
    assert cleaned == clean(text)


def test_the_run_of_a_job_is_never_cut():
    environ = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "1" * 20}
    environ |= {"GITHUB_REPOSITORY": "r" * 99, "GITHUB_WORKFLOW": "w" * 99}

    name = named(environ)

    assert len(name) == 64
    assert name.endswith("." + "1" * 20)


def test_without_arguments_the_process_is_asked(monkeypatch):
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "from-the-process")

    assert session_name() == "from-the-process"


def test_user_and_host_are_asked_for_where_not_given(monkeypatch):
    monkeypatch.setenv("LOGNAME", "bob")

    assert session_name({}, host="desk") == "bob@desk"
    assert LEGAL.fullmatch(session_name({}))


def test_a_uid_without_a_name_still_gets_a_session_name(monkeypatch):
    def nobody():
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nobody)

    assert session_name({}, host="box") == "box"


N59, N60, N64 = "n" * 59, "n" * 60, "n" * 64


@pytest.mark.parametrize(
    ("arguments", "environ", "name"),
    [
        (("f", "1", "id"), {}, "f.1.id"),
        (("f", 7, "id"), {}, "f.7.id"),
        (("f", None, "id"), {"AWS_LAMBDA_FUNCTION_VERSION": "3"}, "f.3.id"),
        (("f", "$LATEST", "id"), {}, "f.id"),
        (("f", "", "id"), {"AWS_LAMBDA_FUNCTION_VERSION": ""}, "f.id"),
        ((None, None, "id"), {"AWS_LAMBDA_FUNCTION_NAME": "g"}, "g.id"),
        (("f",), {"AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/31/[$LATEST]abc123"}, "f.abc123"),
        (("f",), {"AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/31/[$LATEST]"}, "f.20260102030405000000"),
        (("f",), {}, "f.20260102030405000000"),
        (("n" * 49,), {}, "n" * 49 + ".20260102030405"),
        (("n" * 50,), {}, "n" * 50 + "." + "a" * 13),
        ((N59,), {}, N59 + ".aaaa"),
        ((N59, "1", "identifier"), {}, N59 + ".iden"),
        (("n" * 56, "12", "identifier"), {}, "n" * 56 + ".12.iden"),
        (("n" * 57, "12", "identifier"), {}, "n" * 57 + ".identi"),
        ((N60, "1", "id"), {}, N60),
        ((N64 + "n", "1", "id"), {}, N64),
        (("f a+b", "1", "x/$y"), {}, "f_a_b.1.x_y"),
        (("f",), {"AWS_LAMBDA_LOG_STREAM_NAME": "x" * 80}, "f." + "x" * 62),
    ],
)
def test_a_lambda_function_is_named_by_name_version_and_sandbox(arguments, environ, name):
    if len(arguments) > 1 and arguments[0] == "n" * 56:
        name = name[:64]

    assert name == lambda_named(*arguments, **environ)


def test_without_a_function_there_is_no_lambda_name():
    with pytest.raises(KeyError, match="AWS_LAMBDA_FUNCTION_NAME"):
        lambda_named()


def test_random_identifiers_use_all_letters_and_digits():
    chances = iter([0.0, 25.5 / 36, 26.5 / 36, 0.999999])

    assert lambda_named(N59, rng=lambda: next(chances)) == N59 + ".az09"


def test_the_lambda_name_reads_the_process_environment_by_default(monkeypatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    monkeypatch.setenv("AWS_LAMBDA_LOG_STREAM_NAME", "[1]feed")

    assert generate_lambda_session_name() == "orders.feed"
