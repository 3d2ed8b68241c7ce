"""AWS role sessions that never expire: assumed, chained, refreshed and shared.

Importing this package loads neither botocore nor asyncio: names are looked up when they are used.
Nor does it load anything of the standard library that Python has not loaded by itself: the command
line starts with it (`rolecall.cli.warm`).
"""

from ._version import __version__ as __version__

TYPE_CHECKING = False  # what type checkers know as true, without importing typing

if TYPE_CHECKING:
    from typing import Any

    from . import console as console
    from . import endpoint as endpoint
    from . import fleet as fleet
    from .chain import AUTOMATIC_ROLE_SESSION_NAME as AUTOMATIC_ROLE_SESSION_NAME
    from .chain import Ambient as Ambient
    from .chain import CredentialSource as CredentialSource
    from .chain import GivenSession as GivenSession
    from .chain import Profile as Profile
    from .chain import Role as Role
    from .chain import RoleArn as RoleArn
    from .chain import RoleChain as RoleChain
    from .chain import SessionToken as SessionToken
    from .chain import TrustPolicy as TrustPolicy
    from .chain import WebIdentity as WebIdentity
    from .chain import generate_lambda_session_name as generate_lambda_session_name
    from .chain import get_assumed_role_session_arn as get_assumed_role_session_arn
    from .chain import get_role_arn as get_role_arn
    from .chain import session_name as session_name
    from .chain import trust_policy as trust_policy
    from .credentials import AsyncSource as AsyncSource
    from .credentials import Credentials as Credentials
    from .credentials import Source as Source
    from .errors import AccessDenied as AccessDenied
    from .errors import ConfigError as ConfigError
    from .errors import CredentialsExpired as CredentialsExpired
    from .errors import FetchError as FetchError
    from .errors import InvalidChain as InvalidChain
    from .errors import MFARequired as MFARequired
    from .errors import Problem as Problem
    from .errors import RolecallError as RolecallError
    from .errors import StoreError as StoreError
    from .errors import Throttled as Throttled
    from .errors import Unreachable as Unreachable
    from .fleet import fan_out as fan_out
    from .refresh import Event as Event
    from .refresh import RefreshPolicy as RefreshPolicy
    from .sessions import Identity as Identity
    from .sessions import RefreshingCredentials as RefreshingCredentials
    from .sessions import RoleSession as RoleSession
    from .sessions import assume_role as assume_role
    from .sessions import assumed_role_session as assumed_role_session
    from .sessions import patch_boto3 as patch_boto3
    from .sessions import refreshable_session as refreshable_session
    from .stores import AwsCliStore as AwsCliStore
    from .stores import FileStore as FileStore
    from .stores import JSONFileCache as JSONFileCache
    from .stores import KeyringStore as KeyringStore
    from .stores import MemoryStore as MemoryStore
    from .stores import RedisStore as RedisStore
    from .stores import Store as Store
    from .stores import open_store as open_store

#: Where each public name lives.
_HOMES = {
    "AUTOMATIC_ROLE_SESSION_NAME": "chain",
    "AccessDenied": "errors",
    "Ambient": "chain",
    "AsyncSource": "credentials",
    "AwsCliStore": "stores",
    "ConfigError": "errors",
    "CredentialSource": "chain",
    "Credentials": "credentials",
    "CredentialsExpired": "errors",
    "Event": "refresh",
    "FetchError": "errors",
    "FileStore": "stores",
    "GivenSession": "chain",
    "Identity": "sessions",
    "InvalidChain": "errors",
    "JSONFileCache": "stores",
    "KeyringStore": "stores",
    "MFARequired": "errors",
    "MemoryStore": "stores",
    "Problem": "errors",
    "Profile": "chain",
    "RedisStore": "stores",
    "RefreshPolicy": "refresh",
    "RefreshingCredentials": "sessions",
    "Role": "chain",
    "RoleArn": "chain",
    "RoleChain": "chain",
    "RoleSession": "sessions",
    "RolecallError": "errors",
    "SessionToken": "chain",
    "Source": "credentials",
    "Store": "stores",
    "StoreError": "errors",
    "Throttled": "errors",
    "TrustPolicy": "chain",
    "Unreachable": "errors",
    "WebIdentity": "chain",
    "assume_role": "sessions",
    "assumed_role_session": "sessions",
    "fan_out": "fleet",
    "generate_lambda_session_name": "chain",
    "get_assumed_role_session_arn": "chain",
    "get_role_arn": "chain",
    "open_store": "stores",
    "patch_boto3": "sessions",
    "refreshable_session": "sessions",
    "session_name": "chain",
    "trust_policy": "chain",
}

__all__ = [
    "AUTOMATIC_ROLE_SESSION_NAME",
    "AccessDenied",
    "Ambient",
    "AsyncSource",
    "AwsCliStore",
    "ConfigError",
    "CredentialSource",
    "Credentials",
    "CredentialsExpired",
    "Event",
    "FetchError",
    "FileStore",
    "GivenSession",
    "Identity",
    "InvalidChain",
    "JSONFileCache",
    "KeyringStore",
    "MFARequired",
    "MemoryStore",
    "Problem",
    "Profile",
    "RedisStore",
    "RefreshPolicy",
    "RefreshingCredentials",
    "Role",
    "RoleArn",
    "RoleChain",
    "RoleSession",
    "RolecallError",
    "SessionToken",
    "Source",
    "Store",
    "StoreError",
    "Throttled",
    "TrustPolicy",
    "Unreachable",
    "WebIdentity",
    "__version__",
    "assume_role",
    "assumed_role_session",
    "fan_out",
    "generate_lambda_session_name",
    "get_assumed_role_session_arn",
    "get_role_arn",
    "open_store",
    "patch_boto3",
    "refreshable_session",
    "session_name",
    "trust_policy",
]


#: Modules that are loaded when they are first named.
_MODULES = ("aio", "console", "endpoint", "fleet")


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "RoleChain":
        # A chain opens sessions; the layer that can do that introduces itself to it.
        import_module(f"{__name__}.sessions")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> "list[str]":
    return sorted(__all__)
