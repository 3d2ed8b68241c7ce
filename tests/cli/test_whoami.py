"""``rolecall whoami`` tells who AWS says a role is, how it gets there, and until when."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from command_line import SERIAL, Desk, Ended, role_of

import rolecall as package
from rolecall.cli.lifetimes import shown
from rolecall.testing import StrictCloud

Rolecall = Callable[..., Ended]


def told(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended.err
    found: dict[str, Any] = json.loads(ended.out)
    return found


def test_a_role_is_told_as_sts_has_it(desk: Desk, rolecall: Rolecall) -> None:
    found = told(rolecall("whoami", "reader", "--json"))

    assert role_of(found["arn"]) == "Reader"
    assert found["account"] == "123456789012"
    assert found["access_key_id"].startswith("ASIA")
    assert found["region"] == "us-east-2"
    assert found["origin"]["profile"] == "hub"
    assert found["origin"]["method"] == "shared-credentials-file"
    assert [hop["role_arn"] for hop in found["roles"]] == [desk.arns["reader"]]


def test_the_expiry_is_in_utc_to_the_second(rolecall: Rolecall) -> None:
    before = datetime.now(timezone.utc)

    found = told(rolecall("whoami", "reader", "--json"))

    expires = datetime.strptime(found["expires_at"], "%Y-%m-%dT%H:%M:%SZ")
    expires = expires.replace(tzinfo=timezone.utc)
    assert timedelta(minutes=59) < expires - before <= timedelta(minutes=61)
    assert 59 * 60 < found["seconds_left"] <= 3600


def test_a_chain_is_told_from_its_origin_on(desk: Desk, rolecall: Rolecall) -> None:
    desk.add_role("far", source="reader")

    ended = rolecall("whoami", "far")

    assert ended.code == 0, ended.err
    *_, origin, first, last = ended.out.splitlines()
    assert origin.startswith("from      profile hub: shared-credentials-file, AKIA")
    assert first.split() == ["->", desk.arns["reader"]]
    assert last.split() == ["->", desk.arns["far"]]


def test_an_arn_goes_by_the_hops_it_is_given(desk: Desk, rolecall: Rolecall) -> None:
    reader, deploy = desk.arns["reader"], desk.arns["deploy"]

    found = told(rolecall("whoami", deploy, "--profile", "hub", "--via", reader, "--json"))

    assert role_of(found["arn"]) == "Deploy"
    assert [hop["role_arn"] for hop in found["roles"]] == [reader, deploy]


def test_the_session_is_the_one_that_is_stored_for_all(
    desk: Desk, cloud: StrictCloud, rolecall: Rolecall
) -> None:
    first = told(rolecall("whoami", "reader", "--json"))
    calls = cloud.calls("AssumeRole")

    again = told(rolecall("whoami", "reader", "--json"))

    assert again["access_key_id"] == first["access_key_id"]
    assert cloud.calls("AssumeRole") == calls


def test_the_region_that_is_asked_for_is_told(rolecall: Rolecall) -> None:
    assert told(rolecall("whoami", "reader", "--region", "eu-west-3", "--json"))["region"] == (
        "eu-west-3"
    )


def test_a_user_is_told_with_the_session_that_rolecall_hands_out(rolecall: Rolecall) -> None:
    found = told(rolecall("whoami", "hub", "--json"))

    assert found["arn"].endswith(":user/fake-user")
    assert found["access_key_id"].startswith("ASIA")
    assert found["origin"]["session_token"] is True
    assert found["roles"] == []


# Without a ROLE


def test_without_a_role_the_keys_of_the_environment_go_before_the_default_profile(
    desk: Desk, cloud: StrictCloud, rolecall: Rolecall
) -> None:
    desk.default_keys(**desk.keys("AKIAFAKEDEFAULT", "fake-secret-of-default"))
    keys = cloud.credentials(user="fake-other-user")
    desk.environ.update(AWS_ACCESS_KEY_ID=keys.access_key, AWS_SECRET_ACCESS_KEY=keys.secret_key)

    found = told(rolecall("whoami", "--json"))

    assert found["arn"].endswith(":user/fake-other-user")
    assert found["access_key_id"] == keys.access_key
    assert (found["expires_at"], found["seconds_left"]) == (None, None)
    assert found["origin"]["kind"] == "environment"


def test_without_a_role_the_profile_of_the_environment_is_told(
    desk: Desk, cloud: StrictCloud, rolecall: Rolecall
) -> None:
    desk.environ["AWS_PROFILE"] = "reader"
    stored = told(rolecall("whoami", "reader", "--json"))

    found = told(rolecall("whoami", "--json"))

    assert role_of(found["arn"]) == "Reader"
    assert found["access_key_id"] == stored["access_key_id"], "it did not look into the cache"


def test_without_a_role_nothing_can_be_changed_of_it(rolecall: Rolecall) -> None:
    ended = rolecall("whoami", "--external-id", "fake-id")

    assert ended.code == 2
    assert "external_id: cannot be given without a role" in ended.err
    assert ended.out == ""


def test_long_term_keys_are_said_not_to_expire(
    desk: Desk, cloud: StrictCloud, rolecall: Rolecall
) -> None:
    desk.environ["AWS_PROFILE"] = "hub"

    ended = rolecall("whoami")

    assert ended.code == 0, ended.err
    assert "expires   does not expire" in ended.out.splitlines()


# What can go wrong


def test_where_there_are_no_credentials_the_exit_code_is_3(desk: Desk, rolecall: Rolecall) -> None:
    ended = rolecall("whoami")

    assert ended.code == 3
    assert "no source credentials" in ended.err
    assert ended.out == ""


def test_a_home_without_files_is_no_error_of_its_own(desk: Desk, rolecall: Rolecall) -> None:
    desk.config_file.unlink()
    desk.credentials_file.unlink()
    desk.config_file.parent.rmdir()

    assert rolecall("whoami").code == 3
    ended = rolecall("whoami", "reader")

    assert ended.code == 2
    assert "'reader' does not exist" in ended.err


def test_a_profile_that_is_not_there_is_told_with_those_that_are(rolecall: Rolecall) -> None:
    ended = rolecall("whoami", "raeder")

    assert ended.code == 2
    assert "did you mean 'reader'" in ended.err


def test_what_aws_refuses_is_exit_code_1(
    desk: Desk, cloud: StrictCloud, rolecall: Rolecall
) -> None:
    cloud.fail("AssumeRole")

    ended = rolecall("whoami", "reader")

    assert ended.code == 1
    assert "AccessDenied" in ended.err
    assert ended.out == ""


def test_keys_that_aws_does_not_know_are_exit_code_1(desk: Desk, rolecall: Rolecall) -> None:
    desk.default_keys(**desk.keys("AKIAFAKENOBODY", "fake-secret-of-nobody"))

    ended = rolecall("whoami")

    assert ended.code == 1
    assert "InvalidClientTokenId" in ended.err


@pytest.mark.parametrize("words", [["reader"], ["reader", "--json"], ["reader", "-vv"], ["hub"]])
def test_no_secret_is_told(desk: Desk, rolecall: Rolecall, words: list[str]) -> None:
    ended = rolecall("whoami", *words)

    assert ended.code == 0, ended.err
    store = package.FileStore(environ=desk.environ)
    (kept,) = [one for one in store.entries() if one.credentials is not None]
    credentials = kept.credentials
    assert credentials is not None
    assert credentials.token is not None
    for secret in (desk.secret, credentials.secret_key, credentials.token):
        assert secret not in ended.out + ended.err


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(3599, "1 h"), (3570, "1 h"), (3569, "59 min"), (7259, "2 h 1 min"), (61, "1 min"),
     (59, "59 s"), (0, "expired"), (-5, "expired")],
)  # fmt: skip
def test_a_length_of_time_is_told_to_the_nearest_minute(seconds: int, told: str) -> None:
    assert shown(timedelta(seconds=seconds)) == told


def test_a_device_is_told_with_the_role_that_wants_it(
    desk: Desk, cloud: StrictCloud, rolecall: Rolecall
) -> None:
    desk.add_role("guarded", mfa_serial=SERIAL)

    ended = rolecall("whoami", "guarded", "--mfa-command", "echo 123456")

    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[-1].endswith(f"with MFA ({SERIAL})")
    assert os.environ.get("AWS_PROFILE") is None
