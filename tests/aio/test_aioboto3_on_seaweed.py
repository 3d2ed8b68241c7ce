"""aioboto3 on SeaweedFS, whose sessions really die within seconds."""

from __future__ import annotations

import asyncio
import io

import aioboto3
from aiobotocore.session import AioSession
from rotations import BUCKET, ONCE, SEAWEED_SECONDS, Lives, alice, seaweed
from seaweed import role_arn

import rolecall.aio

__all__ = ["alice", "seaweed"]

#: Between two requests of one worker: the others, and the server, need the processor too.
PAUSE_SECONDS = 0.02


async def through_a_client(session: aioboto3.Session, lives: Lives) -> None:
    async with session.client("s3", config=ONCE) as s3:
        while not lives.enough:
            await s3.upload_fileobj(io.BytesIO(b"hello"), BUCKET, "client")
            into = io.BytesIO()
            await s3.download_fileobj(BUCKET, "client", into)
            assert into.getvalue() == b"hello"
            await asyncio.sleep(PAUSE_SECONDS)  # real time has to pass


async def through_a_resource(session: aioboto3.Session, lives: Lives) -> None:
    async with session.resource("s3", config=ONCE) as s3:
        bucket = await s3.Bucket(BUCKET)
        while not lives.enough:
            await bucket.put_object(Key="resource", Body=b"hello")
            assert "resource" in [summary.key async for summary in bucket.objects.page_size(1)]
            await asyncio.sleep(PAUSE_SECONDS)  # real time has to pass


def test_clients_and_resources_side_by_side_live_through_rotations(alice: AioSession) -> None:
    assumed, wrapped = Lives(), Lives()
    user = aioboto3.Session(botocore_session=alice)
    hub = rolecall.aio.assume_role(user, role_arn("Hub"), on_event=assumed.events.append)
    spoke = aioboto3.Session(
        botocore_session=rolecall.aio.assume_role(
            hub._session, role_arn("Spoke"), on_event=wrapped.events.append
        )
    )
    assumed.watch(hub)
    wrapped.watch(spoke)

    async def main() -> None:
        await asyncio.gather(
            through_a_client(hub, assumed),
            through_a_resource(spoke, wrapped),
        )

    asyncio.run(asyncio.wait_for(main(), SEAWEED_SECONDS))

    assumed.check()
    wrapped.check()
