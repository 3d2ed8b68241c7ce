"""What is refused at the call, and what nothing can be said of before the first use."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import Any

import boto3
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.config import Config
from botocore.exceptions import NoCredentialsError
from scenes import HUB, SPOKE, AioAssume, aio_session_of, caller_arn, keys_of, run

import rolecall
from rolecall import GivenSession, RoleChain
from rolecall.aio import assume_role, refreshable_session
from rolecall.testing import FakeClock, StrictCloud

DEVICE = "arn:aws:iam::123456789012:mfa/me"

# ── the call ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["assume_role", "refreshable_session"])
def test_the_keywords_are_those_of_the_synchronous_function(name: str) -> None:
    ours = inspect.signature(getattr(rolecall.aio, name)).parameters
    theirs = inspect.signature(getattr(rolecall, name)).parameters

    assert [(p.name, p.kind, p.default) for p in theirs.values()] == [
        (p.name, p.kind, p.default) for p in ours.values()
    ]


def test_all_problems_are_told_at_once(aio_user: AioSession) -> None:
    with pytest.raises(rolecall.InvalidChain) as refused:
        assume_role(
            aio_user,
            "arn:aws:iam::12:role/Hub",
            RoleSessionName="n",
            DurationSeconds=1,
            TokenCode="12",
            mfa_session=timedelta(minutes=1),
        )

    fields = {problem.field for problem in refused.value.problems}
    assert {"RoleArn", "TokenCode", "mfa_session"} <= {_known(field) for field in fields}
    assert len(refused.value.problems) >= 5


def _known(field: str) -> str:
    return {"arn": "RoleArn", "role_arn": "RoleArn"}.get(field, field)


def test_the_problems_are_those_of_the_synchronous_function(
    aio_user: AioSession, user: boto3.Session
) -> None:
    wrong: dict[str, Any] = {
        "RoleSessionName": "no spaces",
        "DurationSeconds": 60,
        "Tags": {"": "x"},
        "TokenCode": "1",
        "SourceIdentity": "x",
    }

    with pytest.raises(rolecall.InvalidChain) as theirs:
        rolecall.assume_role(user, HUB, **wrong)
    with pytest.raises(rolecall.InvalidChain) as ours:
        assume_role(aio_user, HUB, **wrong)

    assert theirs.value.problems == ours.value.problems


def test_what_is_not_validated_is_not_refused(aio_user: AioSession) -> None:
    assume_role(aio_user, HUB, DurationSeconds=60, validate=False)


def test_an_unknown_keyword_is_refused(aio_user: AioSession) -> None:
    with pytest.raises(TypeError, match="rolesessionname"):
        assume_role(aio_user, HUB, rolesessionname="me")


@pytest.mark.parametrize(
    "session", ["profile", 1, object(), AioSession], ids=lambda one: type(one).__name__
)
def test_what_is_no_session_is_refused(session: Any) -> None:
    with pytest.raises(TypeError, match="session must be"):
        assume_role(session, HUB)
    with pytest.raises(TypeError, match="session must be"):
        refreshable_session(dict, base_session=session)


def test_what_is_aiobotocores_but_no_session_is_told_what_is(aio_user: AioSession) -> None:
    bucket: Any = aio_user.create_client("s3")
    taken = r"session must be an aiobotocore, aioboto3, boto3 or .* ClientCreatorContext"

    with pytest.raises(TypeError, match=taken):
        assume_role(bucket, HUB)
    with pytest.raises(TypeError, match=taken):
        refreshable_session(dict, base_session=bucket)
    for other in (bucket, 1):
        with pytest.raises(TypeError, match="must be an aiobotocore"):
            RoleChain(GivenSession(other), HUB).aio_session()
    bucket._coro.close()


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("region_name", 1),
        ("mfa_session", 3600),
        ("refresh_policy", 1),
        ("sts_client_kwargs", []),
        ("additional_kwargs", []),
        ("cache", 1),
    ],
)
def test_a_keyword_of_the_wrong_kind_is_refused(
    keyword: str, value: Any, aio_user: AioSession
) -> None:
    with pytest.raises(TypeError):
        assume_role(aio_user, HUB, **{keyword: value})


def test_a_listener_that_nothing_awaits_is_refused(aio_user: AioSession) -> None:
    async def listen(event: object) -> None: ...

    with pytest.raises(TypeError, match="on_event"):
        assume_role(aio_user, HUB, on_event=listen)
    with pytest.raises(TypeError, match="on_event"):
        refreshable_session(dict, on_event=listen)


def test_a_listener_that_nothing_awaits_is_refused_for_a_chain(aio_user: AioSession) -> None:
    async def listen(event: object) -> None: ...

    with pytest.raises(TypeError, match="on_event"):
        RoleChain(GivenSession(aio_user), HUB).aio_session(on_event=listen)


def test_sts_client_keywords_are_checked_at_the_call(aio_user: AioSession) -> None:
    with pytest.raises(rolecall.ConfigError, match="aws_access_key_id"):
        assume_role(aio_user, HUB, sts_client_kwargs={"aws_access_key_id": "AKIAFAKE"})
    with pytest.raises(rolecall.ConfigError, match="config"):
        assume_role(aio_user, HUB, sts_client_kwargs={"config": {}})


@pytest.mark.parametrize("fetch", [None, 1, {}])
def test_what_cannot_be_called_is_refused(fetch: Any) -> None:
    with pytest.raises(TypeError, match="callable"):
        refreshable_session(fetch)


def test_an_asynchronous_generator_is_refused() -> None:
    async def fetch() -> Any:
        yield {}

    with pytest.raises(TypeError, match="generator"):
        refreshable_session(fetch)


# ── asynchronous sessions in the synchronous functions ───────────────────────────────────


def asynchronous_sessions(aio_user: AioSession) -> list[Any]:
    return [
        aio_user,
        assume_role(aio_user, HUB),
        boto3.Session(botocore_session=aio_user),
        boto3.Session(botocore_session=assume_role(aio_user, HUB)),
    ]


def test_the_synchronous_functions_refuse_asynchronous_sessions(aio_user: AioSession) -> None:
    for session in asynchronous_sessions(aio_user):
        with pytest.raises(rolecall.ConfigError, match="asynchronous") as refused:
            rolecall.assume_role(session, SPOKE)
        assert "rolecall.aio" in refused.value.hint
        with pytest.raises(rolecall.ConfigError, match=r"rolecall\.aio"):
            rolecall.refreshable_session(dict, base_session=session)
        with pytest.raises(rolecall.ConfigError, match=r"rolecall\.aio|aio_session"):
            RoleChain(GivenSession(session), SPOKE).session()


def test_the_synchronous_function_tells_where_codes_may_be_awaited(user: boto3.Session) -> None:
    async def code() -> str:
        return "111111"

    with pytest.raises(TypeError, match=r"coroutine function.* rolecall\.aio"):
        rolecall.assume_role(user, HUB, SerialNumber=DEVICE, mfa_token_provider=code)


# ── nothing happens at the call ──────────────────────────────────────────────────────────


class NeverAsked(AioSession):
    async def get_credentials(self) -> Any:
        raise AssertionError("credentials were looked up")


def test_nothing_is_looked_up_or_called_at_the_call(
    cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    asked: list[int] = []
    parent = NeverAsked()

    hub = assume_role(parent, HUB, clock=fake_clock, cache={})
    spoke = assume_role(hub, SPOKE, clock=fake_clock)
    chained = RoleChain(GivenSession(parent), HUB, SPOKE).aio_session(clock=fake_clock)
    fetched = refreshable_session(lambda: asked.append(1), clock=fake_clock)

    for session in (hub, spoke, chained, fetched):
        repr(session)
    assert asked == []
    assert cloud.calls() == 0


def test_no_credentials_show_at_the_first_use(aio_assume: AioAssume, cloud: StrictCloud) -> None:
    child = aio_assume(HUB, aio_session_of(cloud, user=None))

    for _ in range(2):
        with pytest.raises(NoCredentialsError):
            run(caller_arn(child))


def test_credentials_that_come_later_are_found(aio_assume: AioAssume, cloud: StrictCloud) -> None:
    parent = aio_session_of(cloud, user=None)
    child = aio_assume(HUB, parent)
    with pytest.raises(NoCredentialsError):
        run(keys_of(child))
    held = cloud.credentials()

    parent.set_credentials(held.access_key, held.secret_key)

    assert "/Hub/" in run(caller_arn(child))


def test_too_long_for_role_chaining_shows_at_the_call_where_the_chain_is_known(
    aio_assume: AioAssume, aio_user: AioSession, fake_clock: FakeClock
) -> None:
    hub = RoleChain(GivenSession(aio_user), HUB).aio_session(clock=fake_clock)

    with pytest.raises(rolecall.InvalidChain, match="chain"):
        aio_assume(SPOKE, hub, DurationSeconds=7200)


def test_too_long_for_role_chaining_shows_at_the_call_though_the_parent_was_not_used_yet(
    aio_assume: AioAssume,
) -> None:
    with pytest.raises(rolecall.InvalidChain, match="chain"):
        aio_assume(SPOKE, aio_assume(), DurationSeconds=7200)


def test_too_long_for_role_chaining_shows_at_the_first_use_at_the_latest(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    hub = aio_assume()

    with pytest.raises(rolecall.InvalidChain, match="chain"):
        run(keys_of(aio_assume(SPOKE, hub, DurationSeconds=7200)))
    assert cloud.calls("AssumeRole") == 0


def test_too_long_for_role_chaining_shows_at_the_first_use_where_it_is_not_known_before(
    aio_assume: AioAssume, aio_user: AioSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = aio_assume(HUB, _role_of_lambda(aio_user), DurationSeconds=7200)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "fake")

    for _ in range(2):
        with pytest.raises(rolecall.InvalidChain, match="chain"):
            run(keys_of(child))


def _role_of_lambda(session: AioSession) -> AioSession:
    """Return *session* with the name that botocore gives to credentials of the environment."""
    session._credentials.method = "env"  # type: ignore[union-attr]
    return session


def test_the_wrong_partition_shows_at_the_first_use(aio_assume: AioAssume) -> None:
    child = aio_assume("arn:aws-cn:iam::123456789012:role/Hub")

    with pytest.raises(rolecall.InvalidChain, match="partition"):
        run(keys_of(child))


# ── arguments that change later ──────────────────────────────────────────────────────────


def test_arguments_that_change_after_the_call_do_not_change_the_role(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    tags, policy = {"team": "a"}, {"Version": "2012-10-17", "Statement": []}
    policy_arns, transitive = ["arn:aws:iam::aws:policy/ReadOnlyAccess"], ["team"]
    client: dict[str, Any] = {"region_name": "eu-west-1"}
    additional: dict[str, Any] = {"ExternalId": "fake-a"}
    child = aio_assume(
        Tags=tags,
        Policy=policy,
        PolicyArns=policy_arns,
        TransitiveTagKeys=transitive,
        sts_client_kwargs=client,
        additional_kwargs=additional,
    )
    fresh = aio_assume(
        Tags=dict(tags),
        Policy=dict(policy),
        PolicyArns=list(policy_arns),
        TransitiveTagKeys=list(transitive),
        sts_client_kwargs=dict(client),
        additional_kwargs=dict(additional),
    )

    tags["team"] = "b"
    policy["Statement"] = [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
    policy_arns.append("arn:aws:iam::aws:policy/AdministratorAccess")
    transitive.append("more")
    client["endpoint_url"] = "http://127.0.0.1:1"
    additional["ExternalId"] = "fake-b"

    assert "/Hub/" in run(caller_arn(child))
    run(keys_of(fresh))
    assert fresh.chain.roles[-1].request() == child.chain.roles[-1].request()


@pytest.mark.parametrize("kind", [Config, AioConfig])
def test_a_client_config_of_either_kind_is_taken(
    kind: Any, aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    child = aio_assume(sts_client_kwargs={"config": kind(user_agent_extra="fake-agent")})

    assert "/Hub/" in run(caller_arn(child))
