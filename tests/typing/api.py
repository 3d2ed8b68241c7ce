"""The public API as a type checker sees it. Never run: mypy and pyright read it, strictly.

Every call here is one that a user writes. If one stops checking, somebody's build breaks.
"""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Mapping
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


async def asyncio_sessions(core: botocore.session.Session) -> None:
    assert_type(rolecall.aio.assume_role(AioSession(), ARN), rolecall.aio.AioRoleSession)
    assert_type(rolecall.aio.assume_role(boto3.Session(), ARN), rolecall.aio.AioRoleSession)
    assert_type(rolecall.aio.assume_role(core, RoleArn=ARN), rolecall.aio.AioRoleSession)
    assert_type(rolecall.aio.assume_role(None, ARN), rolecall.aio.AioRoleSession)
    assert_type(rolecall.aio.assume_role(aioboto3.Session(), ARN), aioboto3.Session)

    async def code() -> str:
        return "123456"

    session: AioSession = rolecall.aio.assume_role(
        AioSession(),
        ARN,
        DurationSeconds=HOUR,
        SerialNumber="arn:aws:iam::123456789012:mfa/ana",
        mfa_token_provider=code,
        refresh_policy=RefreshPolicy(),
        cache=rolecall.MemoryStore(),
    )
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
    assert_type(theirs, aioboto3.Session)
