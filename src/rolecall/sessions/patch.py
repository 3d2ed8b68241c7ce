"""Adding `assume_role` to boto3 itself."""

from __future__ import annotations

from typing import Any

import boto3

from .assume import assume_role
from .boto import RoleSession


def patch_boto3() -> None:
    """Add ``boto3.Session.assume_role(RoleArn, …)`` and ``boto3.assume_role(RoleArn, …)``.

    The latter uses boto3's default session. Doing it twice does no harm.
    """
    boto3.Session.assume_role = assume_role  # type: ignore[attr-defined]
    boto3.assume_role = _assume_role  # type: ignore[attr-defined]


def _assume_role(RoleArn: str, **keywords: Any) -> RoleSession:
    """Return `rolecall.assume_role` of boto3's default session."""
    return assume_role(None, RoleArn, **keywords)


_assume_role.__name__ = "assume_role"
