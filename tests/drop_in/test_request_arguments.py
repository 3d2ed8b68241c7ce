"""`PolicyArns`, `Policy`, `DurationSeconds`, `Tags` and the rest: what is sent, what is refused."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import boto3
import pytest
from actors import READER, SPOKE, arn_of, fetch
from botocore.exceptions import ClientError, ParamValidationError

import rolecall
from rolecall.testing import StrictCloud

POLICY_ARN = "arn:aws:iam::aws:policy/ReadOnlyAccess"
OTHER_ARN = "arn:aws:iam::210987654321:policy/team/Narrow"
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*"}]}

Asked = list[dict[str, Any]]


def sent(parent: boto3.Session, asked: Asked, **arguments: Any) -> dict[str, Any]:
    """Assume the role and return what was sent to STS."""
    fetch(rolecall.assume_role(parent, READER, **arguments))
    (request,) = asked
    return request


# ── PolicyArns ───────────────────────────────────────────────────────────────────────────


def test_policy_arns_that_are_text_become_dicts(parent: boto3.Session, asked: Asked) -> None:
    request = sent(parent, asked, PolicyArns=[POLICY_ARN, OTHER_ARN])

    assert request["PolicyArns"] == [{"arn": POLICY_ARN}, {"arn": OTHER_ARN}]


def test_policy_arns_that_are_dicts_stay_so(parent: boto3.Session, asked: Asked) -> None:
    request = sent(parent, asked, PolicyArns=[{"arn": POLICY_ARN}, OTHER_ARN])

    assert request["PolicyArns"] == [{"arn": POLICY_ARN}, {"arn": OTHER_ARN}]


def test_policy_arns_may_be_a_tuple(parent: boto3.Session, asked: Asked) -> None:
    request = sent(parent, asked, PolicyArns=(POLICY_ARN,))

    assert request["PolicyArns"] == [{"arn": POLICY_ARN}]


def test_a_bare_policy_arn_is_refused(parent: boto3.Session) -> None:
    with pytest.raises(ParamValidationError, match="PolicyArns: must be a list"):
        rolecall.assume_role(parent, READER, PolicyArns=POLICY_ARN)


def test_ten_policy_arns_are_sent(parent: boto3.Session, asked: Asked) -> None:
    request = sent(parent, asked, PolicyArns=[f"{POLICY_ARN}{n}" for n in range(10)])

    assert len(request["PolicyArns"]) == 10


def test_more_than_ten_policy_arns_are_refused(parent: boto3.Session) -> None:
    arns = [f"{POLICY_ARN}{n}" for n in range(11)]

    with pytest.raises(ParamValidationError, match="PolicyArns: at most 10 are allowed, got 11"):
        rolecall.assume_role(parent, READER, PolicyArns=arns)


# ── Policy ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("policy", [POLICY, [POLICY]], ids=["dict", "list"])
def test_a_policy_that_is_not_text_is_written_as_json(
    parent: boto3.Session, asked: Asked, policy: Any
) -> None:
    request = sent(parent, asked, Policy=policy)

    assert json.loads(request["Policy"]) == policy


def test_a_policy_that_is_text_is_passed_on_as_it_is(parent: boto3.Session, asked: Asked) -> None:
    text = json.dumps(POLICY, indent=3)

    request = sent(parent, asked, Policy=text)

    assert request["Policy"] == text


@pytest.mark.parametrize("text", ["", "{", "{'Version': '2012-10-17'}", "no JSON", "NaN"])
def test_a_policy_that_is_not_json_is_refused_at_the_call(
    strict_cloud: StrictCloud, parent: boto3.Session, text: str
) -> None:
    with pytest.raises(ParamValidationError, match="Policy"):
        rolecall.assume_role(parent, READER, Policy=text)

    assert strict_cloud.calls() == 0


def test_a_policy_that_is_not_json_is_left_to_sts_where_nothing_is_validated(
    parent: boto3.Session,
) -> None:
    child = rolecall.assume_role(parent, READER, Policy="no JSON", validate=False)

    with pytest.raises(ClientError, match="MalformedPolicyDocument"):
        fetch(child)


# ── DurationSeconds ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        (900, 900),
        (43200, 43200),
        (timedelta(hours=2), 7200),
        (timedelta(seconds=1800, milliseconds=999), 1800),
        (timedelta(seconds=43200, milliseconds=999), 43200),
    ],
    ids=str,
)
def test_a_duration_is_whole_seconds_or_a_timedelta(
    parent: boto3.Session, asked: Asked, duration: int | timedelta, seconds: int
) -> None:
    request = sent(parent, asked, DurationSeconds=duration)

    assert (request["DurationSeconds"], type(request["DurationSeconds"])) == (seconds, int)


def test_without_a_duration_none_is_sent(parent: boto3.Session, asked: Asked) -> None:
    assert "DurationSeconds" not in sent(parent, asked)


@pytest.mark.parametrize(
    "duration",
    [899, 43201, 0, -1, timedelta(seconds=899, milliseconds=999), "3600", 3600.0],
    ids=str,
)
def test_a_duration_outside_of_the_limits_is_refused_at_the_call(
    strict_cloud: StrictCloud, parent: boto3.Session, duration: Any
) -> None:
    with pytest.raises(ParamValidationError, match="DurationSeconds"):
        rolecall.assume_role(parent, READER, DurationSeconds=duration)

    assert strict_cloud.calls() == 0


@pytest.mark.parametrize("duration", [3601, timedelta(hours=12)], ids=str)
def test_more_than_an_hour_from_a_role_session_is_refused_with_the_reason(
    strict_cloud: StrictCloud, parent: boto3.Session, duration: int | timedelta
) -> None:
    hub = rolecall.assume_role(parent, READER)

    with pytest.raises(ParamValidationError, match="DurationSeconds") as refused:
        rolecall.assume_role(hub, SPOKE, DurationSeconds=duration)

    assert "whatever the role's MaxSessionDuration" in str(refused.value)
    assert "the session refreshes itself" in str(refused.value)
    assert strict_cloud.calls() == 0


@pytest.mark.parametrize("duration", [900, 3600, timedelta(hours=1)], ids=str)
def test_an_hour_from_a_role_session_is_sent(
    parent: boto3.Session, duration: int | timedelta
) -> None:
    hub = rolecall.assume_role(parent, READER)

    spoke = rolecall.assume_role(hub, SPOKE, DurationSeconds=duration, RoleSessionName="me")

    assert arn_of(spoke) == "arn:aws:sts::345678901234:assumed-role/Spoke/me"


def test_more_than_an_hour_from_a_profile_that_is_a_role_is_refused_too(
    ambient: StrictCloud, own_home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore assumes that role, not we: it is role chaining all the same."""
    config = own_home / "config"
    config.write_text(f"[profile hub]\nrole_arn = {READER}\ncredential_source = Environment\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))

    with pytest.raises(ParamValidationError, match="whatever the role's MaxSessionDuration"):
        rolecall.assume_role(boto3.Session(profile_name="hub"), SPOKE, DurationSeconds=7200)


# ── Tags and the other arguments ─────────────────────────────────────────────────────────

TEAM = {"Key": "team", "Value": "data"}


def test_tags_are_a_list_of_key_and_value(parent: boto3.Session, asked: Asked) -> None:
    assert sent(parent, asked, Tags=[TEAM])["Tags"] == [TEAM]


def test_tags_may_be_a_plain_dict(parent: boto3.Session, asked: Asked) -> None:
    request = sent(parent, asked, Tags={"team": "data", "cost": ""})

    assert request["Tags"] == [TEAM, {"Key": "cost", "Value": ""}]


@pytest.mark.parametrize(
    "arguments",
    [
        {"Tags": [TEAM], "TransitiveTagKeys": ["team"]},
        {"ExternalId": "fake-external-id"},
        {"SourceIdentity": "alice"},
    ],
    ids=lambda arguments: list(arguments)[-1],
)
def test_the_other_arguments_are_passed_on(
    parent: boto3.Session, asked: Asked, arguments: dict[str, Any]
) -> None:
    request = sent(parent, asked, **arguments)

    assert arguments == {name: request[name] for name in arguments}


def test_only_what_was_given_is_sent(parent: boto3.Session, asked: Asked) -> None:
    assert set(sent(parent, asked)) == {"RoleArn", "RoleSessionName"}


def test_the_same_arguments_are_sent_at_each_refresh(parent: boto3.Session, asked: Asked) -> None:
    child = rolecall.assume_role(parent, READER, Tags=[TEAM], Policy=POLICY, ExternalId="fake-id")

    child.get_credentials().refresh()
    child.get_credentials().refresh()

    first, second = asked
    assert first == second


def test_changing_the_dicts_that_were_passed_changes_nothing_afterwards(
    parent: boto3.Session, asked: Asked
) -> None:
    policy, tags = {"Version": "2012-10-17"}, [dict(TEAM)]
    child = rolecall.assume_role(parent, READER, Policy=policy, Tags=tags)

    policy["Version"], tags[0]["Value"] = "2008-10-17", "web"
    fetch(child)

    assert asked[0]["Policy"] == '{"Version": "2012-10-17"}'
    assert asked[0]["Tags"] == [TEAM]


# ── additional_kwargs ────────────────────────────────────────────────────────────────────


def test_additional_arguments_are_sent(parent: boto3.Session, asked: Asked) -> None:
    contexts = [
        {
            "ProviderArn": "arn:aws:iam::aws:contextProvider/IdentityCenter",
            "ContextAssertion": "fake-assertion",
        }
    ]

    request = sent(parent, asked, additional_kwargs={"ProvidedContexts": contexts})

    assert request["ProvidedContexts"] == contexts


def test_an_explicit_keyword_wins_over_an_additional_argument(
    parent: boto3.Session, asked: Asked
) -> None:
    request = sent(
        parent,
        asked,
        ExternalId="explicit",
        additional_kwargs={"ExternalId": "additional", "DurationSeconds": 1800},
    )

    assert (request["ExternalId"], request["DurationSeconds"]) == ("explicit", 1800)


def test_the_dict_of_additional_arguments_is_left_as_it_is(parent: boto3.Session) -> None:
    additional = {"ExternalId": "additional"}

    rolecall.assume_role(parent, READER, ExternalId="explicit", additional_kwargs=additional)

    assert additional == {"ExternalId": "additional"}


def test_a_name_that_sts_does_not_have_is_refused_at_the_call(
    strict_cloud: StrictCloud, parent: boto3.Session
) -> None:
    with pytest.raises(ParamValidationError, match="NoSuchThing"):
        rolecall.assume_role(parent, READER, additional_kwargs={"NoSuchThing": 1})

    assert strict_cloud.calls() == 0


def test_a_name_that_sts_does_not_have_is_refused_at_the_first_use_where_nothing_is_validated(
    strict_cloud: StrictCloud, parent: boto3.Session
) -> None:
    child = rolecall.assume_role(
        parent, READER, additional_kwargs={"NoSuchThing": 1}, validate=False
    )

    with pytest.raises(ParamValidationError, match="NoSuchThing"):
        fetch(child)
    assert strict_cloud.calls() == 0


# ── validate ─────────────────────────────────────────────────────────────────────────────

BROKEN: dict[str, Any] = {
    "RoleSessionName": "bad name!",
    "PolicyArns": ["short"],
    "Policy": "no JSON",
    "DurationSeconds": 5,
    "Tags": [{"Key": "", "Value": "x" * 257}],
    "TransitiveTagKeys": ["no-such-tag"],
    "ExternalId": "x",
    "SerialNumber": "x",
    "TokenCode": "12345",
    "SourceIdentity": "aws:me",
    "additional_kwargs": {"NoSuchThing": 1},
}


def test_all_problems_come_in_one_error(parent: boto3.Session) -> None:
    with pytest.raises(ParamValidationError) as refused:
        rolecall.assume_role(parent, "arn:aws:iam::1:role/Reader", **BROKEN)

    told = str(refused.value)
    expected = {*BROKEN, "RoleArn", "NoSuchThing"} - {"additional_kwargs"}
    assert {name for name in expected if name in told} == expected


def test_problems_that_no_value_can_be_built_with_come_with_the_others(
    parent: boto3.Session,
) -> None:
    with pytest.raises(ParamValidationError) as refused:
        rolecall.assume_role(
            parent, READER, PolicyArns=POLICY_ARN, Tags=[{"Key": "a"}], DurationSeconds=5
        )

    for name in ("PolicyArns", "Tags[0]", "DurationSeconds"):
        assert name in str(refused.value)


def test_the_error_is_ours_too_and_lists_the_problems(parent: boto3.Session) -> None:
    with pytest.raises(rolecall.InvalidChain) as refused:
        rolecall.assume_role(parent, READER, DurationSeconds=5, ExternalId="x")

    fields = [problem.field for problem in refused.value.problems]
    assert fields == ["DurationSeconds", "ExternalId"]


def test_without_validation_an_invalid_duration_is_refused_at_the_first_use(
    strict_cloud: StrictCloud, parent: boto3.Session
) -> None:
    child = rolecall.assume_role(parent, READER, DurationSeconds=5, validate=False)

    with pytest.raises(ParamValidationError, match="DurationSeconds"):
        child.client("sts").get_caller_identity()
    assert strict_cloud.calls() == 0


@pytest.mark.parametrize(
    "arguments",
    [
        {"RoleArn": "arn:aws:iam::1:role/R"},
        {"RoleArn": "no ARN at all, but long enough"},
        {"RoleArn": READER, "RoleSessionName": "bad name!"},
        {"RoleArn": READER, "DurationSeconds": 43201},
        {"RoleArn": READER, "Tags": {str(n): "" for n in range(51)}},
        {"RoleArn": READER, "TokenCode": "123456"},
        {"RoleArn": READER, "PolicyArns": ["short"]},
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_without_validation_nothing_but_the_credentials_is_checked(
    strict_cloud: StrictCloud, parent: boto3.Session, arguments: dict[str, Any]
) -> None:
    rolecall.assume_role(parent, validate=False, **arguments)

    assert strict_cloud.calls() == 0


def test_without_validation_more_than_an_hour_from_a_role_is_left_to_sts(
    parent: boto3.Session,
) -> None:
    hub = rolecall.assume_role(parent, READER)
    spoke = rolecall.assume_role(hub, SPOKE, DurationSeconds=7200, validate=False)

    with pytest.raises(ClientError, match="ValidationError"):
        fetch(spoke)
