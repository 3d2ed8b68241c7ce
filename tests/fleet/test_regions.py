"""Which regions each account is entered in, as `fan_out` is told, offline."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.session import Session

from rolecall.chain import Ambient, RoleChain, partition_of_region
from rolecall.fleet import Account, FanOut, fan_out
from rolecall.fleet.regions import HOME_REGIONS, regions_in, warn_of_strange

ONE, TWO = "111122220001", "111122220002"

Fan = Callable[..., FanOut]


def regions_of(run: FanOut) -> list[tuple[str, str | None]]:
    return [(target.account.id[-1], target.region) for target in run.plan().targets]


def generated() -> Iterator[str]:
    yield from ("eu-west-1", "us-east-1")


BOTH = [("1", "eu-west-1"), ("1", "us-east-1"), ("2", "eu-west-1"), ("2", "us-east-1")]


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        (None, [("1", "us-east-1"), ("2", "us-east-1")]),
        ("eu-west-1", [("1", "eu-west-1"), ("2", "eu-west-1")]),
        (["eu-west-1", "us-east-1"], BOTH),
        (("eu-west-1", "us-east-1", "eu-west-1"), BOTH),
        (dict.fromkeys(["eu-west-1", "us-east-1"]).keys(), BOTH),
        (generated(), BOTH),
        ({ONE: ["eu-west-1"], TWO: "us-east-1"}, [("1", "eu-west-1"), ("2", "us-east-1")]),
        ({ONE: None, TWO: ["eu-west-1"]}, [("1", "us-east-1"), ("2", "eu-west-1")]),
        (lambda account: generated(), BOTH),
    ],
)
def test_regions_are_given_in_many_ways(
    fan: Fan, regions: Any, expected: list[tuple[str, str | None]]
) -> None:
    assert expected == regions_of(fan([ONE, TWO], regions=regions))


def test_an_account_s_own_regions_win(fan: Fan) -> None:
    targets = [Account(ONE, regions=("eu-west-1",)), TWO]

    for regions in (["us-east-1"], {TWO: ["us-east-1"]}, lambda account: ["us-east-1"]):
        assert regions_of(fan(targets, regions=regions)) == [("1", "eu-west-1"), ("2", "us-east-1")]


def test_enabled_is_said_for_all_for_some_or_by_the_account() -> None:
    accounts = [Account(ONE), Account(TWO, regions="enabled")]

    partitions = {ONE: "aws", TWO: "aws"}

    for spec in ("enabled", {ONE: "enabled"}, lambda account: "enabled"):
        assert regions_in(spec, accounts, partitions) == {ONE: "enabled", TWO: "enabled"}
    assert regions_in(["eu-west-1"], accounts, partitions) == {ONE: ("eu-west-1",), TWO: "enabled"}


@pytest.mark.parametrize("regions", [5, {ONE: 5}, {ONE: {"eu-west-1": 1}}, lambda account: 5])
def test_what_names_no_regions_is_a_type_error(fan: Fan, regions: Any) -> None:
    with pytest.raises(TypeError, match=ONE):
        fan([ONE], regions=regions)


@pytest.mark.parametrize(
    "name",
    ["", "eu", "eu-west", "EU-WEST-1", "eu_west_1", "eu-west-1a", "eu-west-1\n", "global", 5, None],
)
def test_what_is_no_region_is_refused_by_name(fan: Fan, name: Any) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(f"{name!r} is no region, such as")):
        fan([ONE], regions=["us-east-1", name])


def test_no_regions_at_all_are_refused(fan: Fan) -> None:
    """A run over nothing would say that all went well."""
    none: tuple[Any, ...] = ([], (), {ONE: []}, lambda account: [])
    for regions in none:
        with pytest.raises(ValueError, match=f"{ONE}|region"):
            fan([ONE], regions=regions)


def test_all_that_is_wrong_is_told_at_once_and_once(fan: Fan) -> None:
    regions = {ONE: ["eu-wset", "us-east-1"], TWO: ["eu-wset", "cn-north-1", "us-gov-east-1"]}

    with pytest.raises(ValueError, match="region") as caught:
        fan([ONE, TWO, "111122220003"], regions=regions)

    told = str(caught.value)
    assert told.count("'eu-wset' is no region") == 1
    assert "cn-north-1 is in partition aws-cn, not in aws" in told
    assert "us-gov-east-1 is in partition aws-us-gov, not in aws" in told
    assert "names none for account 111122220003" in told
    assert "us-east-1" not in told


@pytest.mark.parametrize(
    ("regions", "why"),
    [
        ({"111122220001": ["eu-west-1"]}, "names none for accounts"),
        (lambda account: [], r"names none \(leave the account out instead\) for accounts"),
    ],
    ids=["left out", "empty"],
)
def test_of_thousands_of_accounts_without_regions_ten_are_named(regions: Any, why: str) -> None:
    accounts = [Account(f"{111122220000 + number}") for number in range(2, 5002)]
    partitions = dict.fromkeys((account.id for account in accounts), "aws")

    with pytest.raises(ValueError, match=f"regions {why} 111122220002, ") as caught:
        regions_in(regions, accounts, partitions)

    told = str(caught.value)
    assert [one.id for one in accounts if one.id in told] == [one.id for one in accounts[:10]]
    assert told.endswith("111122220011 and 4990 more")


def test_ten_accounts_without_regions_are_all_of_them() -> None:
    accounts = [Account(f"{111122220000 + number}") for number in range(10)]
    partitions = dict.fromkeys((account.id for account in accounts), "aws")

    with pytest.raises(ValueError, match=r"111122220009$"):
        regions_in({}, accounts, partitions)


def test_regions_are_of_the_session_s_partition() -> None:
    session = boto3.Session("AKIAFAKE000000000001", "fake-secret", region_name="cn-north-1")

    run = fan_out(session, [ONE], role="Auditor", regions=["cn-northwest-1"])

    assert regions_of(run) == [("1", "cn-northwest-1")]
    with pytest.raises(ValueError, match="eu-west-1 is in partition aws, not in aws-cn"):
        fan_out(session, [ONE], role="Auditor", regions=["eu-west-1"])


def test_each_account_s_regions_are_of_the_partition_its_role_is_in(fan: Fan) -> None:
    gov = "arn:aws-us-gov:iam::{account}:role/"
    hub = RoleChain(Ambient(), gov.format(account=ONE) + "Hub", gov + "Auditor")
    role = {ONE: "Auditor", TWO: hub}
    regions = {ONE: ["eu-west-1"], TWO: ["us-gov-east-1"]}

    run = fan([ONE, TWO], role=role, regions=regions)

    assert regions_of(run) == [("1", "eu-west-1"), ("2", "us-gov-east-1")]
    assert [one.home for one in run._errands] == ["us-east-1", "us-gov-west-1"]
    with pytest.raises(ValueError, match="us-east-1 is in partition aws, not in aws-us-gov"):
        fan([ONE, TWO], role=role, regions=["us-east-1"])


def test_regions_of_tomorrow_are_taken(fan: Fan) -> None:
    assert regions_of(fan([ONE], regions=["xx-northwest-9"])) == [("1", "xx-northwest-9")]


def test_regions_that_may_be_misspelt_are_taken_with_a_warning(
    fan: Fan, caplog: pytest.LogCaptureFixture
) -> None:
    fan(["111122223333"], regions=["eu-wset-1", "mars-north-1", "eu-west-1"])

    assert [(one.name, one.getMessage()) for one in caplog.records] == [
        ("rolecall.fleet", "this botocore knows no region eu-wset-1: did you mean eu-west-1?"),
        ("rolecall.fleet", "this botocore knows no region mars-north-1"),
    ]


@pytest.mark.parametrize("region", HOME_REGIONS.values())
def test_regions_of_all_partitions_are_known(region: str, caplog: pytest.LogCaptureFixture) -> None:
    warn_of_strange([region], Session())

    assert caplog.records == []


def test_home_regions_are_in_their_partitions() -> None:
    for partition, region in HOME_REGIONS.items():
        assert partition_of_region(region) in (partition, None)
