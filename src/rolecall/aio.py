"""Role sessions for asyncio programs: those of aiobotocore, aioboto3 and s3fs.

Needs the extra ``aio``: ``pip install 'rolecall[aio]'``.
"""

from __future__ import annotations

from .sessions.without import explained

with explained():
    from .sessions.aio import (
        AioRefreshingCredentials,
        AioRoleSession,
        assume_role,
        refreshable_session,
    )

__all__ = ["AioRefreshingCredentials", "AioRoleSession", "assume_role", "refreshable_session"]
