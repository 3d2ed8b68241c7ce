"""What the words that name a role mean: a chain, and a session of it."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from ..chain import (
    Ambient,
    CredentialSource,
    Origin,
    Profile,
    Role,
    RoleChain,
    SessionToken,
    WebIdentity,
)
from ..chain.config_file import read_profiles
from ..errors import ConfigError
from ..refresh import Listener, RefreshPolicy
from ..sessions.assume import LONGEST_SESSION_TOKEN, SHORTEST_SESSION_TOKEN
from ..sessions.bind import open_chain
from ..sessions.handing import HANDING_POLICY
from ..sources.origin import facts
from ..sources.upstream import botocore_session
from ..spans import span
from ..stores import open_store
from .options import Asked
from .starting import started

#: One MFA code for a working day. [STS GetSessionToken, DurationSeconds: the default]
MFA_SESSION = timedelta(hours=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A role that was named, opened.

    Attributes:
        chain: Where it starts and what is assumed; no secret.
        session: A boto3 session that acts as it.
        start: The session that the first role, or the user's session, is made from.
        region: Of the session: that of ``--region``, the profile's own, or the environment's.
        files: What was read to name it, beside AWS's own two files.
    """

    asked: Asked
    chain: RoleChain
    session: Any
    start: Any
    region: str | None
    files: tuple[str, ...]

    @property
    def role_arn(self) -> str | None:
        """ARN of the last role. None: it is none, or not known."""
        if self.chain.roles:
            return str(self.chain.roles[-1])
        return getattr(self.chain.origin, "role_arn", None)


class Words:
    """The words of `Asked` as values; what is wrong with them is told all at once."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.wrong: list[str] = []
        self.files: list[str] = []
        self.tags: tuple[tuple[str, str], ...] = self._tags()
        self.duration: timedelta | None = self._span("--duration", asked.duration)
        self.mfa_session: timedelta | None = self._span("--mfa-session", asked.mfa_session)
        self.policy: str | None = self._policy()
        self.mfa_command: list[str] | None = self._command()
        self._check_the_rest()
        is_arn = asked.role is not None and asked.role.startswith("arn:")
        self.arn: str | None = asked.role if is_arn else None
        if not is_arn:
            if asked.role is not None and ":" in asked.role and "role" in asked.role:
                self.wrong.append(
                    f"{asked.role}: is no ARN, such as arn:aws:iam::<12 digits>:role/…"
                )
            if asked.profile is not None:
                self.wrong.append("--profile goes with the ARN of a role")
            if asked.via:
                self.wrong.append("--via goes with the ARN of a role")
        for arn in asked.via:
            if not arn.startswith("arn:"):
                self.wrong.append(f"--via {arn}: is not the ARN of a role")

    def _check_the_rest(self) -> None:
        asked = self.asked
        if asked.role is not None and not asked.role.strip():
            self.wrong.append("ROLE is empty: it must be a profile or an ARN")
        spell = self.mfa_session
        if spell and not SHORTEST_SESSION_TOKEN <= spell <= LONGEST_SESSION_TOKEN:
            self.wrong.append(f"--mfa-session {asked.mfa_session}: must be 15m to 36h, or 0")
        endpoint = asked.sts_endpoint
        if endpoint is not None and not _is_url(endpoint):
            self.wrong.append("--sts-endpoint must be a URL, such as https://sts.example.com")

    def refuse(self) -> None:
        """Raise everything that is wrong, if anything is."""
        if self.wrong:
            raise ConfigError("; ".join(self.wrong), hint="see --help")

    @property
    def changes(self) -> dict[str, Any]:
        """What is to be changed of the last role."""
        given = {
            "session_name": self.asked.session_name or self.asked.source_identity,
            "duration": self.duration,
            "policy": self.policy,
            "policy_arns": tuple(self.asked.policy_arns),
            "tags": self.tags,
            "transitive_tag_keys": tuple(self.asked.transitive),
            "external_id": self.asked.external_id,
            "source_identity": self.asked.source_identity,
            "mfa_serial": self.asked.mfa_serial,
        }
        return {name: value for name, value in given.items() if value not in (None, ())}

    def _tags(self) -> tuple[tuple[str, str], ...]:
        parted = [tag.partition("=") for tag in self.asked.tags]
        for key, between, _ in parted:
            if not between:
                self.wrong.append(f"--tag {key}: must be KEY=VALUE")
        return tuple((key, value) for key, _, value in parted)

    def _span(self, flag: str, text: str | None) -> timedelta | None:
        if text is None:
            return None
        try:
            return span(text)
        except ValueError as error:
            self.wrong.append(f"{flag} {error}")
            return None

    def _policy(self) -> str | None:
        text = self.asked.policy
        path = policy_path(text)
        if path is None:
            return text
        self.files.append(path)
        try:
            with open(path, encoding="utf-8") as file:
                return json.dumps(json.load(file), separators=(",", ":"))
        except OSError as error:
            self.wrong.append(f"--policy {text}: cannot be read: {error.strerror}")
        except ValueError:
            self.wrong.append(f"--policy {text}: is not JSON")
        return None

    def _command(self) -> list[str] | None:
        if self.asked.mfa_command is None:
            return None
        try:
            command = shlex.split(self.asked.mfa_command)
        except ValueError:
            command = []
        if not command:
            self.wrong.append("--mfa-command must be a command line, with its quotes closed")
        return command


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port, or an address that is none
        return False


def policy_path(text: str | None) -> str | None:
    """Return the file that ``--policy`` names. None: it holds the policy itself."""
    if text is None or not text.startswith("file://"):
        return None
    return os.path.abspath(os.path.expanduser(text.removeprefix("file://")))


def chain_named(words: Words, environ: Mapping[str, str]) -> tuple[RoleChain, str | None]:
    """Return the chain that *words* name, and the profile whose configuration goes with it.

    Raises:
        ConfigError: there is no such profile, or it does not add up.
        InvalidChain: an option cannot be a role's.
    """
    asked, changes = words.asked, words.changes
    if words.arn is not None:
        origin: Origin = Ambient() if asked.profile is None else Profile(asked.profile)
        return RoleChain(origin, *asked.via, Role(words.arn, **changes)), None
    chain = RoleChain.from_profile(asked.role, environ=environ)
    if asked.role is None or not chain.roles:
        return _without_role(words, chain, environ), asked.role
    origin = chain.origin
    if isinstance(origin, Profile):
        # A source profile without credentials is an error; it is not the machine's own role.
        origin = Profile(origin.name, own_keys=True)
    return RoleChain(origin, *chain.roles[:-1], changed(chain.roles[-1], changes)), asked.role


def _without_role(words: Words, chain: RoleChain, environ: Mapping[str, str]) -> RoleChain:
    """Return the chain of an origin alone: a web identity, an SSO profile, a user's own keys."""
    changes = dict(words.changes)
    origin = chain.origin
    if isinstance(origin, WebIdentity):
        return RoleChain(_changed_identity(origin, changes))
    values: Mapping[str, Any] = {}
    if isinstance(origin, Profile):
        values = read_profiles(environ).get(origin.name, {})
    user = "aws_access_key_id" in values and not values.get("aws_session_token")
    serial = changes.pop("mfa_serial", None)
    duration = changes.pop("duration", None) if user else None
    if changes or (serial and not user):
        named = "the environment" if words.asked.role is None else f"profile {words.asked.role!r}"
        raise ConfigError(
            f"{named} is no role: {', '.join(sorted(words.changes))} cannot be given",
            hint="these are arguments of AssumeRole: name a profile with role_arn, or an ARN",
        )
    if user and words.asked.role is not None and isinstance(origin, (Profile, CredentialSource)):
        # A user's own keys are not handed on; a session of theirs is.
        serial = serial or values.get("mfa_serial")
        return RoleChain(SessionToken(origin, duration or MFA_SESSION, serial))
    return chain


