"""Which part of the accounts a machine takes, where several share one run."""

from __future__ import annotations

import hashlib
import re
from typing import Any

_TEXT = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")
_EXAMPLE = "'1/4'"


def parse_shard(given: Any) -> tuple[int, int] | None:
    """Return *given*, such as ``"1/4"`` or ``(1, 4)``, as which shard of how many; None is None.

    Shards are counted from 1.

    Raises:
        TypeError: it is neither text nor two whole numbers.
        ValueError: there is no such shard.
    """
    if given is None:
        return None
    if isinstance(given, str):
        match = _TEXT.fullmatch(given.strip())
        if match is None:
            raise ValueError(f"shard must be like {_EXAMPLE}, got {given!r}")
        shard, shards = int(match[1]), int(match[2])
    elif isinstance(given, (tuple, list)) and len(given) == 2 and all(map(_whole, given)):
        shard, shards = given
    else:
        shown = repr(given) if isinstance(given, (tuple, list, int)) else type(given).__name__
        raise TypeError(f"shard must be text such as {_EXAMPLE} or two numbers, got {shown}")
    if shards < 1:
        raise ValueError(f"shard: there is at least 1 of them, got {shard}/{shards}")
    if not 1 <= shard <= shards:
        # Many schedulers count their jobs from 0.
        raise ValueError(
            f"shard: they are counted from 1, so from 1/{shards} to {shards}/{shards}, "
            f"got {shard}/{shards}"
        )
    return shard, shards


def in_shard(account_id: str, shard: int, shards: int) -> bool:
    """Return whether *account_id* belongs to *shard* (from 1) of *shards*.

    Only the id decides: which other accounts there are does not, nor does the machine. So an
    account stays where it is when others come and go, and all its regions are in one shard.
    """
    # Not hash(), which differs from process to process; not the id itself, for AWS's need not be
    # spread evenly.
    number = int.from_bytes(hashlib.sha256(account_id.encode("ascii")).digest()[:8], "big")
    return number % shards == shard - 1


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
