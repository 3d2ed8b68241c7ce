"""The public API as a type checker sees it. Never run: mypy and pyright read it, strictly.

Every call here is one that a user writes. If one stops checking, somebody's build breaks.
"""

from __future__ import annotations

import datetime
import pathlib
import re
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import aioboto3
import boto3
import botocore.session
from aiobotocore.session import AioSession
from typing_extensions import assert_type

import rolecall
import rolecall.aio
from rolecall import (
    AUTOMATIC_ROLE_SESSION_NAME,
    AccessDenied,
    Ambient,
    ConfigError,
    Credentials,
    CredentialsExpired,
    FetchError,
    InvalidChain,
    JSONFileCache,
    MFARequired,
    Profile,
    RefreshPolicy,
    Role,
    RolecallError,
    RoleChain,
    SessionToken,
    Source,
    StoreError,
    Throttled,
    Unreachable,
    WebIdentity,
    fan_out,
)
from rolecall.fleet import (
    Account,
    Failure,
    FanOut,
    Kind,
    Organization,
    Outcome,
    Outcomes,
    Plan,
    Summary,
    Target,
    failure_of,
    ignore_interrupts,
    paginate,
    read_accounts,
)

ARN = "arn:aws:iam::123456789012:role/Reader"
HOUR = datetime.timedelta(hours=1)


def version() -> None:
    assert_type(rolecall.__version__, str)


def assume_role(core: botocore.session.Session) -> None:
    session: boto3.Session = rolecall.assume_role(boto3.Session(), ARN)
    _: boto3.Session = rolecall.assume_role(core, ARN)
    _ = rolecall.assume_role(None, RoleArn=ARN)
    _ = rolecall.assume_role(
        session,
        ARN,
        RoleSessionName=AUTOMATIC_ROLE_SESSION_NAME,
        PolicyArns=["arn:aws:iam::aws:policy/ReadOnlyAccess"],
        Policy={"Version": "2012-10-17", "Statement": []},
        DurationSeconds=HOUR,
        Tags={"team": "data"},
        TransitiveTagKeys=["team"],
        ExternalId="fake-external-id",
        SourceIdentity="me",
        region_name=None,
        validate=True,
        cache=JSONFileCache("~/.cache/roles"),
        additional_kwargs={"ProvidedContexts": []},
    )
    _ = rolecall.assume_role(
        session,
        ARN,
        PolicyArns=[{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}],
        DurationSeconds=900,
        Tags=[{"Key": "team", "Value": "data"}],
        SerialNumber="arn:aws:iam::123456789012:mfa/me",
        TokenCode="000000",
        region_name=True,
        cache={},
    )
    _ = rolecall.assume_role(
        session,
        ARN,
        SerialNumber="arn:aws:iam::123456789012:mfa/me",
        mfa_token_provider=lambda: "000000",
        mfa_session=12 * HOUR,
        region_name="eu-west-1",
        inherit_config=False,
        sts_client_kwargs={"region_name": "eu-central-1"},
    )
    _ = rolecall.assume_role(session, ARN, mfa_token_provider=["ykman", "oath", "code", "aws"])


def recipes(core: botocore.session.Session) -> None:
    _: boto3.Session = rolecall.assumed_role_session(ARN)
    _ = rolecall.assumed_role_session(ARN, base_session=core)
    _ = rolecall.assumed_role_session(ARN, boto3.Session(), DurationSeconds=900)

    def metadata() -> Mapping[str, Any]:
        return {"access_key": "ASIAFAKE", "secret_key": "fake-secret", "expiry_time": ""}

    def credentials() -> Credentials:
        return Credentials(access_key="ASIAFAKE", secret_key="fake-secret")

    _ = rolecall.refreshable_session(metadata, region_name="eu-west-1")
    _ = rolecall.refreshable_session(credentials)


