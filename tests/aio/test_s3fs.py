"""s3fs through several rotations: on its own loop, on the program's, and in another process."""

from __future__ import annotations

import asyncio
import gc
import json
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import fsspec
import pytest
from aiobotocore.session import AioSession
from rotations import (
    BUCKET,
    LEAST_KEYS,
    MOMENTS,
    FileSystem,
    Rotations,
    file_system,
    fsspec_loop,
    rotations,
)
from scenes import HUB, SPOKE, AioAssume, run

import rolecall
import rolecall.aio
from rolecall.testing import StrictCloud
from rolecall.testing.clock import PATIENCE_SECONDS

__all__ = ["file_system", "fsspec_loop", "rotations"]

THREADS = 4

READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"

# ── used synchronously ───────────────────────────────────────────────────────────────────


def test_no_call_of_a_file_system_fails_through_rotations(
    aio_assume: AioAssume, file_system: FileSystem, rotations: Rotations
) -> None:
    files = file_system(aio_assume())
    files.mkdir(BUCKET)

    for number in rotations.moments():
        path = f"{BUCKET}/{number:02}"
        files.pipe(path, b"%d" % number)
        assert files.cat(path) == b"%d" % number
        assert files.info(path)["size"] == len(f"{number}")
        assert len(files.ls(BUCKET)) == number + 1

    rotations.check("s3")


def test_a_file_that_is_open_for_many_lives_is_written_and_read_to_its_end(
    aio_assume: AioAssume, file_system: FileSystem, rotations: Rotations
) -> None:
    files = file_system(aio_assume())
    files.mkdir(BUCKET)
    block = 5 * 1024 * 1024
    parts = [bytes([number]) * block for number in range(4)]

    with files.open(f"{BUCKET}/long", "wb", block_size=block) as out:
        for part in parts:
            out.write(part)
            rotations.end_a_life()
    with files.open(f"{BUCKET}/long", "rb", block_size=block, cache_type="none") as back:
        for part in parts:
            assert back.read(block) == part
            rotations.end_a_life()

    rotations.check("s3")


def test_several_threads_use_one_file_system_through_rotations(
    aio_assume: AioAssume, file_system: FileSystem, rotations: Rotations
) -> None:
    files = file_system(aio_assume())
    files.mkdir(BUCKET)
    # All make their calls between two moments, or a key could die on its way.
    together = threading.Barrier(THREADS, rotations.pass_a_moment, PATIENCE_SECONDS)

    def work(thread: int) -> None:
        for number in range(MOMENTS):
            files.pipe(f"{BUCKET}/{thread}", b"%d" % number)
            assert files.cat(f"{BUCKET}/{thread}") == b"%d" % number
            together.wait()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))

    rotations.check("s3")


def test_a_client_made_anew_has_the_same_keys(
    aio_assume: AioAssume, file_system: FileSystem, rotations: Rotations, cloud: StrictCloud
) -> None:
    files = file_system(aio_assume())
    files.mkdir(BUCKET)

    for _ in range(3):
        files.connect(refresh=True)
        files.ls(BUCKET)

    assert cloud.calls("AssumeRole") == 1
    for _ in rotations.moments():
        files.connect(refresh=True)
        files.ls(BUCKET)
    rotations.check("s3")


# ── used asynchronously ──────────────────────────────────────────────────────────────────


def test_no_call_of_an_asynchronous_file_system_fails_through_rotations(
    aio_assume: AioAssume, file_system: FileSystem, rotations: Rotations
) -> None:
    async def main() -> None:
        files = file_system(aio_assume(), asynchronous=True, skip_instance_cache=True)
        client = await files.set_session()
        try:
            await files._mkdir(BUCKET)
            for number in rotations.moments():
                paths = [f"{BUCKET}/{task}" for task in range(THREADS)]
                await files._pipe({path: b"%d" % number for path in paths})
                assert set((await files._cat(paths)).values()) == {b"%d" % number}
        finally:
            await client.close()

    run(main())

    rotations.check("s3")


def test_one_session_serves_both_kinds_of_file_system_at_once(
    aio_assume: AioAssume, file_system: FileSystem, rotations: Rotations
) -> None:
    session = aio_assume()
    beside = file_system(session)
    beside.mkdir(BUCKET)

    async def main() -> None:
        files = file_system(session, asynchronous=True, skip_instance_cache=True)
        client = await files.set_session()
        try:
            for number in rotations.moments():
                await asyncio.gather(
                    files._pipe_file(f"{BUCKET}/here", b"%d" % number),
                    asyncio.to_thread(beside.pipe_file, f"{BUCKET}/there", b"%d" % number),
                )
        finally:
            await client.close()

    run(main())

    rotations.check("s3")


