"""What an asynchronous session takes over from its parent, and what it tells of itself."""

from __future__ import annotations

import io
from typing import Any

import boto3
import botocore.session
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.config import Config
from made_parents import World, keys_in_the_environment
from scenes import HUB, AioAssume, aio_session_of, client, keys_of, run
from written_profiles import keys_of as lines_of

import rolecall
from rolecall.aio import assume_role
from rolecall.testing import FakeClock, StrictCloud

# ── the region ───────────────────────────────────────────────────────────────────────────


def region_of(session: Any) -> Any:
    return session.get_config_variable("region")


@pytest.fixture(params=["asynchronous", "synchronous"])
def parent(request: pytest.FixtureRequest, cloud: StrictCloud) -> Any:
    """A parent of either kind, in eu-north-1; its botocore session."""
    if request.param == "asynchronous":
        return aio_session_of(cloud, region_name="eu-north-1")
    return cloud.session(region_name="eu-north-1")._session


def test_the_region_follows_the_parents(parent: Any, aio_assume: AioAssume) -> None:
    child = aio_assume(HUB, parent)
    before = region_of(child)

    parent.set_config_variable("region", "eu-west-1")

    assert (before, region_of(child)) == ("eu-north-1", "eu-west-1")


def test_true_is_a_copy_of_the_parents_region(parent: Any, aio_assume: AioAssume) -> None:
    child = aio_assume(HUB, parent, region_name=True)

    parent.set_config_variable("region", "eu-west-1")

    assert region_of(child) == "eu-north-1"


def test_false_is_what_a_new_session_would_have(
    parent: Any, aio_assume: AioAssume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "sa-east-1")

    assert region_of(aio_assume(HUB, parent, region_name=False)) == "sa-east-1"


def test_a_region_is_that_region_and_no_other_for_sts(
    parent: Any, aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    child = aio_assume(HUB, parent, region_name="ap-south-1")

    async def use() -> str:
        async with client(child, "sqs") as sqs:
            await sqs.list_queues()
            return str(sqs.meta.region_name)

    assert run(use()) == "ap-south-1"


def test_a_client_may_be_of_another_region(aio_assume: AioAssume) -> None:
    async def use() -> str:
        async with client(aio_assume(), "sqs", region_name="eu-west-3") as sqs:
            return str(sqs.meta.region_name)

    assert run(use()) == "eu-west-3"


# ── endpoints, proxies, certificates ─────────────────────────────────────────────────────


def test_the_endpoint_of_the_parents_profile_is_the_childs(
    world: World, aio_assume: AioAssume
) -> None:
    parent = world.profile(
        f"services = here\n[services here]\nsqs =\n  endpoint_url = {world.cloud.url}\n",
        f"[it]\n{lines_of(world.cloud, 'alice')}",
    )
    world.monkeypatch.delenv("AWS_ENDPOINT_URL")
    world.monkeypatch.setenv("AWS_ENDPOINT_URL_STS", world.cloud.url)
    child = aio_assume(HUB, parent)

    async def use() -> str:
        async with client(child, "sqs") as sqs:
            await sqs.list_queues()
            return str(sqs.meta.endpoint_url)

    assert run(use()) == world.cloud.url


def test_an_endpoint_for_sts_is_that_of_assume_role_only(
    cloud: StrictCloud, aio_assume: AioAssume
) -> None:
    child = aio_assume(sts_client_kwargs={"endpoint_url": f"{cloud.url}/"})

    run(keys_of(child))

    assert cloud.calls("AssumeRole") == 1


def test_a_wrong_endpoint_for_sts_is_where_the_role_is_asked_for(aio_assume: AioAssume) -> None:
    once = AioConfig(retries={"total_max_attempts": 1}, connect_timeout=1)
    child = aio_assume(sts_client_kwargs={"endpoint_url": "http://127.0.0.1:9", "config": once})

    with pytest.raises(rolecall.Unreachable):
        run(keys_of(child))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ca_bundle", "/fake/ca.pem"),
        ("max_attempts", 7),
        ("retry_mode", "adaptive"),
        ("use_fips_endpoint", True),
        ("sts_regional_endpoints", "legacy"),
        ("ignore_configured_endpoint_urls", True),
    ],
)
def test_variables_of_the_parent_are_the_childs(
    name: str, value: Any, parent: Any, aio_assume: AioAssume
) -> None:
    child = aio_assume(HUB, parent)

    parent.set_config_variable(name, value)

    assert child.get_config_variable(name) == value


