"""``rolecall exec --via process``: the child's credential_process names the same role, anywhere."""

from __future__ import annotations

import json
import shlex

import pytest
from command_line import WHO, Desk, role_of

from rolecall.cli.options import Asked
from rolecall.cli.rewording import for_a_profile, who
from rolecall.errors import ConfigError

POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
)


def elsewhere(desk: Desk) -> list[str]:
    """Return a program that goes to another directory before it looks who it is."""
    return ["sh", "-c", f"cd / && exec {shlex.join(desk.python(WHO))}"]


@pytest.mark.parametrize("variable", ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"])
def test_a_file_that_was_named_from_here_is_found_from_elsewhere(desk: Desk, variable: str) -> None:
    name = {"AWS_CONFIG_FILE": "config", "AWS_SHARED_CREDENTIALS_FILE": "credentials"}[variable]
    desk.environ[variable] = f".aws/{name}"

    found = desk.run("exec", "reader", "--via", "process", program=elsewhere(desk), cwd=desk.home)

    assert found.code == 0, found.err
    assert role_of(found.out) == "Reader"


def test_a_policy_file_that_was_named_from_here_is_found_from_elsewhere(desk: Desk) -> None:
    (desk.home / "policy.json").write_text(POLICY)

    found = desk.run(
        "exec", "reader", "--via", "process", "--policy", "file://policy.json",
        program=elsewhere(desk), cwd=desk.home,
    )  # fmt: skip

    assert found.code == 0, found.err
    assert role_of(found.out) == "Reader"


def test_words_of_several_lines_do_not_break_the_childs_config(desk: Desk) -> None:
    policy = POLICY.replace("{", "{\n").replace("}", "\n}")

    found = desk.run(
        "exec", "reader", "--via", "process", "--policy", policy, program=desk.python(WHO)
    )

    assert found.code == 0, found.err
    assert role_of(found.out) == "Reader"


def test_a_source_in_the_environment_is_still_the_source(desk: Desk) -> None:
    """The child has not got it; its credential_process has."""
    keys = desk.cloud.environ()
    desk.environ |= {name: keys[name] for name in keys if name.startswith("AWS_")}
    desk.environ["ROLECALL_STORE"] = "memory"  # or it would not be asked again

    found = desk.run("exec", desk.arns["deploy"], "--via", "process", program=desk.python(WHO))

    assert (found.code, found.err) == (0, "")
    assert role_of(found.out) == "Deploy"


def test_the_words_of_a_role_are_given_on(desk: Desk) -> None:
    found = desk.run(
        "exec", desk.arns["deploy"], "--via", "process", "--profile", "hub",
        "--via", desk.arns["reader"], "--session-name", "fake-name", "--duration", "15m",
        program=desk.python(WHO),
    )  # fmt: skip

    assert (found.code, found.err) == (0, "")
    assert found.out.endswith("assumed-role/Deploy/fake-name\n")


@pytest.mark.parametrize("hard", ["a #b", "a ;b", "a\t#b", "a\t;b", "a\nb", "a\rb"])
def test_words_that_a_profile_would_cut_off_are_refused(hard: str) -> None:
    """A comment for some SDKs: without what follows, it might be a role that may do more."""
    for asked in (Asked(role="reader", session_name=hard), Asked(role=hard)):
        with pytest.raises(ConfigError):
            for_a_profile(asked)
    assert for_a_profile(Asked(role="a#b;c")) == ["--", "a#b;c"]


def test_a_code_is_asked_for_with_all_words_of_the_same_role() -> None:
    asked = Asked(role="reader", session_name="a b", mfa_session="0", tags=["k=v", "l=w"])

    words = shlex.split(who(asked))

    assert words[:2] == ["rolecall", "whoami"]
    assert words[-1] == "reader"
    assert set(words[2:-1]) == {"--session-name=a b", "--mfa-session=0", "--tag=k=v", "--tag=l=w"}
