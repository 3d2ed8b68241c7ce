"""A store in Redis, for all machines of a fleet."""

from __future__ import annotations

import os
import random
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from inspect import iscoroutinefunction
from typing import Any

from ..clock import SYSTEM_CLOCK, Clock
from ..credentials import Credentials
from ..errors import ConfigError
from ..fork import tell_after_fork
from . import private
from .aws_time import Anchor, least_offset
from .complaints import Complaints
from .entry import from_text, storable, to_text
from .redis_lease import (
    LEASE,
    READ,
    RELEASE,
    SHORTEST_LEASE,
    WRITE,
    Lease,
    Read,
    Run,
    T,
    Unavailable,
    acquire,
    keep,
    milliseconds,
)
from .redis_url import client_of, place_of
from .sealing import Sealer, generate_key, keys_from

#: For so long it is left alone afterwards, so that one outage costs one time-out.
REST_SECONDS = 5.0

#: Encrypted and in base64, the largest entry is a third longer.
_MOST_BYTES = private.MOST_BYTES * 3 // 2

#: Longer than any session lives; a number beyond it is rubbish.
_MOST_MILLISECONDS = 366 * 24 * 3600 * 1000


class RedisStore:
    """A `Store` that many machines share; entries are encrypted and live as long as the session.

    A Redis that is down, slow, full or not one at all is as good as none: each process fetches for
    itself, and says so once.

    Args:
        redis: A URL ``redis://``, ``rediss://`` (TLS) or ``unix://``, with what redis-py knows in
            its query, such as ``ssl_ca_certs``; or a client of redis-py, whose time-outs are then
            its own, and what becomes of it in a forked process. A cluster's client will do: the
            keys of one session are in one slot.
        encryption_key: A Fernet key (`generate_key` makes one) or several: the first one encrypts,
            all decrypt. It never leaves the machine; whoever has it and Redis has the sessions.
        prefix: What all keys in Redis begin with.
        lease: How long a lock outlives its holder.

    Raises:
        ConfigError: the URL or a key is malformed, or ``redis`` or ``cryptography`` not installed.
        TypeError, ValueError: an argument is of the wrong kind, or *lease* is too short.
    """

    def __init__(
        self,
        redis: Any,
        *,
        encryption_key: str | bytes | Sequence[str | bytes],
        prefix: str = "rolecall",
        lease: timedelta = LEASE,
        clock: Clock = SYSTEM_CLOCK,
        rng: Callable[[], float] = random.random,  # noqa: TID251 - jitter, not a secret
        reopen: Callable[[], Any] | None = None,
    ) -> None:
        _refuse_types(redis, lease)
        if set("{}") & set(prefix):
            raise ValueError(f"prefix must have no braces, got {prefix!r}")
        self._url = redis if isinstance(redis, str) else None
        self._sealer, self._client = _both(
            lambda: Sealer(encryption_key),
            lambda: client_of(redis) if isinstance(redis, str) else redis,
        )
        self._prefix = prefix
        self._lease = lease
        self._clock = clock
        self._rng = rng
        self._reopen = reopen
        self._complaints = Complaints()
        self._scripts: dict[str, Any] = {}
        self._leases: dict[tuple[int, str], Lease] = {}  # by thread and key; atomic uses only
        self._measured: tuple[Anchor, timedelta] | None = None
        self._resting_until = float("-inf")
        tell_after_fork(self)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        environ: Mapping[str, str] | None = None,
        reopen: Callable[[], Any] | None = None,
    ) -> RedisStore:
        """Return the store at *url*, with the encryption key that the environment names.

        Args:
            environ: Where ``ROLECALL_STORE_KEY`` or ``ROLECALL_STORE_KEY_FILE`` is looked up.
            reopen: Makes it again in another process, if it may be pickled.

        Raises:
            ConfigError: the URL is malformed, or there is no key.
        """
        if environ is None:
            environ = os.environ  # noqa: TID251 - border
        keys: list[str] = []

        def sealer() -> Sealer:
            keys.extend(keys_from(environ))
            return Sealer(keys)

        _both(sealer, lambda: client_of(url))
        return cls(url, encryption_key=keys, reopen=reopen)

    @staticmethod
    def generate_key() -> str:
        """Return a new encryption key."""
        return generate_key()

    def __repr__(self) -> str:
        return f"RedisStore({place_of(self._client)})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._reopen is None:
            raise TypeError(
                "a RedisStore holds its encryption key and does not pickle; open_store() without "
                "arguments gives one that is opened anew from ROLECALL_STORE where it arrives"
            )
        return self._reopen, ()

    def after_fork(self) -> None:
        """Forget the locks, which are the parent's to give back, and its connections."""
        self._leases = {}
        self._scripts = {}
        if self._url is not None:
            # A thread may have been inside the old one's locks, which it takes to close, too.
            self._client.auto_close_connection_pool = False
            with suppress(ConfigError):  # a file that the URL names is gone: then the old one
                self._client = client_of(self._url)

    def get(self, key: str) -> Credentials | None:
        """Return what is stored under *key*; None if nothing is that can be read."""
        try:
            stored = self._run("read", READ, [self._name(key, "session")], [_MOST_BYTES], _stored)
        except Unavailable:
            return None
        if stored is None:
            return None
        sealed, remaining = stored
        opened = self._sealer.unseal(sealed)
        if opened is None:
            self._complaints.say(
                "unsealed", "%r: the session %.12s… was sealed with another key", self, key
            )
            return None
        found = from_text(opened, key, self._clock, remaining=remaining)
        if found is None or self._measured is None:
            return found
        # What this process has itself seen of AWS's clock is better than what others say.
        anchor, noted = self._measured
        offset = anchor.offset(self._clock, noted)
        if remaining is not None and found.expires_at is not None:
            # But Redis has seen time pass that a machine which was paused has not.
            offset = max(offset, least_offset(found.expires_at, remaining, self._clock))
        return replace(found, clock_offset=offset)

    def put(self, key: str, credentials: Credentials) -> None:
        """Keep *credentials* under *key* until they expire, unless they are long-term keys."""
        if not storable(credentials) or credentials.expires_at is None:
            return
        if credentials.issued_at is not None:
            offset = credentials.clock_offset
            self._measured = (Anchor.now(self._clock, offset), offset)
        now = datetime.fromtimestamp(self._clock.time(), timezone.utc) + credentials.clock_offset
        left = credentials.expires_at - now
        if left <= timedelta(0):
            return
        lease = self._leases.get((threading.get_ident(), key))
        number = "" if lease is None else lease.number
        sealed = self._sealer.seal(to_text(credentials, key, self._clock))
        arguments = [number, sealed, milliseconds(left)]
        try:
            kept = self._run("written", WRITE, [self._name(key, "session")], arguments, bool)
        except Unavailable:
            return
        if not kept:
            self._complaints.say(
                "overtaken", "%r: somebody else has stored a newer session meanwhile", self
            )

    def delete(self, key: str) -> None:
        """Forget what is stored under *key*, if anything is."""
        try:
            self._try("deleted", lambda: self._client.delete(self._name(key, "session")))
        except Unavailable:
            return

    @contextmanager
    def lock(self, key: str, timeout: timedelta) -> Iterator[bool | None]:
        """Hold the lock of *key* among machines, or go on without it after *timeout*.

        False as soon as somebody else has stored something; None where Redis is of no help.
        """
        held, available = None, False
        with suppress(Unavailable):
            held, available = self._acquired(key, timeout), True
        if held is None:
            yield False if available else None
            return
        mine = (threading.get_ident(), key)
        self._leases[mine] = held
        try:
            # In here: Ctrl-C while its thread starts must not leave it renewing for ever.
            keep(self._runner("renewed"), held, self._lease, self._clock)
            yield True
        finally:
            # In a forked child it is not among them any more: it is the parent's.
            if self._leases.pop(mine, None) is held:
                held.ended.set_result(None)
                self._release(held)

    def _acquired(self, key: str, timeout: timedelta) -> Lease | None:
        return acquire(
            self._runner("locked"),
            lock=self._name(key, "lock"),
            entry=self._name(key, "session"),
            token=secrets.token_hex(16),
            lease=self._lease,
            timeout=timeout,
            clock=self._clock,
            rng=self._rng,
        )

    def _release(self, held: Lease) -> None:
        try:
            self._run("unlocked", RELEASE, [held.name], [held.token], bool)
        except Unavailable:
            return  # the lease ends by itself

    def _name(self, key: str, what: str) -> str:
        # In braces: what Redis Cluster chooses the slot by.
        return f"{self._prefix}:{{{key}}}:{what}"

    def _runner(self, what: str) -> Run:
        def run(script: str, keys: Iterable[str], arguments: Iterable[Any], read: Read[T], /) -> T:
            return self._run(what, script, keys, arguments, read)

        return run

    def _run(
        self,
        what: str,
        script: str,
        keys: Iterable[str],
        arguments: Iterable[Any],
        read: Read[T],
    ) -> T:
        def run() -> T:
            if script not in self._scripts:
                self._scripts[script] = self._client.register_script(script)
            return read(self._scripts[script](keys=list(keys), args=list(arguments)))

        return self._try(what, run)

    def _try(self, what: str, action: Callable[[], T]) -> T:
        from redis.exceptions import ConnectionError, TimeoutError

        if self._clock.boottime() < self._resting_until:
            raise Unavailable
        try:
            return action()
        except Exception as error:  # whatever answers there must not cost anyone their call
            if isinstance(error, (ConnectionError, TimeoutError, OSError)):
                self._resting_until = self._clock.boottime() + REST_SECONDS
                what = "reached"
            self._complaints.say(what, "%r: sessions cannot be %s: %s", self, what, _kind(error))
        raise Unavailable


