"""A role is named by a profile: its chain is followed, and what does not add up is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import SERIAL, Desk, Ended

from rolecall.testing import StrictCloud
from rolecall.testing.cloud.faults import Fault
from rolecall.testing.cloud.request import Request


@pytest.fixture
def asked(cloud: StrictCloud) -> list[Request]:
    """What STS is asked for, oldest first, and who signs it."""
    seen: list[Request] = []
    cloud._up.faults.add(Fault(operation="sts:*", act=seen.append))
    return seen


@pytest.fixture
def get(rolecall: Callable[..., Ended]) -> Callable[..., Ended]:
    """Print the credentials of a role, in this process."""
    return lambda *words: rolecall("credential-process", *words)


def of(asked: list[Request]) -> list[tuple[str, str | None]]:
    """Return the operations that were asked for, and of which role."""
    return [(one.operation, one.parameters.get("RoleArn")) for one in asked]


def signer(request: Request) -> str:
    assert request.authorization is not None
    return request.authorization.access_key


def test_source_profiles_are_followed_role_by_role(
    desk: Desk, get: Callable[..., Ended], asked: list[Request]
) -> None:
    first = desk.add_role("first")
    second = desk.add_role("second", source="first")
    third = desk.add_role("third", source="second")

    ended = get("third")

    assert ended.code == 0, ended.err
    assert of(asked) == [("AssumeRole", arn) for arn in (first, second, third)]
    assert signer(asked[0]) == desk.cloud.credentials().access_key
    assert len({signer(one) for one in asked}) == 3


def test_each_value_of_a_profile_reaches_sts(
    desk: Desk, get: Callable[..., Ended], asked: list[Request]
) -> None:
    desk.add_role(
        "full",
        external_id="fake-external-id",
        duration_seconds="1800",
        role_session_name="fake-name",
    )

    ended = get("full")

    assert ended.code == 0, ended.err
    (request,) = asked
    values = request.parameters
    assert (values["ExternalId"], values["DurationSeconds"], values["RoleSessionName"]) == (
        "fake-external-id",
        "1800",
        "fake-name",
    )


def test_a_profile_with_an_mfa_device_asks_for_one_code_and_keeps_the_sign_in(
    desk: Desk, get: Callable[..., Ended], asked: list[Request]
) -> None:
    desk.add_role("one", mfa_serial=SERIAL)
    desk.add_role("two", mfa_serial=SERIAL)

    first = get("one", "--mfa-command", "echo 111222")
    second = get("two", "--mfa-command", "echo 111222")

    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert [name for name, _ in of(asked)] == ["GetSessionToken", "AssumeRole", "AssumeRole"]
    sign_in = asked[0].parameters
    assert (sign_in["SerialNumber"], sign_in["TokenCode"]) == (SERIAL, "111222")
    assert sign_in["DurationSeconds"] == str(12 * 3600)
    assert "SerialNumber" not in asked[1].parameters


def test_credential_source_is_the_environment_it_names(
    desk: Desk, get: Callable[..., Ended], asked: list[Request]
) -> None:
    user = desk.cloud.credentials(user="fake-ambient")
    desk.environ["AWS_ACCESS_KEY_ID"] = user.access_key
    desk.environ["AWS_SECRET_ACCESS_KEY"] = user.secret_key
    desk.profile(
        "profile ambient",
        role_arn=desk.arns["reader"],
        credential_source="Environment",
        region="us-east-2",
    )

    assert get("ambient").code == 0

    assert [signer(one) for one in asked] == [user.access_key]


def test_a_named_profile_wins_over_keys_in_the_environment(
    desk: Desk, get: Callable[..., Ended], asked: list[Request]
) -> None:
    stray = desk.cloud.credentials(user="fake-stray")
    desk.environ["AWS_ACCESS_KEY_ID"] = stray.access_key
    desk.environ["AWS_SECRET_ACCESS_KEY"] = stray.secret_key
    desk.environ["AWS_PROFILE"] = "deploy"

    assert get("reader").code == 0

    assert of(asked) == [("AssumeRole", desk.arns["reader"])]
    assert signer(asked[0]) == desk.cloud.credentials().access_key


def test_a_web_identity_token_file_is_sent_unsigned(
    desk: Desk, get: Callable[..., Ended], asked: list[Request], tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(desk.cloud.web_identity_token())
    desk.profile(
        "profile web",
        role_arn=desk.arns["reader"],
        web_identity_token_file=str(token),
        region="us-east-2",
    )
    onward = desk.add_role("onward", source="web")

    assert get("onward").code == 0

    assert of(asked) == [
        ("AssumeRoleWithWebIdentity", desk.arns["reader"]),
        ("AssumeRole", onward),
    ]
    assert asked[0].authorization is None


@pytest.fixture
def web(desk: Desk, tmp_path: Path) -> Callable[..., None]:
    """Write the profile ``web`` of a role that is assumed with a token."""
    token = tmp_path / "token"
    token.write_text(desk.cloud.web_identity_token())

    def web(**more: str) -> None:
        values = {"role_arn": desk.arns["reader"], "web_identity_token_file": str(token), **more}
        desk.profile("profile web", **values)

    return web


def test_options_of_a_web_identity_reach_sts(
    get: Callable[..., Ended], asked: list[Request], web: Callable[..., None]
) -> None:
    web(region="us-east-2", role_session_name="fake-profiles-own", duration_seconds="1200")
    policy = '{"Version": "2012-10-17", "Statement": []}'

    ended = get(
        *("web", "--session-name", "fake-name", "--duration", "30m", "--policy", policy),
        *("--policy-arn", "arn:aws:iam::aws:policy/ReadOnlyAccess"),
    )

    assert ended.code == 0, ended.err
    (request,) = asked
    values = request.parameters
    assert (values["RoleSessionName"], values["DurationSeconds"]) == ("fake-name", "1800")
    assert json.loads(values["Policy"]) == json.loads(policy)
    assert values["PolicyArns.member.1.arn"].endswith("/ReadOnlyAccess")
    assert request.authorization is None


def test_what_a_web_identity_has_no_place_for_is_refused_by_name(
    get: Callable[..., Ended], asked: list[Request], web: Callable[..., None]
) -> None:
    web(region="us-east-2")

    refused(
        get("web", "--tag", "team=web", "--external-id", "fake-id", "--duration", "1h"),
        "AssumeRoleWithWebIdentity takes no external_id, tags",
    )
    assert asked == []


def test_a_web_identity_keeps_the_configuration_of_its_profile(
    desk: Desk, rolecall: Callable[..., Ended], asked: list[Request], web: Callable[..., None]
) -> None:
    web(region="eu-south-1", endpoint_url=desk.environ.pop("AWS_ENDPOINT_URL"))
    desk.profile("default")

    ended = rolecall("whoami", "web")

    assert ended.code == 0, ended.err
    assert "eu-south-1" in ended.out
    assert of(asked)[0] == ("AssumeRoleWithWebIdentity", desk.arns["reader"])


@pytest.mark.parametrize("profile", ["reader", "hub"])
def test_the_profiles_own_region_wins_over_that_of_the_environment(
    desk: Desk, rolecall: Callable[..., Ended], profile: str
) -> None:
    """Which another role's `exec` or `export` may have left there."""
    desk.environ["AWS_REGION"] = desk.environ["AWS_DEFAULT_REGION"] = "eu-west-3"
    own = json.loads(rolecall("whoami", profile, "--json").out)["region"]
    given = json.loads(rolecall("whoami", profile, "--region", "eu-west-1", "--json").out)["region"]
    desk.profile("profile regionless", role_arn=desk.arns["reader"], source_profile="hub")

    without = json.loads(rolecall("whoami", "regionless", "--json").out)["region"]

    assert (own, given, without) == ("us-east-2", "eu-west-1", "eu-west-3")


