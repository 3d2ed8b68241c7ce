"""What a default profile has that would win over the credentials a child is given.

The files are changed as text, line by line, so that all else in them stays as it is written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from ..chain.config_file import CONFIG_FILE, CREDENTIALS_FILE
from ..errors import ConfigError
from ..stores.locks import expanded

CONFIG = "AWS_CONFIG_FILE"
CREDENTIALS = "AWS_SHARED_CREDENTIALS_FILE"
_USUAL = {CONFIG: CONFIG_FILE, CREDENTIALS: CREDENTIALS_FILE}

PROCESS = "credential_process"

#: Keys of a profile that lead to credentials, or say how.
CREDENTIAL_KEYS = frozenset(
    {
        "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_security_token",
        "aws_account_id", "aws_credential_expiration", "aws_expiration", "aws_session_expiration",
        "credential_process", "credential_source", "source_profile", "role_arn",
        "role_session_name", "external_id", "mfa_serial", "duration_seconds",
        "web_identity_token_file", "sso_session", "sso_account_id", "sso_role_name", "sso_region",
        "sso_start_url", "sso_registration_scopes", "login_session", "source_identity",
    }
)  # fmt: skip

# SDKs differ in how much white space they bear, and in whether [profile default] is [default].
_SECTION = re.compile(r"\s*\[\s*(?P<name>[^\]]*?)\s*\]")
_DEFAULT = re.compile(r"(?:profile\s+)?(?P<quote>[\"']?)default(?P=quote)")
_KEY = re.compile(r"(?P<key>[^\s#;=:\[][^=:]*?)\s*[=:]")


def texts(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what AWS's two files hold, by the variable that names each; "" if it is not there.

    Raises:
        ConfigError: a file cannot be read.
    """
    found = {}
    for variable, usual in _USUAL.items():
        path = environ.get(variable) or usual
        try:
            with open(
                expanded(path, environ), encoding="utf-8", errors="surrogateescape", newline=""
            ) as file:
                found[variable] = file.read()
        except (FileNotFoundError, NotADirectoryError):
            found[variable] = ""
        except OSError as error:
            if path == os.devnull:
                found[variable] = ""
                continue
            raise ConfigError(
                f"{path}: cannot be read: {error.strerror or type(error).__name__}",
                hint=f"check its permissions, or let {variable} name another file",
            ) from error
    return found


def without_default_credentials(text: str, *, config: bool) -> str:
    """Return *text* of a file without what its default profile would take credentials from.

    Args:
        config: Whether it is ``~/.aws/config``, where ``[profile default]`` is another spelling.
    """
    return "".join(line for line, key in _lines(text, config) if key not in CREDENTIAL_KEYS)


def with_default_process(text: str, command: str) -> str:
    """Return *text* of ``~/.aws/config`` with *command* as the default profile's process."""
    line = f"{PROCESS} = {command}\n"
    kept: list[str] = []
    for one in text.splitlines(keepends=True):
        kept.append(one if one.endswith("\n") else one + "\n")
        section = _SECTION.match(one)
        if line and section and _DEFAULT.fullmatch(section["name"]):
            kept.append(line)
            line = ""
    return "".join(kept) + (f"[default]\n{line}" if line else "")


def shadowing(environ: Mapping[str, str]) -> list[str]:
    """Return what a child with *environ* has in its default profile: ``FILE line N: KEY`` each."""
    found = []
    for variable, text in texts(environ).items():
        path = environ.get(variable) or _USUAL[variable]
        for number, (_, key) in enumerate(_lines(text, variable == CONFIG), 1):
            if key in CREDENTIAL_KEYS:
                found.append(f"{path} line {number}: {key}")
    return found


def _lines(text: str, config: bool) -> Iterator[tuple[str, str]]:
    """Yield each line with the key of the default profile that it belongs to, or ""."""
    inside = False
    key = ""
    for line in text.splitlines(keepends=True):
        section = _SECTION.match(line)
        if section:
            name = section["name"]
            inside = name == "default" or (config and bool(_DEFAULT.fullmatch(name)))
            key = ""
        elif inside and not line[:1].isspace():
            match = _KEY.match(line)
            key = match["key"].strip().lower() if match else ""
        # A line that begins with white space goes on with the key above it, or is empty.
        yield line, key if line.strip() else ""
