"""Sessions of boto3 and botocore that never expire."""

from __future__ import annotations

from typing import Any

from ..chain import RoleChain
from ..chain import role as _role
from . import boto as _boto
from .assume import assume_role, assumed_role_session, refreshable_session
from .bind import open_chain
from .boto import RoleSession
from .credentials import Identity, RefreshingCredentials
from .patch import patch_boto3
from .pickling import travelling
from .without import explained


def _open_aio_chain(chain: RoleChain, **keywords: Any) -> Any:
    with explained():
        from .aio import open_aio_chain  # asyncio and aiobotocore, which a program may do without
    return open_aio_chain(chain, **keywords)


# A chain is a value and imports nothing that acts; what opens it introduces itself. So does what
# packs a session, since unpacking one means opening it.
_role.session_opener = open_chain
_role.aio_session_opener = _open_aio_chain
_boto.packer = travelling

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
