"""How each library opens a session of a role. Runs in the process that is measured."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from .benchmark import AARL, B3A, BOTOCORE, BRS, ROLECALL
from .clock import LeapingClock

SESSION_NAME = "bench"

#: The names they are imported by.
MODULES = {
    ROLECALL: "rolecall",
    AARL: "aws_assume_role_lib",
    BRS: "boto3_refresh_session",
    B3A: "boto3_assume",
    BOTOCORE: "boto3",
}


def warm_up(library: str) -> Any:
    """Import all that *library* needs, and return the caller's session of boto3."""
    import boto3

    if library == ROLECALL:
        import rolecall

        rolecall.assume_role  # noqa: B018 - loads what is loaded at first use
    elif library != BOTOCORE:
        import_module(MODULES[library])
    return boto3.Session()


def open_role(
    library: str,
    parent: Any,
    arn: str,
    *,
    seconds: int = 3600,
    clock: LeapingClock | None = None,
    cache: Any = None,
) -> Any:
    """Return *library*'s session of the role *arn*, assumed by *parent*, as its manual says.

    Args:
        cache: Where the library keeps sessions for other processes, if it can.
    """
    arguments: dict[str, Any] = {"RoleSessionName": SESSION_NAME, "DurationSeconds": seconds}
    if library == ROLECALL:
        import rolecall

        keywords: dict[str, Any] = {} if clock is None else {"clock": clock}
        return rolecall.assume_role(parent, arn, **arguments, cache=cache, **keywords)
    if library == AARL:
        return import_module(MODULES[library]).assume_role(parent, arn, **arguments, cache=cache)
    if library == BRS:
        return _open_refresh_session(parent, arn, arguments)
    if library == B3A:
        return import_module(MODULES[library]).assume_role(
            source_session=parent, assume_role_kwargs={"RoleArn": arn, **arguments}
        )
    assert library == BOTOCORE
    session = _open_profile(parent, arn, seconds)
    if cache is not None:
        providers = session._session.get_component("credential_provider")
        providers.get_provider("assume-role").cache = cache
    return session


def open_chain(library: str, parent: Any, *arns: str, clock: LeapingClock) -> Any:
    """Return *library*'s session of the last role, opened by code that knows of no other session.

    With rolecall a chain; with the others a session for every role of it, as their manuals say.
    """
    if library == ROLECALL:
        import rolecall

        roles = [rolecall.Role(arn=arn, session_name=SESSION_NAME) for arn in arns]
        return rolecall.RoleChain(rolecall.Ambient(), *roles).session(clock=clock)
    for arn in arns:
        parent = open_role(library, parent, arn, clock=clock)
    return parent


def _open_refresh_session(parent: Any, arn: str, arguments: dict[str, Any]) -> Any:
    import boto3

    open_session = import_module(MODULES[BRS]).RefreshableSession
    if type(parent) is boto3.Session:  # it takes the environment's keys by itself
        return open_session(assume_role_kwargs={"RoleArn": arn, **arguments})
    # It has no parent sessions. Given the hub's botocore session it would put the spoke's keys into
    # the hub; its custom method keeps them apart. client("sts") alone would be the hub's caller.
    sts = parent.client("sts", region_name=parent.region_name)

    def fetch() -> dict[str, str]:
        found = sts.assume_role(RoleArn=arn, **arguments)["Credentials"]
        return {
            "access_key": found["AccessKeyId"],
            "secret_key": found["SecretAccessKey"],
            "token": found["SessionToken"],
            "expiry_time": found["Expiration"].isoformat(),
        }

    return open_session(method="custom", custom_credentials_method=fetch)


def _open_profile(parent: Any, arn: str, seconds: int) -> Any:
    import boto3

    name = f"role-{arn.rpartition('/')[2]}-{arn.split(':')[4]}-{seconds}"
    source = (
        "credential_source = Environment"
        if parent.profile_name == "default"
        else f"source_profile = {parent.profile_name}"
    )
    config = Path(os.environ["AWS_CONFIG_FILE"])
    before = config.read_text("utf-8")
    if f"[profile {name}]" not in before:
        profile = (
            f"[profile {name}]\nrole_arn = {arn}\n{source}\n"
            f"role_session_name = {SESSION_NAME}\nduration_seconds = {seconds}\n"
        )
        config.write_text(before + profile, encoding="utf-8")
    return boto3.Session(profile_name=name)
