"""What a chain opens, as type checkers see it: a chain imports nothing that opens sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import boto3
    from aiobotocore.session import AioSession as _AioSession

    from .role import RoleChain
else:
    _AioSession = object


class AioChainSession(_AioSession):
    """What `RoleChain.aio_session` gives: an `aiobotocore.session.AioSession`.

    Attributes:
        assume_role_parent_session: The session that assumes the role; None: a chain opened it.
        chain: Origin and roles.
    """

    assume_role_parent_session: Any

    if TYPE_CHECKING:

        @property
        def chain(self) -> RoleChain | None: ...

        def synchronous(self) -> boto3.Session: ...

        # What it is depends on the roles, and on what the chain starts from.
        async def get_credentials(self) -> Any: ...  # type: ignore[override]  # aiobotocore, too
