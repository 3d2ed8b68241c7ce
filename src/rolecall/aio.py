"""Role sessions for asyncio programs: those of aiobotocore, aioboto3 and s3fs.

Needs the extra ``aio``: ``pip install 'rolecall[aio]'``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .chain.opened import AioChainSession
from .sessions.without import explained

with explained():
    from .sessions.aio import (
        AioRefreshingCredentials,
        AioRoleSession,
        assume_role,
        refreshable_session,
    )

if TYPE_CHECKING:
    from .sessions.aio.of_aioboto3 import AioBoto3RoleSession as AioBoto3RoleSession

__all__ = [
    "AioChainSession",
    "AioRefreshingCredentials",
    "AioRoleSession",
    "assume_role",
    "refreshable_session",
]


def __getattr__(name: str) -> Any:
    if name != "AioBoto3RoleSession":  # of aioboto3, which not everybody has
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .sessions.aio.of_aioboto3 import AioBoto3RoleSession

    return AioBoto3RoleSession
