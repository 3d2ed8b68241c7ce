"""Profiles and environments that tests of identities write, and who a session turns out to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rolecall.testing import StrictCloud

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def write(home: Path, config: str = "", credentials: str = "") -> None:
    """Write both of AWS's files below *home*."""
    (home / ".aws").mkdir(exist_ok=True)
    (home / ".aws" / "config").write_text(config)
    (home / ".aws" / "credentials").write_text(credentials)


def keys_of(cloud: StrictCloud, user: str, account: str = "123456789012") -> str:
    """Return the lines of a profile that is *user*."""
    held = cloud.credentials(user=user, account=account)
    return f"aws_access_key_id = {held.access_key}\naws_secret_access_key = {held.secret_key}\n"


def become(
    monkeypatch: pytest.MonkeyPatch,
    cloud: StrictCloud,
    user: str | None,
    account: str = "123456789012",
) -> None:
    """Let the environment be of *user* in *cloud*; None: of the cloud alone, without keys."""
    for name, value in cloud.environ(user=user or "nobody", account=account).items():
        if user is None and name in KEYS:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


def arn_of(session: Any) -> str:
    """Return who *session* is, as STS sees it."""
    return str(session.client("sts").get_caller_identity()["Arn"])
