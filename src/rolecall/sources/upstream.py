"""Every private name of botocore and boto3 that rolecall leans on, in one place.

``tests/test_upstream.py`` fails as soon as one of them moves.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import boto3
from botocore.credentials import RefreshableCredentials
from botocore.session import Session

from ..errors import ConfigError

#: module, class or None, private name, why there is no public way.
PRIVATE_NAMES = (
    ("boto3.session", "Session", "_session", "boto3 has no accessor for its botocore session"),
    ("boto3", None, "_get_default_session", "boto3.assume_role() is to use the default session"),
    (
        "botocore.credentials",
        "RefreshableCredentials",
        "_expiry_time",
        "programs read and tests set it; overridden by a property. When other sessions' expire",
    ),
    (
        "botocore.credentials",
        "RefreshableCredentials",
        "_seconds_remaining",
        "programs call it; overridden",
    ),
    ("botocore.credentials", "RefreshableCredentials", "_is_expired", "programs call it"),
    (
        "botocore.credentials",
        "RefreshableCredentials",
        "_refresh",
        "botocore's properties and programs call it; overridden",
    ),
    (
        "botocore.credentials",
        "RefreshableCredentials",
        "_refresh_using",
        "whether a profile's provider made them, or somebody put them in under its name",
    ),
    ("botocore.credentials", None, "self._refresh = ", "the same, where MFA is asked for"),
    ("botocore.credentials", "AssumeRoleProvider", "_client_creator", "the same"),
    ("botocore.credentials", "AssumeRoleCredentialFetcher", "client_creator", "the same"),
    ("botocore.credentials", "SSOCredentialFetcher", "_client_creator", "the same"),
    (
        "botocore.credentials",
        "AssumeRoleProvider",
        "_profile_name",
        "which profile they were made of, whatever AWS_PROFILE says by now",
    ),
    (
        "botocore.credentials",
        "AssumeRoleCredentialFetcher",
        "_source_credentials",
        "who really assumes a profile's role, whatever the environment says by now",
    ),
    (
        "botocore.credentials",
        "BaseAssumeRoleCredentialFetcher",
        "_role_arn",
        "which role a web identity assumes, whatever the environment says by now",
    ),
    (
        "botocore.credentials",
        "AssumeRoleWithWebIdentityCredentialFetcher",
        "_web_identity_token_loader",
        "the same, of its token",
    ),
    ("botocore.utils", "FileWebIdentityTokenLoader", "_web_identity_token_path", "the same"),
    (
        "botocore.httpchecksum",
        "AwsChunkedWrapper",
        "_raw",
        "whether what an upload streams can be rewound",
    ),
    (
        "botocore.credentials",
        "RefreshableCredentials",
        "_advisory_refresh_timeout",
        "programs read it; set to what the windows are",
    ),
    (
        "botocore.credentials",
        "RefreshableCredentials",
        "_mandatory_refresh_timeout",
        "programs read it; set to what the windows are",
    ),
)

#: The same of aiobotocore and aioboto3; ``tests/aio/test_aio_upstream.py`` watches them.
PRIVATE_AIO_NAMES = (
    (
        "aiobotocore.session",
        "AioSession",
        "_credentials",
        "whether a session was given others; asking would have to be awaited",
    ),
    (
        "aiobotocore.credentials",
        "AioRefreshableCredentials",
        "_refresh",
        "programs call it; overridden",
    ),
    (
        "aiobotocore.credentials",
        None,
        "_refresh_using",
        "whether a profile's provider made them, or somebody put them in under its name",
    ),
    ("aiobotocore.credentials", None, "_client_creator", "the same"),
    ("aioboto3.session", "Session", "_session", "as boto3's"),
)


def botocore_session(session: Any) -> Session:
    """Return the botocore session of a boto3 or botocore *session*; None: of boto3's default one.

    Raises:
        TypeError: it is neither.
    """
    if session is None:
        session = boto3._get_default_session()
    if isinstance(session, Session):
        return session
    if isinstance(session, boto3.Session):
        inner: Session = session._session
        return inner
    raise TypeError(
        f"session must be a boto3 or botocore Session or None, got {type(session).__name__}"
    )


def default_session() -> boto3.Session:
    """Return boto3's default session, made if there is none yet."""
    session: boto3.Session = boto3._get_default_session()
    return session


def credentials_of(session: Any, unknown: Any) -> Any:
    """Return the credentials object that an asynchronous *session* has; None: none yet."""
    return getattr(session, "_credentials", unknown)


def is_asynchronous(session: Any) -> bool:
    """Return whether *session* is of aiobotocore or aioboto3, or a boto3 session around one."""
    inner = session._session if isinstance(session, boto3.Session) else session
    return any(
        kind.__module__.partition(".")[0] in ("aiobotocore", "aioboto3")
        for one in (session, inner)
        for kind in type(one).__mro__
    )


def refuse_unless_session(session: Any) -> None:
    """Raise ConfigError for an asynchronous session, TypeError for anything else that is none."""
    if is_asynchronous(session):
        raise ConfigError(
            f"{type(session).__module__}.{type(session).__name__} is asynchronous",
            hint="use rolecall.aio for it, or a boto3 or botocore session here",
        )
    if session is not None:
        botocore_session(session)


def made_by(provider: Any, credentials: Any) -> bool:
    """Return whether *provider* made *credentials*; False where that cannot be told.

    A widely copied recipe puts botocore's own fetcher into a session by hand, with the client of
    whoever it likes: by their type and method they are the profile's.
    """
    refresh = _refresh_of(credentials)
    if any(cell.cell_contents is provider for cell in getattr(refresh, "__closure__", None) or ()):
        return True  # a credential_process's
    maker = getattr(refresh, "__self__", None)
    creator = getattr(provider, "_client_creator", None)
    return creator is not None and getattr(maker, "_client_creator", None) is creator


def _refresh_of(credentials: Any) -> Any:
    refresh = getattr(credentials, "_refresh_using", None)
    return getattr(refresh, "_refresh", refresh)  # inside what asks for an MFA code only once


def profile_of(provider: Any) -> str | None:
    """Return the profile that *provider* looks at. None: not known."""
    return getattr(provider, "_profile_name", None)


def web_identity_of(credentials: Any) -> tuple[str | None, str | None]:
    """Return the role and the token file of a web identity's *credentials*. None: not known."""
    fetcher = getattr(_refresh_of(credentials), "__self__", None)
    loader = getattr(fetcher, "_web_identity_token_loader", None)
    return getattr(fetcher, "_role_arn", None), getattr(loader, "_web_identity_token_path", None)


def source_key_of(credentials: Any) -> str | None:
    """Return the key that assumes the role of *credentials*; None: not known, or it changes."""
    credentials = getattr(credentials, "original", credentials)  # of an asynchronous session
    fetcher = getattr(_refresh_of(credentials), "__self__", None)
    source = getattr(fetcher, "_source_credentials", None)
    if source is None or isinstance(source, RefreshableCredentials):
        return None
    key: str | None = getattr(source, "access_key", None)
    return key


def expiry_of(credentials: Any) -> datetime | None:
    """Return when botocore's *credentials* expire. None: they do not, or it is not known."""
    expiry = getattr(credentials, "_expiry_time", None)
    return expiry if isinstance(expiry, datetime) else None


def raw_of(body: Any) -> Any:
    """Return what *body* streams, if botocore has wrapped it; else itself."""
    return getattr(body, "_raw", body)
