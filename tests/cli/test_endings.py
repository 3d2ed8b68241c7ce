"""How commands end badly: the exit code, what is said, and that data goes nowhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from command_line import SECONDS, SERIAL, Desk, Ended

Run = Callable[..., Ended]


def hint_of(found: Ended) -> str:
    """Return the last line of what was said, which tells what to do."""
    _, _, hint = found.err.rstrip().rpartition("\n  hint: ")
    assert hint, found.err
    return hint


@pytest.fixture(params=["export", "exec", "whoami", "console"])
def command(request: pytest.FixtureRequest) -> str:
    """A command that wants the credentials of a role."""
    name: str = request.param
    return name


def asked(command: str, *words: str) -> list[str]:
    behind = ["--", "echo", "started"] if command == "exec" else []
    return [command, *words, *behind]


def test_what_aws_refuses_is_1(desk: Desk, rolecall: Run, command: str) -> None:
    arn = desk.add_role("closed")
    desk.cloud.trust(arn, ["999999999999"])

    found = rolecall(*asked(command, "closed"))

    assert (found.code, found.out) == (1, "")
    assert found.err.startswith("rolecall: ")
    assert arn in found.err
    assert "AccessDenied" in found.err
    assert hint_of(found)


def test_what_is_not_to_be_reached_is_1(desk: Desk, rolecall: Run) -> None:
    desk.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    desk.environ["AWS_MAX_ATTEMPTS"] = "1"

    found = rolecall("export", "reader")

    assert (found.code, found.out) == (1, "")
    assert desk.arns["reader"] in found.err


def test_a_profile_that_is_not_there_is_2(rolecall: Run, command: str) -> None:
    found = rolecall(*asked(command, "raeder"))

    assert (found.code, found.out) == (2, "")
    assert "'raeder'" in found.err
    assert "'reader'" in hint_of(found)


def test_profiles_that_go_round_are_2(desk: Desk, rolecall: Run) -> None:
    for one, other in (("one", "two"), ("two", "one")):
        desk.add_role(one, source=other)

    found = rolecall("export", "one")

    assert (found.code, found.out) == (2, "")
    assert "one -> two -> one" in found.err
    assert hint_of(found)


def test_a_chain_with_problems_is_2_and_all_are_told(rolecall: Run) -> None:
    found = rolecall(
        "export", "arn:aws:iam::123456789012:role/x", "--profile", "hub", "--session-name", "a b",
        "--duration", "13h", "--external-id", "?", "--source-identity", "é", "--tag", "=v",
        "--via", "arn:aws:iam::12:role/short",
    )  # fmt: skip

    assert (found.code, found.out) == (2, "")
    assert "12:role/short" in found.err
    found = rolecall(
        "export", "reader", "--session-name", "a b", "--duration", "13h", "--external-id", "?",
        "--source-identity", "é",
    )  # fmt: skip
    assert (found.code, found.out) == (2, "")
    for word in ("RoleSessionName", "DurationSeconds", "ExternalId", "SourceIdentity"):
        assert f"hop 0: {word}: " in found.err


def test_options_that_are_wrong_are_2_and_all_are_told(rolecall: Run) -> None:
    found = rolecall(
        "export", "reader", "--profile", "hub", "--via", "deploy", "--tag", "keyonly",
        "--duration", "soon", "--mfa-session", "later", "--policy", "file:///no/such/policy",
        "--mfa-command", "'open",
    )  # fmt: skip

    assert (found.code, found.out) == (2, "")
    for word in ("--profile", "--via", "--tag keyonly", "--duration soon", "--mfa-session later",
                 "/no/such/policy", "--mfa-command"):  # fmt: skip
        assert word in found.err, word
    assert found.err.count("rolecall: ") == 1


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["expert"],
        ["export"],
        ["export", "reader", "deploy"],
        ["export", "reader", "--no-such-option"],
        ["export", "reader", "--format", "csv"],
        ["exec"],
        ["exec", "reader", "--"],
        ["exec", "reader", "aws", "s3", "ls"],
        ["exec", "reader", "--via", "magic", "--", "true"],
        ["exec", "reader", "--via", "env", "--via", "process", "--", "true"],
        ["exec", "reader", "--refresh-before", "soon", "--", "true"],
        ["export", "reader", "--refresh-before", "soon"],
        ["export", "reader", "--refresh-before", "2h"],
        ["export", "reader", "--mfa-session", "-1"],
    ],
)
def test_a_command_line_that_does_not_add_up_is_2(rolecall: Run, words: list[str]) -> None:
    found = rolecall(*words)

    assert (found.code, found.out) == (2, "")
    assert found.err
    assert "Traceback" not in found.err


def test_a_wrong_word_is_told_what_may_be_meant(rolecall: Run) -> None:
    assert "Did you mean export" in rolecall("expert").err
    assert "exec reader -- aws" in rolecall("exec", "reader", "aws", "s3", "ls").err


def test_no_source_credentials_are_3(desk: Desk, rolecall: Run, command: str) -> None:
    desk.profile("profile bare", region="us-east-2")
    desk.add_role("orphan", source="bare")

    found = rolecall(*asked(command, "orphan"))

    assert (found.code, found.out) == (3, "")
    assert "bare" in found.err
    assert hint_of(found)
    assert rolecall(*asked(command, desk.arns["reader"])).code == 3


def test_source_credentials_that_have_ended_are_3(desk: Desk, rolecall: Run) -> None:
    gone = desk.cloud.session().client("sts", region_name="us-east-2").get_session_token()
    keys = gone["Credentials"]
    desk.cloud.revoke(keys["AccessKeyId"])
    desk.default_keys(
        **desk.keys(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    )
    desk.add_role("late", source="default")

    found = rolecall("export", "late")

    assert (found.code, found.out) == (3, "")
    assert "Expired" in found.err
    assert hint_of(found)
    assert keys["SecretAccessKey"] not in found.err
    assert keys["SessionToken"] not in found.err


def test_a_code_that_nobody_can_be_asked_for_is_3(desk: Desk) -> None:
    desk.add_role("guarded", mfa_serial=SERIAL)

    found = desk.run("export", "guarded")

    assert (found.code, found.out) == (3, "")
    assert SERIAL in found.err
    assert hint_of(found)


def test_a_users_own_keys_are_never_handed_out(desk: Desk, rolecall: Run) -> None:
    """But a session of theirs, as GetSessionToken makes it."""
    found = rolecall("export", "hub")
    assert (found.code, found.err) == (0, "")
    assert desk.secret not in found.out
    assert "AWS_SESSION_TOKEN" in found.out


def test_a_reader_that_has_enough_is_no_error(desk: Desk) -> None:
    done = subprocess.run(
        ["bash", "-c", "rolecall --help | head -n 1; rolecall export reader | true"],
        env=desk.environ, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip

    assert "Traceback" not in done.stderr
    assert done.stderr == ""


def test_without_the_extra_one_line_says_how_to_get_it(desk: Desk) -> None:
    program = "import sys; sys.modules['click'] = None; from rolecall.cli import main; "

    def run(words: list[str]) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-c", f"{program}sys.exit(main({words!r}))"],
            env=desk.environ, capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    code, out, err = run(["whoami", "reader"])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "'rolecall[cli]'" in err

    code, out, err = run(["credential-process", "reader"])
    assert (code, err) == (0, "")
    assert '"Version": 1' in out


def test_words_are_never_data_where_nobody_hears_them(desk: Desk) -> None:
    """Some supervisors start programs with standard error closed."""
    done = subprocess.run(
        ["bash", "-c", "rolecall export raeder 2>&-"],
        env=desk.environ, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("rolecall export reader >&-", 1),
        ("rolecall export reader >&- 2>&-", 1),
        ("rolecall whoami reader >&-", 1),
        ("rolecall exec reader -- sh -c 'exit 7' >&- 2>&-", 7),
        ("rolecall exec reader -- sh -c 'exit 7' <&-", 7),
        ("rolecall export reader >/dev/full", 1),
    ],
)
def test_data_that_goes_nowhere_is_an_error_and_no_more(desk: Desk, script: str, code: int) -> None:
    done = subprocess.run(
        ["bash", "-c", script], env=desk.environ, capture_output=True, text=True, timeout=SECONDS
    )

    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
