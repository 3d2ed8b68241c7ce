"""Which role is assumed in which account, as `fan_out` is told, offline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest

import rolecall
from rolecall.chain import Ambient, Role, RoleArn, RoleChain
from rolecall.errors import InvalidChain
from rolecall.fleet import Account, FanOut, fan_out
from rolecall.fleet.roles import arn_in

ONE, TWO = "111122220001", "111122220002"

Fan = Callable[..., FanOut]


def roles_of(run: FanOut) -> list[str | None]:
    """Return the role of each target, by the plan."""
    return [target.role for target in run.plan().targets]


def arn(account: str, name: str = "Auditor", partition: str = "aws") -> str:
    return f"arn:{partition}:iam::{account}:role/{name}"


# What names a role


@pytest.mark.parametrize(
    ("role", "named"),
    [
        ("Auditor", "Auditor"),
        ("teams/blue/Auditor", "teams/blue/Auditor"),
        ("/teams/blue/Auditor", "teams/blue/Auditor"),
        ("Auditor-{account}", f"Auditor-{ONE}"),
        ("arn:aws:iam::{account}:role/Auditor", "Auditor"),
        ("arn:{partition}:iam::{account_id}:role/x/Auditor", "x/Auditor"),
        (arn(ONE), "Auditor"),
        (RoleArn.parse(arn(ONE)), "Auditor"),
        (Role("arn:aws:iam::{account}:role/Auditor"), "Auditor"),
        (Role(arn(ONE)), "Auditor"),
        (RoleChain(Ambient(), arn(TWO, "Hub"), "arn:aws:iam::{account}:role/Auditor"), "Auditor"),
        ({ONE: "Auditor"}, "Auditor"),
        ({ONE: Role(arn(ONE))}, "Auditor"),
        (lambda account: f"Auditor-{account.name}", "Auditor-blue"),
        (lambda account: Role(arn(account.id)), "Auditor"),
    ],
)
def test_a_role_is_named_in_many_ways(fan: Fan, role: Any, named: str) -> None:
    assert [arn(ONE, named)] == roles_of(fan([Account(ONE, name="blue")], role=role))


@pytest.mark.parametrize("role", [None, {ONE: None}, lambda account: None])
def test_no_role_is_the_session_itself(fan: Fan, role: Any) -> None:
    assert roles_of(fan([ONE], role=role)) == [None]


def test_an_account_s_own_role_wins(fan: Fan) -> None:
    targets = [Account(ONE, role="Own"), Account(TWO)]

    for role in ("Auditor", {TWO: "Auditor"}, lambda account: "Auditor"):
        assert [arn(ONE, "Own"), arn(TWO)] == roles_of(fan(targets, role=role))


def test_all_of_a_role_but_its_account_is_kept() -> None:
    from rolecall.fleet.roles import ways

    role = Role(
        "arn:aws:iam::{account}:role/Auditor",
        session_name="audit",
        duration=1200,
        policy={"Version": "2012-10-17", "Statement": []},
        policy_arns=["arn:aws:iam::aws:policy/ReadOnlyAccess"],
        tags={"a": "b"},
        transitive_tag_keys=["a"],
        external_id="fake-id",
        source_identity="alice",
    )

    found = ways(role, [Account(ONE)], options={}, partition="aws", problems_of=lambda way: ())

    filled = found[ONE].role
    assert filled is not None
    assert arn(ONE) == filled.arn
    for name in Role.__slots__:
        if name != "arn":
            assert getattr(role, name) == getattr(filled, name)


def test_a_chain_keeps_who_assumes_its_last_role() -> None:
    from rolecall.fleet.roles import ways

    chain = RoleChain(Ambient(), arn(TWO, "Hub"), "arn:aws:iam::{account}:role/Auditor")
    accounts = [Account(ONE), Account(TWO)]

    found = ways(chain, accounts, options={}, partition="aws", problems_of=lambda way: ())

    assert {RoleChain(Ambient(), arn(TWO, "Hub"))} == {way.parent for way in found.values()}


@pytest.mark.parametrize(
    "options",
    [
        {"Policy": {"Version": "2012-10-17", "Statement": []}},
        {"PolicyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]},
        {"Tags": {"a": "b"}},
        {"Tags": {"a": "b"}, "TransitiveTagKeys": ["a"]},
        {"SourceIdentity": "alice"},
    ],
    ids=lambda one: "-".join(one),
)
@pytest.mark.parametrize("role", [None, lambda account: None if account.id == ONE else "Auditor"])
def test_what_narrows_a_role_is_refused_where_there_is_none(
    fan: Fan, role: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidChain, match=f"is None for account {ONE}.*{list(options)[-1]}"):
        fan([ONE, TWO], role=role, **options)


def test_names_and_external_ids_need_no_role(fan: Fan) -> None:
    assert roles_of(fan([ONE], role=None, RoleSessionName="x", ExternalId="fake-id")) == [None]


@pytest.mark.parametrize(
    "hub",
    [
        Role(arn(TWO, "Hub"), policy={"Version": "2012-10-17", "Statement": []}),
        Role(arn(TWO, "Hub"), tags={"a": "b"}),
        Role(arn(TWO, "Hub"), source_identity="alice"),
        Role(arn(TWO, "Other")),
    ],
)
def test_a_plan_sees_how_the_hub_is_assumed(fan: Fan, hub: Role) -> None:
    chains = [RoleChain(Ambient(), one, arn(ONE)) for one in (arn(TWO, "Hub"), hub)]
    plain, other = (fan([ONE], role=chain).plan().targets[0].details for chain in chains)

    assert plain != other
    assert plain
    with pytest.raises(ValueError, match="would be entered otherwise than the plan says"):
        fan(fan([ONE], role=chains[1]).plan(), role=chains[0])


# Partitions


@pytest.mark.parametrize(
    ("region", "partition"),
    [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
)
def test_named_roles_are_in_the_partition_of_the_session_s_region(
    region: str, partition: str
) -> None:
    session = boto3.Session("AKIAFAKE000000000001", "fake-secret", region_name=region)
    hub = rolecall.assume_role(session, arn(TWO, "Hub", partition))

    assert [arn(ONE, partition=partition)] == roles_of(fan_out(session, [ONE], role="Auditor"))
    assert [arn(ONE, partition=partition)] == roles_of(fan_out(hub, [ONE], role="Auditor"))


def test_a_role_session_is_in_the_partition_of_its_role(offline: boto3.Session) -> None:
    session = boto3.Session("AKIAFAKE000000000001", "fake-secret")
    hub = rolecall.assume_role(session, arn(TWO, "Hub", "aws-cn"), region_name="cn-north-1")

    assert [arn(ONE, partition="aws-cn")] == roles_of(fan_out(hub, [ONE], role="Auditor"))
    assert [arn(ONE, partition="aws-cn")] == roles_of(
        fan_out(hub, [ONE], role="arn:{partition}:iam::{account}:role/Auditor")
    )


# What is refused, at once and all together


@pytest.mark.parametrize(
    "role", [5, b"Auditor", ["Auditor"], {ONE: 5}, lambda account: ["Auditor"], object()]
)
def test_what_names_no_role_is_a_type_error(fan: Fan, role: Any) -> None:
    with pytest.raises(TypeError, match=f"role must be .* for account {ONE}"):
        fan([ONE], role=role)


@pytest.mark.parametrize(
    ("role", "says"),
    [
        ("", "lacks the role's name"),
        ("Audi{tor", "must be 1 to 64"),
        ("{acount}", r"\{acount\}: only \{account\} and \{partition\}"),
        ("arn:aws:iam::111122220009:role/Auditor", r"not in account 111122220001"),
        (Role(arn("111122220009")), r"not in account 111122220001"),
        (RoleChain(Ambient(), arn("111122220009")), r"not in account 111122220001"),
        ("arn:aws:iam::{account}:user/Auditor", "role"),
        ("arn:aws:s3:::{account}", "role"),
        ({TWO: "Auditor"}, f"names none for account {ONE}"),
        ({}, "names none"),
    ],
)
def test_roles_that_cannot_be_are_refused_by_name(fan: Fan, role: Any, says: str) -> None:
    with pytest.raises(InvalidChain, match=says):
        fan([ONE], role=role)


def test_all_problems_of_all_accounts_are_told_at_once(fan: Fan) -> None:
    roles = {
        "111122220001": "good",
        "111122220002": "bad name",
        "111122220003": "bad name",
        "111122220004": arn("111122220009"),
    }
    accounts = [*roles, "111122220005", "111122220006"]

    with pytest.raises(InvalidChain) as caught:
        fan(accounts, role=roles, DurationSeconds=5, ExternalId="!")

    told = str(caught.value)
    assert "111122220002, 111122220003" in told
    assert "not in account 111122220004" in told
    assert "names none for account 111122220005" in told
    assert "(accounts 111122220005, 111122220006)" in told
    assert "DurationSeconds" in told
    assert "ExternalId" in told
    # What all have in common is said once, with the accounts named.
    assert told.count("DurationSeconds") == 1


def test_of_thousands_of_accounts_ten_are_named_and_it_takes_no_minutes(fan: Fan) -> None:
    ids = [f"{100000000000 + number}" for number in range(2000)]
    began = time.process_time()

    with pytest.raises(InvalidChain) as caught:
        fan(ids, role="bad name")
    seconds = time.process_time() - began

    assert "100000000009 and 1990 more)" in str(caught.value)
    assert "100000000010" not in str(caught.value)
    assert seconds < 10


def test_arguments_beside_a_role_that_brings_its_own_are_refused(fan: Fan) -> None:
    for role in (Role(arn(ONE)), RoleChain(Ambient(), arn(ONE))):
        with pytest.raises(TypeError, match="ExternalId"):
            fan([ONE], role=role, ExternalId="fake-id")


def test_a_hub_s_roles_last_an_hour_at_most(offline: boto3.Session) -> None:
    hub = rolecall.assume_role(offline, arn(TWO, "Hub"))

    fan_out(offline, [ONE], role="Auditor", DurationSeconds=7200)
    with pytest.raises(InvalidChain, match="DurationSeconds"):
        fan_out(hub, [ONE], role="Auditor", DurationSeconds=7200)


def test_an_exception_of_a_callable_is_the_caller_s(fan: Fan) -> None:
    def role(account: Account) -> str:
        raise LookupError(account.id)

    with pytest.raises(LookupError, match=ONE):
        fan([ONE], role=role)


def test_braces_are_filled_in_once() -> None:
    account = Account(ONE)

    assert arn(ONE, f"x/{ONE}-aws", "aws-cn").replace("-aws", "-aws-cn") == arn_in(
        "x/{account}-{partition}", account, "aws-cn"
    )