def chains() -> None:
    role = Role(ARN, session_name="me", duration=HOUR, tags={"team": "data"})
    chain = RoleChain(Profile("hub"), role, Role(arn=ARN))
    assert_type(chain, RoleChain)
    assert_type(chain + role, RoleChain)
    assert_type(chain.roles, tuple[Role, ...])
    assert_type(str(chain), str)
    _: boto3.Session = chain.session()
    _ = chain.session(store=rolecall.open_store("file:///srv/sessions"))
    _ = chain.session(store=rolecall.MemoryStore())
    chain.validate()
    for problem in chain.problems():
        assert_type(problem.field, str)
        assert_type(problem.hop, int | None)
    RoleChain(Ambient(), role)
    RoleChain(WebIdentity(role_arn=ARN, token=lambda: "fake-token"))
    RoleChain(SessionToken(of=Profile("me"), duration=HOUR, mfa_serial=None), role)


def sources_of_ones_own() -> None:
    class Vault:
        def get(self) -> Credentials:
            return Credentials(
                access_key="ASIAFAKE",
                secret_key="fake-secret",
                token="fake-token",
                expires_at=datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc),
            )

    source: Source = Vault()
    assert_type(source.get(), Credentials)
    assert_type(source.get().expires_at, datetime.datetime | None)


def policies() -> None:
    assert_type(RefreshPolicy(), RefreshPolicy)
    assert_type(RefreshPolicy(ahead=HOUR, on_expired="serve"), RefreshPolicy)
    assert_type(RefreshPolicy.aws_sdk(), RefreshPolicy)
    _: boto3.Session = rolecall.refreshable_session(
        lambda: {}, refresh_policy=RefreshPolicy.aws_sdk()
    )


def names() -> None:
    assert_type(rolecall.get_role_arn(123456789012, "Reader"), str)
    assert_type(rolecall.get_role_arn("123456789012", "Reader", path="/a/", partition="aws"), str)
    assert_type(rolecall.get_assumed_role_session_arn("123456789012", "Reader", "me"), str)
    assert_type(rolecall.generate_lambda_session_name(function_name="f"), str)
    assert_type(rolecall.session_name(), str)
    rolecall.patch_boto3()


def errors(error: RolecallError) -> None:
    assert_type(error.hint, str)
    assert_type(error.context, Mapping[str, Any])
    assert_type(error.retryable, bool)
    kinds: list[type[RolecallError]] = [InvalidChain, ConfigError, StoreError, FetchError]
    fetch: list[type[FetchError]] = [
        AccessDenied,
        Throttled,
        Unreachable,
        CredentialsExpired,
        MFARequired,
    ]
    _ = kinds, fetch
    if isinstance(error, InvalidChain):
        assert_type([str(problem) for problem in error.problems], list[str])


def stores(client: object) -> None:
    given: rolecall.Store = rolecall.FileStore()
    given = rolecall.AwsCliStore("~/.aws/cli/cache")
    given = rolecall.KeyringStore("my-tool")
    given = rolecall.RedisStore("rediss://host:6379/0", encryption_key=[b"new", "old"])
    given = rolecall.RedisStore(client, encryption_key=rolecall.RedisStore.generate_key())
    given = rolecall.RedisStore.from_url("redis://host", environ={"ROLECALL_STORE_KEY": "key"})
    given = rolecall.open_store(environ={})
    _: boto3.Session = rolecall.assume_role(None, ARN, cache=given)


def for_other_programs(session: rolecall.RoleSession) -> None:
    with rolecall.endpoint.serving(session) as env:
        assert_type(env, dict[str, str])
    with rolecall.endpoint.serving(boto3.Session(), environ={"PATH": "/bin"}) as env:
        subprocess.run(["true"], env=env, check=False)
    url = rolecall.console.sign_in_url(session, service="s3", duration=HOUR)
    assert_type(url, str)


