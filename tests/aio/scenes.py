"""Names and helpers that the tests of asynchronous sessions share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from aiobotocore.session import AioSession

from rolecall.testing import StrictCloud
from rolecall.testing.clock import PATIENCE_SECONDS

HUB = "arn:aws:iam::123456789012:role/Hub"
SPOKE = "arn:aws:iam::210987654321:role/Spoke"

T = TypeVar("T")

#: `rolecall.aio.assume_role` with the test's clock and events, from a user of the cloud.
AioAssume = Callable[..., Any]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return what *work* returns, on an event loop of its own; fail instead of hanging."""
    return asyncio.run(asyncio.wait_for(work, PATIENCE_SECONDS))


def aio_session_of(cloud: StrictCloud, *, user: str | None = "fake-user", **keywords: Any) -> Any:
    """Return an `AioSession` in which every service is *cloud*.

    Args:
        user: An IAM user of *cloud*, whose keys are set by hand; None: no keys are set.
        keywords: those of `StrictCloud.session`.
    """
    session = AioSession()
    like: Any = cloud.session(user=user or "nobody", **keywords)
    for name, value in like._session.instance_variables().items():
        session.set_config_variable(name, value)
    if user is not None:
        held = like.get_credentials()
        session.set_credentials(held.access_key, held.secret_key)
    return session


def client(session: Any, service: str, **keywords: Any) -> Any:
    """Return what opens an asynchronous client, of an `AioSession` or an `aioboto3.Session`."""
    if isinstance(session, AioSession):
        return session.create_client(service, **keywords)
    return session.client(service, **keywords)


async def caller_arn(session: Any) -> str:
    """Return who *session* is, as STS sees it; a synchronous session is asked in a thread."""
    if not isinstance(getattr(session, "_session", session), AioSession):
        sts = await asyncio.to_thread(session.client, "sts")
        return str((await asyncio.to_thread(sts.get_caller_identity))["Arn"])
    async with client(session, "sts") as sts:
        return str((await sts.get_caller_identity())["Arn"])


async def keys_of(session: Any) -> Any:
    """Return the frozen credentials that an asynchronous *session* signs with now."""
    inner = getattr(session, "_session", session)
    return await (await inner.get_credentials()).get_frozen_credentials()


async def settle(session: Any) -> None:
    """Wait until no background refresh of an asynchronous *session* of ours is in the air."""
    inner = getattr(session, "_session", session)
    flight = (await inner.get_credentials())._refresher._flight
    if flight is not None:
        await asyncio.to_thread(flight.future.result, PATIENCE_SECONDS)


def signers(cloud: StrictCloud) -> list[str | None]:
    """Return the access key that signed each AssumeRole, in the order of the calls."""
    return [call.access_key for call in cloud.log if call.operation == "AssumeRole"]
