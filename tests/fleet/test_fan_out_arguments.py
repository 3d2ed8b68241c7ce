"""What `fan_out` and `map` take, and what they refuse at the call."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from rolecall.chain import Role
from rolecall.fleet import Account, FanOut

Fan = Callable[..., FanOut]


# The function


def takes_session(session: Any) -> tuple[Any, ...]:
    return (session,)


def takes_both(session: Any, target: Any) -> tuple[Any, ...]:
    return session, target


def has_a_target_by_default(session: Any, target: Any = None) -> tuple[Any, ...]:
    return session, target


def has_another_default(session: Any, verbose: Any = "default") -> tuple[Any, ...]:
    return (session,)


def takes_all(*arguments: Any, **keywords: Any) -> tuple[Any, ...]:
    return arguments


class Callables:
    def __call__(self, session: Any) -> tuple[Any, ...]:
        return (session,)

    def method(self, session: Any, target: Any) -> tuple[Any, ...]:
        return session, target


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (takes_session, 1),
        (takes_both, 2),
        (has_a_target_by_default, 2),
        (has_another_default, 1),
        (takes_all, 1),
        (Callables(), 1),
        (Callables().method, 2),
        (partial(lambda bucket, session, target: (session, target), "bucket"), 2),
        (partial(lambda session, bucket: (session,), bucket="bucket"), 1),
        (lambda session: (session,), 1),
    ],
)
def test_a_function_is_called_with_what_it_takes(
    fan: Fan, function: Callable[..., Any], given: int
) -> None:
    with fan(1, regions="eu-west-1") as run:
        (outcome,) = run.map(function)

    session, *rest = outcome.value
    assert session.region_name == "eu-west-1"
    assert [outcome.target][: given - 1] == rest


def test_a_builtin_is_called_with_the_session(fan: Fan) -> None:
    with fan(1) as run:
        (outcome,) = run.map(repr)

    assert outcome.value.startswith("RoleSession(")


async def coroutine(session: Any) -> None: ...


async def asynchronous_generator(session: Any) -> Any:
    yield session


def generator(session: Any) -> Any:
    yield session


class AsynchronousCall:
    async def __call__(self, session: Any) -> None: ...


@pytest.mark.parametrize(
    "function",
    [
        None,
        "print",
        coroutine,
        partial(coroutine),
        AsynchronousCall(),
        AsynchronousCall().__call__,
        asynchronous_generator,
        generator,
        lambda: 1,
        lambda one, two, three: 1,
        lambda session, *, needed: 1,
        lambda *, target=None: 1,
        lambda **keywords: 1,
    ],
)
def test_what_cannot_be_called_for_a_target_is_refused_at_once(fan: Fan, function: Any) -> None:
    with fan(1) as run, pytest.raises(TypeError):
        run.map(function)

    assert str(run.summary) == "0 ok"


def test_a_run_calls_one_function(fan: Fan) -> None:
    with fan(1) as run:
        run.map(type)
        with pytest.raises(RuntimeError, match="fan_out"):
            run.map(type)


# Other arguments


@pytest.mark.parametrize(
    ("keywords", "raises"),
    [
        ({"max_workers": 0}, ValueError),
        ({"max_workers": True}, ValueError),
        ({"max_workers": "5"}, (TypeError, ValueError)),
        ({"chunk_size": 0}, ValueError),
        ({"attempts": 0}, ValueError),
        ({"attempts": 1.5}, (TypeError, ValueError)),
        ({"failure_tolerance": -1}, ValueError),
        ({"failure_tolerance": True}, ValueError),
        ({"timeout": 0}, ValueError),
        ({"timeout": "soon"}, ValueError),
        ({"timeout": True}, TypeError),
        ({"deadline": -5}, ValueError),
        ({"deadline": float("nan")}, ValueError),
        ({"sts_rate": 0}, ValueError),
        ({"sts_rate": "fast"}, (TypeError, ValueError)),
        ({"sts_rate": True}, (TypeError, ValueError)),
        ({"shard": "0/4"}, ValueError),
        ({"shard": 5}, TypeError),
        ({"executor": 5}, TypeError),
        ({"store": object()}, TypeError),
        ({"refresh_policy": "often"}, TypeError),
        ({"sts_client_kwargs": "eu-west-1"}, TypeError),
        ({"journal": 5}, TypeError),
        ({"job": 5}, TypeError),
    ],
)
def test_arguments_that_make_no_sense_are_refused_by_name(
    fan: Fan, keywords: dict[str, Any], raises: type[Exception]
) -> None:
    (name,) = keywords
    word = {"sts_rate": "rate", "store": "cache"}.get(name, name)

    with pytest.raises(raises, match=word):
        fan(1, **keywords)


@pytest.mark.parametrize(
    ("targets", "raises"),
    [
        (None, TypeError),
        ("111122220001", TypeError),
        ({"111122220001": "Auditor"}, TypeError),
        ([None], TypeError),
        ([True], TypeError),
        (["1111"], ValueError),
        ([-5], ValueError),
        ([Account("111122220001", name="one"), "111122220001"], ValueError),
    ],
)
def test_targets_that_are_none_are_refused(fan: Fan, targets: Any, raises: type[Exception]) -> None:
    with pytest.raises(raises, match=r"target|account"):
        fan(targets)


def test_numbers_and_doubles_are_accounts_too(fan: Fan) -> None:
    run = fan([1, "000000000001", Account("000000000002")])

    assert [account.id for account in run.accounts] == ["000000000001", "000000000002"]


def test_a_plan_brings_its_regions_and_is_run_with_the_role_it_was_made_with(fan: Fan) -> None:
    plan = fan(2, regions=["eu-west-1", "us-east-1"]).plan()

    with fan(plan) as run:
        ran = {outcome.target for outcome in run.map(type)}

    assert set(plan.targets) == ran
    assert plan == fan(plan).plan()
    with pytest.raises(ValueError, match=r"plan says"):
        fan(plan, role="Other")
    with pytest.raises(TypeError, match="regions"):
        fan(plan, regions=["eu-west-1"])


def test_a_plan_of_roles_with_policies_is_not_run_without_them(fan: Fan) -> None:
    role = Role(
        "arn:aws:iam::{account}:role/Auditor",
        policy_arns=["arn:aws:iam::aws:policy/ReadOnlyAccess"],
    )
    plan = fan(2, role=role).plan()

    assert fan(plan, role=role).plan() == plan
    for other in (None, "Auditor", Role("arn:aws:iam::{account}:role/Auditor")):
        with pytest.raises(ValueError, match=r"plan says|session policies"):
            fan(plan, role=other)
