"""Which accounts a run of ``rolecall each`` is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ...fleet import Account, Plan

#: What says it of the organization, and how it is called there.
_OF_ORGANIZATION = {
    "organization": "--organization",
    "ous": "--ou",
    "exclude_ous": "--exclude-ou",
    "tags": "--tag",
    "name": "--name",
    "states": "--state",
    "include_management": "--include-management",
    "cache": "--cache",
}
_WAYS = (
    "give --account, --accounts FILE or --plan FILE; of the organization, --ou, --tag or --name; "
    "--organization is all of it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The accounts that are meant, as they were given.

    Attributes:
        accounts: Ids.
        file: A file of accounts.
        plan: A plan that was saved.
        organization: All of it, as far as nothing else narrows it down.
        exclude: Ids of accounts to leave out, wherever the others come from.
    """

    accounts: Sequence[str] = ()
    file: str | None = None
    plan: str | None = None
    organization: bool = False
    ous: Sequence[str] = ()
    exclude_ous: Sequence[str] = ()
    tags: Sequence[str] = ()
    name: str | None = None
    states: Sequence[str] = ()
    include_management: bool = False
    cache: timedelta | None = None
    exclude: Sequence[str] = ()

    def problems(self) -> list[str]:
        """Return what is wrong with it, whatever accounts there are."""
        wrong = []
        given = [flag for field, flag in _OF_ORGANIZATION.items() if getattr(self, field)]
        narrowing = [flag for flag in given if flag != "--cache"]
        if self.file is not None:  # of which some say these, too
            given = [flag for flag in given if flag not in ("--state", "--include-management")]
        sources = [
            flag
            for flag, value in (
                ("--account", self.accounts), ("--accounts", self.file), ("--plan", self.plan),
            )
            if value
        ]  # fmt: skip
        if len(sources) > 1:
            wrong.append(f"{' and '.join(sources)} name accounts: give one of them")
        elif sources and given:
            wrong.append(
                f"{given[0]} selects of the organization: it does not go with {sources[0]}"
            )
        elif not sources and not narrowing:
            wrong.append(f"which accounts? {_WAYS}")
        for tag in self.tags:
            if not tag.partition("=")[0]:
                wrong.append(f"--tag {tag}: must be KEY or KEY=VALUE")
        if "any" in self.states and len(self.states) > 1:
            wrong.append("--state any: goes with no other state")
        return wrong


def read(selection: Selection) -> tuple[Account, ...] | Plan | None:
    """Return the accounts that *selection* names or a file holds; None: ask the organization.

    Raises:
        ConfigError: a file cannot be read, or is wrong.
        UsageError: an account's id is none.
    """
    from ...errors import ConfigError
    from ...fleet import Plan, read_accounts
    from ...fleet.targets import accounts_of

    left_out = frozenset(usable(lambda: [one.id for one in accounts_of(selection.exclude)]))
    if selection.plan is not None:
        plan = Plan.load(selection.plan)
        _check_left_out(left_out, plan.accounts)
        return Plan(
            targets=tuple(one for one in plan if one.account.id not in left_out),
            failed=tuple(one for one in plan.failed if one.account.id not in left_out),
        )
    if selection.file is not None:
        try:
            states: Any = tuple(selection.states) or "ACTIVE"
            found = read_accounts(
                selection.file,
                state=None if states == ("any",) else states,
                include_management=selection.include_management,
            )
        except ImportError as error:
            raise ConfigError(str(error)) from error
    elif selection.accounts:
        found = usable(lambda: accounts_of(selection.accounts))
    else:
        return None
    _check_left_out(left_out, found)
    return tuple(one for one in found if one.id not in left_out)


def _check_left_out(left_out: frozenset[str], found: Sequence[Account]) -> None:
    """Refuse what leaves nothing out: of a misspelt id, the account would stay in."""
    unknown = sorted(left_out - {one.id for one in found})
    if unknown:
        raise click.UsageError(f"--exclude {', '.join(unknown)}: is not among the accounts")


def listed(selection: Selection, session: Any, environ: Mapping[str, str]) -> tuple[Account, ...]:
    """Return the accounts of the organization of *session* that are meant.

    Raises:
        ConfigError: it has no such unit or account.
        UsageError: an option means nothing in any organization.
        AccessDenied: *session* may not ask.
    """
    from ...fleet import Organization

    tags: dict[str, Any] = {}
    for tag in selection.tags:
        key, between, value = tag.partition("=")
        if not between:
            tags[key] = None
        elif tags.setdefault(key, []) is not None:
            tags[key].append(value)
    states: Any = tuple(selection.states) or "ACTIVE"
    organization = Organization(session, cache=selection.cache, environ=environ)
    found: tuple[Account, ...] = usable(
        lambda: organization.select(
            ous=tuple(selection.ous) or None,
            exclude_ous=tuple(selection.exclude_ous),
            tags=tags or None,
            name=selection.name,
            state=None if states == ("any",) else states,
            exclude=tuple(selection.exclude),
            include_management=selection.include_management,
        )
    )
    return found


def usable(do: Callable[[], Any]) -> Any:
    """Return what *do* gives, which takes what was typed; what is wrong with that is told so.

    Raises:
        UsageError: what *do* says is wrong with its arguments.
    """
    from ..endings import EXPECTED

    try:
        return do()
    except EXPECTED:
        raise  # some are ValueErrors, too
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from error


def with_roles(found: tuple[Account, ...] | Plan, given: Sequence[str]) -> Any:
    """Return *found* with the roles that --role-for gives to some of its accounts.

    Raises:
        UsageError: an account is none of them, or is given several; all that is wrong at once.
    """
    from ...fleet import Plan
    from ...fleet.targets import account_of

    if not given or isinstance(found, Plan):
        return found
    wrong: list[str] = []
    roles: dict[str, str] = {}
    known = {one.id for one in found}
    for text in given:
        id, _, role = text.partition("=")
        if not role:
            wrong.append(f"--role-for {text}: must be ID=NAME or ID=ARN")
            continue
        try:
            id = account_of(id).id
        except ValueError as error:
            wrong.append(f"--role-for {text}: {error}")
            continue
        if id not in known:
            wrong.append(f"--role-for {text}: {id} is not among the accounts")
        elif roles.setdefault(id, role) != role:
            wrong.append(f"--role-for: account {id} has both {roles[id]} and {role}")
    if wrong:
        raise click.UsageError("; ".join(wrong))
    return tuple(replace(one, role=roles.get(one.id, one.role)) for one in found)


def without_roles(found: tuple[Account, ...] | Plan) -> list[str]:
    """Return the accounts of *found* that no file or plan names a role for."""
    from ...fleet import Plan

    if isinstance(found, Plan):
        return []
    return [one.id for one in found if one.role is None]


def kept(found: tuple[Account, ...] | Plan) -> int:
    """Return how many accounts *found* has."""
    return len(found if isinstance(found, tuple) else found.accounts)
