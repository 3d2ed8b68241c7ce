"""What a store is, and the source that shares one session through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta, timezone
from typing import NoReturn, Protocol, runtime_checkable

from ..clock import SYSTEM_CLOCK, Clock
from ..credentials import Credentials, Source
from ..errors import CredentialsExpired, RolecallError
from ..refresh import DEFAULT_POLICY, RefreshPolicy
from .complaints import Complaints, log
from .entry import storable
from .file import JSONFileCache
from .mapping import MappingLike, MappingStore

#: An entry with less left is not worth starting with.
FRESH_FOR = timedelta(seconds=60)

#: Longer than one STS call with its retries takes; then whoever holds the lock counts as stuck.
LOCK_TIMEOUT = timedelta(seconds=20)

#: The same where the holder asks somebody for an MFA code: time to find the telephone. A second
#: prompt beside the first would spend the same code.
PERSONS_LOCK_TIMEOUT = timedelta(minutes=5)

_MOST_REJECTED = 8


@runtime_checkable
class Store(Protocol):
    """Keeps role sessions for others to find.

    Trouble is a miss, or nothing kept: a store costs nobody their call. Long-term keys (without
    an expiry or a token) are not kept. An entry keeps its ``clock_offset`` where all who share the
    store share one clock; a store for several machines gives back what it knows of this one's.
    """

    def get(self, key: str) -> Credentials | None:
        """Return what is stored under *key*, expired or not; None if nothing is."""
        ...

    def put(self, key: str, credentials: Credentials) -> None:
        """Keep *credentials* under *key*, instead of what was there."""
        ...

    def delete(self, key: str) -> None:
        """Forget what is stored under *key*, if anything is."""
        ...

    def lock(self, key: str, timeout: timedelta) -> AbstractContextManager[bool | None]:
        """Hold the lock of *key* inside ``with``: True; False where *timeout* passed without it.

        It holds among all who share the store, threads included. Whoever dies frees it. A store
        with many waiting may give False earlier, once something else is stored under *key*; one
        that has no locks to give, and has said why, gives None.
        """
        ...


def as_store(cache: Store | MappingLike) -> Store:
    """Return *cache* as a `Store`: itself, the file store of a `JSONFileCache`, or a mapping's.

    Raises:
        TypeError: it is neither a store nor a mapping.
    """
    _refuse_near_misses(cache)
    if isinstance(cache, JSONFileCache):
        return cache.store
    if isinstance(cache, Store):
        return cache
    return MappingStore(cache)


def _refuse_near_misses(cache: object) -> None:
    """Raise TypeError for what looks like a store, or like a mapping, and is not."""
    kind = type(cache).__name__
    if isinstance(cache, type):
        kind = cache.__name__
        raise TypeError(f"a cache must be an object, got the class {kind}: give {kind}(…)")
    if isinstance(cache, str):  # not shown: a URL may hold a password
        raise TypeError(
            "a cache must be a store or a mapping, got text: give rolecall.open_store(…), or "
            "rolecall.JSONFileCache(path) for a directory"
        )
    if isinstance(cache, list):
        raise TypeError("a cache must be a store or a mapping, got a list")
    if callable(getattr(cache, "register_script", None)):
        raise TypeError(
            f"a cache must be a store, got {kind}, a client: give "
            "rolecall.RedisStore(client, encryption_key=…)"
        )


class Stored:
    """A `Source` that looks into a store before it asks another source, and keeps its answers.

    Whoever asks it again wants something newer: what it has handed out once, it does not take
    from the store a second time.

    Args:
        source: Asked where the store does not help.
        store: A `Store`, or any mapping (see `as_store`).
        key: From `cache_key`; or a callable that gives it, asked at each `get`, where finding out
            who assumes may take a network call, and may turn out otherwise the next time.
        fresh_for: Of an entry whose age is not known: with less left it is not taken, but where a
            rival just saved it.
        policy: Whether an entry is fresh is the refresher's rule, where its age is known.
        lock_timeout: After this it fetches without the lock.
    """

    __slots__ = (
        "__weakref__",
        "_clock",
        "_complaints",
        "_fresh_for",
        "_handed",
        "_key",
        "_lock_timeout",
        "_policy",
        "_rejected",
        "made_do",
        "source",
        "store",
    )

    def __init__(
        self,
        source: Source,
        store: Store | MappingLike,
        key: str | Callable[[], str],
        *,
        clock: Clock = SYSTEM_CLOCK,
        fresh_for: timedelta = FRESH_FOR,
        policy: RefreshPolicy = DEFAULT_POLICY,
        lock_timeout: timedelta = LOCK_TIMEOUT,
    ) -> None:
        self.source: Source = source
        self.store: Store = as_store(store)
        self._key = key
        self._clock = clock
        self._fresh_for = fresh_for
        self._policy = policy
        self._lock_timeout = lock_timeout
        self._handed: Credentials | None = None
        #: Why the store's entry had to do the last time, if it had to. For whoever tells a person.
        self.made_do: Exception | None = None
        self._rejected: tuple[str, ...] = ()
        self._complaints = Complaints()

    @property
    def key(self) -> str:
        """Under what the store keeps the session."""
        return self._key if isinstance(self._key, str) else self._key()

    def __repr__(self) -> str:
        key = f"{self._key:.12}…" if isinstance(self._key, str) else "by who assumes"
        return f"Stored({self.source!r}, {self.store!r}, {key})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Stored holds secrets and does not pickle; pickle a RoleChain")

    @property
    def interactive(self) -> bool:
        """Whether the source asks a person at the terminal."""
        return bool(getattr(self.source, "interactive", False))

    @property
    def timeout(self) -> timedelta | None:
        """How long `get` may take. None: the source does not say."""
        own: timedelta | None = getattr(self.source, "timeout", None)
        return None if own is None else own + self._patience

    @property
    def _patience(self) -> timedelta:
        """How long to wait for another process's fetch."""
        return max(self._lock_timeout, PERSONS_LOCK_TIMEOUT if self.interactive else timedelta(0))

    def get(self) -> Credentials:
        """Return credentials that have not been handed out before and are not expired.

        A source that fails goes unnoticed where the store still has some that would do.

        Raises:
            FetchError: the source's own error.
        """
        try:
            key = self.key
        except Exception as error:  # whose session it is cannot be told: the source will say why
            log.debug("%r: who assumes cannot be told: %s", self, type(error).__name__)
            return self._hand_out(self._fetched())
        held = self._handed  # read once: what whoever asks has, while others ask too
        before = self._look(key, held)
        if before is not None and self._fresh(before):
            return self._hand_out(before)
        with self._lock(key) as locked:
            after = self._look(key, held)
            if after is not None and (self._fresh(after) or _saved(before, after)):
                return self._hand_out(after)
            if locked is False:
                self._complaints.say(
                    "waited for",
                    "%r: fetching without the lock, which was not to be had (in %g s at most)",
                    self,
                    self._patience.total_seconds(),
                )
            return self._hand_out(self._fetch(key, after))

    def reject(self, access_key: str) -> None:
        """Do not take *access_key* from the store again: a service refused it."""
        # Two threads at once may lose one of two; it is then rejected again.
        self._rejected = (*self._rejected, access_key)[-_MOST_REJECTED:]
        forward = getattr(self.source, "reject", None)
        if forward is not None:
            forward(access_key)

    def _look(self, key: str, held: Credentials | None) -> Credentials | None:
        """Return the store's entry, if it is valid and newer than *held*."""
        try:
            entry = self.store.get(key)
        except Exception as error:  # a store that is down must not cost anyone their call
            self._complain("read", error)
            return None
        if entry is None or not storable(entry) or entry.access_key in self._rejected:
            return None
        if self._left(entry) <= timedelta(0):
            return None
        passable = held is None or held.access_key in self._rejected or _newer(entry, held)
        return entry if passable else None

    def _fetched(self) -> Credentials:
        fetched = self.source.get()
        self._refuse_expired(fetched)
        return fetched

    def _fetch(self, key: str, fallback: Credentials | None) -> Credentials:
        self.made_do = None
        try:
            fetched = self._fetched()
        except Exception as error:  # whatever it is, it need not be the caller's trouble
            if fallback is None or self._left(fallback) <= timedelta(0):
                raise
            self.made_do = error
            log.warning(
                "%r: the fetch failed, the stored session goes on until %s: %s",
                self,
                fallback.expires_at,
                error if isinstance(error, RolecallError) else type(error).__name__,
            )
            return fallback
        if storable(fetched) and fetched.access_key not in self._rejected:
            try:
                if self.key == key:  # else who assumes has become another one meanwhile
                    self.store.put(key, fetched)
            except Exception as error:  # a store that is down must not cost anyone their call
                self._complain("written", error)
        return fetched

    @contextmanager
    def _lock(self, key: str) -> Iterator[bool | None]:
        """Take the store's lock; yield whether it is held, None where there is none to be had."""
        lock = None
        held = None
        try:
            lock = self.store.lock(key, self._patience)
            held = lock.__enter__()
        except Exception as error:  # a store that is down must not cost anyone their call
            lock = None
            self._complain("locked", error)
        try:
            yield held
        finally:
            if lock is not None:
                try:
                    lock.__exit__(None, None, None)
                except Exception as error:  # as above: what was fetched is good
                    self._complain("unlocked", error)

    def _hand_out(self, credentials: Credentials) -> Credentials:
        self._handed = credentials
        return credentials

    def _left(self, credentials: Credentials) -> timedelta:
        return self.left(credentials, self._clock)

    @staticmethod
    def left(credentials: Credentials, clock: Clock = SYSTEM_CLOCK) -> timedelta:
        """Return how long *credentials* still live; nothing or less: they have expired."""
        if credentials.expires_at is None:
            return timedelta.max
        # By AWS's clock, which may not be the local one.
        now = datetime.fromtimestamp(clock.time(), timezone.utc) + credentials.clock_offset
        return credentials.expires_at - now

    def _fresh(self, credentials: Credentials) -> bool:
        """Return whether no refresh of *credentials* would be due yet."""
        left = self._left(credentials)
        if credentials.expires_at is None or credentials.issued_at is None:
            return left > self._fresh_for
        life = (credentials.expires_at - credentials.issued_at).total_seconds()
        return life > 0 and left.total_seconds() > self._policy.windows_for(life).ahead

    def _refuse_expired(self, credentials: Credentials) -> None:
        if self._left(credentials) <= timedelta(0):
            raise CredentialsExpired(
                f"{self.source!r} answered credentials that expired at {credentials.expires_at}",
                context={"expires_at": str(credentials.expires_at)},
                hint="check the source, and the local clock",
            )

    def _complain(self, what: str, error: Exception) -> None:
        self._complaints.say(
            what, "%r: the store cannot be %s: %s", self, what, type(error).__name__
        )


def _newer(one: Credentials, other: Credentials) -> bool:
    """Return whether *one* lives longer than *other*."""
    if one.expires_at is None or other.expires_at is None:
        return one.expires_at is None and other.expires_at is not None
    return one.expires_at > other.expires_at


def _saved(before: Credentials | None, after: Credentials) -> bool:
    """Return whether a rival saved *after* while this one waited for the lock.

    Then it answers the very question this one came with, however short it lives.
    """
    return before is None or _newer(after, before)
