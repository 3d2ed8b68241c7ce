"""Who a session is, as far as can be told without a network call: for keys of shared caches."""

from __future__ import annotations

import base64
import getpass
import hashlib
import os
import platform
from collections.abc import Mapping
from typing import Any

from botocore.session import Session

from .origin import (
    PROFILE_METHODS,
    facts,
    from_its_profile,
    load_credentials,
    web_identity_values,
)
from .upstream import source_key_of
from .web_identity import subject_in


def account_of_key(access_key: str) -> str | None:
    """Return the account id that is encoded in an AWS access key id; None: it holds none.

    Keys issued since 2019 carry their account in 40 bits of the base 32 that follows the prefix.
    Good enough to notice another account; never used to grant anything.
    """
    if len(access_key) != 20 or access_key[:4] not in ("AKIA", "ASIA"):
        return None
    try:
        head = base64.b32decode(access_key[4:])[:6]
    except ValueError:
        return None
    number = (int.from_bytes(head, "big") & 0x7FFF_FFFF_FF80) >> 7
    return f"{number:012d}" if number < 10**12 else None


def identity(session: Session) -> str:
    """Return who *session* is as far as can be told without a network call, for cache keys.

    Differs between two principals, and between two keys of one.
    """
    credentials = load_credentials(session)
    chain = getattr(credentials, "identity", None)
    if chain is not None:
        return str(chain)
    known = facts(session)
    if known.access_key:
        return f"key:{known.access_key}"
    own = from_its_profile(session)
    if own and known.method == "assume-role-with-web-identity":
        values = web_identity_values(session)
        file = values.get("web_identity_token_file")
        if file:
            # The same for all who are given tokens of one party, such as the pods of one service
            # account, whichever machine they are on.
            digest = hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()
            return f"web-identity:{subject_in(file)}:{digest}"
    lineage = _lineage(session) if own else []
    if lineage:
        lineage.append(source_key_of(credentials))
    if known.method == "custom-process" and lineage:
        # By the environment it may print another account's; it has run by now.
        frozen = credentials.get_frozen_credentials()
        lineage.append(getattr(frozen, "account_id", None) or account_of_key(frozen.access_key))
    if known.method in PROFILE_METHODS and lineage:
        digest = hashlib.sha256(repr(lineage).encode()).hexdigest()
        return f"profile:{session.profile}:{known.method}:{digest}"
    # A refreshing source that says nothing of itself, such as an instance role: its current key.
    frozen = credentials.get_frozen_credentials()
    return f"key:{frozen.access_key}"


#: What of a profile says whose credentials it gives.
_TELLING = (
    "role_arn", "source_profile", "credential_source", "credential_process", "aws_access_key_id",
    "sso_session", "sso_account_id", "sso_role_name", "sso_start_url", "web_identity_token_file",
    "external_id", "role_session_name", "login_session",
)  # fmt: skip


def _lineage(session: Session) -> list[Any]:
    """Return what tells who *session*'s profile is: its values, and its sources' down to keys."""
    config = session.full_config
    profiles: Mapping[str, Any] = config.get("profiles", {})
    name = session.profile or "default"
    found: list[Any] = []
    seen: set[str] = set()
    keyed = False
    while name in profiles and name not in seen:
        seen.add(name)
        values = profiles[name]
        telling = [(key, str(values[key])) for key in _TELLING if key in values]
        if telling:
            found.append((name, telling))
        if values.get("credential_source") == "Environment":
            found.append(os.environ.get("AWS_ACCESS_KEY_ID"))  # noqa: TID251 - border
        elif values.get("credential_source"):
            found.append([os.environ.get(name) for name in _SERVERS])  # noqa: TID251 - border
        if values.get("web_identity_token_file"):
            found.append(subject_in(str(values["web_identity_token_file"])))
            keyed = True
        sso = config.get("sso_sessions", {}).get(values.get("sso_session"))
        if sso:
            found.append(sorted((key, str(value)) for key, value in sso.items()))
        keyed = keyed or _says_who(values)
        name = values.get("source_profile", "")
    # Whose they are at the end, a start page, a program or an instance decides: another one for
    # another user, and on another machine.
    return found if keyed or not found else [*found, _here()]


#: Which server a container's or an instance's credentials come from, where it is not the usual one.
_SERVERS = (
    "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_EC2_METADATA_SERVICE_ENDPOINT",
)  # fmt: skip

#: With any of these in a profile, botocore looks at its keys later, or not at all.
_BEFORE_KEYS = frozenset(
    {
        "credential_process", "credential_source", "login_session", "source_profile", "sso_session",
        "sso_start_url", "web_identity_token_file",
    }
)  # fmt: skip


def _says_who(values: Mapping[str, Any]) -> bool:
    """Return whether a profile's values alone tell whose credentials it gives, anywhere."""
    if values.get("credential_source") == "Environment":
        return bool(os.environ.get("AWS_ACCESS_KEY_ID"))  # noqa: TID251 - border
    return "aws_access_key_id" in values and not _BEFORE_KEYS & values.keys()


def _here() -> str:
    """Return what tells this user of this machine from all others."""
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            machine = file.read().strip()
    except (OSError, ValueError):
        machine = ""
    if not machine and os.path.exists("/proc/self/ns/mnt"):
        machine = os.readlink("/proc/self/ns/mnt")  # a container: others may have its name
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    home = os.path.expanduser("~")  # where sign-ins are kept
    return f"{user} of {home} on {platform.node()} {machine}"


def fingerprint(session: Session) -> str | None:
    """Return something that stays the same for one account, whatever its current key.

    The account id where the key tells it, else a digest of a long-term key. None: not known.
    """
    credentials = load_credentials(session)
    if getattr(credentials, "identity", None) is not None:
        return None  # a session of ours is known by its chain
    if getattr(credentials, "method", None) == "assume-role-with-web-identity":
        return f"role:{web_identity_values(session).get('role_arn')}"  # as a chain of ours says
    role = str(session.get_scoped_config().get("role_arn") or "").split(":")
    if getattr(credentials, "method", None) == "assume-role" and len(role) > 5:
        return f"account:{role[4]}"  # without a call; and unpickled, the profile is a chain of ours
    try:
        frozen = credentials.get_frozen_credentials()
    except Exception:  # whoever cannot fetch cannot be compared; the first use will say why
        return None
    key = frozen.access_key
    account = getattr(frozen, "account_id", None) or account_of_key(key)
    if account is not None:
        return f"account:{account}"
    return "key:" + hashlib.sha256(key.encode()).hexdigest()[:16]
