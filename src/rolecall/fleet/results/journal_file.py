"""The file of a journal: opened, locked, and known as one."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError
from ...stores.complaints import reason

if TYPE_CHECKING:
    from filelock import BaseFileLock

MARK = "rolecall_journal"
VERSION = 1
#: How the first line of every journal begins. Less than this, without a newline, was torn.
_BEGINNING = f'{{"{MARK}": '.encode()
#: Nobody's job has a longer name; other people's files may have longer lines.
LONGEST_HEADER = 64 * 1024

_FLAGS = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # or a FIFO would hold us until somebody reads
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def object_in(line: bytes) -> dict[str, Any]:
    """Return the JSON object in *line*.

    Raises:
        ValueError: there is none.
    """
    try:
        # Decoded here: json.loads would take bytes with NULs in them for UTF-16.
        found = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def check_header(path: Path, line: bytes, job: str) -> bool:
    """Return whether *line* is the first one of a journal of *job*; False: half of one, or none.

    Raises:
        ConfigError: it is neither.
    """
    try:
        header = object_in(line)
    except ValueError:
        # After a power cut a file may have its length already, and NULs for what was in it.
        whole = line.rstrip(b"\0")
        ours = whole.startswith(_BEGINNING) or _BEGINNING.startswith(whole)
        if ours and len(line) < LONGEST_HEADER and not line.endswith(b"\n"):
            return False
        header = {}
    version = header.get(MARK)
    if version is None:
        raise unusable(path, "it is no journal of rolecall's, and was left as it is")
    if version != VERSION:
        raise unusable(path, f"its version is {version!r}, and this rolecall's is {VERSION}")
    if header.get("job") != job:
        why = f"its job is {header.get('job')!r}, and this is {job!r}"
        raise unusable(path, f"{why}, which would leave out what the other has done")
    return True


def opened(path: Path, flags: int) -> int:
    """Return a descriptor of the plain file *path*; FileNotFoundError if it is not there."""
    try:
        descriptor = os.open(path, flags | _FLAGS, 0o600)
    except FileNotFoundError:
        raise
    except OSError as error:
        link = error.errno in (errno.ELOOP, errno.EMLINK)  # FreeBSD says EMLINK
        raise unusable(path, "it is a link" if link else reason(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise unusable(path, "it is not a plain file")
    return descriptor


def look_at(path: Path, job: str) -> None:
    """Raise ConfigError if *path* cannot be a journal of *job*; touch nothing."""
    try:
        descriptor = opened(path, os.O_RDONLY)
    except FileNotFoundError:
        if path.parent.is_dir():
            return
        hint = "make it first"
        raise unusable(path, f"there is no directory {path.parent}", hint=hint) from None
    with open(descriptor, "rb") as file:
        check_header(path, file.readline(LONGEST_HEADER), job)


def locked(path: Path) -> BaseFileLock:
    """Return the lock of the journal *path*, held; ConfigError if another run holds it."""
    import filelock

    name = path.with_name(f"{path.name}.lock")
    try:
        lock = filelock.FileLock(name, mode=0o600, thread_local=False)
        lock.acquire(blocking=False)
    except filelock.Timeout:
        hint = "wait until that one has ended, or give this one a journal of its own"
        raise unusable(path, "another run is using it", hint=hint) from None
    except (OSError, NotImplementedError, RuntimeError) as error:
        raise unusable(path, f"it cannot be locked with {name.name}: {reason(error)}") from error
    return lock


def unusable(path: Path, why: str, *, hint: str = "give another file") -> ConfigError:
    return ConfigError(f"the journal {path}: {why}", hint=hint)
