"""How each library of asyncio opens a session of a role. Runs in the process that is measured."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .benchmark import AIO_ASSUME, AIOBOTOCORE, ROLECALL
from .clock import LeapingClock
from .libraries import SESSION_NAME


def warm_up(library: str) -> Any:
    """Import all that *library* needs, and return the caller's session."""
    from aiobotocore.session import AioSession

    if library == AIO_ASSUME:
        import_module("aioboto3_assume")
        return import_module("aioboto3").Session()
    import_module("rolecall.aio" if library == ROLECALL else "aiobotocore.credentials")
    return AioSession()


def open_role(
    library: str, parent: Any, arn: str, *, seconds: int = 3600, clock: LeapingClock | None = None
) -> Any:
    """Return *library*'s session of the role *arn*, assumed by *parent*, as its manual says."""
    arguments: dict[str, Any] = {"RoleSessionName": SESSION_NAME, "DurationSeconds": seconds}
    if library == ROLECALL:
        import rolecall.aio

        keywords: dict[str, Any] = {} if clock is None else {"clock": clock}
        return rolecall.aio.assume_role(parent, arn, **arguments, **keywords)
    if library == AIO_ASSUME:
        return import_module("aioboto3_assume").assume_role(
            source_session=parent, assume_role_kwargs={"RoleArn": arn, **arguments}
        )
    assert library == AIOBOTOCORE
    return _open_recipe(parent, {"RoleArn": arn, **arguments})


def open_client(session: Any, service: str) -> Any:
    """Return what ``async with`` makes a client of *session*."""
    make = getattr(session, "client", None) or session.create_client  # aioboto3's, aiobotocore's
    return make(service)


def _open_recipe(parent: Any, arguments: dict[str, Any]) -> Any:
    """Return a session as everybody makes it by hand, for aiobotocore has no function for that."""
    from aiobotocore.credentials import AioDeferredRefreshableCredentials
    from aiobotocore.session import AioSession

    async def fetch() -> dict[str, str]:
        async with parent.create_client("sts") as sts:
            found = (await sts.assume_role(**arguments))["Credentials"]
        return {
            "access_key": found["AccessKeyId"],
            "secret_key": found["SecretAccessKey"],
            "token": found["SessionToken"],
            "expiry_time": found["Expiration"].isoformat(),
        }

    session: Any = AioSession()
    session._credentials = AioDeferredRefreshableCredentials(fetch, "assume-role")
    return session
