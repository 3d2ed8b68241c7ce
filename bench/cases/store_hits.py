"""What it costs to find a session in a store, as a process does that starts beside others."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from statistics import median
from typing import Any

from ..benchmark import (
    AARL_CACHE,
    BOTOCORE_CACHE,
    ROLECALL,
    ROLECALL_FILE,
    ROLECALL_MEMORY,
    ROLECALL_REDIS,
    Ask,
    Benchmark,
    Measure,
    Value,
    library_of,
)
from ..libraries import open_role, warm_up
from ..stores import Place, new_place, open_cache

_ROLE = "arn:aws:iam::123456789012:role/Reader"
_BATCHES = 9

BENCHMARK = Benchmark(
    title="Stores: a hit",
    about="Credentials out of a store that has them, good for an hour; every look-up goes to the "
    "store. Here ×3 is three times what botocore needs. botocore looks whether there is a file and "
    "reads it, whoever wrote it; aws-assume-role-lib uses botocore's code. rolecall takes a file "
    "only if it is plain, small, the user's own and closed to others, an entry only if it is of "
    "this very key, and works out how far AWS's clock is from the local one. In Redis it asks a "
    "server on loopback over TCP, and decrypts. Its memory store serves the threads of one process "
    "and parses nothing.",
    measures=(Measure(key="hit", title="a hit", unit="µs", compared=True),),
    libraries=(ROLECALL_MEMORY, ROLECALL_FILE, ROLECALL_REDIS, AARL_CACHE, BOTOCORE_CACHE),
    reference=BOTOCORE_CACHE,
    rounds=5,
    size={"hits": 500},
    quick={"hits": 50},
)


def measure(column: str, ask: Ask, *, hits: int) -> dict[str, Value]:
    """Return the microseconds that one look-up takes."""
    place = new_place(column, ask)
    make = _rolecalls if library_of(column) == ROLECALL else _peers
    look_up = make(column, place)
    asked = ask("sts")
    batches = []
    for _ in range(_BATCHES):
        began = time.perf_counter()
        for _ in range(hits):
            look_up()
        batches.append((time.perf_counter() - began) / hits * 1e6)
    if ask("sts") != asked:
        raise RuntimeError("a look-up was no hit")
    return {"hit": median(batches)}


def _peers(column: str, place: Place) -> Callable[[], Any]:
    library = library_of(column)
    parent = warm_up(library)

    def fetcher() -> Callable[[], Any]:
        session = open_role(library, parent, _ROLE, cache=open_cache(column, place))
        # What a session calls once it wants new credentials: it looks into the cache first.
        fetch: Callable[[], Any] = session.get_credentials()._refresh_using
        return fetch

    fetcher()()
    return fetcher()  # another session's: it finds nothing that the first one kept to itself


def _rolecalls(column: str, place: Place) -> Callable[[], Any]:
    from rolecall.credentials import Credentials
    from rolecall.stores import Stored

    class Sts:
        """A source that may be asked once."""

        asked = False

        def get(self) -> Credentials:
            if self.asked:
                raise RuntimeError("a look-up was no hit")
            self.asked = True
            session = open_role(ROLECALL, warm_up(ROLECALL), _ROLE)
            keys = session.get_credentials().get_frozen_credentials()
            now = datetime.now(timezone.utc)
            return Credentials(
                access_key=keys.access_key,
                secret_key=keys.secret_key,
                token=keys.token,
                expires_at=now + timedelta(hours=1),
                issued_at=now,
            )

    source, store, key = Sts(), open_cache(column, place), "0" * 64

    def look_up() -> Credentials:
        # A new one each time: what it has handed out once, it does not take from the store again.
        return Stored(source, store, key).get()

    look_up()
    return look_up
