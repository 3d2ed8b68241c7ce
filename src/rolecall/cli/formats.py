"""Keys as shells, files and tools take them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timezone
from typing import Any

from ..credentials import Credentials
from ..sessions.handing import local_expiry

#: What the SDKs parse: UTC, whole seconds.
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

#: Characters that no format has to quote, which is all that AWS's keys and tokens are made of.
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+=,-]+")


def as_json(credentials: Credentials) -> str:
    """Return what a credential_process prints. [AWS SDKs, process credential provider]

    Raises:
        ConfigError: they are long-term keys.
    """
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


def variables_of(credentials: Credentials) -> dict[str, str]:
    """Return the variables that all AWS SDKs read keys from. Secret.

    Raises:
        ConfigError: they are long-term keys.
    """
    return {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_SESSION_TOKEN": credentials.token or "",
        # botocore's and the AWS CLI's name; AWS_CREDENTIALS_EXPIRATION is nobody's.
        "AWS_CREDENTIAL_EXPIRATION": expiration(credentials),
    }


def _posix(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else "'" + value.replace("'", "'\\''") + "'"


def _env(values: Mapping[str, str]) -> str:
    return "".join(f"export {name}={_posix(value)}\n" for name, value in values.items())


def _env_no_export(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={_posix(value)}\n" for name, value in values.items())


def _fish(values: Mapping[str, str]) -> str:
    def quoted(value: str) -> str:
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

    return "".join(f"set -gx {name} {quoted(value)}\n" for name, value in values.items())


def _powershell(values: Mapping[str, str]) -> str:
    def quoted(value: str) -> str:
        return "'" + value.replace("'", "''") + "'"

    return "".join(f"$Env:{name} = {quoted(value)}\n" for name, value in values.items())


def _cmd(values: Mapping[str, str]) -> str:
    # In quotes & | < > ^ mean nothing; a % is doubled, as in a batch file.
    return "".join(f'set "{name}={_no_percent(value)}"\n' for name, value in values.items())


def _no_percent(value: str) -> str:
    return value.replace("%", "%%")


def _dotenv(values: Mapping[str, str]) -> str:
    def quoted(value: str) -> str:
        if _PLAIN.fullmatch(value):
            return value
        return '"' + re.sub(r'(["\\$`])', r"\\\1", value).replace("\n", "\\n") + '"'

    return "".join(f"{name}={quoted(value)}\n" for name, value in values.items())


#: Format → how it takes a variable back.
_UNSET: Mapping[str, str] = {
    "env": "unset {}\n",
    "fish": "set -e {}\n",
    "powershell": "Remove-Item Env:{} -ErrorAction SilentlyContinue\n",
    "cmd": 'set "{}="\n',
}


def taken_back(format: str, names: Iterable[str]) -> str:
    """Return what takes variables *names* back, in a format that a shell runs; else nothing."""
    line = _UNSET.get(format)
    found = sorted(names)
    if line is None or not found:
        return ""
    if format == "env":
        return line.format(" ".join(found))
    return "".join(line.format(name) for name in found)


#: Format → how it writes variables.
SHELLS: Mapping[str, Callable[[Mapping[str, str]], str]] = {
    "env": _env,
    "env-no-export": _env_no_export,
    "fish": _fish,
    "powershell": _powershell,
    "cmd": _cmd,
    "dotenv": _dotenv,
}

FORMATS = ("env", "env-no-export", "fish", "powershell", "cmd", "json", "ini", "dotenv")


def written(format: str, credentials: Credentials, region: str | None, profile: str) -> str:
    """Return *credentials* in one of `FORMATS`.

    Args:
        region: Of the role, if it has one.
        profile: The section's name, for ``ini``.
    """
    if format == "json":
        return as_json(credentials)
    if format == "ini":
        return _ini(credentials, region, profile)
    values = variables_of(credentials)
    if region:
        values |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    return SHELLS[format](values)


def _ini(credentials: Credentials, region: str | None, profile: str) -> str:
    values = {
        "aws_access_key_id": credentials.access_key,
        "aws_secret_access_key": credentials.secret_key,
        "aws_session_token": credentials.token or "",
        # As the AWS CLI's tools note it; rolecall itself reads it, too.
        "aws_expiration": expiration(credentials),
    }
    if region:
        values["region"] = region
    lines = "".join(f"{name} = {value}\n" for name, value in values.items())
    return f"[{profile}]\n{lines}"


def variables_as(format: str, values: Mapping[str, str]) -> str:
    """Return *values* as one of the shells' formats, or as ``json``."""
    return json.dumps(dict(values)) + "\n" if format == "json" else SHELLS[format](values)
