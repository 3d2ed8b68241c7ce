"""Running a program for each target: it is the target's role, and what it prints is the value."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...endpoint.app import Served
from ...endpoint.environment import MARKER, child_environment, unshadowed
from ...endpoint.private_files import private_directory, write
from ...endpoint.server import Endpoint
from ...endpoint.status import noted
from ...sessions.handing import handing, local_expiry
from ..launch import NOT_EXECUTABLE, NOT_FOUND
from ..printed import plain
from .child import GRACE_SECONDS, MOST_OUTPUT_BYTES, Child

if TYPE_CHECKING:
    from ...fleet import Target
    from ...refresh import Refresher

_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
#: What is killed ends at once; whoever has left its group is not waited for.
_LAST_SECONDS = 5.0
#: What the AWS CLI says last.
_REFUSED = re.compile(r"An error occurred \(([\w.]+)\) when calling the (\w+) operation")
_ACCOUNT = re.compile(r"\d{12}")


class ExitCode(Exception):
    """A program ended with another exit code than 0.

    Attributes:
        response: AWS's answer as far as the program told of it, as botocore's errors have it.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.response: dict[str, Any] = (
            {} if code is None else {"Error": {"Code": code, "Message": message}}
        )


class Interrupted(TimeoutError):
    """The program was ended because the run was."""


class OutputTooLarge(Exception):
    """A program printed more than fits into a table."""


class Programs:
    """What runs a program for one target after the other; several threads call it at once.

    Args:
        environ: What all children are given, before that of their target.
        folder: For files that only this user may read.
        endpoint: Gives programs their credentials. None: keys in their environment do.
        core: Children's limit for core dumps. None: that of this process.
        timeout: Seconds after which a program is ended.
        heard: Called with each line that a program says on standard error.
    """

    def __init__(
        self,
        words: Sequence[str],
        environ: Mapping[str, str],
        folder: Path,
        *,
        endpoint: Endpoint | None,
        core: int | None,
        timeout: float | None,
        heard: Callable[[str], None],
    ) -> None:
        self._words = tuple(words)
        self._environ = dict(environ)
        self._folder = folder
        self._endpoint = endpoint
        self._core = core
        self._timeout = timeout
        self._heard = heard
        self._numbers = itertools.count()
        self._changed = threading.Condition()  # guards the two below
        self._running: set[Child] = set()
        self._over = False

    def __call__(self, session: Any, target: Target) -> Any:
        """Return what the program prints as *target*'s role: JSON as its value, or else text.

        Raises:
            ExitCode: it ended with another code than 0.
            OutputTooLarge: it printed too much.
            Interrupted: the run was ended meanwhile.
            FetchError: the role cannot be assumed.
            ConfigError: the session has keys that are not handed on.
        """
        refresher = handing(session, own=True)
        local_expiry(refresher.get())
        own = {
            MARKER: str(target),
            "ROLECALL_ACCOUNT_ID": target.account.id,
            "ROLECALL_ACCOUNT_NAME": _in_environment(target.account.name),
        }
        region = target.region or session.region_name
        if region:
            own |= dict.fromkeys(("AWS_REGION", "AWS_DEFAULT_REGION", "ROLECALL_REGION"), region)
        with self._credentials(refresher, target) as variables:
            return self._run({**self._environ, **own, **variables}, target)

    @contextmanager
    def _credentials(self, refresher: Refresher, target: Target) -> Iterator[Mapping[str, str]]:
        if self._endpoint is None:
            from ..formats import variables_of

            yield variables_of(refresher.get())
            return
        served = Served(
            name=str(target),
            refresher=refresher,
            role_arn=target.role,
            account_id=target.account.id,
            at_a_terminal="run it again at a terminal",
        )
        token = self._folder / f"token-{next(self._numbers)}"
        self._endpoint.add(served)
        try:
            # As for `exec`: old Go tools know only the variable, Rust's only the file.
            write(token, self._endpoint.tokens[served.name])
            yield {
                **self._endpoint.variables(served.name),
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
            }
        finally:
            self._endpoint.remove(served)
            token.unlink(missing_ok=True)

    def _run(self, environ: Mapping[str, str], target: Target) -> Any:
        def hear(line: bytes) -> None:
            self._heard(f"{target}: {shown(line)}")

        with self._changed:
            if self._over:
                raise TimeoutError("the run was ended before the program was started")
            child = Child(self._words, environ, heard=hear, core=self._core)
            self._running.add(child)
        timers = [] if self._timeout is None else ended_after(child, self._timeout)
        try:
            code, output, last = child.wait()
        finally:
            for timer in timers:
                timer.cancel()
            with self._changed:
                self._running.discard(child)
                self._changed.notify_all()
        if self._over:  # whatever it made of that
            raise Interrupted("was still running when the run was ended")
        if child.too_much:
            raise OutputTooLarge(f"it printed more than {MOST_OUTPUT_BYTES >> 20} MiB")
        if code:
            raise _failed(code, last or output.rstrip().rpartition(b"\n")[2])
        return value_of(output)

    def end(self) -> None:
        """Start nothing more, and tell what runs to end."""
        with self._changed:
            self._over = True
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Start nothing more, and kill what runs."""
        with self._changed:
            self._over = True
        self._send(_KILL)

    def close(self) -> None:
        """End what still runs, and return when it has."""
        self.end()
        with self._changed:
            if not self._changed.wait_for(lambda: not self._running, GRACE_SECONDS):
                for child in self._running:
                    child.send(_KILL)
                self._changed.wait_for(lambda: not self._running, _LAST_SECONDS)

    def _send(self, number: int) -> None:
        with self._changed:
            for child in self._running:
                child.send(number)


def ended_after(
    child: Child, seconds: float, *, grace: float = GRACE_SECONDS
) -> list[threading.Timer]:
    """Have *child* told to end after so long, and killed *grace* seconds later; return how."""
    timers = [
        threading.Timer(seconds, child.send, [signal.SIGTERM]),
        threading.Timer(seconds + grace, child.send, [_KILL]),
    ]
    for timer in timers:
        timer.daemon = True
        timer.start()
    return timers


def _failed(code: int, last: bytes) -> ExitCode:
    said = shown(last).strip()
    how = f"ended by {_signal(-code)}" if code < 0 else f"exited with {code}"
    refused = _REFUSED.search(said)
    return ExitCode(f"{how}: {said}" if said else how, refused[1] if refused else None)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def shown(line: bytes) -> str:
    """Return a program's *line* without what would steer a terminal."""
    return plain(line.decode("utf-8", "replace").expandtabs())