def accounts(session: rolecall.RoleSession) -> None:
    organization = Organization(session, cache="1h", environ={})
    found = organization.select(
        ous=["/prod", "ou-ab12-11111111"],
        exclude_ous="/prod/lab",
        tags={"env": "prod", "team": ["a", "b"], "owner": None},
        name=re.compile("^team-"),
        state=None,
        ids=["111122223333", 222233334444],
        exclude=["333344445555"],
        include_management=True,
    )
    assert_type(found, tuple[Account, ...])
    assert_type(organization.accounts(ou_paths=True), tuple[Account, ...])
    assert_type(read_accounts(pathlib.Path("accounts.csv")), tuple[Account, ...])
    ignore_interrupts()
    assert_type(found[0].tags, Mapping[str, str])
    assert_type(Account("111122223333", name="shop", regions="enabled").id, str)


def runs(core: botocore.session.Session, executor: ProcessPoolExecutor) -> None:
    def count(session: boto3.Session) -> int:
        return len(session.get_available_services())

    def named(session: boto3.Session, target: Target) -> str | None:
        return target.region

    run = fan_out(None, ["111122223333", 222233334444, Account("333344445555")], role="Auditor")
    assert_type(run, FanOut)
    with run:
        assert_type(run.map(count), Outcomes)
        for outcome in run.map(named):
            assert_type(outcome, Outcome)
            assert_type(outcome.ok, bool)
            assert_type(outcome.error, Failure | None)
            assert_type(outcome.elapsed, datetime.timedelta)
            if outcome.error:
                kind: Kind = outcome.error.kind
                _ = kind == "throttled"
    assert_type(run.summary, Summary)
    assert_type(run.summary.not_run, tuple[Target, ...])
    assert_type(run.summary.failed, Mapping[str, int])
    _ = fan_out(
        core,
        ["111122223333"],
        role=lambda account: None if account.management else "Auditor",
        regions=lambda account: account.regions or ["eu-west-1"],
        RoleSessionName="audit",
        ExternalId="fake-external-id",
        Tags={"job": "audit"},
        TransitiveTagKeys=["job"],
        DurationSeconds=HOUR,
        max_workers=50,
        sts_rate=50,
        executor=executor,
        chunk_size=5,
        failure_tolerance=10,
        timeout="5m",
        deadline=HOUR,
        attempts=3,
        journal=pathlib.Path("run.jsonl"),
        job="count",
        shard=(1, 4),
        store=rolecall.MemoryStore(),
        refresh_policy=RefreshPolicy(),
        sts_client_kwargs={"region_name": "eu-central-1"},
    )
    chain = RoleChain(Profile("hub"), Role("arn:aws:iam::{account}:role/Reader"))
    _ = fan_out(core, [], role=chain, regions={"111122223333": ["eu-west-1"]}, shard="1/4")
    _ = fan_out(core, [], role={"111122223333": Role(ARN)}, regions="enabled")


def tables(outcomes: Outcomes) -> None:
    assert_type(outcomes.to_csv("out.csv", rows=True, columns=["account", "value"]), int)
    assert_type(outcomes.to_jsonl("out.jsonl"), int)
    assert_type(outcomes.to_parquet("out.parquet"), int)
    assert_type(outcomes.to_records(rows=True), list[dict[str, Any]])
    _ = Outcomes([]).to_pandas()


def plans(run: FanOut) -> None:
    plan = run.plan()
    assert_type(plan, Plan)
    plan.save("plan.json")
    assert_type(Plan.load("plan.json").shard(1, 4), Plan)
    assert_type([target.role for target in plan], list[str | None])
    with rolecall.fleet.fan_out(None, plan, failure_tolerance=0) as again:
        _ = again.map(print)


def calls(client: Any, error: Exception) -> None:
    found = paginate(client, "list_objects_v2", "Contents[].Key", Bucket="logs")
    assert_type(found, Iterator[Any])
    assert_type(failure_of(error, region="eu-west-1").retryable, bool)


