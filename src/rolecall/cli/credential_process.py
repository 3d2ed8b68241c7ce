"""``rolecall credential-process ROLE``: for the ``credential_process`` line of a profile.

It needs no extra, and is read by `argparse`, which starts faster than click does. The usual case
does not even get here: see `rolecall.cli.warm`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import MutableMapping, Sequence
from datetime import timezone
from typing import Any, NoReturn

from ..clock import SYSTEM_CLOCK
from ..credentials import Credentials
from ..errors import FetchError
from ..refresh import Refresher
from ..sessions.handing import handing, local_expiry
from ..sources.redaction import redact_logs
from ..stores import Stored
from . import endings, process_cache, warm
from .naming import open_named
from .options import OPTIONS, Asked

PROG = "rolecall credential-process"

#: While what is stored is still valid, nobody waits longer for what is newer.
STALE_SECONDS = 5.0

#: What the SDKs parse: UTC, whole seconds.
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

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
        _log(given.verbose)
        values = {option.field: getattr(given, option.field) for option in OPTIONS}
        named = open_named(Asked(role=given.role, **values), environ)
        refresher = handing(named.session, own=True)
        answer = as_json(current(refresher))
        if place is not None:
            more = [] if given.environment is None else [given.environment]
            files = process_cache.pinned_files(named, environ, more)
            process_cache.keep(place, asked, files, refresher, answer)
    except KeyboardInterrupt:
        return endings.INTERRUPTED
    except SystemExit as end:  # argparse's
        return end.code if isinstance(end.code, int) else endings.USAGE
    except endings.EXPECTED as error:
        endings.say(endings.told(error))
        return endings.code_of(error)
    sys.stdout.write(answer)
    sys.stdout.flush()
    return endings.DONE


def current(refresher: Refresher) -> Credentials:
    """Return credentials that are not about to expire; at worst those that are still valid.

    Raises:
        FetchError: none are.
    """
    stored = refresher.source
    entry = _stored(stored) if isinstance(stored, Stored) else None
    if entry is None or refresher.prompts:
        return refresher.get()
    asked = refresher.ask()
    if isinstance(asked, Credentials):
        return asked
    flight, seconds = asked
    SYSTEM_CLOCK.wait(flight.future, min(seconds, STALE_SECONDS))
    try:
        return refresher.outcome(flight)
    except FetchError as error:
        if Stored.left(entry, SYSTEM_CLOCK).total_seconds() <= 0:
            raise
        endings.say(f"going on with what is stored: {endings.told(error)}")
        return entry


def _stored(stored: Stored) -> Credentials | None:
    """Return the valid entry of *stored*, fresh or not, if it has one."""
    try:
        entry = stored.store.get(stored.key)
    except Exception:  # a store that is down, or a source that is: the fetch will tell
        return None
    if entry is None or Stored.left(entry, SYSTEM_CLOCK).total_seconds() <= 0:
        return None
    return entry


def as_json(credentials: Credentials) -> str:
    """Return what a credential_process prints. [AWS SDKs, process credential provider]"""
    values: dict[str, Any] = {
        "Version": 1,
        "AccessKeyId": credentials.access_key,
        "SecretAccessKey": credentials.secret_key,
        "SessionToken": credentials.token,
        "Expiration": expiration(credentials),
    }
    if credentials.account_id is not None:
        values["AccountId"] = credentials.account_id
    return json.dumps(values) + "\n"


def expiration(credentials: Credentials) -> str:
    """Return when *credentials* expire by the local clock, as the SDKs parse it."""
    return local_expiry(credentials).astimezone(timezone.utc).strftime(TIME_FORMAT)


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