def test_a_users_profile_is_a_session_of_his_and_not_his_keys(
    desk: Desk, get: Callable[..., Ended], asked: list[Request]
) -> None:
    ended = get("hub", "--duration", "1h")

    found = json.loads(ended.out)
    assert found["SessionToken"]
    assert desk.secret not in ended.out
    assert of(asked) == [("GetSessionToken", None)]
    assert asked[0].parameters["DurationSeconds"] == "3600"


def test_a_users_profile_with_a_device_is_a_session_with_mfa(
    desk: Desk, get: Callable[..., Ended], asked: list[Request]
) -> None:
    user = desk.cloud.credentials()
    desk.profile(
        "profile me",
        **Desk.keys(user.access_key, user.secret_key),
        mfa_serial=SERIAL,
        region="us-east-2",
    )

    ended = get("me", "--mfa-command", "echo 333444")

    assert ended.code == 0, ended.err
    values = asked[0].parameters
    assert (values["SerialNumber"], values["TokenCode"]) == (SERIAL, "333444")


# What does not add up


def refused(ended: Ended, *said: str) -> None:
    """Check that the words are refused as usage, with all of *said* said."""
    assert (ended.code, ended.out) == (2, ""), ended.err
    for one in said:
        assert one in ended.err, ended.err


def test_a_loop_is_told_as_the_path_that_was_walked(
    desk: Desk, get: Callable[..., Ended], asked: list[Request]
) -> None:
    desk.add_role("a", source="b")
    desk.add_role("b", source="c")
    desk.add_role("c", source="b")

    ended = get("a")

    refused(ended, "a -> b -> c -> b")
    assert asked == []


