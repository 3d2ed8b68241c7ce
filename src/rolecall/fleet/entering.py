"""From the arguments of a run to its errands: which accounts, how each is entered, and where."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from ..chain import RoleArn, partition_of_region
from ..errors import Problem
from ..sessions.assume import chain_problems
from ..sessions.bind import partition_in
from ..sessions.boto import RoleSession
from ..sessions.parents import chain_of
from ..sources.upstream import botocore_session
from .errands import Errand
from .plan import Plan
from .regions import RegionSpec, home_region, regions_in
from .roles import MOST_NAMED, RoleSpec, Way, ways
from .targets import Account, Target


def planned(
    plan: Plan,
    base: Any,
    role: RoleSpec,
    options: Mapping[str, Any],
    sts_region: str | None,
) -> list[Errand]:
    """Return what *plan* says is to be done; arguments as of `errands_of`.

    Raises:
        ValueError: roles would be assumed otherwise than when the plan was made.
    """
    targets: dict[str, list[Target]] = {}
    for target in plan.targets:
        targets.setdefault(target.account.id, []).append(target)
    arns = {id: {target.role for target in of} for id, of in targets.items()}
    twice = [id for id, roles in arns.items() if len(roles) > 1]
    if twice:
        raise ValueError(
            f"the plan has more than one role for account {', '.join(twice[:MOST_NAMED])}: run "
            "them one after the other"
        )
    errands = errands_of(
        base,
        plan.accounts,
        {id: roles.pop() for id, roles in arns.items()} if role is None else role,
        {
            id: None if of[0].region is None else [target.region for target in of]
            for id, of in targets.items()
        },
        options,
        sts_region,
        overrides=False,
    )
    other = [
        errand.account.id
        for errand in errands
        if errand.targets() != tuple(targets[errand.account.id])
    ]
    if other:
        more = f" and {len(other) - MOST_NAMED} more" if len(other) > MOST_NAMED else ""
        raise ValueError(
            f"accounts {', '.join(other[:MOST_NAMED])}{more} would be entered otherwise than the "
            "plan says, by another role or with other session policies, tags or hubs: give the "
            "same role and the same arguments as when it was made"
        )
    return errands


def errands_of(
    base: Any,
    accounts: Sequence[Account],
    role: RoleSpec,
    regions: RegionSpec,
    options: Mapping[str, Any],
    sts_region: str | None,
    *,
    overrides: bool = True,
) -> list[Errand]:
    """Return what is to be done, an errand an account.

    Args:
        options: Arguments of AssumeRole, in boto3's spelling.
        sts_region: In which STS is asked. None: in the session's region.
        overrides: Whether an account's own role and regions win.

    Raises:
        TypeError, ValueError: *role* or *regions* make no sense.
        InvalidChain: roles break documented limits.
        NoCredentialsError: *base* has none (botocore's).
    """
    inner = botocore_session(base)
    partition = _partition(base)
    environ = os.environ  # noqa: TID251 - border
    start = cache(lambda: chain_of(base))  # where all roles start elsewhere, it need not have any
    region = sts_region or inner.get_config_variable("region")

    def problems_of(way: Way) -> Sequence[Problem]:
        if way.role is None:
            return ()
        if way.parent is not None:
            return (way.parent + way.role).problems()
        return chain_problems(start() + way.role, inner, environ, region)

    asked = accounts if overrides else [replace(one, role=None, regions=None) for one in accounts]
    entered = ways(role, asked, options=options, partition=partition, problems_of=problems_of)
    partitions = {id: _partition_of(way, partition) for id, way in entered.items()}
    wanted = regions_in(regions, asked, partitions)
    own = inner.get_config_variable("region")
    return [
        Errand(
            account=account,
            way=entered[account.id],
            regions=wanted[account.id],
            home=home_region(own, partitions[account.id]),
        )
        for account in accounts
    ]


def _partition(session: Any) -> str:
    """Return the partition that *session* is in, as far as it can be told offline."""
    if isinstance(session, RoleSession) and session.chain is not None and session.chain.roles:
        try:
            return RoleArn.parse(session.chain.roles[-1].arn).partition
        except ValueError:
            pass  # it was not validated, on the caller's wish
    region = botocore_session(session).get_config_variable("region")
    return partition_of_region(region) or "aws"


def _partition_of(way: Way, base: str) -> str:
    """Return the partition that *way* leads to."""
    return base if way.role is None else partition_in(way.role.arn) or base
