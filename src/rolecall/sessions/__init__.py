"""Sessions of boto3 and botocore that never expire."""

from __future__ import annotations

from ..chain import role as _role
from .assume import assume_role, assumed_role_session, refreshable_session
from .bind import open_chain
from .boto import RoleSession
from .credentials import Identity, RefreshingCredentials
from .patch import patch_boto3

# A chain is a value and imports nothing that acts; what opens it introduces itself.
_role.session_opener = open_chain

__all__ = [
    "Identity",
    "RefreshingCredentials",
    "RoleSession",
    "assume_role",
    "assumed_role_session",
    "open_chain",
    "patch_boto3",
    "refreshable_session",
]