def test_a_profile_that_is_not_there_is_told_with_what_it_may_have_been(
    get: Callable[..., Ended], desk: Desk
) -> None:
    refused(get("raeder"), "'raeder'", "did you mean", "'reader'")
    desk.add_role("lost", source="hbu")
    refused(get("lost"), "hbu", "hub")


@pytest.mark.parametrize(
    "words", [[], ["a", "b"], ["reader", "--nonsense"], ["reader", "--durat", "1h"]]
)
def test_words_that_are_none_are_usage(get: Callable[..., Ended], words: list[str]) -> None:
    ended = get(*words)

    assert (ended.code, ended.out) == (2, "")
    assert "usage:" in ended.err


def test_all_that_is_wrong_is_said_at_once(
    get: Callable[..., Ended], asked: list[Request], tmp_path: Path
) -> None:
    no_json = tmp_path / "policy"
    no_json.write_text("{")

    ended = get(
        *("reader", "--profile", "hub", "--via", "not-an-arn"),
        *("--tag", "no-equals-sign", "--duration", "tomorrow", "--mfa-session", "x"),
        *("--policy", f"file://{no_json}", "--mfa-command", "'unclosed"),
    )

    refused(
        ended,
        "--profile goes with the ARN",
        "--via goes with the ARN",
        "--via not-an-arn",
        "--tag no-equals-sign",
        "--duration tomorrow",
        "--mfa-session x",
        "is not JSON",
        "--mfa-command",
    )
    assert asked == []


def test_what_sts_would_refuse_is_said_at_once_before_it_is_asked(
    get: Callable[..., Ended], asked: list[Request]
) -> None:
    ended = get(
        "reader", "--session-name", "two words", "--external-id", "x", "--duration", "13h",
    )  # fmt: skip

    refused(ended, "RoleSessionName", "ExternalId", "DurationSeconds")
    assert asked == []


def test_more_than_an_hour_in_a_chain_is_refused_before_sts_does(
    desk: Desk, get: Callable[..., Ended], asked: list[Request]
) -> None:
    desk.add_role("second", source="reader")

    refused(get("second", "--duration", "2h"), "chain")
    assert asked == []


@pytest.mark.parametrize("word", ["", " "])
def test_an_empty_word_names_no_role(
    desk: Desk, get: Callable[..., Ended], asked: list[Request], word: str
) -> None:
    """A shell's variable that is not set must not become the default profile."""
    user = desk.cloud.credentials()
    desk.default_keys(**Desk.keys(user.access_key, user.secret_key))

    refused(get(word))
    assert asked == []


def test_a_length_of_a_sign_in_that_sts_would_refuse_asks_nobody_for_a_code(
    desk: Desk, get: Callable[..., Ended], tmp_path: Path
) -> None:
    desk.add_role("guarded", mfa_serial=SERIAL)
    ran = tmp_path / "ran"
    command = f"sh -c 'touch {ran}; echo 555666'"

    for length in ("5m", "37h"):
        refused(get("guarded", "--mfa-command", command, "--mfa-session", length))
    assert not ran.exists()


