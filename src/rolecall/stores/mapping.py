"""A store over any mapping: a dict, botocore's ``JSONFileCache``, a cache of the user's own."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, NoReturn, Protocol, runtime_checkable

from ..credentials import Credentials
from .complaints import Complaints
from .entry import from_document, storable, to_document
from .memory import ThreadLocks


@runtime_checkable
class MappingLike(Protocol):
    """As little of a mapping as boto3's ``cache`` arguments ask for."""

    def __getitem__(self, key: str, /) -> Any: ...
    def __setitem__(self, key: str, value: Any, /) -> None: ...
    def __contains__(self, key: Any, /) -> bool: ...


class MappingStore:
    """A `Store` that keeps entries in a foreign mapping, in botocore's format.

    An entry that is corrupt or cannot be read is a miss, and a failed write is only logged. The
    lock holds among threads that use this object; processes do not see each other's.
    """

    __slots__ = ("__weakref__", "_complaints", "_locks", "_mapping")

    def __init__(self, mapping: MappingLike) -> None:
        if not isinstance(mapping, MappingLike):
            raise TypeError(
                "a cache needs __getitem__, __setitem__ and __contains__, "
                f"got {type(mapping).__name__}"
            )
        self._mapping = mapping
        self._locks = ThreadLocks()
        self._complaints = Complaints()

    def __repr__(self) -> str:
        return f"MappingStore({type(self._mapping).__name__})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a MappingStore may hold secrets and does not pickle")

    def get(self, key: str) -> Credentials | None:
        """Return what is stored under *key*; None if it cannot be made out."""
        try:
            return from_document(self._mapping[key], key) if key in self._mapping else None
        except Exception as error:  # foreign code: a cache must not cost anyone their call
            self._complain("read", error)
            return None

    def put(self, key: str, credentials: Credentials) -> None:
        """Keep *credentials* under *key*, unless they are long-term keys."""
        if not storable(credentials):
            return
        try:
            self._mapping[key] = to_document(credentials, key)
        except Exception as error:  # foreign code: a cache must not cost anyone their call
            self._complain("written", error)

    def delete(self, key: str) -> None:
        """Forget what is stored under *key*, if anything is."""
        try:
            if key not in self._mapping:
                return
            if hasattr(self._mapping, "__delitem__"):
                del self._mapping[key]
            else:
                self._mapping[key] = {}  # not an entry: a miss
        except Exception as error:  # foreign code: a cache must not cost anyone their call
            self._complain("written", error)

    def lock(self, key: str, timeout: timedelta) -> AbstractContextManager[bool]:
        """Hold the lock of *key* among threads, or go on without it after *timeout*."""
        return self._locks.lock(key, timeout)

    def _complain(self, what: str, error: Exception) -> None:
        # Not its message: botocore's own holds the value that could not be written.
        name, kind = type(self._mapping).__name__, type(error).__name__
        self._complaints.say(what, "the cache %s cannot be %s: %s", name, what, kind)
