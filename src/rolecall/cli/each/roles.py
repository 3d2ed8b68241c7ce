"""Who assumes the roles of ``rolecall each``, and how they are assumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ..options import Asked

#: What of a role is called otherwise by STS, and by `fan_out`.
_KEYWORDS = {
    "session_name": "RoleSessionName",
    "duration": "DurationSeconds",
    "policy": "Policy",
    "policy_arns": "PolicyArns",
    "tags": "Tags",
    "transitive_tag_keys": "TransitiveTagKeys",
    "external_id": "ExternalId",
    "source_identity": "SourceIdentity",
}
_OF_ROLE = (
    "session_name", "duration", "policy", "policy_arns", "transitive", "external_id",
    "source_identity",
)  # fmt: skip


def role_keywords(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the roles as keywords of `fan_out`.

    Raises:
        UsageError: a session tag is none.
        ConfigError: another option is wrong; all that are at once.
    """
    from ..naming import Words

    tags = values["session_tags"]
    for tag in tags:
        if "=" not in tag:
            raise click.UsageError(f"--session-tag {tag}: must be KEY=VALUE")
    words = Words(Asked(role=None, tags=tags, **{name: values[name] for name in _OF_ROLE}))
    words.refuse()
    found = {_KEYWORDS[name]: value for name, value in words.changes.items()}
    if "Tags" in found:
        found["Tags"] = dict(found["Tags"])
    return found


def open_base(values: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[Any, str | None]:
    """Return the session that assumes the roles, and its region; nothing is fetched yet.

    Raises:
        UsageError: options do not go together.
        ConfigError, InvalidChain: they, or a profile, do not add up.
        NoCredentialsError: there are none to start from (botocore's).
    """
    from ...chain import SessionToken
    from ...refresh import DEFAULT_POLICY
    from ..naming import open_named

    profile, via = values["profile"], values["via"]
    serial = values["mfa_serial"]
    if serial is not None and profile is None and not via:
        raise click.UsageError("--mfa-serial: name the profile whose device it is, with --profile")
    role = via[-1] if via else profile
    asked = Asked(
        role=role,
        profile=profile if via else None,
        via=via[:-1],
        **{
            name: values[name]
            for name in ("mfa_serial", "mfa_command", "mfa_session", "sts_region", "sts_endpoint")
        },
    )
    named = open_named(asked, environ, policy=DEFAULT_POLICY)
    origin = named.chain.origin
    if not named.chain.roles and isinstance(origin, SessionToken) and origin.mfa_serial is None:
        # A user's own keys, which stay here: a session of theirs would be a call for nothing.
        return named.start, named.region
    return named.session, named.region


def fetch(session: Any) -> None:
    """Have the credentials of *session*, while a person can be asked for a code.

    Raises:
        FetchError: they cannot be had.
    """
    from ...sessions.boto import RoleSession
    from ...sessions.handing import refresher_of
    from ...sources.origin import load_credentials
    from ...sources.upstream import botocore_session
    from ..notices import fetched

    if isinstance(session, RoleSession):
        fetched(refresher_of(session))
    else:
        load_credentials(botocore_session(session)).get_frozen_credentials()


def sts_keywords(values: Mapping[str, Any], region: str | None) -> dict[str, str] | None:
    """Return where STS is asked. None: where the session's region and the SDK say.

    Args:
        region: The session's own.
    """
    regions = [one for group in values["regions"] for one in group if one != "enabled"]
    found = {
        # Some region it must be, and the first of those that are meant is there.
        "region_name": values["sts_region"] or (regions[0] if regions and region is None else None),
        "endpoint_url": values["sts_endpoint"],
    }
    return {name: value for name, value in found.items() if value} or None
