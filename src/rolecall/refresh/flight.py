"""One call of a source, which belongs to nobody who waits for it, and how its failure is told."""

from __future__ import annotations

import copy
from concurrent.futures import Future

from ..errors import FetchError, RolecallError
from .state import Flying


class Flight:
    """One call of the source. It belongs to nobody who waits for it."""

    __slots__ = ("as_seen", "future", "thread")

    def __init__(self, as_seen: Flying) -> None:
        self.as_seen: Flying = as_seen
        self.future: Future[BaseException | None] = Future()
        self.thread: int | None = None  # whose stack the source is called on


def anew(error: BaseException) -> BaseException:
    """Return an exception equal to *error*, without its traceback.

    A stored instance that is raised again and again grows its traceback without bound.
    """
    if isinstance(error, RolecallError):
        return error.copy()
    if isinstance(error, Exception):
        try:
            again = copy.copy(error)
        except Exception:  # an exception of somebody's own that cannot be copied
            return FetchError(f"{type(error).__name__}: {error}")
        again.__traceback__ = None
        return again
    return FetchError(f"the fetch was interrupted by {type(error).__name__}")
