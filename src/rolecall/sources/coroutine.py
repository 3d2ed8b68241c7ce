"""Callables of asyncio programs as sources: what they return may have to be awaited."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from ..refresh.aio import awaited
from .custom import CallableSource, is_async


class AsyncCallableSource(CallableSource):
    """Hand out what a callable returns, or what awaiting that gives, once it has been checked.

    A coroutine function runs on the event loop of a task that waits for the credentials; a plain
    function runs in a thread, and may block.
    """

    __slots__ = ()

    def _refuse(self, fetch: Callable[[], object]) -> None:
        if inspect.isasyncgenfunction(fetch):
            raise TypeError(f"{self.name} is an asynchronous generator: return the credentials")

    def _answer(self) -> object:
        return called(self._fetch)


class Awaited:
    """A coroutine function as a plain one, for threads that fetch.

    Attributes:
        asks: What is called; two of these with the same one are the same.
    """

    __slots__ = ("asks",)

    def __init__(self, asks: Callable[[], Any]) -> None:
        self.asks: Callable[[], Any] = asks

    def __call__(self) -> Any:
        return called(self.asks)


def called(function: Callable[[], Any]) -> Any:
    """Return what *function* gives in the end, in a thread that fetches.

    Raises:
        Abandoned: all event loops of those who waited have ended.
    """
    if is_async(function):
        return awaited(function)
    answer = function()
    return finished(answer) if inspect.isawaitable(answer) else answer


def finished(answer: Awaitable[Any]) -> Any:
    """Return what *answer* gives once it is awaited; it exists once only.

    Raises:
        Abandoned: its event loop has ended.
    """
    try:
        return awaited(lambda: answer, once=True)
    finally:
        if inspect.iscoroutine(answer):
            answer.close()  # or Python warns of one whose loop ended before it could begin
