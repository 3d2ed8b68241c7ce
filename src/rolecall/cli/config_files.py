"""``~/.aws/config`` and ``~/.aws/credentials``: what stands where, and who may read it."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..chain import RoleArn
from ..chain.config_file import CONFIG_FILE, CREDENTIALS_FILE, read_profiles

Profiles = Mapping[str, Mapping[str, Any]]

_SECTION = re.compile(r"\[(.+)\]")
_KEY = re.compile(r"([^\s:=#;][^:=]*?)\s*[:=]")


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One of the two files.

    Attributes:
        name: As the user would write it.
        profiles: Profile → its values, of this file alone.
        lines: (section, key) → line from 1; the key is None for the section's own.
        headers: Profile → its section: ``[profile reader]`` in the one, ``[reader]`` in the other.
        mode: Its permissions. None: it is not there, or the system has none.
    """

    name: str
    profiles: Profiles = field(default_factory=dict)
    lines: Mapping[tuple[str, str | None], int] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    mode: int | None = None

    @property
    def sections(self) -> Mapping[str, set[str]]:
        """Section → its keys, whether or not it is a profile's."""
        found: dict[str, set[str]] = {}
        for section, key in self.lines:
            found.setdefault(section, set()).update([] if key is None else [key])
        return found

    def line(self, profile: str, key: str | None) -> int | None:
        """Return the line of a profile's *key*, or of its section, if it is known."""
        return self.lines.get((self.headers.get(profile, ""), key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Both files.

    Attributes:
        profiles: Profile → its values, as AWS's tools put the two files together.
    """

    config: File
    credentials: File
    profiles: Profiles

    @property
    def sso_sessions(self) -> Mapping[str, set[str]]:
        """Name of an ``[sso-session …]`` → its keys."""
        found = {}
        for section, keys in self.config.sections.items():
            kind, name = parted(section)
            if kind == "sso-session" and name:
                found[name] = keys
        return found

    def place(self, profile: str, *keys: str) -> tuple[str, int | None]:
        """Return the file and line of the first of *keys* that *profile* has, else its own."""
        for key in keys:
            # The credentials file goes before the other.
            for file in (self.credentials, self.config):
                if key in file.profiles.get(profile, {}):
                    return file.name, file.line(profile, key)
        first = self.config if profile in self.config.profiles else self.credentials
        return first.name, first.line(profile, None)


_SSO_ROLE = ("sso_role_name", "sso_account_id")


def kind_of(values: Mapping[str, Any]) -> str | None:
    """Return what makes a profile with *values* a role; None: it is none."""
    if "role_arn" in values:
        return "web-identity" if "web_identity_token_file" in values else "assume-role"
    return "sso" if all(key in values for key in _SSO_ROLE) else None


def account_of(values: Mapping[str, Any]) -> str | None:
    """Return the account of the role that a profile with *values* assumes, if it does."""
    try:
        return RoleArn.parse(values["role_arn"]).account_id
    except (KeyError, ValueError):
        return None


def parted(section: str) -> tuple[str, str]:
    """Return kind and name of a section: ``profile "my own"`` → profile, my own."""
    try:
        words = shlex.split(section)
    except ValueError:
        return section, ""
    return (words[0], words[1]) if len(words) == 2 else (section, "")


def read_files(environ: Mapping[str, str]) -> Files:
    """Return what the two files hold; one that is not there has nothing.

    Raises:
        ConfigError: one cannot be read, or is not in the form AWS's tools expect.
    """
    config = environ.get("AWS_CONFIG_FILE") or CONFIG_FILE
    credentials = environ.get("AWS_SHARED_CREDENTIALS_FILE") or CREDENTIALS_FILE
    profiles = read_profiles(environ)
    one = {**environ, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    other = {**environ, "AWS_CONFIG_FILE": os.devnull}
    return Files(
        config=_file(config, read_profiles(one), environ, bare=False),
        credentials=_file(credentials, read_profiles(other), environ, bare=True),
        profiles=profiles,
    )


def _file(name: str, profiles: Profiles, environ: Mapping[str, str], *, bare: bool) -> File:
    path = name
    if name.startswith("~/") and environ.get("HOME"):
        path = os.path.join(environ["HOME"], name[2:])
    path = os.path.expanduser(path)
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
            # /dev/null is open to all, and has nothing.
            found = os.fstat(file.fileno())
    except (OSError, UnicodeDecodeError):  # `read_profiles` has said what is to be said
        return File(name=name, profiles=profiles)
    plain = os.name == "posix" and stat.S_ISREG(found.st_mode)
    lines = lines_of(text)
    headers = {}
    for section, key in lines:
        kind, of = parted(section)
        if key is None:
            headers[section if bare or kind != "profile" else of] = section
    return File(
        name=name,
        profiles=profiles,
        lines=lines,
        headers=headers,
        mode=stat.S_IMODE(found.st_mode) if plain else None,
    )


def lines_of(text: str) -> dict[tuple[str, str | None], int]:
    """Return the line of each section and of each key in it, from 1."""
    found: dict[tuple[str, str | None], int] = {}
    section = None
    # As the parser splits it: not at every sign that Unicode takes for a line's end.
    for number, line in enumerate(text.split("\n"), 1):
        header = _SECTION.match(line.strip()) if not line[:1].isspace() else None
        if header:
            section = header[1]
            found.setdefault((section, None), number)
            continue
        # An indented line belongs to the value above it.
        key = None if line[:1].isspace() else _KEY.match(line)
        if section is not None and key:
            found.setdefault((section, key[1].strip().lower()), number)
    return found
