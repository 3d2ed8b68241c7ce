"""Profiles of ``~/.aws/config`` as chains, by the rules botocore resolves them with.

======================================  =================================================
the profile has                         the chain
======================================  =================================================
``web_identity_token_file, role_arn``   starts from `WebIdentity`
``role_arn, source_profile``            that profile's chain, then the role
``role_arn, credential_source``         starts from `CredentialSource`, then the role
none of these                           starts from `Profile`, which botocore resolves
======================================  =================================================
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from ..errors import ConfigError
from . import role as _role
from .config_file import config_path, read_profiles
from .origin import CREDENTIAL_SOURCES, Ambient, CredentialSource, Profile, WebIdentity
from .role import Role, RoleChain

Profiles = Mapping[str, Mapping[str, Any]]

_TEXTS = (
    "role_arn",
    "source_profile",
    "credential_source",
    "web_identity_token_file",
    "role_session_name",
    "external_id",
    "mfa_serial",
)


def chain_from(
    name: str | None, environ: Mapping[str, str], config: Mapping[str, Any] | None
) -> RoleChain:
    """Build the chain of a profile, finding name and files in the environment where not given.

    *config* is botocore's ``session.full_config``. Where no profile is named and there is none
    called ``default``, the chain starts from whatever botocore finds.

    Raises:
        ConfigError: the profile is missing, goes round in a circle, or does not add up.
    """
    profiles: Profiles = read_profiles(environ) if config is None else config.get("profiles", {})
    if name is None:
        # botocore knows both names, in this order.
        name = environ.get("AWS_DEFAULT_PROFILE") or environ.get("AWS_PROFILE")
    if name is None and "default" not in profiles:
        return RoleChain(Ambient())
    return chain_of_profile(name or "default", profiles, environ)


def chain_of_profile(name: str, profiles: Profiles, environ: Mapping[str, str]) -> RoleChain:
    """Build the chain that profile *name* describes.

    Args:
        profiles: botocore's ``session.full_config["profiles"]``.
        environ: Names the file, for messages.

    Raises:
        ConfigError: the profile or one it names is missing, goes round in a circle, or does not
            add up; the message names the profile and the file, and the hint what to do.
    """
    file = config_path(environ)
    path: list[str] = []
    hops: list[Role] = []  # last hop first, as the profiles name one another
    while True:
        profile = _Profile(name, _found(name, path, profiles, file), file)
        path.append(name)
        if profile.uses_web_identity:
            origin = profile.web_identity()
            return RoleChain(origin, *reversed(hops))
        if not profile.is_role or (profile.has_keys and len(path) > 1):
            # As a source, a profile's own keys go before its role.
            origin_profile = Profile(name, own_keys=profile.is_role)
            return RoleChain(origin_profile, *reversed(hops))
        source = profile.source()
        hops.append(profile.role())
        if isinstance(source, CredentialSource):
            return RoleChain(source, *reversed(hops))
        if source == name and profile.has_keys and len(path) == 1:
            return RoleChain(Profile(name, own_keys=True), *reversed(hops))
        if source in path:
            raise ConfigError(
                f"profile {path[0]!r} in {file}: its source profiles go round in a circle: "
                + " -> ".join([*path, source]),
                hint="let one of them have credentials of its own instead of source_profile",
                context={"path": [*path, source]},
            )
        name = source


def _found(name: str, path: Sequence[str], profiles: Profiles, file: str) -> Mapping[str, Any]:
    if name in profiles:
        return profiles[name]
    close = difflib.get_close_matches(name, profiles, n=3)
    known = f"did you mean {' or '.join(map(repr, close))}?" if close else _listed(profiles, file)
    if path:
        what = f"profile {path[-1]!r} in {file}: its source_profile {name!r} does not exist"
    else:
        what = f"profile {name!r} does not exist in {file}"
    raise ConfigError(what, hint=known)


def _listed(profiles: Iterable[str], file: str) -> str:
    names = sorted(profiles)
    if not names:
        return f"{file} has no profiles: add [profile …], or point AWS_CONFIG_FILE to another file"
    more = ", …" if len(names) > 10 else ""
    return f"there are {', '.join(names[:10])}{more}"


class _Profile:
    """One profile's values, and what is wrong with them."""

    def __init__(self, name: str, values: Mapping[str, Any], file: str) -> None:
        self.where = f"profile {name!r} in {file}"
        self.values = values
        self.complaints = [
            f"{key} must be one line of text" for key in _TEXTS if not self._is_text(key)
        ]
        self.hints: list[str] = []

    def _is_text(self, key: str) -> bool:
        return isinstance(self.values.get(key, ""), str)

    @property
    def uses_web_identity(self) -> bool:
        return "web_identity_token_file" in self.values

    @property
    def is_role(self) -> bool:
        return "role_arn" in self.values

    @property
    def has_keys(self) -> bool:
        return "aws_access_key_id" in self.values or "aws_secret_access_key" in self.values

    def source(self) -> str | CredentialSource:
        """Return the profile or the source of credentials that assumes the role."""
        source_profile = self.values.get("source_profile")
        named = self.values.get("credential_source")
        self.duration()
        if source_profile is not None and named is not None:
            self._complain("has both source_profile and credential_source", "leave one of them out")
        elif source_profile is None and named is None:
            self._complain(
                "has a role_arn, and neither source_profile nor credential_source",
                "say who assumes the role: source_profile = another profile, or "
                f"credential_source = one of {', '.join(CREDENTIAL_SOURCES)}",
            )
        elif isinstance(named, str) and named not in CREDENTIAL_SOURCES:
            self._complain(f"has the unknown credential_source {named!r}", _meant(named))
        self.refuse()
        return str(source_profile) if named is None else CredentialSource(str(named))

    def role(self) -> Role:
        """Return the role, once `source` has found nothing wrong."""
        return Role(
            self.values["role_arn"],
            session_name=self.values.get("role_session_name"),
            duration=self.duration(),
            external_id=self.values.get("external_id"),
            mfa_serial=self.values.get("mfa_serial"),
        )

    def web_identity(self) -> WebIdentity:
        """Return the origin of a profile with a token file."""
        duration = self.duration()
        if not self.is_role:
            self._complain(
                "has a web_identity_token_file and no role_arn",
                "add role_arn = the role to assume with the token",
            )
        self.refuse()
        return WebIdentity(
            role_arn=self.values["role_arn"],
            token_file=self.values["web_identity_token_file"],
            session_name=self.values.get("role_session_name"),
            duration=duration,
        )

    def duration(self) -> timedelta | None:
        """Return duration_seconds; complain where it is not a number of them."""
        value = self.values.get("duration_seconds")
        if value is None:
            return None
        try:
            return timedelta(seconds=int(value))
        except (TypeError, ValueError, OverflowError):
            shown = repr(value)[:40] if isinstance(value, str) else type(value).__name__
            self._complain(
                f"has duration_seconds = {shown}, which is no whole number of seconds",
                "duration_seconds is 900 to 43200, such as 3600",
            )
            return None

    def _complain(self, what: str, hint: str) -> None:
        self.complaints.append(what)
        self.hints.append(hint)

    def refuse(self) -> None:
        """Raise everything that is wrong with the profile, if anything is."""
        if self.complaints:
            raise ConfigError(
                f"{self.where}: {'; '.join(self.complaints)}", hint="; ".join(self.hints)
            )


def _meant(named: str) -> str:
    lower = {source.lower(): source for source in CREDENTIAL_SOURCES}
    close = difflib.get_close_matches(named.lower(), lower, n=1)
    if close:
        return f"did you mean {lower[close[0]]}?"
    return f"it is one of {', '.join(CREDENTIAL_SOURCES)}"


_role.profile_reader = chain_from
