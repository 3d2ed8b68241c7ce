"""Every documented limit is checked before anything is sent, all of them at once."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from cases import HUB, READER, SPOKE, vectors
from hypothesis import given
from hypothesis import strategies as st

from rolecall.chain import (
    Ambient,
    CredentialSource,
    GivenSession,
    Profile,
    Role,
    RoleChain,
    SessionToken,
    WebIdentity,
    limits,
    role_problems,
)
from rolecall.errors import InvalidChain

GARBAGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
        | st.fixed_dictionaries({"Key": inner, "Value": inner})
        | st.fixed_dictionaries({"arn": inner})
        | st.fixed_dictionaries({"ProviderArn": inner, "ContextAssertion": inner})
        | st.sets(st.integers(), max_size=2)
    ),
    max_leaves=6,
)
KEYWORDS = [
    "RoleSessionName",
    "PolicyArns",
    "Policy",
    "DurationSeconds",
    "Tags",
    "TransitiveTagKeys",
    "ExternalId",
    "SerialNumber",
    "SourceIdentity",
    "additional_kwargs",
]


def built(kind, *arguments, **keywords):
    """Return the value, or None where it is refused with its problems."""
    try:
        return kind(*arguments, **keywords)
    except InvalidChain as error:
        if not error.problems:
            raise
        return None


def said(chain):
    return [str(problem) for problem in chain.problems()]


@pytest.mark.parametrize("case", vectors("limits"))
def test_each_limit_is_checked(case):
    role = Role.from_keywords(case.get("role", READER), **case.get("keywords", {}))

    problems = [str(problem) for problem in role_problems(role, None, case.get("chained", False))]

    assert len(case["problems"]) == len(problems), problems
    for pattern, problem in zip(case["problems"], problems, strict=True):
        assert re.match(pattern, problem), problem


def test_each_limit_names_its_source():
    role = Role(
        "arn", session_name="", duration=1, policy="x", policy_arns=["x"] * 11,
        tags={"": None, "*": "*"}, transitive_tag_keys=["x"], external_id="", mfa_serial="",
        source_identity="aws:x", provided_contexts=[("", "")],
    )  # fmt: skip

    problems = role_problems(role, 3, False)

    assert len(problems) > 15
    assert all(problem.source for problem in problems)
    assert {3} == {problem.hop for problem in problems}


@pytest.mark.parametrize(
    ("keywords", "field", "allowed"),
    [
        ({"tags": {str(n): "" for n in range(51)}}, "Tags", "at most 50 are allowed, got 51"),
        (
            {"tags": {"a": ""}, "transitive_tag_keys": ["a"] * 51},
            "TransitiveTagKeys",
            "at most 50 are allowed, got 51",
        ),
        (
            {"policy_arns": [f"arn:aws:iam::aws:policy/P{n}" for n in range(11)]},
            "PolicyArns",
            "at most 10 are allowed, got 11",
        ),
        (
            {"provided_contexts": [("arn:aws:iam::aws:contextProvider/P", "fake")] * 6},
            "ProvidedContexts",
            "at most 5 are allowed, got 6",
        ),
        ({"policy": '{"a": "%s"}' % ("x" * 2040)}, "Policy", "at most 2048 characters, has 2049"),
        (
            {"policy": "{}", "policy_arns": ["arn:aws:iam::aws:policy/" + "p" * 2023]},
            "Policy",
            "at most 2048 characters, with PolicyArns has 2049",
        ),
        (
            {"policy_arns": ["arn:aws:iam::aws:policy/" + "p" * 1001] * 2},
            "PolicyArns",
            "at most 2048 characters, has 2050",
        ),
        ({"tags": {"k" * 129: ""}}, "Tags[0].Key", "must have 1 to 128 characters"),
        ({"tags": {"k": "v" * 257}}, "Tags[0].Value", "must have 0 to 256 characters, has 257"),
        ({"external_id": "x" * 1225}, "ExternalId", "must have 2 to 1224 characters, has 1225"),
        ({"mfa_serial": "x" * 257}, "SerialNumber", "must have 9 to 256 characters"),
        ({"source_identity": "x" * 65}, "SourceIdentity", "must have 2 to 64 characters"),
        ({"policy": "[" * 2000}, "Policy", "is not JSON"),
    ],
)
def test_one_more_than_the_limit_is_too_many(keywords, field, allowed):
    (problem,) = role_problems(Role(READER, **keywords), 0, False)

    assert field == problem.field
    assert allowed in problem.message


@pytest.mark.parametrize(
    "keywords",
    [
        {"tags": {str(n): "" for n in range(50)}, "transitive_tag_keys": map(str, range(50))},
        {"policy_arns": [f"arn:aws:iam::aws:policy/P{n}" for n in range(10)]},
        {"provided_contexts": [("arn:aws:iam::aws:contextProvider/P", "fake")] * 5},
        {"policy": '{"a": "%s"}' % ("x" * 2039)},
        {"policy": "{}", "policy_arns": ["arn:aws:iam::aws:policy/" + "p" * 2022]},
        {"tags": {"k" * 128: "v" * 256}},
        {"external_id": "x" * 1224},
        {"mfa_serial": "x" * 256},
        {"source_identity": "x" * 64},
    ],
)
def test_the_limit_itself_is_allowed(keywords):
    assert role_problems(Role(READER, **keywords), 0, False) == []


def test_a_broken_policy_is_never_shown():
    role = Role(READER, policy='{"Statement": fake-secret-in-a-policy}')

    (problem,) = role_problems(role, 0, False)

    assert "fake-secret" not in str(problem)
    assert "line 1 column 15 (character 14)" in problem.message


@given(GARBAGE, st.dictionaries(st.sampled_from(KEYWORDS), GARBAGE))
def test_whatever_is_given_is_a_role_or_a_list_of_problems(arn, keywords):
    role = built(Role.from_keywords, arn, **keywords)
    if role is None:
        return

    hash(role)
    repr(role)
    assert all(problem.hop == 0 for problem in RoleChain(Ambient(), role).problems())


@given(GARBAGE, GARBAGE, GARBAGE, GARBAGE)
def test_whatever_a_web_identity_is_given_has_problems_at_most(arn, path, duration, policy):
    origin = built(WebIdentity, role_arn=arn, token_file=path, duration=duration, policy=policy)
    if origin is None:
        return

    assert all(problem.hop is None for problem in RoleChain(origin).problems())


def test_hops_are_counted_from_zero_and_all_reported():
    chain = RoleChain(Ambient(), HUB, Role(SPOKE, session_name="a"), Role(READER, external_id="b"))

    assert [s[: s.index(": m")] for s in said(chain)] == [
        "hop 1: RoleSessionName",
        "hop 2: ExternalId",
    ]
    with pytest.raises(InvalidChain) as caught:
        chain.validate()
    assert chain.problems() == caught.value.problems


def test_a_good_chain_validates():
    chain = RoleChain(Profile("hub"), HUB, SPOKE)

    assert chain.validate() is None


LONG = timedelta(seconds=3601)


@pytest.mark.parametrize(
    "origin", [Ambient(), Profile("p"), SessionToken(), GivenSession(object())]
)
def test_only_the_first_hop_from_a_user_may_be_longer_than_an_hour(origin):
    assert RoleChain(origin, Role(HUB, duration=LONG)).problems() == ()
    (problem,) = RoleChain(origin, HUB, Role(SPOKE, duration=LONG)).problems()
    assert (problem.hop, problem.field) == (1, "DurationSeconds")


def test_a_web_identity_is_a_role_session_so_that_its_first_hop_is_chained():
    (problem,) = RoleChain(WebIdentity(), Role(HUB, duration=LONG)).problems()

    assert (problem.hop, problem.field) == (0, "DurationSeconds")
    assert "gains nothing" in problem.message


def test_a_web_identity_itself_is_not_chained():
    assert RoleChain(WebIdentity(duration=LONG)).problems() == ()


CHINA = "arn:aws-cn:iam::123456789012:role/R"


@pytest.mark.parametrize(
    ("chain", "hops"),
    [
        (RoleChain(Ambient(), CHINA), []),
        (RoleChain(Ambient(), CHINA, CHINA), []),
        (RoleChain(Ambient(), HUB, CHINA), [1]),
        (RoleChain(Ambient(), HUB, CHINA, HUB), [1, 2]),
        (RoleChain(Ambient(), HUB, "broken but long enough", CHINA), [1, 2]),
        (RoleChain(WebIdentity(role_arn=HUB), CHINA), [0]),
        (RoleChain(WebIdentity(role_arn=CHINA), CHINA), []),
        (RoleChain(SessionToken(mfa_serial="arn:aws:iam::123456789012:mfa/me"), CHINA), [0]),
        (RoleChain(SessionToken(mfa_serial="GAHT12345678"), CHINA), []),
    ],
)
def test_no_chain_leaves_its_partition(chain, hops):
    assert hops == [problem.hop for problem in chain.problems()]
    assert all(problem.field == "RoleArn" for problem in chain.problems())


def test_a_hop_in_another_partition_says_which_are_which():
    (text,) = said(RoleChain(Ambient(), HUB, CHINA))

    assert "is in the partition aws-cn, and hop 0 in aws" in text


def test_an_inherited_tag_cannot_be_set_again_whatever_its_case():
    chain = RoleChain(
        Ambient(),
        Role(HUB, tags={"team": "a", "own": "b"}, transitive_tag_keys=["team"]),
        SPOKE,
        Role(READER, tags={"own": "c", "TEAM": "d"}),
    )

    (problem,) = chain.problems()

    assert (problem.hop, problem.field) == (2, "Tags[1].Key")
    assert "'TEAM' is inherited from hop 0" in problem.message


def test_source_identity_stays_the_same_through_a_chain():
    alice = Role(HUB, source_identity="alice")

    assert RoleChain(Ambient(), alice, alice, SPOKE, alice).problems() == ()
    (problem,) = RoleChain(Ambient(), SPOKE, alice, Role(READER, source_identity="bob")).problems()
    assert (problem.hop, problem.field) == (2, "SourceIdentity")
    assert "hop 1 sets it to 'alice'" in problem.message


@pytest.mark.parametrize(
    ("origin", "problems"),
    [
        (Profile(""), ["profile_name: is empty"]),
        (Profile(5), ["profile_name: must be a string, got int"]),
        (CredentialSource("Vault"), ["credential_source: must be one of Environment, Ec2Inst"]),
        (CredentialSource("Environment"), []),
        (SessionToken(duration=900), []),
        (SessionToken(duration=129600, mfa_serial="arn:aws:iam::123456789012:mfa/me"), []),
        (SessionToken(duration=899), ["DurationSeconds: must be 900 to 129600 seconds, got 899"]),
        (SessionToken(duration=129601), ["DurationSeconds: must be 900 to 129600"]),
        (SessionToken(mfa_serial="x"), ["SerialNumber: must have 9 to 256"]),
        (SessionToken(Profile("")), ["profile_name: is empty"]),
        (SessionToken(SessionToken()), ["of: GetSessionToken needs the long-term keys"]),
        (SessionToken(WebIdentity()), ["of: GetSessionToken needs .* WebIdentity\\(\\) gives"]),
        (WebIdentity(token_file=""), ["token_file: is empty"]),
        (WebIdentity(token_file=5), ["token_file: must be a string, got int"]),
        (WebIdentity(token_file="t", token=str), ["WebIdentityToken: is given twice"]),
        (
            WebIdentity(role_arn="x", session_name="x", duration=1, policy="x", policy_arns=["x"]),
            ["RoleArn", "RoleSessionName", "DurationSeconds", "Policy: ", "PolicyArns\\[0\\]"],
        ),
        (WebIdentity(duration=43200), []),
        (
            WebIdentity(role_arn=HUB, policy_arns=["arn:aws:iam::222222222222:policy/p"]),
            ["PolicyArns\\[0\\]: .* not in the role's account, 111111111111"],
        ),
    ],
)  # fmt: skip
def test_origins_have_limits_too(origin, problems):
    found = said(RoleChain(origin))

    assert len(problems) == len(found), found
    for pattern, text in zip(problems, found, strict=True):
        assert re.match(pattern, text), text


def test_every_check_takes_any_value():
    (problem,) = limits.policy(5)

    assert str(problem) == "Policy: must be JSON text, got int [STS service model]"
