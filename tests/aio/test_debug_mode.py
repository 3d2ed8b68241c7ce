"""What asyncio and Python tell of coroutines: no secret in debug mode, no complaint at an end."""

from __future__ import annotations

import asyncio
import gc
import logging
import warnings
from collections.abc import Coroutine
from concurrent.futures import Future
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from aiobotocore.session import AioSession
from event_loops import silence
from scenes import AioAssume, keys_of, run

from rolecall.aio import refreshable_session
from rolecall.refresh import aio
from rolecall.refresh.aio import awaited, working
from rolecall.refresh.flight import Abandoned, Askers
from rolecall.testing import StrictCloud
from rolecall.testing.clock import PATIENCE_SECONDS

__all__ = ["silence"]

SERIAL = "arn:aws:iam::123456789012:mfa/me"
CODE = "314159"
SECRET = "fakeSECRETfakeSECRETfakeSECRETfakeSECRET"
TOKEN = "fakeTOKEN" * 9


def in_debug_mode(work: Coroutine[Any, Any, Any]) -> None:
    """Run *work* on a loop that tells of every step that takes any time at all."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        loop.slow_callback_duration = 0
        await work

    run(main())


def test_debug_mode_shows_no_keys_that_a_coroutine_fetches(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fetch() -> dict[str, Any]:
        later = datetime.now(timezone.utc) + timedelta(hours=1)
        keys = {"access_key": "ASIAFAKE", "secret_key": SECRET, "token": TOKEN}
        return {**keys, "expiry_time": later.isoformat()}

    session = refreshable_session(fetch)

    async def use() -> None:
        assert (await keys_of(session)).secret_key == SECRET

    with caplog.at_level(logging.DEBUG):
        in_debug_mode(use())

    assert "_only() done" in caplog.text  # the task that fetched
    assert SECRET not in caplog.text
    assert TOKEN not in caplog.text


def test_debug_mode_shows_no_code_and_no_keys_of_a_parent(
    caplog: pytest.LogCaptureFixture,
    aio_assume: AioAssume,
    aio_user: AioSession,
    cloud: StrictCloud,
) -> None:
    cloud.mfa_codes(SERIAL, CODE)

    async def code() -> str:
        return CODE

    session = aio_assume(SerialNumber=SERIAL, mfa_token_provider=code)
    shown: list[str] = [cloud.credentials().secret_key]

    async def use() -> None:
        frozen = await keys_of(session)
        shown.extend([frozen.secret_key, frozen.token])

    with caplog.at_level(logging.WARNING):  # botocore's own debug log is another matter
        in_debug_mode(use())

    assert "_only() done" in caplog.text
    assert [secret for secret in [CODE, *shown] if secret in caplog.text] == []


def askers_of(loop: asyncio.AbstractEventLoop) -> Askers:
    askers = Askers()
    askers.add(loop)
    return askers


@pytest.mark.usefixtures("silence")
def test_a_loop_closed_before_its_task_began_leaves_no_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is closed right after it has stopped: the thread is not to look in between."""
    monkeypatch.setattr(aio, "LOOK_SECONDS", 1.0)
    loop = asyncio.new_event_loop()
    made: list[asyncio.Task[Any]] = []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **keywords: Any) -> Any:
        made.append(asyncio.Task(coroutine, loop=loop, **keywords))
        loop.stop()  # at the end of this turn; the task's first step is one of the next
        return made[-1]

    async def never() -> None:
        raise AssertionError("it never begins")

    started: list[Future[None]] = []
    loop.set_task_factory(factory)
    loop.call_soon(lambda: started.append(working(lambda: awaited(never), askers_of(loop))))
    loop.call_later(PATIENCE_SECONDS, loop.stop)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        loop.run_forever()
        loop.close()
        assert isinstance(started[0].exception(PATIENCE_SECONDS), Abandoned)
        assert len(made) == 1
        made.clear()
        gc.collect()

    assert [str(one.message) for one in warned] == []