def value_of(output: bytes) -> Any:
    """Return what a program printed: JSON as its value, else text without its last line end.

    Nothing is None. An account's id is text, whether it begins with a zero or not.
    """
    text = output.decode("utf-8", "backslashreplace")
    bare = text.strip()
    if not bare:
        return None
    if not _ACCOUNT.fullmatch(bare):
        try:
            return json.loads(bare, parse_constant=_refuse)
        except (ValueError, RecursionError):
            pass
    return text.removesuffix("\n").removesuffix("\r")


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def found(program: str, environ: Mapping[str, str]) -> int:
    """Return 0 if *program* can be run with *environ*, or else the exit code that says why not."""
    path = os.pathsep.join(os.get_exec_path(dict(environ)))
    if shutil.which(program, path=path) is not None:
        return 0
    places = (
        [program] if "/" in program else [os.path.join(one, program) for one in path.split(":")]
    )
    return NOT_EXECUTABLE if any(map(os.path.isfile, places)) else NOT_FOUND


@contextmanager
def programs(
    words: Sequence[str],
    environ: Mapping[str, str],
    *,
    way: str,
    core: int | None,
    timeout: float | None,
    heard: Callable[[str], None],
) -> Iterator[Programs]:
    """Give what runs *words* for targets; at the end none of them runs any more.

    Args:
        way: ``endpoint`` or ``env``.

    Raises:
        ConfigError: the endpoint does not come up, or the default profile would win.
    """
    with private_directory(environ) as folder:
        # The files are read once for all children.
        child = unshadowed(child_environment(environ, name="each", variables={}), folder)
        if way == "env":
            running = Programs(
                words, child, folder, endpoint=None, core=core, timeout=timeout, heard=heard
            )
            try:
                yield running
            finally:
                running.close()
            return
        endpoint = Endpoint([])
        what = f"each {os.path.basename(words[0])}"
        with endpoint, noted(what, endpoint.status_url, endpoint.status_token, environ):
            running = Programs(
                words, child, folder, endpoint=endpoint, core=core, timeout=timeout, heard=heard
            )
            try:
                yield running
            finally:
                running.close()


def _in_environment(text: str) -> str:
    """Return *text* so that a program finds it as UTF-8, whatever the locale says of us."""
    return text.encode("utf-8", "replace").decode(sys.getfilesystemencoding(), "surrogateescape")