def _stored(answer: Any) -> tuple[bytes | str, timedelta | None] | None:
    """Return the entry in an answer of `READ`, and how long Redis keeps it."""
    if answer is None:
        return None
    sealed, left = answer
    if not isinstance(sealed, (bytes, str)):
        raise TypeError
    sensible = 0 <= int(left) <= _MOST_MILLISECONDS
    return sealed, timedelta(milliseconds=int(left)) if sensible else None


def _kind(error: Exception) -> str:
    """Return the type of *error*, and Redis' own word for it; the rest may quote what was sent."""
    kind = type(error).__name__
    first = str(error).split(" ", 1)[0].rstrip(":")
    if first.isascii() and first.isalpha() and first.isupper():
        return f"{kind} {first}"
    # redis-py's ConnectionError is many things, and says which in what it was raised from.
    cause = error.__cause__ or error.__context__
    return kind if cause is None else f"{kind} from {type(cause).__name__}"


def _refuse_types(redis: Any, lease: Any) -> None:
    wrong = []
    if not isinstance(redis, str) and not callable(getattr(redis, "register_script", None)):
        wrong.append(f"redis must be a URL or a client of redis-py, got {type(redis).__name__}")
    elif iscoroutinefunction(getattr(redis, "execute_command", None)):
        wrong.append("redis must be a client of redis.Redis' kind, got one of redis.asyncio")
    if not isinstance(lease, timedelta):
        wrong.append(f"lease must be a timedelta, got {type(lease).__name__}")
    if wrong:
        raise TypeError("; ".join(wrong))
    if lease < SHORTEST_LEASE:
        raise ValueError(f"lease must be at least {SHORTEST_LEASE}, got {lease}")


def _both(first: Callable[[], T], second: Callable[[], Any]) -> tuple[T, Any]:
    """Return what both give, or raise one error for both."""
    given: list[Any] = []
    errors: list[ConfigError] = []
    for one in (first, second):
        try:
            given.append(one())
        except ConfigError as error:
            errors.append(error)
    if errors:
        raise ConfigError(
            "; ".join(error.message for error in errors),
            hint="; ".join(error.hint for error in errors if error.hint),
        )
    return given[0], given[1]
