"""Files and directories that nobody but their owner can use.

What is read is judged by the open file, not by its name, which may be another file by then.
Where the system has no user ids (Windows), ownership and modes are not looked at: there the
user's profile directory is what keeps others out.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

#: The largest session token is some kilobytes.
MOST_BYTES = 64 * 1024

_READ = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # or a FIFO would hold us until somebody writes
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_OTHERS = 0o077
_OTHERS_WRITE = 0o022
ROOT = 0


class Untrusted(OSError):
    """Somebody else may have written or read this."""


def owned(path: Path) -> bool:
    """Return whether *path* is a directory of this user's."""
    try:
        found = os.stat(path)
    except OSError:
        return False
    mine = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
    return mine and stat.S_ISDIR(found.st_mode)


def make_directory(path: Path, *, exclusive: bool = False) -> None:
    """Make *path* and what is missing above it, all of mode 0700 whatever the umask.

    A directory that is there is left as it is.

    Args:
        exclusive: Whether nobody else may be able to write into it.

    Raises:
        OSError: it cannot be made; `Untrusted` where it belongs to somebody else.
    """
    try:
        path.mkdir(mode=0o700)
    except FileNotFoundError:
        make_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        pass
    found = os.stat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(f"{path} is not a directory")
    if hasattr(os, "geteuid"):
        if found.st_uid not in ((os.geteuid(),) if exclusive else (os.geteuid(), ROOT)):
            raise Untrusted(f"{path} belongs to user {found.st_uid}")
        if exclusive and found.st_mode & _OTHERS_WRITE:
            raise Untrusted(f"others may write into {path}")


def read(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Return what the file *path* holds.

    Raises:
        OSError: it is not there or cannot be read; `Untrusted` where it is a link, not a plain
            file, belongs to somebody else, others may use it, or it is larger than *most_bytes*.
    """
    descriptor = os.open(path, _READ)
    try:
        found = os.fstat(descriptor)
        # Before fdopen, which leaves the descriptor of a directory open.
        if not stat.S_ISREG(found.st_mode):
            raise Untrusted("it is not a plain file")
        if hasattr(os, "geteuid"):
            if found.st_uid != os.geteuid():
                raise Untrusted(f"it belongs to user {found.st_uid}")
            if found.st_mode & _OTHERS:
                raise Untrusted(f"others may use it (mode {stat.S_IMODE(found.st_mode):04o})")
    except BaseException:
        os.close(descriptor)
        raise
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise Untrusted(f"it is larger than {most_bytes} bytes")
    return data


def replace(path: Path, data: bytes) -> None:
    """Let the file *path* hold *data*, mode 0600: at no moment half of it, nor after a crash.

    Raises:
        OSError: it cannot be written; what was there is unharmed.
    """
    # mkstemp: a new file of mode 0600, whatever lies there or is linked there.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.replace(name, path)
        except IsADirectoryError:
            os.rmdir(path)  # only an empty one: nothing is lost with it
            os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    """Make the new name itself survive a crash, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
