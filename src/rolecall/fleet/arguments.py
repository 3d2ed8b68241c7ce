"""`fan_out`: its arguments, checked and made into a run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from datetime import timedelta
from typing import Any

from ..clock import SYSTEM_CLOCK, Clock
from ..refresh import DEFAULT_POLICY, RefreshPolicy
from ..sessions.assume import AnySession
from ..sessions.recipe import refuse_types
from ..sources.clients import check_keywords
from ..sources.upstream import botocore_session, default_session, refuse_unless_session
from ..stores import as_store
from .entering import errands_of, planned
from .errands import Errand
from .plan import Plan
from .regions import RegionSpec, warn_of_strange
from .roles import RoleSpec
from .run import FanOut
from .settings import Settings, kept, refuse, seconds_in
from .shards import in_shard, parse_shard
from .targets import Account, accounts_of

#: Targets at once. A call to AWS takes some 50 to 100 ms of waiting, and some of CPU.
MAX_WORKERS = 20

_NOTHING = "there are no targets: a run over nothing would look as if all were well"


def fan_out(
    session: AnySession,
    targets: Iterable[Account | str | int] | Plan,
    *,
    role: RoleSpec = None,
    regions: RegionSpec = None,
    RoleSessionName: str | None = None,
    PolicyArns: Iterable[str | Mapping[str, str]] | None = None,
    Policy: str | Mapping[str, Any] | None = None,
    DurationSeconds: int | timedelta | None = None,
    Tags: Mapping[str, str] | Iterable[Mapping[str, str]] | None = None,
    TransitiveTagKeys: Iterable[str] | None = None,
    ExternalId: str | None = None,
    SourceIdentity: str | None = None,
    max_workers: int = MAX_WORKERS,
    sts_rate: float | None = None,
    executor: Executor | None = None,
    chunk_size: int | None = None,
    failure_tolerance: int | None = None,
    timeout: timedelta | float | str | None = None,
    deadline: timedelta | float | str | None = None,
    attempts: int = 1,
    journal: str | os.PathLike[str] | None = None,
    job: str | None = None,
    shard: str | tuple[int, int] | None = None,
    store: Any = None,
    refresh_policy: RefreshPolicy | None = None,
    sts_client_kwargs: Mapping[str, Any] | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> FanOut:
    """Return a run over *targets*, in whose ``with`` block `FanOut.map` calls a function for each.

    Each account's role is assumed once, however many regions, and its session never expires.

    Args:
        session: Who assumes the roles: a boto3, botocore or rolecall session; None: boto3's
            default one. A session of a hub role is assumed once for all.
        targets: Account ids or `Account`\\ s, as of `Organization.select`; or a `Plan`, with
            the same *role* and arguments of AssumeRole as it was made with.
        role: A role's name, with its path if it has one; an ARN in which ``{account}`` stands for
            the account's id; a `Role` or a `RoleChain` with such an ARN at its end; a mapping of
            account ids, or a callable of an `Account`, to any of these. None: the session itself,
            for its own account.
        regions: A list; ``"enabled"``: those that are enabled in each account; a mapping of account
            ids, or a callable of an `Account`, to these. None: the session's own region.
        max_workers: How many targets at once, at most.
        sts_rate: AssumeRole calls a second. None: as fast as they come, until STS throttles.
        executor: Where to run: any `concurrent.futures.Executor`. None: threads of this process.
        chunk_size: How many targets go to a worker of *executor* together; whole accounts do. None:
            a quarter of *max_workers*, at most 10.
        failure_tolerance: How many targets may fail before no more are started; an account that
            cannot be entered counts once. None: any number.
        timeout: For one target, from when its role has been assumed: a timedelta, seconds, or text
            such as ``"5m"``. Its session then makes no more calls.
        deadline: For the whole run: after it, nothing more is started.
        attempts: How often a target is tried whose failure may pass, such as throttling.
        journal: A file that notes what was done; targets that it says succeeded are left out. A
            success is noted when whoever takes the outcomes comes for the next one: what was not
            got through with runs again.
        job: What the journal calls the work. None: the function's name, if it is a module's.
        shard: ``"2/5"`` or ``(2, 5)``: the second fifth of the accounts alone.
        store: Where role sessions are kept between processes, as for `assume_role`\\ ``(cache=…)``.

    Raises:
        TypeError, ValueError: arguments that make no sense, with all that is wrong with them.
        InvalidChain: roles break documented limits; also botocore's ParamValidationError.
        NoCredentialsError: *session* has none (botocore's).
        ConfigError: *session* cannot be sent to *executor*'s processes.
    """
    refuse_unless_session(session)
    refuse_types(refresh_policy=refresh_policy, sts_client_kwargs=sts_client_kwargs)
    refuse(
        at_least_one={
            "max_workers": max_workers,
            "chunk_size": 1 if chunk_size is None else chunk_size,
            "attempts": attempts,
        },
        tolerance=failure_tolerance,
        executor=executor,
        sts_rate=sts_rate,
        journal=journal,
        job=job,
    )
    part = parse_shard(shard)
    if store is not None:
        as_store(store)  # TypeError at the call
    base = default_session() if session is None else session
    options = kept(
        RoleSessionName=RoleSessionName,
        PolicyArns=PolicyArns,
        Policy=Policy,
        DurationSeconds=DurationSeconds,
        Tags=Tags,
        TransitiveTagKeys=TransitiveTagKeys,
        ExternalId=ExternalId,
        SourceIdentity=SourceIdentity,
    )
    sts = check_keywords(sts_client_kwargs)
    settings = Settings(
        base=base,
        policy=(refresh_policy or DEFAULT_POLICY).with_environ(os.environ),  # noqa: TID251 - border
        sts_client_kwargs=sts,
        store=store,
        clock=clock,
        max_workers=max_workers,
        sts_rate=sts_rate,
        executor=executor,
        chunk_size=chunk_size,
        tolerance=failure_tolerance,
        timeout=seconds_in("timeout", timeout),
        deadline=seconds_in("deadline", deadline),
        attempts=attempts,
        journal=journal,
        job=job,
    )
    errands: list[Errand]
    if isinstance(targets, Plan):
        if regions is not None:
            raise TypeError("a plan says which regions: leave regions out")
        if not len(targets):
            raise ValueError(_NOTHING)
        plan = targets if part is None else targets.shard(*part)
        errands = planned(plan, base, role, options, sts.get("region_name"))
    else:
        accounts = accounts_of(targets)
        if not accounts:
            raise ValueError(_NOTHING)
        if part is not None:
            accounts = tuple(one for one in accounts if in_shard(one.id, *part))
        errands = errands_of(base, accounts, role, regions, options, sts.get("region_name"))
    named = {region for errand in errands for region in errand.known or () if region is not None}
    if named:
        warn_of_strange(named, botocore_session(base))
    return FanOut(
        settings,
        errands,
        unplanned=tuple(one.target for one in targets.failed) if isinstance(targets, Plan) else (),
    )
