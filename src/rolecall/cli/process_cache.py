"""Keeping what ``credential-process`` printed, for `rolecall.cli.warm` to find."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..chain import Profile, SessionToken, WebIdentity
from ..refresh import Refresher
from ..sources.origin import load_credentials
from ..sources.upstream import botocore_session
from ..stores import private
from . import warm
from .naming import Named

#: No role session lives longer, so no older entry is of use. [STS AssumeRole, DurationSeconds]
LONGEST_LIFE_SECONDS = 12 * 3600.0

#: What botocore found in the environment or in the two files, which an entry is pinned to.
_PINNED_METHODS = frozenset({"env", "config-file", "shared-credentials-file"})


def keep(
    place: str, asked: str, files: Sequence[str] | None, refresher: Refresher, answer: str
) -> None:
    """Keep *answer* for whoever asks the same again, if it is known what it depends on.

    A disk that is full or read-only costs nobody anything: the next call takes longer.

    Args:
        files: From `pinned_files`.
    """
    held = refresher.state.held
    if held is None or files is None:
        return
    pins = "\0".join(warm.pin(file) for file in files)
    now, since_boot, boot = warm.clocks()
    # By this machine's clocks, as they are read there.
    refresh_at = min(now + held.refresh_at - refresher.clock.boottime(), held.fresh_until_wall)
    if refresh_at <= now or "\n" in pins:
        return
    entry = "\n".join(
        [warm.MAGIC, f"{now!r} {since_boot!r} {boot} {refresh_at!r}", pins, asked, answer]
    )
    with contextlib.suppress(OSError, UnicodeError):
        private.make_directory(Path(place), exclusive=True)
        _sweep(place, now)
        private.replace(Path(place, warm.name_of(asked)), entry.encode("utf-8", "surrogateescape"))


def pinned_files(
    named: Named, environ: Mapping[str, str], more: Sequence[str] = ()
) -> list[str] | None:
    """Return the files that decide whose credentials these are, and *more*; None: not only files.

    What a credential_process prints or an instance's metadata says may be another's at any time.
    """
    files = [
        os.path.abspath(os.path.expanduser(environ.get(variable) or default))
        for variable, default in (
            ("AWS_CONFIG_FILE", "~/.aws/config"),
            ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
        )
    ]
    files += [*named.files, *more]
    origin = named.chain.origin
    if isinstance(origin, SessionToken):
        origin = origin.of
    if isinstance(origin, WebIdentity):
        file = origin.token_file or environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")
        return [*files, os.path.abspath(os.path.expanduser(file))] if file else None
    session = botocore_session(named.start)
    method = str(getattr(load_credentials(session), "method", None))
    if method in _PINNED_METHODS:
        return files
    if method == "sso" and isinstance(origin, Profile):
        return [*files, *_sign_in(session.full_config, origin.name)]
    return None


def _sign_in(config: Mapping[str, Any], profile: str) -> Iterable[str]:
    """Return the file in which the AWS CLI keeps the sign-in of an SSO profile."""
    values = config.get("profiles", {}).get(profile, {})
    name = values.get("sso_session") or values.get("sso_start_url") or ""
    digest = hashlib.sha1(name.encode("utf-8"), usedforsecurity=False).hexdigest()
    return [os.path.expanduser(os.path.join("~", ".aws", "sso", "cache", f"{digest}.json"))]


def _sweep(place: str, now: float) -> None:
    """Delete entries that are too old to be good for anything."""
    for entry in os.scandir(place):
        with contextlib.suppress(OSError):
            if entry.stat(follow_symlinks=False).st_mtime < now - LONGEST_LIFE_SECONDS:
                os.unlink(entry.path)