# ── which file system one gets ───────────────────────────────────────────────────────────


def test_two_roles_never_get_each_others_file_system(
    aio_assume: AioAssume, file_system: FileSystem, cloud: StrictCloud
) -> None:
    hub, spoke = aio_assume(HUB), aio_assume(SPOKE)

    hubs, spokes = file_system(hub), file_system(spoke)

    assert hubs is not spokes
    assert fsspec.filesystem("s3", **hubs.storage_options) is hubs
    assert fsspec.filesystem("s3", **spokes.storage_options) is spokes
    for files, bucket in ((hubs, "of-hub"), (spokes, "of-spoke"), (hubs, "of-hub-too")):
        files.mkdir(bucket)
    made = [call.account for call in cloud.log if call.operation == "CreateBucket"]
    assert made == ["123456789012", "210987654321", "123456789012"]


def test_two_sessions_of_one_role_never_get_each_others_file_system(
    aio_assume: AioAssume, file_system: FileSystem
) -> None:
    """They may differ in what a session policy allows, or in whom an audit trail names."""
    wide, narrow = aio_assume(), aio_assume(PolicyArns=[READ_ONLY])

    assert file_system(wide) is not file_system(narrow)
    assert file_system(narrow).session is narrow


def test_one_session_gets_one_file_system_through_all_rotations(
    aio_assume: AioAssume, file_system: FileSystem, rotations: Rotations
) -> None:
    session = aio_assume()
    files = file_system(session)
    files.mkdir(BUCKET)

    for _ in rotations.moments():
        assert file_system(session) is files
        files.ls(BUCKET)

    rotations.check("s3")


def test_sessions_that_come_and_go_never_inherit_a_file_system(
    aio_assume: AioAssume, file_system: FileSystem, cloud: StrictCloud
) -> None:
    """A name with an address in it may come back with the address."""
    for number in range(6):
        role = (HUB, SPOKE)[number % 2]
        file_system(aio_assume(role)).mkdir(f"{BUCKET}-{number}")
        gc.collect()

    made = [call.account for call in cloud.log if call.operation == "CreateBucket"]
    assert made == ["123456789012", "210987654321"] * 3


# ── in another process ───────────────────────────────────────────────────────────────────

#: Loads a file system from a file, and reads a path of it for each line that comes in.
READER = """
import json, pickle, sys
files = pickle.load(open(sys.argv[1], "rb"))
for path in sys.stdin:
    print(json.dumps(files.cat(path.strip()).decode()), flush=True)
"""

#: A read takes milliseconds, and keys are replaced every second: far more than enough.
MOST_READS = 60_000


@pytest.fixture
def environment(strict_cloud: StrictCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment, which another process shares, be that of a user of the cloud."""
    for name, value in strict_cloud.environ().items():
        monkeypatch.setenv(name, value)
    # An empty token is none to boto3, but one to older versions of aiobotocore.
    monkeypatch.delenv("AWS_SESSION_TOKEN")


def test_a_file_system_travels_to_another_process_without_keys_and_rotates_there(
    strict_cloud: StrictCloud, environment: None, file_system: FileSystem, tmp_path: Path
) -> None:
    files = file_system(rolecall.aio.assume_role(AioSession(), HUB))
    files.mkdir(BUCKET)
    files.pipe(f"{BUCKET}/greeting", b"hello")
    ours = files_keys(strict_cloud)
    travelling = pickle.dumps(files)
    (tmp_path / "files.pickle").write_bytes(travelling)
    # No fake clock reaches another process: two seconds really pass, thrice.
    strict_cloud.lifetime = timedelta(seconds=2)

    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", READER, str(tmp_path / "files.pickle")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        for _ in range(MOST_READS):
            reader.stdin.write(f"{BUCKET}/greeting\n")
            reader.stdin.flush()
            assert json.loads(reader.stdout.readline()) == "hello"
            if len(files_keys(strict_cloud) - ours) == LEAST_KEYS:
                break
        reader.stdin.close()
        assert reader.wait(PATIENCE_SECONDS) == 0

    assert len(files_keys(strict_cloud) - ours) == LEAST_KEYS
    assert strict_cloud.calls("AssumeRole") <= len(ours) + LEAST_KEYS + 1
    assert [call for call in strict_cloud.log if call.code == "ExpiredToken"] == []
    for secret in (b"fake-secret", b"fake-token", b"ASIAFAKE", b"AKIAFAKE"):
        assert secret not in travelling


def files_keys(cloud: StrictCloud) -> set[str | None]:
    """Return the keys that S3 was called with."""
    return {call.access_key for call in cloud.log if call.service == "s3"}
