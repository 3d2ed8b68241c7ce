"""``rolecall credential-process ROLE``: for the ``credential_process`` line of a profile.

It needs no extra, and is read by `argparse`, which starts faster than click does. The usual case
does not even get here: see `rolecall.cli.warm`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
from collections.abc import MutableMapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout  # another class before 3.11
from datetime import timedelta
from typing import NoReturn

from ..credentials import Credentials
from ..errors import ConfigError, FetchError
from ..refresh import Refresher
from ..refresh.flight import attended
from ..sessions.handing import handing
from ..sources.mfa import is_asking
from ..sources.redaction import redact_logs
from ..stores import Stored
from . import endings, process_cache, warm
from .formats import as_json
from .naming import open_named
from .options import OPTIONS, Asked, take_region

PROG = "rolecall credential-process"

#: While what is stored is still valid, nobody waits longer for what is newer.
STALE_SECONDS = 5.0

#: Which roles a chain of such processes is asked for, one by the other.
ASKED = "ROLECALL_ASKED"
_ARROW = " -> "

#: With less left it is dead before it is used: then the fetch is waited for.
_WORTH_PRINTING = timedelta(seconds=5)

_GOING_ON = "going on with what is stored, which is still valid"

_DESCRIPTION = """\
Print the credentials of ROLE as AWS's SDKs want them of a credential_process, from the cache that
all commands and programs share. ROLE is a profile of ~/.aws/config, or an ARN."""

_EXAMPLE = """\
In ~/.aws/config, for every tool that reads it:

  [profile deploy-live]
  credential_process = rolecall credential-process deploy
"""


def main(words: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    environ = os.environ  # noqa: TID251 - border
    # Of the environment as it was given, which is what the warm path sees.
    place, asked = warm.directory(environ), warm.question(words, environ)
    try:
        given = _parser().parse_args(words)
        if given.environment is not None:
            restore(environ, given.environment)
        take_region(environ)
        _log(given.verbose)
        refuse_loops(environ, given.role)
        pinned = process_cache.pins_of_profiles(environ)
        values = {option.field: getattr(given, option.field) for option in OPTIONS}
        named = open_named(Asked(role=given.role, **values), environ)
        more = [] if given.environment is None else [given.environment]
        others = process_cache.other_pins(named, environ, more)
        refresher = handing(named.session, own=True)
        credentials = current(refresher)
        answer = as_json(credentials)
        if place is not None:
            pins = None if others is None else [*pinned, *others]
            process_cache.keep(place, asked, pins, refresher, credentials)
    except KeyboardInterrupt:
        return endings.INTERRUPTED
    except SystemExit as end:  # argparse's
        return end.code if isinstance(end.code, int) else endings.USAGE
    except endings.EXPECTED as error:
        endings.say(endings.told(error))
        return endings.code_of(error)
    warm.put(answer)
    return endings.DONE


def current(refresher: Refresher) -> Credentials:
    """Return credentials that are not about to expire; at worst those that are still valid.

    While some are, a call of STS is not waited for longer than `STALE_SECONDS`. A person who is
    asked for a code is.

    Raises:
        FetchError: none are.
    """
    stored = refresher.source
    entry = _stored(stored) if isinstance(stored, Stored) else None
    if entry is None:
        return refresher.get()
    fetch: Future[Credentials] = Future()

    def run() -> None:
        attended.set(True)  # this thread's own: the main one waits for it
        try:
            fetch.set_result(refresher.get())
        except BaseException as error:
            fetch.set_exception(error)

    threading.Thread(target=run, name="rolecall-process", daemon=True).start()
    trouble = f"no answer within {STALE_SECONDS:g} s"
    try:
        while True:
            with contextlib.suppress(TimeoutError, FutureTimeout):
                found = fetch.result(STALE_SECONDS)
                if isinstance(stored, Stored) and stored.made_do is not None:
                    endings.say(f"{_GOING_ON}: {endings.told(stored.made_do)}")
                return found
            if not is_asking() and Stored.left(entry) > _WORTH_PRINTING:
                break
    except FetchError as error:
        trouble = endings.told(error)
        if Stored.left(entry).total_seconds() <= 0:
            raise
    endings.say(f"{_GOING_ON}: {trouble}")
    return entry


def _stored(stored: Stored) -> Credentials | None:
    """Return the valid entry of *stored*, fresh or not, if it has one."""
    try:
        entry = stored.store.get(stored.key)
    except Exception:  # a store that is down, or a source that is: the fetch will tell
        return None
    if entry is None or Stored.left(entry).total_seconds() <= 0:
        return None
    return entry


def refuse_loops(environ: MutableMapping[str, str], role: str) -> None:
    """Note in *environ*, for the processes that are started for it, that *role* is asked for.

    Raises:
        ConfigError: it is already: a profile's credential_process leads to the profile itself.
    """
    path = [*filter(None, environ.get(ASKED, "").split(_ARROW)), role]
    if role in path[:-1]:
        raise ConfigError(
            f"{role!r} asks for itself: {_ARROW.join(path)}",
            hint="credential_process belongs into a profile of its own, not into the one it names",
        )
    environ[ASKED] = _ARROW.join(path)


def restore(environ: MutableMapping[str, str], path: str) -> None:
    """Give *environ* back what ``rolecall exec --via process`` has taken out of a child's own.

    Raises:
        ConfigError: the file is not there, or is not of this user alone.
    """
    from ..endpoint.environment import OF_SOURCE
    from ..endpoint.private_files import read_variables

    variables = read_variables(path)
    for name in OF_SOURCE:
        environ.pop(name, None)
    environ.update(variables)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if sys.stderr is not None:
            self.print_usage(sys.stderr)
        endings.say(message)
        raise SystemExit(endings.USAGE)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROG,
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("role", metavar="ROLE", help="a profile of ~/.aws/config, or an ARN")
    for option in OPTIONS:
        parser.add_argument(
            option.flag,
            dest=option.field,
            metavar=option.metavar,
            help=option.help.replace("%", "%%"),
            action="append" if option.many else "store",
            default=[] if option.many else None,
        )
    parser.add_argument("--environment", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="say more on standard error; -vv: all"
    )
    return parser


def _log(verbose: int) -> None:
    if verbose:
        from .verbosity import log_to_stderr

        log_to_stderr(verbose)
    redact_logs()
