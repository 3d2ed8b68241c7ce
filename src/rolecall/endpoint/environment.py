"""The environment of a child process that is to be a role, and nothing but that role."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..chain.config_file import expanded_path, read_profiles
from ..errors import ConfigError
from . import shadows
from .private_files import write

#: What would give a child other credentials, or say something wrong of those it has.
REMOVED = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_CREDENTIALS_EXPIRATION",
    "AWS_SESSION_EXPIRATION",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_CREDENTIAL_FILE",
    "AWS_ACCOUNT_ID",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    # Older spellings, which boto 2, Ruby's SDK and some tools still read.
    "AWS_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AMAZON_ACCESS_KEY_ID",
    "AMAZON_SECRET_ACCESS_KEY",
    "AMAZON_SESSION_TOKEN",
)
#: One for each service, such as AWS_BEARER_TOKEN_BEDROCK, which wins over any role there.
REMOVED_PREFIX = "AWS_BEARER_TOKEN_"

#: What decides whose credentials a role is assumed with.
OF_SOURCE = (*REMOVED, shadows.CONFIG, shadows.CREDENTIALS, shadows.BOTO)

_PATHS = frozenset(
    {
        shadows.CONFIG,
        shadows.CREDENTIALS,
        shadows.BOTO,
        "AWS_CREDENTIAL_FILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    }
)

#: Says inside a child that it is one, and of which role.
MARKER = "ROLECALL"

_COPIES = {shadows.CONFIG: "config", shadows.CREDENTIALS: "credentials", shadows.BOTO: "boto"}

_NO_PROXY = ("NO_PROXY", "no_proxy")
_LOOPBACK = "127.0.0.1"


def child_environment(
    environ: Mapping[str, str],
    *,
    name: str,
    variables: Mapping[str, str],
    region: str | None = None,
) -> dict[str, str]:
    """Return *environ* for a child that is the role *name*.

    Args:
        variables: What gives it the role's credentials.
        region: None: whichever the parent has, in both of its spellings.
    """
    child = {
        key: value
        for key, value in environ.items()
        if key not in REMOVED and not key.startswith(REMOVED_PREFIX)
    }
    region = region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if region:
        child["AWS_REGION"] = child["AWS_DEFAULT_REGION"] = region
    listed = [part for key in _NO_PROXY for part in environ.get(key, "").split(",")]
    # In the order they stand; both names have the same, for programs differ in which they read.
    hosts = dict.fromkeys([*filter(None, map(str.strip, listed)), _LOOPBACK])
    # A star means all only where it stands alone.
    child.update(dict.fromkeys(_NO_PROXY, "*" if "*" in hosts else ",".join(hosts)))
    child[MARKER] = name
    # Or Go's older SDK does not read ~/.aws/config, where a credential_process may be.
    child["AWS_SDK_LOAD_CONFIG"] = "1"
    child.update(variables)
    return child


def absolute(name: str, environ: Mapping[str, str]) -> str:
    """Return the variable *name* as it is meant in any directory."""
    value = environ[name]
    if name not in _PATHS or not value:
        return value
    return os.path.abspath(expanded_path(value, environ))


def unshadowed(
    child: Mapping[str, str], folder: Path, *, process: str | None = None
) -> dict[str, str]:
    """Return *child* with files in which no default profile has credentials of its own.

    SDKs take the default profile's before those of an endpoint, some before those of the
    environment, without a word. A file that has none is left where it is; of one that has, the
    child gets a copy without them in *folder*.

    Args:
        process: A command line that becomes the default profile's ``credential_process``.

    Raises:
        ConfigError: a file cannot be read, or the copies would not do.
    """
    found = dict(child)
    for variable, text in shadows.texts(child).items():
        clean = shadows.without_credentials(text, variable)
        if variable == shadows.CONFIG and process is not None:
            clean = shadows.with_default_process(clean, process)
        if clean != text:
            copy = folder / _COPIES[variable]
            write(copy, clean)
            found[variable] = str(copy)
    left = shadows.shadowing(found)
    # Once more, as botocore itself reads them; what it cannot read, it does not use.
    default: Mapping[str, Any] = {} if process is None else {shadows.PROCESS: process}
    with contextlib.suppress(ConfigError):
        default = read_profiles(found).get("default", {})
    left += [f"the default profile: {key}" for key in default if key in shadows.CREDENTIAL_KEYS]
    if process is not None and default.get(shadows.PROCESS) == process:
        left = [one for one in left if not one.endswith(f" {shadows.PROCESS}")]
    if left:
        raise ConfigError(
            f"the child would not be the role, because of {', '.join(left)}",
            hint="remove that from the default profile",
        )
    return found
