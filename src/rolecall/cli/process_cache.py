"""Keeping what ``credential-process`` printed, for `rolecall.cli.warm` to find."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..chain import Profile, SessionToken, WebIdentity
from ..chain.config_file import CONFIG_FILE, CREDENTIALS_FILE, expanded_path
from ..credentials import Credentials
from ..refresh import Refresher
from ..sources.origin import load_credentials
from ..sources.upstream import botocore_session
from ..stores import Stored, private
from . import warm
from .formats import as_json
from .naming import Named

#: No role session lives longer, so no older entry is of use. [STS AssumeRole, DurationSeconds]
LONGEST_LIFE_SECONDS = 12 * 3600

#: What botocore found in the environment or in the two files, which an entry is pinned to.
_PINNED_METHODS = frozenset({"env", "config-file", "shared-credentials-file"})


def keep(
    place: str,
    asked: str,
    pins: Sequence[str] | None,
    refresher: Refresher,
    credentials: Credentials,
) -> None:
    """Keep what was printed of *credentials* for whoever asks the same again.

    A disk that is full or read-only costs nobody anything: the next call takes longer.

    Args:
        pins: What they depend on, from before they were fetched. None: nobody knows.
    """
    held = refresher.state.held
    if pins is None or held is None or held.credentials is not credentials:
        return
    if not _is_young(credentials, refresher):
        return  # gone on with while STS fails: the next call asks again
    now, since_boot, boot = warm.clocks()
    # By this machine's clocks, as they are read there.
    refresh_at = min(now + held.refresh_at - refresher.clock.boottime(), held.fresh_until_wall)
    noted = "\0".join(pins)
    if refresh_at <= now or "\n" in noted:
        return
    times = f"{now!r} {since_boot!r} {boot} {refresh_at!r}"
    entry = "\n".join([warm.MAGIC, times, noted, asked, as_json(credentials)])
    with contextlib.suppress(OSError, UnicodeError):
        private.make_directory(Path(place), exclusive=True)
        _sweep(place, now)
        private.replace(Path(place, warm.name_of(asked)), entry.encode("utf-8", "surrogateescape"))


def _is_young(credentials: Credentials, refresher: Refresher) -> bool:
    left = Stored.left(credentials, refresher.clock).total_seconds()
    if credentials.expires_at is None:
        return False
    if credentials.issued_at is None:  # of a sign-in: nobody says how long it lives in all
        ahead = refresher.policy.ahead
        return ahead is not None and left > ahead.total_seconds()
    life = (credentials.expires_at - credentials.issued_at).total_seconds()
    return left > refresher.policy.windows_for(life).ahead


def pins_of_profiles(environ: Mapping[str, str]) -> list[str]:
    """Return AWS's two files and their state, to be noted before they are read."""
    return [
        warm.pin(os.path.abspath(expanded_path(environ.get(variable) or default, environ)))
        for variable, default in (
            ("AWS_CONFIG_FILE", CONFIG_FILE),
            ("AWS_SHARED_CREDENTIALS_FILE", CREDENTIALS_FILE),
        )
    ]


def other_pins(
    named: Named, environ: Mapping[str, str], more: Sequence[str] = ()
) -> list[str] | None:
    """Return what else decides whose credentials these are, and *more*; None: not only files.

    What a credential_process prints or an instance's metadata says may be another's at any time.
    """
    files = [*named.files, *more]
    origin = named.chain.origin
    if isinstance(origin, SessionToken):
        origin = origin.of
    if isinstance(origin, WebIdentity):
        file = origin.token_file or environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")
        if not file:
            return None
        files.append(os.path.abspath(os.path.expanduser(file)))
    else:
        session = botocore_session(named.start)
        method = str(getattr(load_credentials(session), "method", None))
        if method == "sso" and isinstance(origin, Profile):
            files += _sign_in(session.full_config, origin.name)
        elif method not in _PINNED_METHODS:
            return None
    return [warm.pin(file) for file in files]


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