# What a client or a resource is, the stubs of its service would say: they are not installed.
async def asyncio_sessions(core: botocore.session.Session) -> None:
    assert_type(rolecall.aio.assume_role(AioSession(), ARN), rolecall.aio.AioRoleSession)
    assert_type(rolecall.aio.assume_role(boto3.Session(), ARN), rolecall.aio.AioRoleSession)
    assert_type(rolecall.aio.assume_role(core, RoleArn=ARN), rolecall.aio.AioRoleSession)
    assert_type(rolecall.aio.assume_role(None, ARN), rolecall.aio.AioRoleSession)
    theirs = rolecall.aio.assume_role(aioboto3.Session(), ARN)
    assert_type(theirs, rolecall.aio.AioBoto3RoleSession)
    _: aioboto3.Session = theirs
    assert_type(theirs.chain, RoleChain | None)
    assert_type(theirs.synchronous(), boto3.Session)
    assert_type(theirs.assume_role_parent_session, Any)
    assert_type(await theirs.get_credentials(), rolecall.aio.AioRefreshingCredentials)
    async with theirs.client("s3"):  # pyright: ignore[reportUnknownMemberType]
        pass
    async with theirs.resource("s3"):  # pyright: ignore[reportUnknownMemberType]
        pass
    assert_type(rolecall.aio.assume_role(theirs, ARN), rolecall.aio.AioBoto3RoleSession)

    async def code() -> str:
        return "123456"

    session = rolecall.aio.assume_role(
        AioSession(),
        ARN,
        DurationSeconds=HOUR,
        SerialNumber="arn:aws:iam::123456789012:mfa/ana",
        mfa_token_provider=code,
        refresh_policy=RefreshPolicy(),
        cache=rolecall.MemoryStore(),
    )
    assert_type(session.chain, RoleChain | None)
    assert_type(session.synchronous(), boto3.Session)
    assert_type(session.assume_role_parent_session, Any)
    async with session.create_client("s3"):  # pyright: ignore[reportUnknownMemberType]
        pass
    await session.get_credentials()
    credentials = await rolecall.aio.assume_role(session, ARN).get_credentials()
    assert_type(credentials, rolecall.aio.AioRefreshingCredentials)
    assert_type(credentials.expires_at, datetime.datetime | None)
    assert_type(credentials.remaining, datetime.timedelta)
    assert_type((await credentials.whoami()).arn, str)
    await credentials.ensure_valid_for(minutes=30)
    await credentials.refresh()


async def asyncio_refreshable(parent: aioboto3.Session) -> None:
    async def fetch() -> Credentials:
        return Credentials(access_key="ASIAFAKE", secret_key="fake")

    def fetch_in_a_thread() -> dict[str, str]:
        return {}

    plain = rolecall.aio.refreshable_session(fetch, region_name="eu-west-1")
    assert_type(plain, rolecall.aio.AioRoleSession)
    theirs = rolecall.aio.refreshable_session(fetch_in_a_thread, base_session=parent, name="mine")
    assert_type(theirs, rolecall.aio.AioBoto3RoleSession)


async def asyncio_chains(chain: RoleChain) -> None:
    session = chain.aio_session(region_name="eu-west-1")
    assert_type(session, rolecall.aio.AioChainSession)
    _: AioSession = session
    assert_type(session.chain, RoleChain | None)
    assert_type(session.synchronous(), boto3.Session)
    assert_type(session.assume_role_parent_session, Any)
    async with session.create_client("s3"):  # pyright: ignore[reportUnknownMemberType]
        pass
    # Without roles it may be None, or botocore's own: nothing is promised.
    assert_type(await session.get_credentials(), Any)
    assert isinstance(session, rolecall.aio.AioRoleSession)
    await (await session.get_credentials()).whoami()
    assert_type(rolecall.aio.assume_role(session, ARN), rolecall.aio.AioRoleSession)