def test_variables_of_the_child_are_its_own(parent: Any, aio_assume: AioAssume) -> None:
    child = aio_assume(HUB, parent)
    child.set_config_variable("max_attempts", 3)

    parent.set_config_variable("max_attempts", 7)

    assert child.get_config_variable("max_attempts") == 3


# ── client configurations ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [("asynchronous", "AioConfig"), ("asynchronous", "Config"), ("synchronous", "Config")],
)
def test_a_default_client_config_of_either_kind_is_taken_over(
    kind: str, theirs: str, cloud: StrictCloud, aio_assume: AioAssume
) -> None:
    if theirs == "AioConfig":
        config: Any = AioConfig(
            connector_args={"keepalive_timeout": 7}, read_timeout=41, max_pool_connections=3
        )
    else:
        config = Config(read_timeout=41, max_pool_connections=3)
    parent: Any = aio_session_of(cloud) if kind == "asynchronous" else cloud.session()._session
    parent.set_default_client_config(config)
    child = aio_assume(HUB, parent)

    async def use() -> Any:
        async with client(child, "sqs") as sqs:
            await sqs.list_queues()
            return sqs.meta.config

    found = run(use())

    assert (found.read_timeout, found.max_pool_connections) == (41, 3)
    if theirs == "AioConfig":
        assert found.connector_args == {"keepalive_timeout": 7}


def test_a_clients_own_config_is_merged(aio_user: AioSession, aio_assume: AioAssume) -> None:
    aio_user.set_default_client_config(AioConfig(read_timeout=41, connect_timeout=42))
    child = aio_assume()

    async def use() -> Any:
        async with client(child, "sqs", config=AioConfig(read_timeout=7)) as sqs:
            await sqs.list_queues()
            return sqs.meta.config

    found = run(use())

    assert (found.read_timeout, found.connect_timeout) == (7, 42)


