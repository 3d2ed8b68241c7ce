"""What exists of a `StrictCloud` only while it runs: its parts, put together and taken apart."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ...clock import Clock
from .faults import Faults
from .front import Front
from .keys import AwsClock, Key, Keys
from .sts import Sts
from .trust import Trusts

if TYPE_CHECKING:
    from .backend import Backend
    from .server import LoopbackServer

REGION = "us-east-1"

# Enough that requests held at a gate do not keep the others waiting.
_THREADS = 40


class Running:
    """The parts of a cloud between `start` and `stop`."""

    def __init__(self, clock: Clock, *, longest: Callable[[], timedelta | None]) -> None:
        # These two import moto and cheroot.
        from .backend import Backend
        from .server import LoopbackServer

        self.backend: Backend = Backend()
        try:
            self.clock: AwsClock = AwsClock(clock)
            self.keys: Keys = Keys(self.clock, self.backend.long_term_key)
            self.trusts: Trusts = Trusts()
            self.faults: Faults = Faults(clock)
            self.front: Front = Front(
                backend=self.backend,
                keys=self.keys,
                sts=Sts(
                    self.keys,
                    self.trusts,
                    self.backend,
                    clock=self.clock,
                    longest=longest,
                ),
                faults=self.faults,
                clock=self.clock,
            )
            self.server: LoopbackServer = LoopbackServer(self.front, threads=_THREADS)
            self.server.start()
        except BaseException:
            self.backend.close()
            raise
        # Not a TemporaryDirectory: its finalizer would run in a forked child as well.
        self._folder: Path = Path(tempfile.mkdtemp(prefix="rolecall-cloud-"))
        #: A file with nothing in it, for sessions to read instead of the user's own.
        self.empty_file: Path = self._folder / "credentials"
        self.empty_file.touch()
        #: Leads every service to this cloud. Written before any session can read it.
        self.config_file: Path = self._folder / "config"
        self.config_file.write_text(
            f"[default]\nregion = {REGION}\nendpoint_url = {self.server.url}\n", "utf-8"
        )
        self._lock = threading.Lock()  # guards the user keys
        self._user_keys: dict[tuple[str, str], Key] = {}

    def close(self) -> None:
        """End all threads and forget all state."""
        try:
            self.faults.vanish()
            self.server.stop()
        finally:
            self.backend.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def user_key(self, user: str, account: str) -> Key:
        """Return the keys of a user, always the same."""
        with self._lock:
            if (user, account) not in self._user_keys:
                self._user_keys[user, account] = self.backend.user_key(user, account, "aws")
            return self._user_keys[user, account]
