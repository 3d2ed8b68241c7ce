"""A role is one value however it was spelled, and a chain is data that travels."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import timedelta
from types import MappingProxyType

import pytest
from cases import HUB, READER, SPOKE
from hypothesis import given
from hypothesis import strategies as st

import rolecall.chain.role
from rolecall.chain import (
    AUTOMATIC_ROLE_SESSION_NAME,
    Ambient,
    CredentialSource,
    GivenSession,
    Profile,
    Role,
    RoleArn,
    RoleChain,
    SessionToken,
    WebIdentity,
)
from rolecall.errors import ConfigError, InvalidChain

TEXT = st.text(max_size=12)
MAYBE = st.none() | TEXT
ROLES = st.builds(
    Role,
    st.sampled_from([HUB, SPOKE, READER, "no arn"]),
    session_name=MAYBE,
    duration=st.none() | st.integers(0, 50000),
    policy=st.none() | TEXT | st.dictionaries(TEXT, st.integers() | TEXT, max_size=2),
    policy_arns=st.lists(TEXT, max_size=2),
    tags=st.dictionaries(TEXT, MAYBE, max_size=2),
    transitive_tag_keys=st.lists(TEXT, max_size=2),
    external_id=MAYBE,
    mfa_serial=MAYBE,
    source_identity=MAYBE,
    provided_contexts=st.lists(st.tuples(TEXT, TEXT), max_size=1),
    extra=st.dictionaries(TEXT.map("X-{}".format), st.integers() | TEXT, max_size=2),
)
ORIGINS = st.one_of(
    st.just(Ambient()),
    st.builds(Profile, TEXT, st.booleans()),
    st.builds(CredentialSource, TEXT),
    st.builds(SessionToken, st.builds(Profile, TEXT), st.integers(0, 9999), MAYBE),
    st.builds(
        WebIdentity,
        role_arn=MAYBE,
        token_file=MAYBE,
        duration=st.none() | st.integers(0, 9999),
        policy=MAYBE,
        policy_arns=st.lists(TEXT, max_size=2),
        session_name=MAYBE,
    ),
)
CHAINS = st.builds(
    lambda origin, roles: RoleChain(origin, *roles), ORIGINS, st.lists(ROLES, max_size=3)
)
FULL = {
    "RoleSessionName": "me",
    "PolicyArns": [{"arn": "arn:aws:iam::aws:policy/P"}],
    "Policy": '{"Version": "2012-10-17"}',
    "DurationSeconds": 900,
    "Tags": [{"Key": "team", "Value": "data"}],
    "TransitiveTagKeys": ["team"],
    "ExternalId": "fake-external",
    "SerialNumber": "GAHT12345678",
    "SourceIdentity": "alice",
}


def refused(**keywords):
    with pytest.raises(InvalidChain) as caught:
        Role.from_keywords(READER, **keywords)
    return [str(problem) for problem in caught.value.problems]


@given(CHAINS, st.integers(2, pickle.HIGHEST_PROTOCOL))
def test_a_chain_that_travelled_is_the_same_chain(chain, protocol):
    back = pickle.loads(pickle.dumps(chain, protocol))

    assert chain == back
    assert hash(chain) == hash(back)
    assert repr(chain) == repr(back)


@given(CHAINS)
def test_a_copied_chain_is_the_same_chain(chain):
    assert chain == copy.copy(chain) == copy.deepcopy(chain)


@given(ROLES)
def test_what_a_role_asks_for_makes_the_same_role(role):
    keywords = role.request()

    assert role == Role.from_keywords(keywords.pop("RoleArn"), additional_kwargs=keywords)


def test_a_chain_of_two_roles_pickles_in_some_200_bytes():
    assert len(pickle.dumps(RoleChain(Profile("hub"), HUB, SPOKE))) <= 200


def test_pickles_name_the_public_path():
    tagged = Role(SPOKE, tags={"a": "b"})
    pickled = pickle.dumps(RoleChain(SessionToken(Profile("p")), HUB, tagged), 0)

    assert b"rolecall.chain" not in pickled
    assert b"crolecall\nRoleChain" in pickled


@pytest.mark.parametrize(
    "kind",
    [Ambient, Profile, CredentialSource, WebIdentity, SessionToken, GivenSession, Role, RoleChain],
)
def test_values_belong_to_the_public_package(kind):
    assert kind.__module__ == "rolecall"


def test_equal_roles_are_equal_however_they_are_spelled():
    roles = {
        Role(
            READER,
            duration=timedelta(minutes=15),
            policy={"Version": "2012-10-17"},
            policy_arns=["arn:aws:iam::aws:policy/P"],
            tags={"team": "data"},
        ),
        Role(
            RoleArn.parse(READER),
            duration=900,
            policy='{"Version": "2012-10-17"}',
            policy_arns=({"arn": "arn:aws:iam::aws:policy/P"},),
            tags=[{"Key": "team", "Value": "data"}],
        ),
        Role.from_keywords(
            READER,
            DurationSeconds=timedelta(seconds=900, microseconds=999),
            Policy=MappingProxyType({"Version": "2012-10-17"}),
            PolicyArns={"arn": "arn:aws:iam::aws:policy/P"},
            Tags=MappingProxyType({"team": "data"}),
        ),
    }

    assert len(roles) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"session_name": "other"},
        {"duration": 901},
        {"policy": "{}"},
        {"tags": {"a": "c"}},
        {"external_id": "other"},
        {"source_identity": "bob"},
        {"mfa_serial": "GAHT12345678"},
        {"transitive_tag_keys": ["a"]},
        {"policy_arns": ["p"]},
        {"provided_contexts": [("p", "a")]},
        {"extra": {"New": 1}},
    ],
)
def test_whatever_is_asked_for_is_part_of_what_a_role_is(change):
    same = {"session_name": "me", "duration": 900, "tags": {"a": "b"}}

    assert Role(READER, **same) != Role(READER, **{**same, **change})


def test_keywords_come_out_as_boto3_takes_them():
    role = Role.from_keywords(READER, **FULL)

    assert role.request() == {"RoleArn": READER, **FULL}


def test_a_bare_role_asks_for_nothing_but_its_arn():
    assert Role(READER).request() == {"RoleArn": READER}


def test_policies_are_written_as_json_dumps_does():
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ("s3:*",)}]}

    assert json.dumps(policy) == Role(READER, policy=policy).policy


def test_a_policy_that_is_too_long_by_its_blanks_is_written_without():
    policy = {"a": ["x"] * 470}
    assert len(json.dumps(policy)) > 2048 - 100

    role = Role(READER, policy=policy, policy_arns=["arn:aws:iam::aws:policy/" + "p" * 100])

    assert json.dumps(policy, separators=(",", ":")) == role.policy
    assert RoleChain(Ambient(), role).problems() == ()


def test_source_identity_names_the_session_where_nothing_else_does():
    assert Role.from_keywords(READER, SourceIdentity="alice").session_name == "alice"
    assert (
        Role.from_keywords(READER, RoleSessionName="", SourceIdentity="alice").session_name
        == "alice"
    )
    assert Role.from_keywords(READER, RoleSessionName="me", SourceIdentity="a").session_name == "me"


def test_an_automatic_name_is_generated_even_with_a_source_identity():
    role = Role.from_keywords(
        READER, RoleSessionName=AUTOMATIC_ROLE_SESSION_NAME, SourceIdentity="alice"
    )

    assert role.session_name is None
    assert Role(READER, session_name=AUTOMATIC_ROLE_SESSION_NAME).session_name is None
    assert "RoleSessionName" not in role.request()


def test_additional_arguments_fill_in_and_explicit_ones_win():
    role = Role.from_keywords(
        READER,
        DurationSeconds=900,
        additional_kwargs={
            "RoleArn": HUB,
            "DurationSeconds": 1800,
            "ExternalId": "fake-external",
            "PolicyArns": [{"arn": "arn:aws:iam::aws:policy/P"}],
            "Tags": None,
            "TokenCode": "654321",
            "MinimumSessionTokenSize": 0,
            "Newer": {"A": [1, "x"]},
        },
    )

    assert role.request() == {
        "RoleArn": READER,
        "DurationSeconds": 900,
        "ExternalId": "fake-external",
        "PolicyArns": [{"arn": "arn:aws:iam::aws:policy/P"}],
        "MinimumSessionTokenSize": 0,
        "Newer": {"A": [1, "x"]},
    }
    assert "654321" not in repr(role) + str(vars_of(role))


def vars_of(role):
    return [getattr(role, name) for name in role.__slots__]


@pytest.mark.parametrize(
    ("keywords", "problems"),
    [
        ({"PolicyArns": "arn:aws:iam::aws:policy/P"}, ["PolicyArns: must be a list .*, got str"]),
        ({"PolicyArns": [5]}, ["PolicyArns[0]: must be an ARN or"]),
        ({"PolicyArns": [{"Arn": "x"}]}, ["PolicyArns[0]: must be an ARN or"]),
        ({"PolicyArns": 5}, ["PolicyArns: must be a list such as"]),
        ({"Tags": "team"}, ["Tags: must be a list such as"]),
        ({"Tags": {"Key": "a", "Value": "b"}}, ["Tags: is one Key/Value dict; give a list"]),
        ({"Tags": [{"Key": "a"}]}, ["Tags[0]: must have Key and Value, has Key"]),
        ({"Tags": [{}]}, ["Tags[0]: must have Key and Value, has neither"]),
        ({"Tags": ["team"]}, ["Tags[0]: must be {"]),
        ({"Tags": {"a": []}}, ["Tags[0].Value: must be a string, got list"]),
        ({"TransitiveTagKeys": "team"}, ["TransitiveTagKeys: must be a list such as"]),
        ({"Policy": b"{}"}, ["Policy: must be text, a dict or a list, got bytes"]),
        ({"Policy": {"a": {1, 2}}}, ["Policy: cannot be written as JSON: Object of type set"]),
        ({"ExternalId": []}, ["ExternalId: must be a string, got list"]),
        ({"RoleSessionName": {1: 1}, "ExternalId": []}, ["RoleSessionName: m", "ExternalId: m"]),
        ({"DurationSeconds": [900]}, ["DurationSeconds: must be a string, got list"]),
        ({"additional_kwargs": ["x"]}, ["additional_kwargs: must be a dict"]),
        ({"additional_kwargs": {5: 1}}, ["additional_kwargs: names must be strings, got int"]),
        ({"additional_kwargs": {"X": {1}}}, ["X: must be plain data, got set"]),
        ({"additional_kwargs": {"ProvidedContexts": [5]}}, ["ProvidedContexts[0]: must have"]),
    ],
)  # fmt: skip
def test_what_has_no_place_in_a_role_is_refused_at_once(keywords, problems):
    found = refused(**keywords)

    assert len(problems) == len(found), found
    for start, text in zip(problems, found, strict=True):
        assert text.startswith(start.partition(" .*")[0]), text


@pytest.mark.parametrize("name", ["TokenCode", "RoleArn", "SerialNumber"])
def test_nothing_is_smuggled_in_as_an_extra(name):
    with pytest.raises(InvalidChain, match=f"{name}: cannot be in extra") as caught:
        Role(READER, extra={name: "654321"})
    assert "654321" not in str(caught.value)


def test_one_mistake_is_one_problem():
    with pytest.raises(InvalidChain) as caught:
        Role([])

    assert [*map(str, caught.value.problems)] == ["RoleArn: must be a string, got list"]


def test_a_policy_may_be_made_of_any_mappings_and_tuples():
    policy = MappingProxyType({"Statement": (MappingProxyType({"Sid": "a"}),)})

    assert Role(READER, policy=policy).policy == '{"Statement": [{"Sid": "a"}]}'


def test_a_refusal_says_what_else_is_wrong():
    found = refused(PolicyArns="arn", DurationSeconds=5, RoleSessionName="x", Tags=[{"Key": "a"}])

    assert [text.partition(":")[0] for text in found] == [
        "PolicyArns",
        "Tags[0]",
        "RoleSessionName",
        "DurationSeconds",
    ]


def test_what_may_be_secret_is_not_in_a_repr():
    role = Role(
        READER,
        policy={"Id": "fake-secret-policy"},
        external_id="fake-secret-id",
        provided_contexts=[("arn:aws:iam::aws:contextProvider/P", "fake-secret-assertion")],
        extra={"X": "fake-secret-extra"},
        tags={"team": "data"},
    )
    origin = WebIdentity(token=lambda: "fake-secret-token", policy={"Id": "fake-secret-policy"})
    chain = RoleChain(origin, role)

    for text in (repr(role), str(role), repr(chain), str(chain), f"{chain.problems()}"):
        assert "fake-secret" not in text
    assert f"Role('{READER}', policy=…, tags=(('team', 'data'),), external_id=…" in repr(role)


def test_a_chain_reads_from_origin_to_role():
    assert f"Profile('hub') -> {HUB} -> {SPOKE}" == str(RoleChain(Profile("hub"), HUB, SPOKE))
    assert str(RoleChain(Ambient())) == "Ambient()"


def test_a_chain_grows_and_shrinks_by_one_role():
    chain = RoleChain(Profile("hub"), HUB)

    longer = chain + Role(SPOKE)

    assert RoleChain(Profile("hub"), Role(HUB), Role(SPOKE)) == longer == chain + SPOKE
    assert longer == chain + RoleArn.parse(SPOKE)
    assert chain == longer.parent
    assert RoleChain(Profile("hub")) == chain.parent


def test_an_origin_alone_has_no_parent():
    with pytest.raises(ValueError, match=r"Ambient\(\) has no role"):
        _ = RoleChain(Ambient()).parent


def test_only_roles_are_added_to_a_chain():
    with pytest.raises(TypeError):
        RoleChain(Ambient()) + 5


@pytest.mark.parametrize("origin", ["hub", None, Role(HUB)])
def test_a_chain_starts_from_an_origin(origin):
    with pytest.raises(TypeError, match="starts from an origin such as"):
        RoleChain(origin, HUB)


def test_a_hop_is_a_role():
    with pytest.raises(TypeError, match="a hop must be a Role or the ARN of one, got int"):
        RoleChain(Ambient(), 5)


@pytest.mark.parametrize("value", [Role(HUB), RoleChain(Ambient()), Profile("p"), WebIdentity()])
def test_values_do_not_change(value):
    with pytest.raises(AttributeError):
        setattr(value, value.__slots__[0], "other")


def test_a_session_is_opened_by_whoever_can(monkeypatch):
    monkeypatch.setattr(rolecall.chain.role, "session_opener", lambda chain, **kw: (chain, kw))
    chain = RoleChain(Ambient(), HUB)

    assert (chain, {"region_name": "x"}) == chain.session(region_name="x")


def test_without_the_layer_that_opens_sessions_it_is_named(monkeypatch):
    monkeypatch.setattr(rolecall.chain.role, "session_opener", None)

    with pytest.raises(RuntimeError, match=r"import rolecall\.sessions"):
        RoleChain(Ambient()).session()


class Session:
    __module__ = "boto3.session"

    def __repr__(self):
        return "fake-secret-in-a-repr"


def test_a_given_session_is_equal_to_itself_only():
    session = Session()

    assert GivenSession(session) == GivenSession(session)
    assert hash(GivenSession(session)) == hash(GivenSession(session))
    assert GivenSession(session) != GivenSession(Session())
    assert str(GivenSession(session)) == "GivenSession(<boto3 Session>)"


def test_a_given_session_does_not_travel():
    chain = RoleChain(GivenSession(Session()), HUB)

    with pytest.raises(ConfigError, match="lives in this process only") as caught:
        pickle.dumps(chain)
    assert "Profile(name)" in caught.value.hint
    assert chain == copy.deepcopy(chain)
    assert copy.copy(chain.origin) is chain.origin


def test_a_web_identity_with_a_callable_does_not_travel():
    origin = WebIdentity(token=lambda: "fake-secret-token")

    with pytest.raises(ConfigError, match="cannot be pickled") as caught:
        pickle.dumps(RoleChain(origin))
    assert "token_file" in caught.value.hint
    assert origin is copy.deepcopy(origin) is copy.copy(origin)


def test_a_token_itself_is_refused_and_not_shown():
    with pytest.raises(TypeError, match="token must be a callable") as caught:
        WebIdentity(token="fake-secret-token")
    assert "fake-secret" not in str(caught.value)


def test_a_token_file_may_be_a_path(tmp_path):
    assert str(tmp_path / "t") == WebIdentity(token_file=tmp_path / "t").token_file


def test_a_session_token_lasts_a_working_day_by_default():
    assert (Ambient(), timedelta(hours=12)) == (SessionToken().of, SessionToken().duration)
    assert repr(SessionToken()) == "SessionToken()"
    assert SessionToken(Profile("a"), timedelta(hours=1)) == SessionToken(Profile("a"), 3600)


def test_a_session_token_is_of_an_origin():
    with pytest.raises(TypeError, match="of must be an origin"):
        SessionToken("hub")


@pytest.mark.parametrize(
    "build",
    [
        lambda: WebIdentity(policy_arns="x", policy={1, 2}),
        lambda: SessionToken(duration=[], mfa_serial=[]),
    ],
)
def test_origins_refuse_what_they_cannot_hold_all_at_once(build):
    with pytest.raises(InvalidChain) as caught:
        build()
    assert len(caught.value.problems) == 2
