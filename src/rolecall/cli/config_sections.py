"""What is wrong with the two files themselves: who may read them, and sections that are none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from .config_files import File, Files, parted

#: What gives a profile credentials by itself.
OWN_CREDENTIALS = (
    "aws_access_key_id", "aws_secret_access_key", "credential_process", "sso_session",
    "sso_start_url", "web_identity_token_file", "login_session",
)  # fmt: skip

_SECRETS = ("aws_secret_access_key", "aws_session_token")

#: Kinds of sections that the AWS CLI knows beside profiles.
_OTHER_SECTIONS = ("sso-session", "services", "login-session")
_WHOLE_SECTIONS = ("default", "plugins", "preview")

#: A section with any of these is meant to be a profile.
_TELLING = frozenset({*OWN_CREDENTIALS, "role_arn", "source_profile", "region"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, or not as its author will have meant it.

    Attributes:
        rule: Its name, which stays the same.
        severity: ``error``: it cannot work. ``warning``: it works, otherwise than it looks.
        profile: None: it is about a file, or a section that is no profile.
        line: From 1. None: not known.
    """

    rule: str
    severity: str
    profile: str | None
    file: str
    line: int | None
    message: str
    hint: str

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return asdict(self)


def of_file(file: File) -> Iterator[Finding]:
    """Yield a finding if others may read the keys in *file*."""
    secret = any(key in values for values in file.profiles.values() for key in _SECRETS)
    if secret and file.mode is not None and file.mode & 0o077:
        yield Finding(
            rule="open-file",
            severity="warning",
            profile=None,
            file=file.name,
            line=None,
            message=f"holds keys, and others may use it (mode {file.mode:04o})",
            hint=f"chmod 600 {file.name}",
        )


def of_sections(files: Files) -> Iterator[Finding]:
    """Yield sections that look like profiles, and are none to AWS's tools."""
    for section, keys in files.config.sections.items():
        kind, name = parted(section)
        known = section in _WHOLE_SECTIONS or (kind in ("profile", *_OTHER_SECTIONS) and name)
        if known or not _TELLING & keys:
            continue
        bare = section.removeprefix("profile").strip().strip("\"'")
        quoted = f'"{bare}"' if any(sign.isspace() for sign in bare) else bare
        yield _no_profile(
            files.config,
            section,
            f"[{section}] is no profile to AWS's tools",
            f"write [profile {quoted}]",
        )
    for section, keys in files.credentials.sections.items():
        kind, name = parted(section)
        if kind == "profile" and name and _TELLING & keys:
            yield _no_profile(
                files.credentials,
                section,
                f"[{section}] is not the profile {name!r}: in this file the names stand alone",
                f"write [{name}]",
            )


def _no_profile(file: File, section: str, message: str, hint: str) -> Finding:
    return Finding(
        rule="not-a-profile",
        severity="warning",
        profile=None,
        file=file.name,
        line=file.lines[section, None],
        message=message,
        hint=hint,
    )