@pytest.mark.parametrize(
    "text",
    ["foo", "", "sts.example.com", "ftp://sts.example.com", "https://", "https:///path",
     "http://127.0.0.1:x", "http://127.0.0.1:99999", "http://[::1", "file:///etc/passwd"],
)  # fmt: skip
def test_an_endpoint_that_is_no_url_is_usage(
    get: Callable[..., Ended], asked: list[Request], text: str
) -> None:
    refused(get("reader", "--sts-endpoint", text), "--sts-endpoint")
    assert asked == []


def test_options_of_assume_role_are_refused_where_no_role_is_assumed(
    desk: Desk, get: Callable[..., Ended], asked: list[Request]
) -> None:
    refused(get("hub", "--tag", "team=web"), "no role", "tags")
    assert asked == []


SECRET = "fake/secret+access/key+of+forty+letters+"


@pytest.mark.parametrize(
    "prints",
    ["", "rubbish", "[]", "null", '"text"', '{"Version": 1', '{"Version": 2}', '{"Version": 1}',
     f'{{"Version": 1, "SecretAccessKey": "{SECRET}"}}', f"{SECRET} {{",
     f'{{"Version": 1, "AccessKeyId": "AKIAFAKE", "SecretAccessKey": "{SECRET}", '
     '"SessionToken": "t", "Expiration": "rubbish"}'],
)  # fmt: skip
def test_a_process_that_prints_rubbish_is_exit_code_3_with_words_about_it(
    desk: Desk, get: Callable[..., Ended], tmp_path: Path, prints: str
) -> None:
    file = tmp_path / "printed"
    file.write_text(prints)
    desk.profile("profile broken", credential_process=f"cat {file}", region="us-east-2")
    desk.add_role("after-it", source="broken")

    for name in ("broken", "after-it"):
        ended = get(name)

        assert (ended.code, ended.out) == (3, ""), ended.err
        assert "'broken'" in ended.err
        assert "credential_process" in ended.err
        assert SECRET not in ended.err


def test_a_process_that_is_not_there_or_fails_is_told_with_its_profile(
    desk: Desk, get: Callable[..., Ended]
) -> None:
    desk.profile("profile gone", credential_process="/nowhere/fake-program", region="us-east-2")
    fails = "sh -c 'echo fake trouble >&2; exit 7'"
    desk.profile("profile fails", credential_process=fails, region="us-east-2")

    gone, failed = get("gone"), get("fails")

    assert [(one.code, one.out) for one in (gone, failed)] == [(3, ""), (3, "")]
    assert "profile 'gone': its credential_process cannot be run: No such file" in gone.err
    assert "profile 'fails'" in failed.err
    assert "fake trouble" in failed.err


def test_where_there_are_no_credentials_it_is_told_where(
    desk: Desk, get: Callable[..., Ended]
) -> None:
    desk.profile("profile empty", region="us-east-2")
    desk.add_role("from-empty", source="empty")
    desk.profile(
        "profile ambient",
        role_arn=desk.arns["reader"],
        credential_source="Environment",
        region="us-east-2",
    )

    for name, said in (
        ("empty", "profile 'empty'"),
        ("from-empty", "profile 'empty'"),
        ("ambient", "credential_source = Environment"),
        (desk.arns["reader"], "no source credentials"),
    ):
        ended = get(name)
        assert (ended.code, ended.out) == (3, ""), (name, ended.err)
        assert said in ended.err, ended.err


def test_hints_speak_of_options_and_not_of_python(desk: Desk) -> None:
    desk.add_role("guarded", mfa_serial=SERIAL)

    ended = desk.run("credential-process", "guarded")

    assert ended.code == 3
    assert "mfa_token_provider" not in ended.err
    assert "--mfa-command" in ended.err


def test_a_config_file_behind_a_variable_is_read_as_botocore_reads_it(
    desk: Desk, get: Callable[..., Ended]
) -> None:
    desk.environ["PLACE"] = str(desk.home / ".aws")
    desk.environ["AWS_CONFIG_FILE"] = "$PLACE/config"

    ended = get("reader")

    assert ended.code == 0, ended.err
