"""Which accounts are meant: the criteria as values, without an organization to ask."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from organizations import MANAGEMENT, ROOT, World, world

from rolecall.errors import ConfigError
from rolecall.fleet.accounts.directory import Directory, Unit
from rolecall.fleet.accounts.selection import STATES, candidates, criteria, tagged
from rolecall.fleet.targets import Account

FEW = world(40)


def read(world: World, **changes: Any) -> Directory:
    """Return *world* as it is once all of it was read."""
    units = {ROOT: Unit(ROOT, "Root")}
    units.update((id, Unit(id, name, parent)) for id, (name, parent) in world.units.items())
    values: dict[str, Any] = {
        "read_at": 0.0,
        "management": world.management,
        "accounts": {
            one.id: Account(one.id, name=one.name, email=one.email, state=one.state)
            for one in world.members
        },
        "units": units,
        "parents": {one.id: one.parent for one in world.members},
        "tags": {one.id: one.tags for one in world.members},
    }
    return Directory(**{**values, **changes})


def selected(directory: Directory, **arguments: Any) -> tuple[str, ...]:
    wanted = criteria(**arguments)
    return tagged(candidates(directory, wanted, directory.ways()), directory, wanted)


def problems(directory: Directory, **arguments: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        selected(directory, **arguments)
    return str(caught.value)


# ── what is selected, as it is defined ───────────────────────────────────────────────────

PLACES = [ROOT, *FEW.units]
IDS = [one.id for one in FEW.members]
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "ous": st.none() | st.lists(st.sampled_from(PLACES), max_size=3),
        "exclude_ous": st.lists(st.sampled_from(PLACES[1:]), max_size=3),
        "tags": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "env": st.none()
                | st.sampled_from(["prod", "dev", "none"])
                | st.lists(st.sampled_from(["prod", "stage"])),
                "team": st.none() | st.just("team-3"),
            },
        ),
        "name": st.none() | st.sampled_from(["^team-1", "-2", "x", "^management$"]),
        "state": st.none() | st.sampled_from(STATES) | st.lists(st.sampled_from(STATES)),
        "ids": st.none() | st.lists(st.sampled_from(IDS)),
        "exclude": st.lists(st.sampled_from(IDS)),
        "include_management": st.booleans(),
    },
)


def as_defined(world: World, arguments: Mapping[str, Any]) -> list[str]:
    """Return what the arguments say in words, an account at a time."""

    def listed(given: Any) -> list[Any]:
        return [given] if isinstance(given, str) else list(given)

    def meant(member: Any) -> bool:
        where = world.way(member.parent)
        state = arguments.get("state", "ACTIVE")
        checks = [
            arguments.get("ous") is None or any(one in where for one in arguments["ous"]),
            not any(one in where for one in arguments.get("exclude_ous", ())),
            arguments.get("name") is None or re.search(arguments["name"], member.name),
            state is None or member.state in listed(state),
            arguments.get("ids") is None or member.id in arguments["ids"],
            member.id not in arguments.get("exclude", ()),
            arguments.get("include_management") or member.id != world.management,
        ]
        for key, values in (arguments.get("tags") or {}).items():
            checks.append(key in member.tags)
            checks.append(values is None or member.tags.get(key) in listed(values))
        return all(checks)

    return sorted(member.id for member in world.members if meant(member))


@given(ARGUMENTS)
@example({"ous": []})
@example({"ids": [], "state": None})
@example({"tags": {"env": []}})
@example({"state": None, "include_management": True})
def test_accounts_are_selected_as_defined_and_in_the_order_of_their_ids(
    arguments: dict[str, Any],
) -> None:
    assert as_defined(FEW, arguments) == list(selected(read(FEW), **arguments))


@given(ARGUMENTS, st.lists(st.sampled_from(IDS), min_size=1))
def test_what_is_excluded_is_not_there_whatever_else_is_asked_for(
    arguments: dict[str, Any], excluded: list[str]
) -> None:
    found = selected(read(FEW), **{**arguments, "exclude": excluded})

    assert not set(excluded) & set(found)


def test_excluding_a_unit_beats_asking_for_it() -> None:
    both = selected(read(FEW), ous="/prod", exclude_ous="/prod")

    assert both == ()


# ── units ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", ["/prod/eu", "/prod/eu/", "prod/eu"])
def test_a_unit_is_named_by_its_path_from_the_root(text: str) -> None:
    assert selected(read(FEW), ous=FEW.unit("/prod/eu")) == selected(read(FEW), ous=text)


def test_the_root_is_a_slash_and_holds_all() -> None:
    assert selected(read(FEW)) == selected(read(FEW), ous="/")


def test_a_name_that_one_unit_has_will_do() -> None:
    wanted = selected(read(FEW), ous=FEW.unit("/stage/us/stage-us-1"))

    assert wanted
    assert wanted == selected(read(FEW), ous=["stage-us-1"])


def test_a_name_that_several_units_have_is_refused_with_all_of_them() -> None:
    said = problems(read(FEW), ous="eu")

    assert f"/prod/eu ({FEW.unit('/prod/eu')})" in said
    assert f"/stage/eu ({FEW.unit('/stage/eu')})" in said


def test_a_name_with_a_slash_in_it_is_no_path_of_two() -> None:
    few = world(10)
    few.units["ou-ab12-slashed0"] = ("a/b", ROOT)
    few.members[1].parent = "ou-ab12-slashed0"

    assert (few.members[1].id,) == selected(read(few), ous="a/b")
    assert "'b' is no unit" in problems(read(few), ous="b")


def test_a_name_and_a_path_that_mean_different_units_are_refused() -> None:
    few = world(10)
    few.units["ou-ab12-shadowed"] = ("prod", few.unit("/stage"))

    assert "'prod' may be any of" in problems(read(few), ous="prod")
    assert selected(read(few), ous=few.unit("/prod")) == selected(read(few), ous="/prod")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("/prod/ue", "'/prod/eu'"),
        ("/Prod/EU", "'/prod/eu'"),
        ("prod-eu-7", "'/prod/eu/prod-eu-"),
        ("ou-ab12-00000091", "ou-ab12-000000"),
    ],
)
def test_an_unknown_unit_is_refused_with_those_like_it(text: str, meant: str) -> None:
    said = problems(read(FEW), exclude_ous=text)

    assert f"exclude_ous: {text!r} is no unit of the organization: did you mean" in said
    assert meant in said


def test_an_account_whose_unit_cannot_be_told_is_neither_left_out_nor_let_in() -> None:
    lost = FEW.members[1].id
    parents = {one.id: one.parent for one in FEW.members if one.id != lost}
    directory = read(FEW, parents=parents)

    for arguments in ({"ous": "/prod"}, {"exclude_ous": "/prod"}):
        assert f"the unit of {lost} cannot be told" in problems(directory, **arguments)
    assert selected(directory, exclude_ous="/prod", exclude=[lost])
    assert lost in selected(directory)


# ── accounts and states ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("argument", ["ids", "exclude"])
def test_an_account_that_is_not_there_is_refused_with_those_like_it(argument: str) -> None:
    real = FEW.members[7]
    wrong = real.id[:-1] + ("0" if real.id[-1] != "0" else "1")

    said = problems(read(FEW), **{argument: [wrong]})

    assert f"{argument}: {wrong} is not in the organization: did you mean" in said
    assert str(Account(real.id, name=real.name)) in said


def test_all_that_is_wrong_is_said_at_once() -> None:
    said = problems(
        read(FEW, management=None), ous="/nope", exclude_ous="ue", ids=["111122223333"],
        exclude=["444455556666"],
    )  # fmt: skip

    for one in ("ous: '/nope'", "exclude_ous: 'ue'", "ids: 111122223333", "exclude: 444455556666"):
        assert one in said
    assert "which account is the management account cannot be told" in said


def test_an_account_without_a_state_is_refused_unless_any_will_do() -> None:
    accounts = {one.id: Account(one.id, name=one.name) for one in FEW.members}
    directory = read(FEW, accounts=accounts)

    said = problems(directory)

    assert "newer boto3" in said
    assert "state=None" in said
    assert "and 34 more" in said
    assert as_defined(FEW, {"state": None}) == list(selected(directory, state=None))


def test_an_account_without_a_state_may_be_left_out_by_its_id() -> None:
    lost = FEW.members[1]
    accounts = {**read(FEW).accounts, lost.id: Account(lost.id, name=lost.name)}
    directory = read(FEW, accounts=accounts)

    assert lost.id in problems(directory)
    assert selected(directory, exclude=[lost.id]) == selected(read(FEW), exclude=[lost.id])


def test_the_management_account_is_there_only_if_it_is_asked_for() -> None:
    assert MANAGEMENT not in selected(read(FEW), ids=[MANAGEMENT])
    assert selected(read(FEW), ids=[MANAGEMENT], include_management=True) == (MANAGEMENT,)


def test_a_single_id_is_no_list_of_digits_and_numbers_get_their_zeros_back() -> None:
    first = next(id for id in IDS if id.startswith("0"))

    assert (first,) == selected(read(FEW), ids=first)
    assert (first,) == selected(read(FEW), ids=[int(first)])


# ── what means nothing in any organization ───────────────────────────────────────────────


def test_all_that_no_organization_could_know_is_said_at_once() -> None:
    with pytest.raises(ValueError, match="'team-\\('") as caught:
        criteria(ous=[""], name="team-(", state=["ACTIV", "gone"], ids=["12"], exclude="prod")

    said = str(caught.value)
    for one in ("ous: ''", "did you mean 'ACTIVE'", "'gone' is none", "'12'", "'prod'"):
        assert one in said


@pytest.mark.parametrize(
    "arguments",
    [
        {"ous": 7},
        {"ous": [7]},
        {"ous": {"a": "b"}},
        {"tags": "env=prod"},
        {"tags": {"env": 1}},
        {"tags": {"env": ["prod", 1]}},
        {"tags": {1: "prod"}},
        {"name": 7},
        {"name": re.compile(b"x")},
        {"state": 7},
        {"ids": 111122223333},
        {"ids": [None]},
        {"exclude": None},
        {"include_management": "no"},
    ],
)
def test_what_is_of_a_wrong_type_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(arguments))):
        criteria(**arguments)


def test_a_name_may_be_a_compiled_expression() -> None:
    wanted = re.compile("^TEAM-1", re.IGNORECASE)

    assert selected(read(FEW), name="^team-1") == selected(read(FEW), name=wanted)


def test_an_empty_value_of_a_tag_is_a_value() -> None:
    few = world(3)
    few.members[1].tags = {"env": ""}

    assert (few.members[1].id,) == selected(read(few), tags={"env": ""})
