"""How each library runs a function in many accounts. Runs in the process that is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from importlib import import_module
from typing import Any

from .benchmark import AARL, AARL_THREADS, BOTOCORE, BOTOCORE_CLIENT, COVE, ROLECALL, library_of
from .libraries import MODULES, SESSION_NAME
from .libraries import warm_up as warm_up_library

#: The role that an organization makes in each account of its own.
ROLE = "OrganizationAccountAccessRole"

Function = Callable[[Any], object]


def warm_up(column: str) -> Any:
    """Import all that *column* needs, and return the caller's session of boto3."""
    if column == COVE:
        import_module(COVE)
    elif column == ROLECALL:
        import_module("rolecall.fleet").fan_out  # noqa: B018 - loads what is loaded at first use
    return warm_up_library(BOTOCORE if column == COVE else library_of(column))


def run_in_each(
    column: str,
    parent: Any,
    accounts: Sequence[str],
    function: Function,
    *,
    workers: int,
    regions: Sequence[str] | None = None,
    **keywords: Any,
) -> list[str]:
    """Run *function* with a session of each account, and return what failed, as text.

    Args:
        regions: In each of them. None: in the session's own.
        keywords: What `rolecall.fleet.fan_out` takes besides; for rolecall alone.
    """
    if column == ROLECALL:
        return _fan_out(parent, accounts, function, workers, regions, keywords)
    assert not keywords
    if column == COVE:
        return _cove(parent, accounts, function, workers, regions)
    if column == BOTOCORE_CLIENT:
        return _client(parent, accounts, workers)
    assert column == AARL_THREADS
    return _threads(parent, accounts, function, workers, regions)


def require(failed: list[str]) -> None:
    """Raise if anything failed.

    Raises:
        RuntimeError: something did.
    """
    if failed:
        raise RuntimeError(f"{len(failed)} failed, such as: {failed[0]}")


def list_buckets(session: Any) -> None:
    """Be the function that makes one call."""
    session.client("s3").list_buckets()


def read_credentials(session: Any) -> None:
    """Be the function of a program that has use for the keys alone."""
    session.get_credentials().get_frozen_credentials()


def _fan_out(
    parent: Any,
    accounts: Sequence[str],
    function: Function,
    workers: int,
    regions: Sequence[str] | None,
    keywords: dict[str, Any],
) -> list[str]:
    import rolecall.fleet

    with rolecall.fleet.fan_out(
        parent,
        accounts,
        role=ROLE,
        RoleSessionName=SESSION_NAME,
        regions=regions,
        max_workers=workers,
        **keywords,
    ) as run:
        return [str(outcome.error) for outcome in run.map(function) if not outcome.ok]


def _cove(
    parent: Any,
    accounts: Sequence[str],
    function: Function,
    workers: int,
    regions: Sequence[str] | None,
) -> list[str]:
    decorated = import_module(COVE).cove(
        function,
        target_ids=list(accounts),
        rolename=ROLE,
        role_session_name=SESSION_NAME,
        assuming_session=parent,
        thread_workers=workers,
        regions=None if regions is None else list(regions),
    )
    output = decorated()
    return [
        str(one["ExceptionDetails"]) for one in (*output["Exceptions"], *output["FailedAssumeRole"])
    ]


def _threads(
    parent: Any,
    accounts: Sequence[str],
    function: Function,
    workers: int,
    regions: Sequence[str] | None,
) -> list[str]:
    open_role = import_module(MODULES[AARL]).assume_role

    def work(account: str, region: str | None) -> None:
        arn = f"arn:aws:iam::{account}:role/{ROLE}"
        function(open_role(parent, arn, RoleSessionName=SESSION_NAME, region_name=region))

    anywhere: Sequence[str | None] = regions or [None]
    with ThreadPoolExecutor(workers) as pool:
        return _failures(
            pool.submit(work, account, region) for account in accounts for region in anywhere
        )


def _client(parent: Any, accounts: Sequence[str], workers: int) -> list[str]:
    """Assume the roles and have the keys: no session is made, and no function called."""
    from botocore.config import Config

    sts = parent.client("sts", config=Config(max_pool_connections=workers))
    with ThreadPoolExecutor(workers) as pool:
        return _failures(
            pool.submit(
                sts.assume_role,
                RoleArn=f"arn:aws:iam::{account}:role/{ROLE}",
                RoleSessionName=SESSION_NAME,
            )
            for account in accounts
        )


def _failures(submitted: Iterable[Future[Any]]) -> list[str]:
    errors = [future.exception() for future in as_completed(list(submitted))]
    return [str(error) for error in errors if error is not None]
