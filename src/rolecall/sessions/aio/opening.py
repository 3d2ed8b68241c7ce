"""Opening a session off the event loop: who assumes the role may have to be found out first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import boto3
from botocore.session import Session

from ...clock import SYSTEM_CLOCK
from ...errors import FetchError, Unreachable
from ...fork import ForkSafeLock, tell_after_fork
from ...refresh.aio import running_loop, until_done, working
from ...refresh.flight import Abandoned, Askers, anew, asked_by
from ...refresh.threads import MOST_ABANDONED
from ..boto import Child, as_short_a_path, open_child

#: A credential_process, a sign-in or an instance's metadata service may take that long; whoever
#: waits longer is told so. The default of `RefreshPolicy.fetch_timeout`.
LIMIT_SECONDS = 60.0


class Opening:
    """A session that is opened at its first use, in a thread, once for all who ask.

    What goes wrong is told to those who wait, and tried again for the next one.

    Args:
        open_: Returns what makes the session, a `Child`, or a session that is not a role's; called
            in a thread, at most once at a time.
        name: What messages call it.
    """

    def __init__(self, open_: Callable[[], Any], name: str) -> None:
        self._open = open_
        self.name = name
        self._session: Any = None
        self._making = ForkSafeLock()  # guards _session; held while one is made of what is open
        self._lock = threading.Lock()  # guards _future and _askers; never held over a call
        self._future: Future[Any] | None = None
        self._since = 0.0  # when it began
        self._askers = Askers()
        self._child: Any = None
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Forget the parent's lock, and a thread that does not live here."""
        self._lock = threading.Lock()
        self._future = None  # not to be asked anything: its own lock may be held for ever here

    @property
    def child(self) -> Any:
        """What makes the session, once that is known; None before."""
        return self._child

    @property
    def session(self) -> Any:
        """The boto3 session, made of what is known; None where that is not known yet."""
        child = self.child
        if not isinstance(child, (Child, Session)):
            return child
        with self._making:
            if self._session is None:
                if isinstance(child, Child):
                    self._session = open_child(child)
                else:
                    with as_short_a_path(child.get_component("data_loader")):
                        self._session = boto3.Session(botocore_session=child)
            return self._session

    async def opened(self) -> Any:
        """Return what makes the session, looked up if need be.

        Raises:
            NoCredentialsError: whoever assumes the role has none (botocore's).
            InvalidChain: what shows only now that it is known who assumes the role.
            Unreachable: it takes too long.
        """
        loop = running_loop()
        if self._child is not None:
            return self._child
        for _ in range(MOST_ABANDONED):
            future = self._join(loop)
            await until_done(future, LIMIT_SECONDS)
            try:
                return self._result(future)
            except Abandoned:
                continue
        raise FetchError(f"{self.name}: the coroutine that looks credentials up was cancelled")

    def wait(self) -> Any:
        """Return the session, opened if need be; blocks.

        Raises:
            as `opened`; Abandoned: all who asked for it are gone.
        """
        if self.child is None:
            future = self._join(asked_by.get())
            SYSTEM_CLOCK.wait(future, LIMIT_SECONDS)
            self._result(future)
        return self.session

    def _join(self, asker: Any) -> Future[Any]:
        with self._lock:
            future = self._future
            now = SYSTEM_CLOCK.boottime()
            # One that hangs is given up, as a fetch is.
            if future is None or future.done() or now - self._since > LIMIT_SECONDS:
                self._askers = Askers()
                self._askers.add(asker)
                self._since = now
                future = self._future = working(self._opens, self._askers)
            else:
                self._askers.add(asker)
            return future

    def _opens(self) -> Any:
        child = self._open()
        with self._lock:
            if self._child is None:
                self._child = child
            # Nobody waits any more; what is left of those who did would hold their loops.
            self._future, self._askers = None, Askers()
            return self._child

    def _result(self, future: Future[Any]) -> Any:
        if not future.done():
            raise Unreachable(
                f"{self.name}: the credentials that it starts from have not been found within "
                f"{LIMIT_SECONDS:g} s"
            )
        error = future.exception()
        if error is None:
            return future.result()
        if isinstance(error, Abandoned):
            raise Abandoned
        raise anew(error) from error
