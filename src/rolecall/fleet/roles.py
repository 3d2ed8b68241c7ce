"""Which role is assumed in which account: what `fan_out` takes as *role*, made into values."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..chain import Role, RoleArn, RoleChain, get_role_arn
from ..chain.arn import PARTITION
from ..errors import InvalidChain, Problem
from ..sessions.bind import partition_in
from ..sources.refusals import invalid
from .targets import Account

#: What `fan_out` takes as *role*.
RoleSpec = str | Role | RoleChain | Mapping[str, Any] | Callable[[Account], Any] | None

_FIELD = re.compile(r"\{([^{}]*)\}")
_FIELDS = ("account", "account_id", "partition")
_EXAMPLE = "arn:aws:iam::{account}:role/Auditor"

#: What a plan does not hold its run to: a name is for people, and without its external id a role
#: is not assumed at all.
_NO_DETAILS = ("RoleSessionName", "ExternalId", "DurationSeconds")

#: Of five thousand accounts that break one rule, so many are named.
MOST_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one account is entered.

    Attributes:
        parent: The chain that assumes the role. None: the session that was given.
        role: None: the session itself, without assuming anything.
    """

    parent: RoleChain | None = None
    role: Role | None = None

    @property
    def details(self) -> str:
        """What is assumed beside the role's ARN, as a fingerprint; empty: nothing."""
        if self.parent is None and (self.role is None or self.role == Role(self.role.arn)):
            return ""
        request = {} if self.role is None else _request(self.role, "RoleArn")
        if not request and self.parent is None:
            return ""
        hops = [] if self.parent is None else list(map(_request, self.parent.roles))
        origin = None if self.parent is None else repr(self.parent.origin)
        text = json.dumps([request, hops, origin], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _request(role: Role, *but: str) -> dict[str, Any]:
    """Return what counts of *role*'s request."""
    left_out = (*_NO_DETAILS, *but)
    return {name: value for name, value in role.request().items() if name not in left_out}


def ways(
    spec: RoleSpec,
    accounts: Iterable[Account],
    *,
    options: Mapping[str, Any],
    partition: str,
    problems_of: Callable[[Way], Sequence[Problem]],
) -> dict[str, Way]:
    """Return how each of *accounts* is entered, by its id.

    Args:
        options: Arguments of AssumeRole in boto3's spelling, for roles that are only named.
        partition: Of roles that are only named.
        problems_of: What is wrong with a way, seen from the session that was given.

    Raises:
        TypeError: *spec*, or what it gives for an account, is nothing that names a role.
        InvalidChain: with all problems of all accounts.
    """
    found: dict[str, Way] = {}
    problems: dict[str, tuple[Problem, list[str]]] = {}
    for account in accounts:
        wrong: Sequence[Problem]
        try:
            way = _way(spec, account, options, partition)
            wrong = [*_strangers(way, account), *problems_of(way)]
            found[account.id] = way
        except InvalidChain as error:
            wrong = error.problems
        for problem in wrong:
            # The same problem of every account is one problem.
            key = str(problem).replace(account.id, "{account}")
            problems.setdefault(key, (problem, []))[1].append(account.id)
    without = [id for id, way in found.items() if way.role is None and way.parent is None]
    if len(without) > 1:
        # The session is of one account: for all others it is a role that was forgotten.
        problem = Problem(field="role", message="is None, which is good for one account only")
        problems["None"] = (problem, without)
    if problems:
        raise invalid(InvalidChain([_told(*one) for one in problems.values()]))
    return found


def _told(problem: Problem, accounts: list[str]) -> Problem:
    if len(accounts) == 1:
        return problem
    named = ", ".join(accounts[:MOST_NAMED])
    more = f" and {len(accounts) - MOST_NAMED} more" if len(accounts) > MOST_NAMED else ""
    return Problem(
        field=problem.field,
        hop=problem.hop,
        source=problem.source,
        message=f"{problem.message} (accounts {named}{more})",
    )


def _way(spec: Any, account: Account, options: Mapping[str, Any], partition: str) -> Way:
    if account.role is not None:
        spec = account.role
    elif isinstance(spec, Mapping):
        if account.id not in spec:
            raise InvalidChain(
                [Problem(field="role", message=f"names none for account {account.id}")]
            )
        spec = spec[account.id]
    elif callable(spec):
        spec = spec(account)
    if spec is None:
        # Whoever narrows what roles may do, does not mean one account to be entered with all.
        lost = [name for name in options if name not in _NO_DETAILS]
        if lost:
            raise InvalidChain(
                [
                    Problem(
                        field="role",
                        message=f"is None for account {account.id}, and {', '.join(lost)} go with "
                        "a role: name one, or leave the account out",
                    )
                ]
            )
        return Way()
    if isinstance(spec, (RoleArn, str)):
        arn = str(spec) if isinstance(spec, RoleArn) else arn_in(spec, account, partition)
        return Way(role=Role.from_keywords(arn, **options))
    if options:
        raise TypeError(
            f"{', '.join(options)}: go with a role that is only named; write them into the Role"
        )
    if isinstance(spec, Role):
        return Way(role=_filled(spec, account, partition))
    if isinstance(spec, RoleChain):
        if not spec.roles:
            return Way(parent=spec)
        hub = spec.roles[-2].arn if len(spec.roles) > 1 else ""
        return Way(
            parent=spec.parent,
            role=_filled(spec.roles[-1], account, partition_in(hub) or partition),
        )
    raise TypeError(
        f"role must be a name, an ARN such as {_EXAMPLE}, a Role, a RoleChain, a mapping or a "
        f"callable of these, got {type(spec).__name__} for account {account.id}"
    )


def _filled(role: Role, account: Account, partition: str) -> Role:
    arn = arn_in(role.arn, account, partition)
    if arn == role.arn:
        return role
    values = {name: getattr(role, name) for name in Role.__slots__}
    return Role(**{**values, "arn": arn})


def arn_in(text: str, account: Account, partition: str) -> str:
    """Return the ARN of the role that *text* names in *account*.

    *text* is a name, with its path if it has one, or an ARN in which ``{account}`` and
    ``{partition}`` stand for the account's.

    Raises:
        InvalidChain: it names something else in braces.
    """
    unknown = [name for name in _FIELD.findall(text) if name not in _FIELDS]
    if unknown:
        raise InvalidChain(
            [
                Problem(
                    field="role",
                    message=f"{text!r} has {{{unknown[0]}}}: only {{account}} and {{partition}} "
                    "are filled in",
                )
            ]
        )
    values = {"account": account.id, "account_id": account.id, "partition": partition}
    filled = _FIELD.sub(lambda match: values[match[1]], text)
    if filled.startswith("arn:"):
        return filled
    return get_role_arn(account.id, filled.removeprefix("/"), partition=partition)


def _strangers(way: Way, account: Account) -> Sequence[Problem]:
    """Return what is wrong where the role is of another account than the target."""
    if way.role is None:
        return ()
    try:
        arn = RoleArn.parse(way.role.arn)
    except ValueError:
        return ()  # said with the chain's other problems
    if arn.account_id == account.id:
        return ()
    return (
        Problem(
            field="role",
            message=f"{way.role.arn} is not in account {account.id}: write {{account}} where the "
            f"account's id goes, as in {_EXAMPLE}",
        ),
    )


def is_partition(text: str) -> bool:
    """Return whether *text* may be a partition, such as ``aws`` or ``aws-us-gov``."""
    return PARTITION.fullmatch(text) is not None
