"""Locks among the processes of one user on one machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from . import private
from .complaints import Complaints, reason

if TYPE_CHECKING:
    from filelock import BaseFileLock

#: Between two tries of a lock that is taken. Sixteen who waited for one fetch take the lock in
#: turn when it ends, so this is paid more than once.
POLL_SECONDS = 0.02


class FileLocks:
    """One lock for each key, as files that nobody but this user can use.

    They are outside whatever they guard: in ``$XDG_RUNTIME_DIR/rolecall``, else in
    ``$XDG_CACHE_HOME/rolecall/locks``. A process that dies frees its own.

    Args:
        scope: What they guard: the keys of two stores do not meet.
    """

    __slots__ = ("_complaints", "_scope", "path")

    def __init__(self, scope: str, environ: Mapping[str, str], complaints: Complaints) -> None:
        runtime = xdg_directory(environ, "XDG_RUNTIME_DIR")
        if runtime is not None and not private.owned(runtime):
            runtime = None  # after su it is another user's; in a container it is often not there
        self.path: Path = runtime / "rolecall" if runtime else caches(environ) / "locks"
        self._scope = scope
        self._complaints = complaints

    @contextmanager
    def lock(self, key: str, timeout: timedelta) -> Iterator[bool | None]:
        """Hold the lock of *key* among processes, or go on without it after *timeout*.

        None where there are no locks to be had.
        """
        lock = self._acquired(key, timeout)
        try:
            yield None if lock is None else lock is not False
        finally:
            if lock:
                lock.release()

    def _acquired(self, key: str, timeout: timedelta) -> BaseFileLock | Literal[False] | None:
        """Return the lock; False where *timeout* passed without it, None where none can be had."""
        import filelock

        name = digest(f"{self._scope}\0{key}")[:40]
        try:
            private.make_directory(self.path, exclusive=True)
            lock = filelock.FileLock(self.path / f"{name}.lock", mode=0o600, thread_local=False)
            lock.acquire(timeout=max(timeout.total_seconds(), 0.0), poll_interval=POLL_SECONDS)
        except filelock.Timeout:
            return False
        except (OSError, NotImplementedError, RuntimeError) as error:
            self._complaints.say(
                "lock",
                "no lock can be had in %s, going on without: %s",
                self.path,
                reason(error),
            )
            return None
        return lock


def caches(environ: Mapping[str, str]) -> Path:
    """Return rolecall's directory for what may be deleted at any time."""
    return (xdg_directory(environ, "XDG_CACHE_HOME") or expanded("~/.cache", environ)) / "rolecall"


def xdg_directory(environ: Mapping[str, str], variable: str) -> Path | None:
    """Return the directory that *variable* names; relative ones do not count. [XDG, basedir]"""
    path = environ.get(variable, "")
    return Path(path) if os.path.isabs(path) else None


def expanded(path: str | os.PathLike[str], environ: Mapping[str, str]) -> Path:
    """Return *path* with ``~`` as the home directory that *environ* names."""
    text = os.fspath(path)
    home = environ.get("HOME") or environ.get("USERPROFILE")
    if home and (text == "~" or text.startswith(("~/", f"~{os.sep}"))):
        return Path(home + text[1:])
    return Path(os.path.expanduser(text))


def digest(text: str) -> str:
    """Return the SHA-256 of *text*, whatever it holds, in hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
