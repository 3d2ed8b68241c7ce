"""The trust policy names who may assume a role, and under which conditions."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.chain import TrustPolicy, trust_policy
from rolecall.errors import InvalidChain

ALICE = "arn:aws:iam::123456789012:user/alice"
ROLE = "arn:aws:iam::123456789012:role/team/Hub"
SESSION = "arn:aws:sts::123456789012:assumed-role/Hub/me"
GITHUB = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"


def only(policy):
    (statement,) = policy["Statement"]
    return statement


def refused(*arguments, **keywords):
    with pytest.raises(InvalidChain) as caught:
        trust_policy(*arguments, **keywords)
    return [str(problem) for problem in caught.value.problems]


def test_one_user_is_the_shortest_policy():
    expected = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": ALICE}, "Action": "sts:AssumeRole"}],
    }

    policy = trust_policy(ALICE)

    assert expected == policy
    assert expected == json.loads(policy.json())
    assert "\n" not in policy.json(indent=None)
    assert isinstance(policy, TrustPolicy)


@pytest.mark.parametrize(
    ("principals", "named"),
    [
        (ROLE, {"AWS": ROLE}),
        (SESSION, {"AWS": SESSION}),
        ("arn:aws:iam::123456789012:root", {"AWS": "arn:aws:iam::123456789012:root"}),
        ("123456789012", {"AWS": "arn:aws:iam::123456789012:root"}),
        (1234, {"AWS": "arn:aws:iam::000000001234:root"}),
        ([ALICE, ROLE, ALICE], {"AWS": [ALICE, ROLE]}),
        ("lambda.amazonaws.com", {"Service": "lambda.amazonaws.com"}),
        ("ec2.amazonaws.com.cn", {"Service": "ec2.amazonaws.com.cn"}),
        ("states.eu-west-1.amazonaws.com", {"Service": "states.eu-west-1.amazonaws.com"}),
        (GITHUB, {"Federated": GITHUB}),
        (
            ["123456789012", "arn:aws-cn:iam::123456789012:user/a"],
            {"AWS": ["arn:aws-cn:iam::123456789012:user/a", "arn:aws-cn:iam::123456789012:root"]},
        ),
    ],
)
def test_each_kind_of_principal_is_named_in_its_way(principals, named):
    assert named == only(trust_policy(principals))["Principal"]


def test_an_oidc_provider_assumes_with_a_token():
    assert only(trust_policy(GITHUB))["Action"] == "sts:AssumeRoleWithWebIdentity"


def test_kinds_of_principals_get_statements_of_their_own():
    policy = trust_policy([GITHUB, "lambda.amazonaws.com", ALICE], external_id="fake-id")

    assert [statement["Principal"] for statement in policy["Statement"]] == [
        {"AWS": ALICE},
        {"Service": "lambda.amazonaws.com"},
        {"Federated": GITHUB},
    ]
    assert ["Condition" in s for s in policy["Statement"]] == [True, False, False]


def test_conditions_are_all_in_one_statement():
    statement = only(trust_policy(ALICE, external_id="fake-id", mfa=True, org_id="o-a1b2c3d4e5"))

    assert statement["Condition"] == {
        "StringEquals": {"sts:ExternalId": "fake-id", "aws:PrincipalOrgID": "o-a1b2c3d4e5"},
        "Bool": {"aws:MultiFactorAuthPresent": "true"},
    }


def test_a_sign_in_with_mfa_may_have_to_be_recent():
    statement = only(trust_policy(ALICE, mfa=timedelta(hours=1)))

    assert statement["Condition"] == {
        "Bool": {"aws:MultiFactorAuthPresent": "true"},
        "NumericLessThan": {"aws:MultiFactorAuthAge": "3600"},
    }


def test_no_condition_is_no_condition():
    assert "Condition" not in only(trust_policy(ALICE, mfa=False, tags=False))


@pytest.mark.parametrize("tags", [True, ["team"], ("team",), {"team"}])
def test_tags_may_be_passed_where_they_are_wanted(tags):
    statement = only(trust_policy(ALICE, tags=tags))

    assert statement["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    assert "Condition" not in statement


@pytest.mark.parametrize("tags", [None, False, [], {}])
def test_tags_may_not_be_passed_otherwise(tags):
    assert only(trust_policy(ALICE, tags=tags))["Action"] == "sts:AssumeRole"


@pytest.mark.parametrize("principal", [ALICE, "pods.eks.amazonaws.com", GITHUB])
def test_tags_with_values_are_a_condition_for_everybody(principal):
    statement = only(trust_policy(principal, tags={"team": "data", "env": ["dev", "test"]}))

    assert statement["Action"][-1] == "sts:TagSession"
    assert statement["Condition"] == {
        "StringEquals": {"aws:RequestTag/team": "data", "aws:RequestTag/env": ["dev", "test"]}
    }


def test_conditions_of_one_operator_are_merged():
    statement = only(trust_policy(ALICE, external_id="fake-id", tags={"team": "data"}))

    assert statement["Condition"]["StringEquals"] == {
        "sts:ExternalId": "fake-id",
        "aws:RequestTag/team": "data",
    }


def test_claims_say_which_tokens_will_do():
    statement = only(
        trust_policy(
            GITHUB, claims={"aud": "sts.amazonaws.com", "sub": ["repo:o/r:*", "repo:o/s:x"]}
        )
    )

    assert statement["Condition"] == {
        "StringEquals": {"token.actions.githubusercontent.com:aud": "sts.amazonaws.com"},
        "StringLike": {"token.actions.githubusercontent.com:sub": ["repo:o/r:*", "repo:o/s:x"]},
    }


def test_everybody_of_an_organization_may_be_let_in():
    assert only(trust_policy("*", org_id="o-a1b2c3d4e5"))["Principal"] == "*"


@pytest.mark.parametrize(
    ("principals", "because"),
    [
        ("*", "principals[0]: lets everybody in the world"),
        ([], "principals: is empty"),
        (None, "principals: must be the ARN"),
        (b"123456789012", "principals: must be"),
        ([None], "principals[0]: must be the ARN of a user"),
        ("alice", "principals[0]: 'alice' is not the ARN of a user"),
        ("12345", "principals[0]: '12345' has 5 digits, an account id has 12"),
        (True, "principals[0]: must be the ARN"),
        ("arn:aws:iam::123456789012:group/g", "is a group, which cannot be a principal"),
        ("arn:aws:iam::123456789012:user/*", "has a *, which matches nothing in a principal"),
        ("arn:aws:iam::123456789012:saml-provider/p", "is a SAML provider"),
        ([ALICE, "arn:aws-cn:iam::123456789012:user/b"], "in several partitions (aws, aws-cn)"),
    ],
)
def test_who_cannot_be_a_principal_is_told_why(principals, because):
    (text,) = refused(principals)

    assert because in text


@pytest.mark.parametrize(
    ("keywords", "because"),
    [
        ({"external_id": "#fake"}, "external_id: may hold only"),
        ({"external_id": "x"}, "external_id: must have 2 to 1224"),
        ({"external_id": 5}, "external_id: must be a string"),
        ({"mfa": timedelta(0)}, "mfa: must be a positive time"),
        ({"mfa": 3600}, "mfa: must be a bool or a timedelta, got int"),
        ({"org_id": "my-org"}, "org_id: must be like o-a1b2c3d4e5, got 'my-org'"),
        ({"org_id": 5}, "org_id: must be like o-a1b2c3d4e5, got int"),
        ({"tags": "team"}, "tags: must be True, a list of keys or a dict, got str"),
        ({"tags": ["a*"]}, "tags[0].Key: may hold only"),
        ({"tags": ["a", "A"]}, "tags[1].Key: 'A' is the key of tags[0] too"),
        ({"tags": {"a": "b*"}}, "tags['a']: may hold only"),
        ({"tags": {"a": []}}, "tags['a']: must be a string or a list of them"),
        ({"tags": {"a": None}}, "tags['a']: must be a string or a list of them, got None"),
        ({"claims": "sub"}, "claims: must be a dict"),
        ({"claims": {"sub": "x"}}, "claims: belong to one OIDC provider, and 0 are"),
    ],
)
def test_conditions_that_can_never_hold_are_refused(keywords, because):
    (text,) = refused(ALICE, **keywords)

    assert text.startswith(because) or "Tags[0] too" in text


def test_everybody_and_somebody_is_everybody():
    (text,) = refused(["*", ALICE], org_id="o-a1b2c3d4e5")

    assert text.startswith("principals: has * beside others")


def test_conditions_nobody_could_meet_are_refused():
    assert [
        text.partition(":")[0] for text in refused(GITHUB, external_id="fake-id", mfa=True)
    ] == ["external_id", "mfa"]


def test_all_that_is_wrong_is_said_at_once():
    found = refused(["me", "you"], external_id="x", mfa=5, org_id="x", tags="x", claims="x")

    assert len(found) == 7


@given(st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text() | st.none()))
def test_whatever_the_principals_there_is_a_policy_or_a_list_of_problems(principals):
    try:
        policy = trust_policy(principals)
    except InvalidChain as error:
        policy = None
        problems = error.problems

    assert problems if policy is None else policy == json.loads(policy.json())
