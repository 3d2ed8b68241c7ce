"""Telling workers in other processes of this machine to stop: by a file that they look for."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_NAME = "orders"


@dataclass(frozen=True, slots=True)
class OrdersFile:
    """A file that is there, and says which, once there are orders; any side may give them.

    On another machine it is never there: workers there end their chunks first.
    """

    path: str

    @classmethod
    def new(cls) -> OrdersFile:
        """Return one in a folder of its own, which nobody else may write into."""
        return cls(os.path.join(tempfile.mkdtemp(prefix="rolecall-"), _NAME))

    def given(self) -> str | None:
        """Return ``"stop"`` or ``"kill"``; None: there are no orders."""
        try:
            return Path(self.path).read_text(encoding="ascii") or None
        except OSError:
            return None

    def give(self, order: str) -> None:
        """Have all who look stop, or give up; does nothing on another machine."""
        with suppress(OSError):  # what the others do is up to them then
            written = f"{self.path}.{os.getpid()}"
            Path(written).write_text(order, encoding="ascii")
            os.replace(written, self.path)

    def remove(self) -> None:
        """Take the file and its folder away."""
        with suppress(OSError):
            os.unlink(self.path)
        with suppress(OSError):
            os.rmdir(os.path.dirname(self.path))
