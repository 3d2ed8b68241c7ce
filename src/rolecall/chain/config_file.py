"""Reading ``~/.aws/config`` and ``~/.aws/credentials`` into profiles, as botocore does.

For chains that are made without a botocore session at hand, such as on a command line that shall
start fast. With one at hand its ``full_config`` is used instead.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from configparser import Error, RawConfigParser
from typing import Any

from ..errors import ConfigError

CONFIG_FILE = "~/.aws/config"
CREDENTIALS_FILE = "~/.aws/credentials"

_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]+)\})", re.ASCII)


def config_path(environ: Mapping[str, str]) -> str:
    """Return where the profiles are, as the user would write it."""
    return environ.get("AWS_CONFIG_FILE") or CONFIG_FILE


def read_profiles(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the profiles of both files by name; a file that is not there has none.

    Raises:
        ConfigError: a file cannot be read, or is not in the form AWS's tools expect.
    """
    profiles: dict[str, dict[str, Any]] = {}
    for section, values in _sections(config_path(environ), environ).items():
        name = _profile_name(section)
        if name is not None:
            profiles[name] = values
    credentials = environ.get("AWS_SHARED_CREDENTIALS_FILE") or CREDENTIALS_FILE
    for name, values in _sections(credentials, environ).items():
        profiles.setdefault(name, {}).update(values)
    return profiles


def _profile_name(section: str) -> str | None:
    if section == "default":
        return section
    if not section.startswith("profile"):
        return None  # [sso-session …], [services …], [plugins]
    try:
        words = shlex.split(section)  # [profile "with blanks"]
    except ValueError:
        return None
    return words[1] if len(words) == 2 else None


def _sections(path: str, environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    parser = RawConfigParser()
    broken: Exception | None = None
    try:
        with open(expanded_path(path, environ), encoding="utf-8") as file:
            parser.read_file(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror or type(error).__name__}",
            hint="check its permissions, or point AWS_CONFIG_FILE and "
            "AWS_SHARED_CREDENTIALS_FILE elsewhere",
        ) from error
    except (Error, UnicodeDecodeError) as error:
        broken = error
    if broken is not None:
        # Raised out here, so that the parser's own error, which quotes a line that may hold a key,
        # is not even the context of ours.
        raise ConfigError(
            f"{path}: is not a file of [sections] and name = value lines{_line(broken)} "
            f"({type(broken).__name__})",
            hint="mend or remove that line",
        )
    return {
        section: {name: _nested(value) for name, value in parser.items(section)}
        for section in parser.sections()
    }


def _line(error: Exception) -> str:
    lines = [number for number, _ in getattr(error, "errors", ())]
    number = getattr(error, "lineno", None) or (lines[0] if lines else None)
    return f" at line {number}" if number else ""


def _nested(value: str) -> Any:
    if not value.startswith("\n"):
        return value
    lines = (line.strip() for line in value.splitlines())
    pairs = (line.partition("=") for line in lines if line)
    return {name.strip(): text.strip() for name, _, text in pairs}


def expanded_path(path: str, environ: Mapping[str, str]) -> str:
    """Return *path* with its ``~`` and ``$VARIABLE`` filled in, as botocore does."""
    path = _VARIABLE.sub(lambda match: environ.get(match[1] or match[2], match[0]), path)
    home = environ.get("HOME")
    if home and path.startswith("~/"):
        return os.path.join(home, path[2:])
    return os.path.expanduser(path)
