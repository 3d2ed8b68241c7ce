"""aioboto3's face of an asynchronous session."""

from __future__ import annotations

from typing import Any

import aioboto3
import boto3

from ...chain import RoleChain
from ..boto import as_short_a_path
from .credentials import AioRefreshingCredentials
from .session import AioRoleSession


class AioBoto3RoleSession(aioboto3.Session):
    """An `aioboto3.Session` that acts as a role and never expires."""

    def __init__(self, inner: AioRoleSession) -> None:
        with as_short_a_path(inner.get_component("data_loader")):
            super().__init__(botocore_session=inner)
        self._role_session = inner

    @property
    def assume_role_parent_session(self) -> Any:
        """The session that assumes the role."""
        return self._role_session.assume_role_parent_session

    @assume_role_parent_session.setter
    def assume_role_parent_session(self, parent: Any) -> None:
        self._role_session.assume_role_parent_session = parent

    async def get_credentials(self) -> AioRefreshingCredentials:  # type: ignore[override]
        """Return the session's one credentials object; aioboto3's are awaited, too."""
        return await self._role_session.get_credentials()

    def synchronous(self) -> boto3.Session:
        """Return the boto3 session with the same credentials; blocks until it is open."""
        return self._role_session.synchronous()

    @property
    def chain(self) -> RoleChain | None:
        """Origin and roles, as far as they are known."""
        return self._role_session.chain

    def __reduce__(self) -> tuple[Any, ...]:
        return AioBoto3RoleSession, (self._role_session,)

    def __deepcopy__(self, memo: dict[int, Any]) -> AioBoto3RoleSession:
        return self

    def __copy__(self) -> AioBoto3RoleSession:
        return self
