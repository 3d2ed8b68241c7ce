"""The function of a run: how it is called, and what it is called."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...sources.custom import is_async
from ..targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A function to call with each target's session.

    Attributes:
        wants_target: Whether it is called with the target as well.
    """

    function: Callable[..., Any]
    wants_target: bool

    def __call__(self, session: Any, target: Target) -> Any:
        """Call the function."""
        return self.function(session, target) if self.wants_target else self.function(session)


def work_of(function: Any) -> Work:
    """Return *function* as work.

    Raises:
        TypeError: it cannot be called with a session, or with a session and a target.
    """
    if not callable(function):
        raise TypeError(f"map takes a function of a session, got {type(function).__name__}")
    if is_async(function):
        raise TypeError(
            f"{name_of(function)} is a coroutine function: give one that calls boto3, or run "
            "asyncio.run in it"
        )
    if inspect.isgeneratorfunction(_innermost(function)):
        raise TypeError(
            f"{name_of(function)} is a generator function, of which nothing would run: have it "
            "return a list"
        )
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # of a builtin, which does not say
        return Work(function=function, wants_target=False)
    positional = [
        one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    needed = [one for one in positional if one.default is one.empty]
    keywords = [one for one in parameters if one.kind is one.KEYWORD_ONLY]
    anything = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    if (
        len(needed) > 2
        or (not positional and not anything)
        or any(one.default is one.empty for one in keywords)
    ):
        raise TypeError(
            f"{name_of(function)} must take (session) or (session, target): bind other arguments "
            "with functools.partial"
        )
    wants = len(needed) == 2 or (len(positional) > 1 and positional[1].name == "target")
    return Work(function=function, wants_target=wants)


def name_of(function: Any) -> str:
    """Return what *function* is called, with its module."""
    function = _innermost(function)
    module = getattr(function, "__module__", None) or type(function).__module__
    if module == "__main__":  # which every program is
        main = sys.modules["__main__"]
        module = os.path.basename(getattr(main, "__file__", None) or "__main__")
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{module}.{name}"


def is_known_by_name(function: Any) -> bool:
    """Return whether `name_of` tells *function* from all others: it is a module's own."""
    return inspect.isfunction(function) and "<" not in function.__qualname__


def _innermost(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return function
