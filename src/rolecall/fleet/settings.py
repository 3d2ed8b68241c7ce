"""The arguments of a run, checked."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from botocore.config import Config

from ..clock import Clock
from ..refresh import RefreshPolicy
from ..spans import length
from .running.tasks import Limits

#: Half of what a fetch may take. [PACED_TIMEOUT]
_LONGEST_TURN_SECONDS = 300

#: [botocore.config.Config, max_pool_connections]
DEFAULT_CONNECTIONS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The arguments of `fan_out`, checked; lengths of time in seconds."""

    base: Any
    policy: RefreshPolicy
    sts_client_kwargs: dict[str, Any]
    store: Any
    clock: Clock
    max_workers: int
    sts_rate: float | None
    executor: Executor | None
    chunk_size: int | None
    tolerance: int | None
    timeout: float | None
    deadline: float | None
    attempts: int
    journal: str | os.PathLike[str] | None
    job: str | None

    @property
    def openings(self) -> dict[str, Any]:
        """Keywords for sessions of chains that start elsewhere."""
        return {
            "refresh_policy": self.policy,
            "sts_client_kwargs": self.sts_client_kwargs or None,
            "store": self.store,
        }

    def limits(self, threads: int) -> Limits:
        """Return how a crew of *threads* works."""
        return Limits(threads=threads, timeout=self.timeout, attempts=self.attempts)


def refuse(
    *,
    at_least_one: Mapping[str, Any],
    tolerance: Any,
    executor: Any,
    sts_rate: Any,
    journal: Any,
    job: Any,
) -> None:
    """Raise ValueError or TypeError with all that is wrong with these arguments."""
    wrong = [
        f"{name} must be a number from 1 on, got {value!r}"
        for name, value in at_least_one.items()
        if not isinstance(value, int) or isinstance(value, bool) or value < 1
    ]
    if tolerance is not None and (
        not isinstance(tolerance, int) or isinstance(tolerance, bool) or tolerance < 0
    ):
        wrong.append(f"failure_tolerance must be a number from 0 on, or None, got {tolerance!r}")
    if sts_rate is not None and (
        not isinstance(sts_rate, (int, float))
        or isinstance(sts_rate, bool)
        or not 0 < sts_rate < math.inf
    ):
        wrong.append(f"sts_rate must be a positive number of calls a second, got {sts_rate!r}")
    elif sts_rate is not None and isinstance(at_least_one["max_workers"], int):
        slowest = at_least_one["max_workers"] / _LONGEST_TURN_SECONDS
        if sts_rate < slowest:
            wrong.append(
                f"sts_rate {sts_rate:g} is too slow for {at_least_one['max_workers']} workers, "
                f"some of which would wait longer than {_LONGEST_TURN_SECONDS} s for their turn: "
                "give fewer max_workers"
            )
    if wrong:
        raise ValueError("; ".join(wrong))
    if journal is not None and not isinstance(journal, (str, os.PathLike)):
        raise TypeError(f"journal must be a path, got {type(journal).__name__}")
    if job is not None and not isinstance(job, str):
        raise TypeError(f"job must be text, got {type(job).__name__}")
    # Not by its class: some that are alike are none, such as those of Lithops.
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(
            "executor must be a concurrent.futures.Executor, such as ProcessPoolExecutor() or a "
            f"dask Client's get_executor(), got {type(executor).__name__}"
        )


def seconds_in(name: str, given: timedelta | float | str | None) -> float | None:
    """Return the length of time *given* as the argument *name*, in seconds.

    Raises:
        TypeError, ValueError: it is none.
    """
    found = length(name, given)
    return None if found is None else found.total_seconds()


def roomy(sts_client_kwargs: Mapping[str, Any], workers: int) -> dict[str, Any]:
    """Return keywords for an STS client that *workers* share, each with a connection.

    botocore keeps ten, and has the others connect anew for each call. It sends each request once:
    the `Pace` sends again, in turn.
    """
    config = Config(
        max_pool_connections=max(workers, DEFAULT_CONNECTIONS),
        retries={"mode": "standard", "total_max_attempts": 1},
    )
    given = sts_client_kwargs.get("config")
    return {**sts_client_kwargs, "config": config if given is None else config.merge(given)}


def kept(**options: Any) -> dict[str, Any]:
    """Return the *options* that are given, for any number of roles: a generator is good for one."""
    return {
        name: tuple(value)
        if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping, Sequence))
        else value
        for name, value in options.items()
        if value is not None
    }