def _changed_identity(origin: WebIdentity, changes: Mapping[str, Any]) -> WebIdentity:
    known = {one.name for one in fields(WebIdentity)}
    unknown = sorted(name for name in changes if name not in known)
    if unknown:
        raise ConfigError(
            f"AssumeRoleWithWebIdentity takes no {', '.join(unknown)}",
            hint="the token says who you are; the session takes a name, a length and policies",
        )
    values = {name: getattr(origin, name) for name in known}
    return WebIdentity(**{**values, **changes})


def changed(role: Role, changes: Mapping[str, Any]) -> Role:
    """Return *role* with *changes*."""
    values = {one.name: getattr(role, one.name) for one in fields(Role)}
    return Role(**{**values, **changes})


def open_named(
    asked: Asked,
    environ: Mapping[str, str],
    *,
    policy: RefreshPolicy = HANDING_POLICY,
    on_event: Listener | None = None,
) -> Named:
    """Return the role that *asked* names, opened; nothing is fetched yet.

    Raises:
        ConfigError, InvalidChain: the words, a profile or the chain do not add up.
        NoCredentialsError: there are none to start from (botocore's).
    """
    words = Words(asked)
    words.refuse()
    chain, profile = chain_named(words, environ)
    chain.validate()
    # As the AWS CLI's --region, it goes for STS as well.
    sts = {
        "region_name": asked.sts_region or asked.region,
        "endpoint_url": asked.sts_endpoint,
    }
    region = asked.region or _region_of(asked.role if words.arn is None else asked.profile, environ)
    opening = partial(
        open_chain,
        region_name=region,
        refresh_policy=policy,
        on_event=on_event,
        sts_client_kwargs={name: value for name, value in sts.items() if value},
        store=open_store(environ=environ),
        mfa_token_provider=words.mfa_command,
        profile=profile,
    )
    origin = chain.origin.of if isinstance(chain.origin, SessionToken) else chain.origin
    start = started(origin, lambda: opening(RoleChain(origin)))
    mfa_session = None
    if any(role.mfa_serial for role in chain.roles) and _is_user(start):
        mfa_session = MFA_SESSION if words.mfa_session is None else words.mfa_session or None
    return Named(
        asked=asked,
        chain=chain,
        session=opening(chain, mfa_session=mfa_session),
        start=start,
        region=region or botocore_session(start).get_config_variable("region"),
        files=tuple(words.files),
    )


def _region_of(profile: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the region that *profile* says.

    Whoever names a profile means its region, whatever another role's `exec` has left in the
    environment; where a profile has none, the environment's counts.
    """
    if profile is None:
        return None
    region = read_profiles(environ).get(profile, {}).get("region")
    return region if isinstance(region, str) and region else None


def _is_user(session: Any) -> bool:
    """Return whether *session* has a user's long-term keys, as GetSessionToken wants."""
    known = facts(botocore_session(session))
    return bool(known.access_key) and not known.temporary
