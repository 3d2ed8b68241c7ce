"""When to refresh and how to bear failure, as values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal

from ..errors import ConfigError

#: Environment variables that override a policy's windows, in seconds.
AHEAD_VARIABLE = "ROLECALL_AHEAD"
MARGIN_VARIABLE = "ROLECALL_MARGIN"

#: A refusal that retrying cannot mend is asked about again once a minute: somebody may be
#: changing the policy right now.
PERMANENT_PAUSE_SECONDS = 60.0

#: AWS's 2026 cross-SDK refresh behaviour: lifetime up to (seconds) → advisory window (seconds).
AWS_SDK_WINDOWS = ((20 * 60.0, 5 * 60.0), (90 * 60.0 - 1e-6, 15 * 60.0), (math.inf, 60 * 60.0))
AWS_SDK_MARGIN_SECONDS = 60.0


def _uniform(low: float, high: float, chance: float) -> float:
    return low + (high - low) * chance


@dataclass(frozen=True, slots=True, kw_only=True)
class ExponentialBackoff:
    """Pause longer after each failure, but never so long that the credentials die of it.

    ``min(2^failures, left/4)`` seconds, times 0.5 to 1.5, from 1 s to `longest`. The quarter of
    the time that is left makes at least three attempts fit in before expiry.
    """

    longest: timedelta = timedelta(seconds=300)

    def pause(self, failures: int, left: float | None, permanent: bool, chance: float) -> float:
        """Return the seconds to leave the source alone.

        Args:
            failures: How many attempts failed in a row, this one included.
            left: Seconds the held credentials still live; 0 or less: expired. None: none held.
            permanent: Whether retrying cannot mend it.
            chance: Uniform in [0, 1).
        """
        recovery = _uniform(1.0, 5.0, chance)
        if left is None or left <= 0:
            return recovery
        spread = _uniform(0.5, 1.5, chance)
        if permanent:
            return min(PERMANENT_PAUSE_SECONDS * spread, left + recovery)
        wanted = min(2.0 ** min(failures, 30), left / 4) * spread
        return min(max(1.0, wanted), self.longest.total_seconds(), left + recovery)


@dataclass(frozen=True, slots=True, kw_only=True)
class UniformBackoff:
    """Pause a uniformly random time after a failure, whatever is left: AWS's cross-SDK rule.

    Where nothing is held there is nothing to fall back on, so there is no pause; an error that
    retrying cannot mend is remembered for 1 to 5 s.
    """

    shortest: timedelta = timedelta(seconds=300)
    longest: timedelta = timedelta(seconds=600)

    def pause(self, failures: int, left: float | None, permanent: bool, chance: float) -> float:
        """Return the seconds to leave the source alone; arguments as in `ExponentialBackoff`."""
        if permanent:
            return _uniform(1.0, 5.0, chance)
        if left is None:
            return 0.0
        return _uniform(self.shortest.total_seconds(), self.longest.total_seconds(), chance)


Backoff = ExponentialBackoff | UniformBackoff


@dataclass(frozen=True, slots=True)
class Windows:
    """How long before expiry to refresh, and to wait for it, in seconds."""

    ahead: float
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshPolicy:
    """When credentials are refreshed, and what happens when that fails.

    Attributes:
        ahead: How long before expiry a refresh is due. None: a third of the lifetime, from 1 s
            to 1 h. Never more than half the lifetime.
        margin: How long before expiry callers wait for that refresh, for at most
            `critical_wait`. None: a tenth of `ahead`, at most 60 s.
        jitter: Share of `ahead` by which a refresh may come later, at random, so that a fleet
            does not refresh in step. 0 to 1.
        backoff: How long a failing source is left alone.
        on_permanent_error: ``"keep"`` using credentials that are still valid when the source
            refuses for good, or ``"raise"`` at once.
        on_expired: ``"raise"`` when credentials are expired and no new ones can be had, or
            ``"serve"`` them all the same. Signing with expired credentials fails at AWS.
        critical_wait: How long a caller waits for a refresh in the last `margin`, once per
            attempt. None: until the attempt ends.
        fetch_timeout: After this a source that has not answered counts as lost.
        refresh_in: Whether a due refresh runs in the ``"background"`` or in the ``"caller"``
            who notices it first.
        windows: ``"scaled"`` to the lifetime, or the steps of ``"aws_sdk"``.
        invalidation_ends_pause: Whether credentials that a service rejected are replaced at
            once, even while a failing source is left alone.
    """

    ahead: timedelta | None = None
    margin: timedelta | None = None
    jitter: float = 0.2
    backoff: Backoff = field(default_factory=ExponentialBackoff)
    on_permanent_error: Literal["keep", "raise"] = "keep"
    on_expired: Literal["raise", "serve"] = "raise"
    critical_wait: timedelta | None = timedelta(seconds=1)
    fetch_timeout: timedelta = timedelta(seconds=60)
    refresh_in: Literal["background", "caller"] = "background"
    windows: Literal["scaled", "aws_sdk"] = "scaled"
    invalidation_ends_pause: bool = True

    def __post_init__(self) -> None:
        wrong = [
            *_durations(self),
            *(
                f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}"
                for name, value, allowed in (
                    ("on_permanent_error", self.on_permanent_error, ("keep", "raise")),
                    ("on_expired", self.on_expired, ("raise", "serve")),
                    ("refresh_in", self.refresh_in, ("background", "caller")),
                    ("windows", self.windows, ("scaled", "aws_sdk")),
                )
                if value not in allowed
            ),
        ]
        if not 0 <= self.jitter <= 1:
            wrong.append(f"jitter must be from 0 to 1, got {self.jitter!r}")
        if wrong:
            raise ValueError("RefreshPolicy: " + "; ".join(wrong))

    @classmethod
    def aws_sdk(
        cls, *, ahead: timedelta | None = None, on_expired: Literal["raise", "serve"] = "serve"
    ) -> RefreshPolicy:
        """Return AWS's own 2026 cross-SDK behaviour: as Go and Java SDKs refresh.

        Advisory window 5, 15 or 60 min for lifetimes up to 20, below 90 and from 90 min on
        (*ahead* wins); mandatory window 60 s; 300 to 600 s pause after a recoverable failure;
        errors that retrying cannot mend raised at once and remembered for 1 to 5 s; expired
        credentials served; a rejected key does not end the pause.
        """
        return cls(
            ahead=ahead,
            jitter=0.0,
            backoff=UniformBackoff(),
            on_permanent_error="raise",
            on_expired=on_expired,
            critical_wait=None,
            refresh_in="caller",
            windows="aws_sdk",
            invalidation_ends_pause=False,
        )

    def windows_for(self, lifetime_seconds: float) -> Windows:
        """Return the windows for credentials that live *lifetime_seconds* in all."""
        half = lifetime_seconds / 2
        if self.ahead is not None:
            ahead = self.ahead.total_seconds()
        elif self.windows == "aws_sdk":
            ahead = next(window for upto, window in AWS_SDK_WINDOWS if lifetime_seconds <= upto)
        else:
            ahead = min(max(lifetime_seconds / 3, 1.0), 3600.0)
        # AWS's steps may take up more than half a life, but not all of it: that would be a source
        # call for every read.
        if self.windows == "scaled" or ahead >= lifetime_seconds:
            ahead = min(ahead, half)
        if self.margin is not None:
            margin = self.margin.total_seconds()
        elif self.windows == "aws_sdk":
            margin = AWS_SDK_MARGIN_SECONDS
        else:
            margin = min(60.0, ahead / 10)
        return Windows(ahead, min(margin, ahead))

    def with_environ(self, environ: Mapping[str, str]) -> RefreshPolicy:
        """Return this policy with the windows that the operator's environment asks for.

        Raises:
            ConfigError: ``ROLECALL_AHEAD`` or ``ROLECALL_MARGIN`` is not a number of seconds.
        """
        wanted: dict[str, timedelta] = {}
        wrong = []
        for variable, name in ((AHEAD_VARIABLE, "ahead"), (MARGIN_VARIABLE, "margin")):
            text = environ.get(variable, "").strip()
            if not text:
                continue
            try:
                seconds = float(text)
                if not 0 <= seconds < 10 * 365 * 86400:
                    raise ValueError
            except ValueError:
                wrong.append(f"{variable}={text!r} is not a number of seconds, such as 300")
            else:
                wanted[name] = timedelta(seconds=seconds)
        if wrong:
            raise ConfigError("; ".join(wrong), hint="set a number of seconds, or unset it")
        if not wanted:
            return self
        return replace(
            self,
            ahead=wanted.get("ahead", self.ahead),
            margin=wanted.get("margin", self.margin),
        )


def _durations(policy: RefreshPolicy) -> list[str]:
    wrong = []
    for name in ("ahead", "margin", "critical_wait", "fetch_timeout"):
        value = getattr(policy, name)
        if value is None and name != "fetch_timeout":
            continue
        if not isinstance(value, timedelta):
            wrong.append(f"{name} must be a timedelta, got {value!r}")
        elif value < timedelta(0) or (name == "fetch_timeout" and not value):
            wrong.append(f"{name} must not be negative, got {value!r}")
    return wrong


DEFAULT_POLICY = RefreshPolicy()
