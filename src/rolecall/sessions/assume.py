"""`assume_role` and its companions: sessions of roles, from arguments in boto3's spelling."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import boto3
from botocore.session import Session

from ..chain import Role, RoleChain, partition_of_region, role_problems
from ..clock import SYSTEM_CLOCK, Clock
from ..errors import InvalidChain, Problem
from ..refresh import DEFAULT_POLICY, Listener, RefreshPolicy
from ..sources.clients import check_keywords
from ..sources.custom import CallableSource
from ..sources.mfa import CodeSource
from ..sources.origin import load_credentials
from ..sources.refusals import invalid
from ..sources.upstream import botocore_session, default_session, refuse_unless_session
from ..stores import as_store
from .bind import child_of, partition_in
from .boto import Child, RoleSession, open_child
from .parents import chain_of, is_role_session
from .recipe import Recipe, Region, refuse_types

#: Anything that gives MFA codes: see `rolecall.assume_role`.
MFATokenProvider = Callable[[], str] | Sequence[str] | CodeSource

#: [STS GetSessionToken, DurationSeconds]
SHORTEST_SESSION_TOKEN = timedelta(minutes=15)
LONGEST_SESSION_TOKEN = timedelta(hours=36)

AnySession = boto3.Session | Session | None


def assume_role(
    session: AnySession,
    RoleArn: str,
    *,
    RoleSessionName: str | None = None,
    PolicyArns: Iterable[str | Mapping[str, str]] | None = None,
    Policy: str | Mapping[str, Any] | Sequence[Any] | None = None,
    DurationSeconds: int | timedelta | None = None,
    Tags: Mapping[str, str] | Iterable[Mapping[str, str]] | None = None,
    TransitiveTagKeys: Iterable[str] | None = None,
    ExternalId: str | None = None,
    SerialNumber: str | None = None,
    TokenCode: str | None = None,
    SourceIdentity: str | None = None,
    region_name: Region = None,
    validate: bool = True,
    cache: Any = None,
    additional_kwargs: Mapping[str, Any] | None = None,
    mfa_token_provider: MFATokenProvider | None = None,
    mfa_session: timedelta | None = None,
    refresh_policy: RefreshPolicy | None = None,
    on_event: Listener | None = None,
    sts_client_kwargs: Mapping[str, Any] | None = None,
    inherit_config: bool = True,
    clock: Clock = SYSTEM_CLOCK,
) -> RoleSession:
    """Return a `boto3.Session` that acts as the role *RoleArn* and never expires.

    No network call is made here. The role is assumed at the first use and again ahead of each
    expiry, beside the program's work. Arguments in boto3's spelling go to STS AssumeRole.

    Args:
        session: Who assumes the role: a boto3 or botocore session; None: boto3's default one. A
            session whose own credentials rotate is followed.
        RoleSessionName: Shown in CloudTrail. None: ``AWS_ROLE_SESSION_NAME``, or one that says
            where this runs (Lambda, ECS, EKS, GitHub Actions, GitLab CI, ``user@host``).
        PolicyArns: At most 10, as ARNs or as ``{"arn": …}``.
        Policy: A session policy as JSON text, or as a dict, which becomes JSON.
        DurationSeconds: 900 to 43200, or a timedelta; at most 3600 from another role's session.
        Tags: Session tags as a dict, or as ``[{"Key": …, "Value": …}]``.
        SerialNumber: The caller's MFA device, where the trust policy asks for MFA.
        TokenCode: A code of that device. It works once: for a session that refreshes give
            *mfa_token_provider* or *mfa_session* as well.
        region_name: None: follow the parent's region. True: a copy of it. False: what a new
            session would have. Or a region.
        validate: Check the arguments now. All problems come in one error.
        cache: Where role sessions are kept between processes: a `JSONFileCache`, a store, or any
            mapping.
        additional_kwargs: Further AssumeRole arguments.
        mfa_token_provider: Asked for a code at each refresh: a callable, or an argv list of a
            command that prints it.
        mfa_session: Make one GetSessionToken session of this length with MFA first and assume
            the role from it: one code serves that long.
        refresh_policy: When to refresh; the environment's ``ROLECALL_AHEAD`` and
            ``ROLECALL_MARGIN`` override its windows.
        on_event: Called with an `Event` when credentials are refreshed, refused, rejected …
        sts_client_kwargs: ``region_name``, ``endpoint_url``, ``config`` … of the STS client.
        inherit_config: Take over the parent's endpoints, FIPS, proxies, retries and time-outs.

    Raises:
        NoCredentialsError: *session* has none (botocore's).
        InvalidChain: arguments break documented limits; also botocore's ParamValidationError.
        ConfigError: *session* or *sts_client_kwargs* cannot be used.
    """
    refuse_unless_session(session)
    order = taken(
        RoleArn,
        RoleSessionName=RoleSessionName,
        PolicyArns=PolicyArns,
        Policy=Policy,
        DurationSeconds=DurationSeconds,
        Tags=Tags,
        TransitiveTagKeys=TransitiveTagKeys,
        ExternalId=ExternalId,
        SerialNumber=SerialNumber,
        TokenCode=TokenCode,
        SourceIdentity=SourceIdentity,
        region_name=region_name,
        validate=validate,
        cache=cache,
        additional_kwargs=additional_kwargs,
        mfa_token_provider=mfa_token_provider,
        mfa_session=mfa_session,
        refresh_policy=refresh_policy,
        on_event=on_event,
        sts_client_kwargs=sts_client_kwargs,
        inherit_config=inherit_config,
        clock=clock,
    )
    return open_child(carry_out(order, default_session() if session is None else session))


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What `assume_role` was asked for, before it is known who assumes the role.

    Attributes:
        role: None: there is none, for the *problems*.
        problems: What is wrong with the arguments, whoever assumes the role.
        extra: The names among ``additional_kwargs``.
    """

    role: Role | None
    recipe: Recipe
    problems: Sequence[Problem]
    extra: Sequence[str]
    validate: bool


def taken(RoleArn: str, **keywords: Any) -> Order:
    """Return the order for a role, from the arguments of `assume_role`.

    Raises:
        TypeError, ConfigError: arguments of the wrong kind.
    """
    call = keywords.pop
    recipe_of = {
        name: call(name)
        for name in (
            "region_name", "on_event", "clock", "inherit_config", "cache", "mfa_token_provider",
            "mfa_session",
        )
    }  # fmt: skip
    additional: Any = keywords["additional_kwargs"]
    refresh_policy, sts_client_kwargs = call("refresh_policy"), call("sts_client_kwargs")
    refuse_types(
        region_name=recipe_of["region_name"],
        additional_kwargs=additional,
        mfa_session=recipe_of["mfa_session"],
        refresh_policy=refresh_policy,
        on_event=recipe_of["on_event"],
        sts_client_kwargs=sts_client_kwargs,
    )
    client_kwargs = check_keywords(sts_client_kwargs)
    if recipe_of["cache"] is not None:
        as_store(recipe_of["cache"])  # TypeError at the call, not at the first fetch
    additional = additional or {}
    token_code, validate = call("TokenCode"), call("validate")
    if token_code is None:
        token_code = additional.get("TokenCode")
    role: Role | None = None
    problems: list[Problem] = []
    try:
        role = Role.from_keywords(RoleArn, **keywords)
    except InvalidChain as error:
        problems += error.problems
    if validate:
        serial = keywords["SerialNumber"] or additional.get("SerialNumber")
        problems += _mfa_problems(token_code, serial, recipe_of["mfa_session"])
    environ = os.environ  # noqa: TID251 - border
    return Order(
        role=role,
        recipe=Recipe(
            policy=(refresh_policy or DEFAULT_POLICY).with_environ(environ),
            sts_client_kwargs=client_kwargs,
            token_code=token_code,
            **recipe_of,
        ),
        problems=problems,
        extra=[str(name) for name in additional],
        validate=validate,
    )


def carry_out(order: Order, given: Any) -> Child:
    """Return what makes the session that was asked for, assumed by the session *given*.

    Raises:
        NoCredentialsError: *given* has none (botocore's).
        InvalidChain: arguments break documented limits.
    """
    parent = botocore_session(given)
    load_credentials(parent)
    found: list[Problem] = []
    chain = None
    if order.role is not None:
        chain = chain_of(given) + order.role
        if order.validate:
            environ = os.environ  # noqa: TID251 - border
            region = order.recipe.sts_client_kwargs.get("region_name")
            region = region or parent.get_config_variable("region")
            found += chain_problems(chain, parent, environ, region)
    found += order.problems
    if order.validate:
        found += _unknown_arguments(order.extra, parent)
    if found or chain is None:
        raise invalid(InvalidChain(found))
    return child_of(given, chain, order.recipe)


def chain_problems(
    chain: RoleChain, parent: Session, environ: Mapping[str, str], region: str | None
) -> list[Problem]:
    """Return what is wrong with *chain*, the last role of which *parent* assumes.

    Args:
        region: In which STS is asked. None: not known.
    """
    found = list(chain.problems())
    hop = len(chain.roles) - 1
    if hop == 0 and is_role_session(parent, environ):
        chained = role_problems(chain.roles[0], hop, chained=True)
        found += [problem for problem in chained if problem not in found]
    here = partition_of_region(region) if hop == 0 and region else None
    there = partition_in(chain.roles[0].arn)
    if here is not None and there is not None and here != there:
        found.append(
            Problem(
                field="RoleArn",
                hop=hop,
                message=f"{chain.roles[0].arn} is in partition {there}, and STS in {region} is in "
                f"{here}: roles cannot be assumed from one partition to another",
                source="IAM guide, AWS partitions",
            )
        )
    return found


def _mfa_problems(
    token_code: Any, serial_number: str | None, mfa_session: timedelta | None
) -> list[Problem]:
    """Return what is wrong with the arguments that are no part of a role."""
    found = []
    if token_code is not None:
        if not (
            isinstance(token_code, str)
            and len(token_code) == 6
            and token_code.isascii()
            and token_code.isdigit()
        ):
            kind = type(token_code).__name__
            got = f"{len(token_code)} characters" if isinstance(token_code, str) else kind
            found.append(
                Problem(
                    field="TokenCode",
                    message=f"must be six digits, got {got}",
                    source="STS AssumeRole, TokenCode",
                )
            )
        if serial_number is None:
            found.append(Problem(field="TokenCode", message="needs SerialNumber beside it"))
    if mfa_session is not None:
        if serial_number is None:
            found.append(Problem(field="mfa_session", message="needs SerialNumber, the MFA device"))
        if not SHORTEST_SESSION_TOKEN <= mfa_session <= LONGEST_SESSION_TOKEN:
            found.append(
                Problem(
                    field="mfa_session",
                    message=f"must be 15 min to 36 h, got {mfa_session}",
                    source="STS GetSessionToken, DurationSeconds",
                )
            )
    return found


def _unknown_arguments(extra: Sequence[str], parent: Session) -> list[Problem]:
    if not extra:
        return []
    shape = parent.get_service_model("sts").operation_model("AssumeRole").input_shape
    known = set(shape.members) if shape is not None else set()
    return [
        Problem(
            field=name,
            message=f"is not an argument of AssumeRole, which takes {', '.join(sorted(known))}",
            source="STS service model",
        )
        for name in extra
        if name not in known
    ]


def assumed_role_session(
    role_arn: str, base_session: AnySession = None, **keywords: Any
) -> RoleSession:
    """Return `assume_role`\\ (*base_session*, *role_arn*, …): the widely copied recipe's order."""
    return assume_role(base_session, role_arn, **keywords)


def refreshable_session(
    fetch: Callable[[], object],
    *,
    region_name: str | None = None,
    base_session: AnySession = None,
    name: str | None = None,
    method: str = "custom-refreshable",
    refresh_policy: RefreshPolicy | None = None,
    on_event: Listener | None = None,
    inherit_config: bool = True,
    clock: Clock = SYSTEM_CLOCK,
) -> RoleSession:
    """Return a `boto3.Session` whose credentials come from *fetch*, called again ahead of expiry.

    Args:
        fetch: Takes no argument and returns a botocore metadata dict (``access_key``,
            ``secret_key``, ``token``, ``expiry_time``), an STS response, what a
            credential_process prints, or `Credentials`. Its expiry is an aware datetime or
            ISO 8601 text. Nothing is called before the session is used.
        region_name: None: *base_session*'s, or what a new session would have.
        base_session: Whose configuration (endpoints, FIPS, proxies, retries) is taken over. None:
            a new session's. Its credentials are not used.
        name: What logs and errors call it; the callable's name by default.

    Raises:
        TypeError: *fetch* is not callable, or is a coroutine function.
    """
    refuse_unless_session(base_session)
    open_ = fetching(
        CallableSource(fetch, name=name, clock=clock),
        region_name=region_name,
        method=method,
        refresh_policy=refresh_policy,
        on_event=on_event,
        inherit_config=inherit_config,
        clock=clock,
    )
    return open_child(open_(boto3.Session() if base_session is None else base_session))


def fetching(
    source: CallableSource,
    *,
    region_name: str | None,
    method: str,
    refresh_policy: RefreshPolicy | None,
    on_event: Listener | None,
    inherit_config: bool,
    clock: Clock,
) -> Callable[[Any], Child]:
    """Check the arguments of `refreshable_session`; return what makes it, given its parent."""
    refuse_types(region_name=region_name, refresh_policy=refresh_policy, on_event=on_event)
    recipe = Recipe(
        region_name=region_name,
        policy=(refresh_policy or DEFAULT_POLICY).with_environ(os.environ),  # noqa: TID251 - border
        on_event=on_event,
        clock=clock,
        inherit_config=inherit_config,
    )
    refresher = recipe.refresher(source, source.name)
    return lambda parent: Child(
        refresher=refresher,
        parent=parent,
        method=method,
        # Not the id of a callable: the next one may live there, with somebody else's keys.
        identity=f"callable {uuid.uuid4()}",
        features=("CREDENTIALS_CODE",),
        recipe=recipe,
        chain=None,
    )
