"""A store in the keyring of the desktop: Secret Service, KWallet, macOS Keychain, Windows vault."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from ..clock import SYSTEM_CLOCK, Clock
from ..credentials import Credentials
from ..errors import StoreError
from ..fork import tell_after_fork
from .complaints import Complaints
from .entry import from_text, storable, to_text
from .keyring_backends import Backend, chosen_by_library, is_small, keepers, name_of
from .locks import FileLocks, digest
from .private import MOST_BYTES

#: How long an operation may take: a person may have to find the password that unlocks the keyring.
PATIENCE = timedelta(seconds=60)

#: How long a keyring that hung is left alone.
REST = timedelta(minutes=5)

#: So many threads may be stuck in the keyring; then it is left alone until one comes back.
MOST_STUCK = 3

#: Windows takes 2560 bytes of UTF-16. [CREDENTIALW, CRED_MAX_CREDENTIAL_BLOB_SIZE]
WINDOWS_CHARACTERS = 1280

#: The item that stands for an entry in parts; all of them are there before it is.
_PARTS = re.compile(r'\{"rolecall":\{"parts":([1-9]\d?),"sha256":"([0-9a-f]{64})"\}\}')
_MOST_PARTS = -(-MOST_BYTES // WINDOWS_CHARACTERS)

#: What a deleted item says where the backend has no way to delete.
_GONE = "{}"

_T = TypeVar("_T")


class KeyringStore:
    """A `Store` in the keyring of the desktop, which a login unlocks.

    Each session is the password of its key, in the service *service*. Backends that keep nothing
    or write plain text are refused, and of a chain of backends left out. A keyring that is locked,
    gone or hanging costs nobody their call: that is logged once. What hangs is given up after 60 s
    (a person may have to unlock it), and then left alone for five minutes.

    Windows' vault takes no more than 1280 characters: longer entries are split there. It was not
    tested on Windows, but with the library's own backend over a vault that was made up.

    Args:
        service: Under which name the keyring lists the sessions.
        backend: A backend of the ``keyring`` library. None: the one that it chooses itself, by
            ``PYTHON_KEYRING_BACKEND``, ``keyringrc.cfg``, and what is running.
        environ: Where the ``XDG_`` variables and ``HOME`` are looked up, for the locks.

    Raises:
        ConfigError: the ``keyring`` library is not installed.
        StoreError: there is no keyring that keeps secrets.
    """

    __slots__ = (
        "__weakref__",
        "_attempts",
        "_backends",
        "_clock",
        "_complaints",
        "_locks",
        "_own_backend",
        "service",
    )

    def __init__(
        self,
        service: str = "rolecall",
        *,
        backend: Backend | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if not isinstance(service, str):
            raise TypeError(f"service must be a str, got {type(service).__name__}")
        if not service:
            raise ValueError("service must be a name, got an empty string")
        if environ is None:
            environ = os.environ  # noqa: TID251 - border
        self.service: str = service
        self._own_backend = backend is not None
        self._clock = clock
        self._attempts = _Attempts(clock)
        self._backends = self._open(backend)
        self._complaints = Complaints()
        self._locks = FileLocks(f"keyring:{service}", environ, self._complaints)

    def __repr__(self) -> str:
        return f"KeyringStore({self.service!r}, {', '.join(map(name_of, self._backends))})"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._own_backend:
            raise TypeError(
                "a KeyringStore with a backend of its own does not pickle; "
                "make one where it is used"
            )
        return type(self), (self.service,)

    def get(self, key: str) -> Credentials | None:
        """Return what is stored under *key*; None if nothing is that can be made out."""
        return self._try("read", key, lambda: self._read(key))

    def put(self, key: str, credentials: Credentials) -> None:
        """Keep *credentials* under *key*, unless they are long-term keys."""
        if not storable(credentials):
            return
        text = to_text(credentials, key, self._clock)
        if len(text) > MOST_BYTES:
            self._complaints.say(
                "large", "%r: the entry %.12s… is larger than %d bytes", self, key, MOST_BYTES
            )
            return
        self._try("written", key, lambda: self._write(key, text))

    def delete(self, key: str) -> None:
        """Forget what is stored under *key*, if anything is."""
        self._try("deleted", key, lambda: self._delete(key))

    def lock(self, key: str, timeout: timedelta) -> AbstractContextManager[bool | None]:
        """Hold the lock of *key* among processes, or go on without it after *timeout*."""
        return self._locks.lock(key, timeout)

    def _open(self, backend: Backend | None) -> tuple[Backend, ...]:
        if backend is None:
            choose = chosen_by_library()
        elif isinstance(backend, type) or not callable(getattr(backend, "set_password", None)):
            kind = "a class" if isinstance(backend, type) else type(backend).__name__
            raise TypeError(f"backend must be a backend object of keyring, got {kind}")
        else:
            choose = partial(_same, backend)
        try:
            return self._attempts.run(lambda: keepers(choose()))
        except StoreError:
            raise
        except _Stuck as error:
            raise StoreError(
                f"the keyring did not answer within {PATIENCE.total_seconds():g} s",
                hint="unlock it, or take another store: ROLECALL_STORE=file",
                retryable=True,
            ) from error
        except Exception as error:  # foreign code, and what a user's configuration names
            raise StoreError(
                f"the keyring cannot be opened: {type(error).__name__}",
                hint="see PYTHON_KEYRING_BACKEND and keyringrc.cfg, or take ROLECALL_STORE=file",
                retryable=False,
            ) from error

    def _try(self, what: str, key: str, work: Callable[[], _T]) -> _T | None:
        try:
            return self._attempts.run(work)
        except _LeftAlone:
            pass
        except _Stuck:
            self._complaints.say(
                "stuck",
                "%r: no answer within %g s, going on without it for %g min",
                self,
                PATIENCE.total_seconds(),
                REST.total_seconds() / 60,
            )
        except Exception as error:  # foreign code: a store must not cost anyone their call
            # Not its message: that may hold the entry.
            self._complaints.say(
                what, "%r: the entry %.12s… cannot be %s: %s", self, key, what, _kind(error)
            )
        return None

    # What follows runs in a thread of `_Attempts`, one at a time.

    def _read(self, key: str) -> Credentials | None:
        foreign = False
        for backend in self._backends:
            text = self._text(backend, key)
            found = None if text is None else from_text(text, key, self._clock)
            if found is not None:
                return found
            foreign = foreign or text is not None
        if foreign:
            self._complaints.say("foreign", "%r: what is under %.12s… is no entry", self, key)
        return None

    def _text(self, backend: Backend, key: str) -> str | None:
        """Return the text of an entry; None too while it is being written."""
        text = self._item(backend, key)
        in_parts = None if text is None else _PARTS.fullmatch(text)
        if in_parts is None:
            return text
        parts = (self._item(backend, _part(key, n)) for n in range(1, int(in_parts[1]) + 1))
        whole = "".join(part or "" for part in parts)
        return whole if digest(whole) == in_parts[2] else None

    def _item(self, backend: Backend, name: str) -> str | None:
        item: object = backend.get_password(self.service, name)
        if item is None or item == _GONE:
            return None
        return item if isinstance(item, str) and len(item) <= MOST_BYTES else ""

    def _write(self, key: str, text: str) -> None:
        for backend in self._backends:
            try:
                self._write_to(backend, key, text)
            except NotImplementedError:
                continue  # it can only be read, as those of package indexes; so does a chain
            return
        raise _ReadOnly

    def _write_to(self, backend: Backend, key: str, text: str) -> None:
        if not is_small(backend):
            backend.set_password(self.service, key, text)
            return
        size = WINDOWS_CHARACTERS
        parts = [text[at : at + size] for at in range(0, len(text), size)]
        if len(parts) == 1:
            parts = []
        for number, part in enumerate(parts, 1):
            backend.set_password(self.service, _part(key, number), part)
        # Last: until now the old one's digest belongs to none of this, and is a miss.
        head = f'{{"rolecall":{{"parts":{len(parts)},"sha256":"{digest(text)}"}}}}'
        backend.set_password(self.service, key, head if parts else text)
        self._drop_parts(backend, key, len(parts))

    def _delete(self, key: str) -> None:
        for backend in self._backends:
            if self._item(backend, key) is not None:
                self._drop(backend, key)
            if is_small(backend):
                self._drop_parts(backend, key, 0)

    def _drop_parts(self, backend: Backend, key: str, after: int) -> None:
        """Remove the parts of an older, longer entry; from the last on, so as to leave no gap."""
        last = after
        while last < _MOST_PARTS and self._item(backend, _part(key, last + 1)) is not None:
            last += 1
        for number in range(last, after, -1):
            self._drop(backend, _part(key, number))

    def _drop(self, backend: Backend, name: str) -> None:
        try:
            backend.delete_password(self.service, name)
        except Exception:  # foreign code: whatever it is, what cannot be deleted is emptied
            backend.set_password(self.service, name, _GONE)


class _ReadOnly(Exception):
    """No backend here can be written to."""


class _Stuck(Exception):
    """The keyring did not answer in time."""


class _LeftAlone(Exception):
    """The keyring did not answer lately, and was not asked."""


class _Attempts:
    """Run what may hang, one at a time, each in a thread that is given up after `PATIENCE`."""

    __slots__ = ("__weakref__", "_clock", "_rest_until", "_stuck", "_turn")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Held while the keyring works: backends are not made for threads. A new one takes its
        # place when what holds it is stuck.
        self._turn = threading.Lock()
        self._stuck: tuple[Future[Any], ...] = ()
        self._rest_until = float("-inf")
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Forget the threads, which are not in this process."""
        self._turn = threading.Lock()
        self._stuck = ()

    def run(self, work: Callable[[], _T]) -> _T:
        """Return what *work* returns, or raise what it raises.

        Raises:
            _Stuck: it takes too long; it may go on behind our back.
            _LeftAlone: something was stuck shortly before.
        """
        self._stuck = tuple(one for one in self._stuck if not one.done())
        if self._clock.boottime() < self._rest_until or len(self._stuck) >= MOST_STUCK:
            raise _LeftAlone
        future: Future[_T] = Future()
        turn = self._turn
        threading.Thread(
            target=_work, args=(turn, future, work), name="rolecall-keyring", daemon=True
        ).start()
        try:
            self._clock.wait(future, PATIENCE.total_seconds())
        finally:  # Ctrl-C too: somebody did not want to wait for the keyring
            if not future.done():
                self._give_up(future, turn)
        if future.cancelled() or not future.done():
            raise _Stuck
        return future.result()

    def _give_up(self, future: Future[Any], turn: threading.Lock) -> None:
        self._rest_until = self._clock.boottime() + REST.total_seconds()
        if not future.cancel():  # else it was waiting for its turn, and will not begin
            self._stuck = (*self._stuck, future)
            if self._turn is turn:
                self._turn = threading.Lock()


def _work(turn: threading.Lock, future: Future[_T], work: Callable[[], _T]) -> None:
    with turn:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)
        except BaseException as error:  # a backend's exit() must not end whoever waits
            future.set_exception(RuntimeError(type(error).__name__))
        finally:
            del future, work  # an error's traceback would keep them, in a ring


def _kind(error: Exception) -> str:
    return "it is read-only" if isinstance(error, _ReadOnly) else type(error).__name__


def _same(backend: Backend) -> Backend:
    return backend


def _part(key: str, number: int) -> str:
    return f"{key}#{number}"
