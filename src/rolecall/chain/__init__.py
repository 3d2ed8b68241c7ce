"""Role chains as values: no I/O, no secrets."""

from __future__ import annotations

from .arn import RoleArn, get_assumed_role_session_arn, get_role_arn, partition_of_region
from .naming import (
    AUTOMATIC_ROLE_SESSION_NAME,
    clean,
    generate_lambda_session_name,
    session_name,
)
from .origin import (
    Ambient,
    CredentialSource,
    GivenSession,
    Origin,
    Profile,
    SessionToken,
    WebIdentity,
)
from .profiles import chain_of_profile
from .role import Role, RoleChain
from .runtime import Runtime, detect
from .trust import TrustPolicy, trust_policy
from .validate import problems, role_problems

__all__ = [
    "AUTOMATIC_ROLE_SESSION_NAME",
    "Ambient",
    "CredentialSource",
    "GivenSession",
    "Origin",
    "Profile",
    "Role",
    "RoleArn",
    "RoleChain",
    "Runtime",
    "SessionToken",
    "TrustPolicy",
    "WebIdentity",
    "chain_of_profile",
    "clean",
    "detect",
    "generate_lambda_session_name",
    "get_assumed_role_session_arn",
    "get_role_arn",
    "partition_of_region",
    "problems",
    "role_problems",
    "session_name",
    "trust_policy",
]