def test_what_is_not_inherited_is_as_in_a_new_session(
    world: World, aio_assume: AioAssume, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = keys_in_the_environment(world, "alice")
    parent.set_config_variable("max_attempts", 7)
    parent.set_default_client_config(AioConfig(read_timeout=41))

    child = aio_assume(HUB, parent, inherit_config=False)

    async def use() -> Any:
        async with client(child, "sqs") as sqs:
            await sqs.list_queues()
            return sqs.meta.config

    assert run(use()).read_timeout != 41
    assert child.get_config_variable("max_attempts") is None
    assert child.get_default_client_config() is None


def test_the_sts_clients_config_may_be_aiobotocores(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    config = AioConfig(
        connector_args={"keepalive_timeout": 7},
        read_timeout=11,
        retries={"mode": "standard", "total_max_attempts": 2},
    )
    cloud.fail("AssumeRole", code="ServiceUnavailable", status=503, times=1)
    child = aio_assume(sts_client_kwargs={"config": config})

    run(keys_of(child))

    assert cloud.calls("AssumeRole") == 2


def test_an_adaptive_retry_mode_reaches_the_clients(aio_assume: AioAssume) -> None:
    async def use() -> str:
        config = AioConfig(retries={"mode": "adaptive"})
        async with client(aio_assume(), "sqs", config=config) as sqs:
            await sqs.list_queues()
            return str(sqs.meta.config.retries["mode"])

    assert run(use()) == "adaptive"


# ── what it tells of itself ──────────────────────────────────────────────────────────────


def test_the_user_agent_names_us_and_aiobotocore(aio_assume: AioAssume) -> None:
    child = aio_assume()
    sent: list[str] = []

    async def use() -> None:
        async with client(child, "sqs") as sqs:
            sqs.meta.events.register(
                "before-send", lambda request, **_: sent.append(str(request.headers["User-Agent"]))
            )
            await sqs.list_queues()

    run(use())

    assert f"rolecall/{rolecall.__version__}" in sent[0]
    assert "aiobotocore" in sent[0].lower()


def test_sessions_share_the_loader_and_its_path_does_not_grow(
    aio_assume: AioAssume, aio_user: AioSession
) -> None:
    run(keys_of(aio_assume()))  # boto3's own folder is added once
    loader = aio_user.get_component("data_loader")
    before = list(loader.search_paths)

    for _ in range(20):
        child = aio_assume()
        run(keys_of(child))

    assert loader.search_paths == before
    assert child.get_component("data_loader") is loader


def test_one_sts_client_serves_all_children_of_a_session(
    aio_assume: AioAssume, cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    children = [aio_assume(RoleSessionName=f"me-{n}") for n in range(10)]

    create = botocore.session.Session.create_client

    def counted(self: Any, service: str, *arguments: Any, **keywords: Any) -> Any:
        made.append(service)
        return create(self, service, *arguments, **keywords)

    monkeypatch.setattr(botocore.session.Session, "create_client", counted)

    for child in children:
        run(keys_of(child))

    assert made == ["sts"]


def test_what_the_parents_clients_log_is_not_the_childs(
    aio_user: AioSession, aio_assume: AioAssume
) -> None:
    """Handlers of the parent's events are the program's own, for its own session."""
    seen: list[str] = []
    aio_user.get_component("event_emitter").register(
        "before-sign", lambda **_: seen.append("parent")
    )
    child = aio_assume()

    async def use() -> None:
        async with client(child, "sqs") as sqs:
            await sqs.list_queues()

    run(use())

    assert seen == []


def test_the_account_is_known_before_the_first_fetch(
    aio_assume: AioAssume, cloud: StrictCloud
) -> None:
    """aiobotocore 2.21 reads it, without an await, for DynamoDB's endpoint."""
    child = aio_assume()

    async def use() -> tuple[Any, Any]:
        credentials = await child.get_credentials()
        before = credentials.account_id
        assert cloud.calls() == 0
        async with client(child, "dynamodb") as dynamodb:
            assert (await dynamodb.list_tables())["TableNames"] == []
        return before, await credentials.get_account_id()

    assert run(use()) == ("123456789012", "123456789012")


def test_keys_cannot_be_set_one_by_one(aio_assume: AioAssume) -> None:
    credentials = run(aio_assume().get_credentials())

    for name in ("access_key", "secret_key", "token", "account_id"):
        with pytest.raises(AttributeError):
            setattr(credentials, name, "fake")


def test_a_client_keeps_its_keys_of_one_set_over_rotations(
    aio_assume: AioAssume, cloud: StrictCloud, fake_clock: FakeClock
) -> None:
    child = aio_assume()

    async def use() -> None:
        async with client(child, "s3") as s3:
            await s3.create_bucket(Bucket="fake-bucket")
            for _ in range(5):
                fake_clock.tick(hours=2)
                await s3.put_object(Bucket="fake-bucket", Key="it", Body=io.BytesIO(b"x"))

    run(use())

    assert cloud.calls("AssumeRole") == 6


def test_a_boto3_parents_default_client_config_is_not_changed(
    user: boto3.Session, fake_clock: FakeClock
) -> None:
    config = Config(read_timeout=41)
    user._session.set_default_client_config(config)

    child = assume_role(user, HUB, clock=fake_clock)

    assert user._session.get_default_client_config() is config
    assert isinstance(child.get_default_client_config(), AioConfig)
