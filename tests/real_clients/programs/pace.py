"""How long a program goes on: as many seconds as it is told, from its first success on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

#: Where a program finds its S3, and the bucket in it that is its own.
URL: str = os.environ["AWS_ENDPOINT_URL"]
BUCKET: str = os.environ["BUCKET"]

#: Two cores are to be enough for all programs at once.
PAUSE_SECONDS = 1.0


def again_and_again(call: Callable[[], object], pause: float = PAUSE_SECONDS) -> None:
    """Make *call* until the time is up, *pause* seconds apart, and say each time that it is done.

    What it raises ends the program.
    """
    for _ in _rounds(pause):
        call()


async def again_and_again_async(call: Callable[[], Awaitable[object]]) -> None:
    """Do the same with a coroutine; nothing else runs on its event loop."""
    for _ in _rounds(PAUSE_SECONDS):
        await call()


def _rounds(pause: float) -> Iterator[None]:
    seconds = float(sys.argv[1])
    yield
    print("done", flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(pause)
        yield
        print("done", flush=True)
