"""Which regions each account is entered in."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from botocore.session import Session

from ..chain import partition_of_region
from ..errors import ConfigError
from .targets import ENABLED, Account

log: logging.Logger = logging.getLogger("rolecall.fleet")

#: What `fan_out` takes as *regions*.
RegionSpec = str | Iterable[str] | Mapping[str, Any] | Callable[[Account], Any] | None

#: What is known of an account before it is entered: its regions, or that they are to be asked for.
Regions = tuple[str | None, ...] | str

#: Of five thousand accounts of which one thing is wrong, so many are named.
MOST_NAMED = 10

_REGION = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-\d+")

#: Where enabled regions are asked for unless the session has a region: always enabled.
#: [AWS general reference, regions that cannot be disabled]
HOME_REGIONS: dict[str, str] = {
    "aws": "us-east-1",
    "aws-cn": "cn-north-1",
    "aws-us-gov": "us-gov-west-1",
    "aws-iso": "us-iso-east-1",
    "aws-iso-b": "us-isob-east-1",
    "aws-iso-e": "eu-isoe-west-1",
    "aws-iso-f": "us-isof-south-1",
    "aws-eusc": "eusc-de-east-1",
}


#: Those of ``aws`` that are enabled in every account; no later one is. [the same]
ALWAYS_ENABLED = frozenset(
    {
        "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1",
        "ap-southeast-2", "ca-central-1", "eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2",
        "eu-west-3", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
    }
)  # fmt: skip


def home_region(region: str | None, partition: str) -> str:
    """Return where each account of *partition* is asked which regions it has.

    Preferably in *region*, the session's own, for an organization's policies may allow no other;
    but not in one that the account need not have enabled.
    """
    there = region is not None and partition_of_region(region) in (None, partition)
    if region is not None and there and (partition != "aws" or region in ALWAYS_ENABLED):
        return region
    return HOME_REGIONS.get(partition, HOME_REGIONS["aws"])


def regions_in(
    spec: RegionSpec, accounts: Iterable[Account], partitions: Mapping[str, str]
) -> dict[str, Regions]:
    """Return the regions of each account, by its id; ``(None,)`` is the session's own.

    Args:
        partitions: Account's id → the partition that it is in.

    Raises:
        TypeError: *spec*, or what it gives for an account, names no regions.
        ValueError: what it names are no regions of *partition*; all of them in one message.
    """
    if isinstance(spec, Iterable) and not isinstance(spec, (str, Mapping)):
        spec = tuple(spec)  # it may be a generator, and there are many accounts
    found: dict[str, Regions] = {}
    wrong: dict[str, list[str]] = {}  # what is wrong, with which accounts
    for account in accounts:
        given: Any = spec
        if account.regions is not None:
            given = account.regions
        elif isinstance(spec, Mapping):
            if account.id not in spec:
                wrong.setdefault("regions names none", []).append(account.id)
                continue
            given = spec[account.id]
        elif callable(spec):
            given = spec(account)
        found[account.id] = _regions(given, account, partitions[account.id], wrong)
    if wrong:
        raise ValueError("; ".join(_told(why, ids) for why, ids in wrong.items()))
    return found


def _told(why: str, ids: list[str]) -> str:
    more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
    accounts = "account" if len(ids) == 1 else "accounts"
    return f"{why} for {accounts} {', '.join(ids[:MOST_NAMED])}{more}" if ids else why


def _regions(given: Any, account: Account, partition: str, wrong: dict[str, list[str]]) -> Regions:
    if given is None:
        return (None,)
    if given == ENABLED:
        return ENABLED
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, Iterable) or isinstance(names, (bytes, Mapping)):
        raise TypeError(
            f"regions must be a list of regions, {ENABLED!r} or None, got "
            f"{type(given).__name__} for account {account.id}"
        )
    found = tuple(dict.fromkeys(names))
    if not found:
        wrong.setdefault("regions names none (leave the account out instead)", []).append(
            account.id
        )
    for name in found:
        if not isinstance(name, str) or not _REGION.fullmatch(name):
            wrong[f"{name!r} is no region, such as eu-west-1, nor is it {ENABLED!r}"] = []
        elif partition_of_region(name) not in (None, partition):
            wrong[f"{name} is in partition {partition_of_region(name)}, not in {partition}"] = []
    return found


def warn_of_strange(names: Iterable[str], session: Session) -> None:
    """Log those of *names* that botocore knows nothing of: misspelt, or younger than it is."""
    known = {
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("ec2", partition)
    }
    for name in sorted(set(names) - known):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        log.warning(
            "this botocore knows no region %s%s", name, f": did you mean {near[0]}?" if near else ""
        )


def enabled(session: Any, region: str) -> tuple[str, ...]:
    """Return the regions that are enabled in *session*'s account, in alphabetical order.

    Asked of EC2 in *region*, in the account itself: the account service allows the whole
    organization five such calls a second. [AWS account management, quotas, ListRegions]

    Raises:
        ClientError: it may not be asked.
        ConfigError: it names none.
    """
    answer = session.client("ec2", region_name=region).describe_regions(AllRegions=False)
    found = tuple(sorted(one["RegionName"] for one in answer["Regions"]))
    if not found:
        raise ConfigError(f"EC2 in {region} names no region that is enabled in this account")
    return found
