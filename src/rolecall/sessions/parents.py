"""What a session that somebody gives is: the chain that leads to it, and whether it is a role's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.session import Session

from ..chain import Ambient, GivenSession, Profile, RoleChain
from ..sources.origin import SESSION_METHODS, from_its_profile, load_credentials
from ..sources.upstream import botocore_session
from .boto import RoleSession


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SignedFor(GivenSession):
    """A session that the program gave, and another one of the same principal that signs for it.

    Equal to the `GivenSession` that it is to whoever looks at a chain.
    """

    signer: Any

    def __repr__(self) -> str:
        return repr(GivenSession(self.session))


LAMBDA = "AWS_LAMBDA_FUNCTION_NAME"
TOKEN_FILE_VARIABLE = "AWS_WEB_IDENTITY_TOKEN_FILE"


def chain_of(session: Any) -> RoleChain:
    """Return the chain that leads to *session*."""
    if isinstance(session, RoleSession):
        return session.chain or RoleChain(GivenSession(session))
    inner = botocore_session(session)
    method = getattr(load_credentials(inner), "method", None)
    if not from_its_profile(inner):
        return RoleChain(GivenSession(session))
    named = inner.instance_variables().get("profile")
    if named is None and not _from_environment(method):
        named = inner.profile
    return RoleChain(Ambient() if named is None else Profile(named))


def is_role_session(session: Session, environ: Mapping[str, str]) -> bool:
    """Return whether *session* is of a role, so that assuming another one is role chaining."""
    method = getattr(load_credentials(session), "method", None)
    # Lambda hands its role's session over in the environment.
    return method in SESSION_METHODS or (method == "env" and bool(environ.get(LAMBDA)))


def _from_environment(method: str | None) -> bool:
    """Return whether botocore found credentials in the environment, AWS_PROFILE or not."""
    environ = os.environ  # noqa: TID251 - border
    token = method == "assume-role-with-web-identity" and environ.get(TOKEN_FILE_VARIABLE)
    return method == "env" or bool(token)
