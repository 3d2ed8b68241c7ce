"""Files that rows are written to: nothing is touched before there is something to write."""

from __future__ import annotations

import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

_FLAGS = (
    getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)  # or Windows would end lines its own way
)

_BLOCK = 64 * 1024
#: How each line of JSON begins.
_FIRST_OF_JSON = '{"account"'

Place = str | os.PathLike[str] | TextIO


class Rows:
    """A file that rows are written to, so that a killed process leaves whole ones."""

    def __init__(self, file: TextIO, *, descriptor: int | None, append: bool) -> None:
        self._file = file
        self._flush = getattr(file, "flush", lambda: None)
        self._descriptor = descriptor  # None: the file was opened by somebody else
        self._append = append

    def head(self) -> str | None:
        """Return the first line of what is there and stays; None: nothing is."""
        if self._descriptor is None or not self._append:
            return None
        with open(self._descriptor, "rb", closefd=False) as file:
            file.seek(0)
            line = file.readline()
        if not line.endswith(b"\n"):
            return None  # half a row, which will be cut off
        return line.decode("utf-8-sig", "replace").rstrip("\r\n")

    def begin(self, head: str) -> None:
        """Write *head*, unless the file has one; cut half a row off, or all that is not to stay."""
        if self._descriptor is None:
            begun = self._append
        elif self._append:
            begun = _cut_half_a_row(self._descriptor, head)
            self._file.seek(0, os.SEEK_END)
        else:
            begun = False
            if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                os.ftruncate(self._descriptor, 0)
        if head and not begun:
            self.write(head)

    def write(self, row: str) -> None:
        """Write one row."""
        self._file.write(row)
        self._flush()


@contextmanager
def opened(to: Place, encoding: str, *, append: bool, looks: bool = False) -> Iterator[Rows]:
    """Give what writes rows to *to*; nothing there is touched yet.

    Args:
        append: Leave what is there, but for half a row at its end.
        looks: Do not make the file.
    """
    if not isinstance(to, (str, os.PathLike)):
        given: Any = to
        if not hasattr(given, "write") or isinstance(given, (io.RawIOBase, io.BufferedIOBase)):
            raise TypeError(f"a path or a file opened for text is wanted, got {type(to).__name__}")
        yield Rows(to, descriptor=None, append=append)
        return
    flags = (os.O_RDWR if append else os.O_WRONLY) | (0 if looks else os.O_CREAT)
    # What a run found is nobody else's business, until its owner says so.
    descriptor = os.open(to, flags | _FLAGS, 0o600)
    if append and not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("rows can be added to a plain file only")
    with open(descriptor, "r+" if append else "w", encoding=encoding, newline="") as file:
        yield Rows(file, descriptor=descriptor, append=append)


def _cut_half_a_row(descriptor: int, head: str) -> bool:
    """Cut off what comes after the last end of line; return whether anything is left.

    Raises:
        ValueError: all that is there is one line without an end, and the half of none of ours.
    """
    with open(descriptor, "rb+", closefd=False) as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _BLOCK)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                file.truncate(start + at + 1)
                return True
            end = start
        file.seek(0)
        torn = file.read(_BLOCK).decode("utf-8-sig", "replace")
        ours = head or _FIRST_OF_JSON
        if not (ours.startswith(torn) or (not head and torn.startswith(ours))):
            raise ValueError("there is something else in the file: give another one")
        file.truncate(0)
    return False


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Any]:
    """Give a new file that takes *path*'s place at the end, unless something was raised."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"a path is wanted, got {type(path).__name__}")
    final = os.path.realpath(path)  # a link stays one
    if os.path.exists(final) and not os.path.isfile(final):
        raise OSError(errno.EINVAL, "it is there, and not a plain file", os.fspath(path))
    descriptor, name = tempfile.mkstemp(dir=os.path.dirname(final), prefix=".", suffix=".tmp")
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            os.chmod(name, stat.S_IMODE(os.stat(final).st_mode))
        os.replace(name, final)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
