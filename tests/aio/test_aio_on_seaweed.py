"""aiobotocore and s3fs on SeaweedFS, whose sessions really die within seconds."""

from __future__ import annotations

import asyncio
from typing import Any

from aiobotocore.session import AioSession
from rotations import (
    BUCKET,
    ONCE,
    SEAWEED_SECONDS,
    FileSystem,
    Lives,
    alice,
    file_system,
    fsspec_loop,
    seaweed,
)
from seaweed import role_arn

import rolecall
import rolecall.aio

__all__ = ["alice", "file_system", "fsspec_loop", "seaweed"]

#: Between two requests of one worker: the others, and the server, need the processor too.
PAUSE_SECONDS = 0.02


async def through_a_client(session: AioSession, lives: Lives) -> None:
    async with session.create_client("s3", config=ONCE) as s3:
        while not lives.enough:
            await s3.put_object(Bucket=BUCKET, Key="client", Body=b"hello")
            answer = await s3.get_object(Bucket=BUCKET, Key="client")
            assert await answer["Body"].read() == b"hello"
            await asyncio.sleep(PAUSE_SECONDS)  # real time has to pass


async def through_asynchronous_files(files: Any, lives: Lives) -> None:
    client = await files.set_session()
    try:
        while not lives.enough:
            await files._pipe_file(f"{BUCKET}/asynchronous", b"hello")
            assert await files._cat_file(f"{BUCKET}/asynchronous") == b"hello"
            await asyncio.sleep(PAUSE_SECONDS)  # real time has to pass
    finally:
        await client.close()


def through_files(files: Any, lives: Lives, thread: int) -> None:
    while not lives.enough:
        files.pipe_file(f"{BUCKET}/{thread}", b"hello")
        assert files.cat_file(f"{BUCKET}/{thread}") == b"hello"


def test_clients_and_file_systems_side_by_side_live_through_rotations(
    alice: AioSession, file_system: FileSystem
) -> None:
    """All at once, since each rotation takes two seconds: clients, a chain, files of two kinds."""
    client, chained, asynchronous, synchronous = (Lives() for _ in range(4))
    hub = rolecall.aio.assume_role(alice, role_arn("Hub"), on_event=client.events.append)
    chain = rolecall.RoleChain(rolecall.GivenSession(alice), role_arn("Hub"), role_arn("Spoke"))
    spoke = chain.aio_session(on_event=chained.events.append)
    of_files = rolecall.aio.assume_role(hub, role_arn("Spoke"), on_event=asynchronous.events.append)
    of_threads = rolecall.aio.assume_role(
        alice, role_arn("Open"), on_event=synchronous.events.append
    )
    client.watch(hub)
    chained.watch(spoke)
    asynchronous.watch(of_files)
    synchronous.watch(of_threads)

    async def main() -> None:
        files = file_system(of_threads)
        await asyncio.gather(
            through_a_client(hub, client),
            through_a_client(spoke, chained),
            through_asynchronous_files(
                file_system(of_files, asynchronous=True, skip_instance_cache=True), asynchronous
            ),
            asyncio.to_thread(through_files, files, synchronous, 1),
            asyncio.to_thread(through_files, files, synchronous, 2),
        )

    asyncio.run(asyncio.wait_for(main(), SEAWEED_SECONDS))

    client.check()
    chained.check(roles=2)
    asynchronous.check()
    synchronous.check()
