"""Run credential-refresh cases in AWS's cross-SDK format against the engine.

``python -m rolecall.testing.vectors FILE`` prints a line for each case that fails and
``24 passed, 0 failed``; it exits with 1 if any failed.

A file is a JSON list of cases: ``documentation``, ``given`` (``cachedCredentials`` one of none,
valid, advisory, mandatory, expired; optional ``accessKeyId``, ``refreshBackoffSeconds``,
``configuredAdvisoryWindowSeconds``) and ``steps`` of type ``getCredentials``, ``advanceTime`` or
``invalidate``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..credentials import Credentials
from ..errors import FetchError
from ..refresh.policy import RefreshPolicy, UniformBackoff
from ..refresh.state import read
from ..refresh.threads import Refresher
from .clock import FakeClock
from .source import FakeSource

HOUR = timedelta(hours=1)

#: What is left of the one-hour credentials that a case starts with.
LEFT_AT_START = {
    "valid": timedelta(minutes=50),
    "advisory": timedelta(minutes=10),
    "mandatory": timedelta(seconds=30),
    "expired": timedelta(seconds=-1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one case."""

    case: str
    complaints: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the engine did what the case expects, at every step."""
        return not self.complaints


class Recoverable(FetchError):
    """An error of the source that may go away."""


class NonRecoverable(FetchError):
    """An error of the source that retrying cannot mend."""

    retryable = False


class _Case:
    def __init__(self, case: Mapping[str, Any]) -> None:
        given = case["given"]
        self.clock = FakeClock()
        self.source = FakeSource(self.clock)
        window = given.get("configuredAdvisoryWindowSeconds")
        policy = RefreshPolicy.aws_sdk(ahead=None if window is None else timedelta(seconds=window))
        chance = 0.5
        if "refreshBackoffSeconds" in given:
            backoff = policy.backoff
            assert isinstance(backoff, UniformBackoff)
            low, high = backoff.shortest.total_seconds(), backoff.longest.total_seconds()
            chance = (given["refreshBackoffSeconds"] - low) / (high - low)
        self.refresher = Refresher(
            self.source, policy=policy, clock=self.clock, rng=lambda: chance, name="vector"
        )
        self.complaints: list[str] = []
        if given["cachedCredentials"] != "none":
            self._cache(given["cachedCredentials"], given.get("accessKeyId", "ASIACACHED"))

    def _cache(self, phase: str, access_key: str) -> None:
        made = self.source.make(0, self.clock.now)
        self.source.answer = replace(made, access_key=access_key)
        self.refresher.get()
        self.clock.tick(HOUR - LEFT_AT_START[phase])
        self.source.answer = None
        self.source.calls = 0

    def run(self, steps: Iterable[Mapping[str, Any]]) -> None:
        for number, step in enumerate(steps, 1):
            kind = step["type"]
            if kind == "advanceTime":
                self.clock.tick(step["seconds"])
            elif kind == "invalidate":
                self.refresher.invalidate(step["rejectedAccessKeyId"])
            elif kind == "getCredentials":
                got = self._get(step)
                for name, expected in step["expected"].items():
                    if got[name] != expected:
                        self.complaints.append(
                            f"step {number}: {name}: expected {expected}, got {got[name]}"
                        )
            else:
                self.complaints.append(f"step {number}: unknown type {kind!r}")

    def _get(self, step: Mapping[str, Any]) -> dict[str, Any]:
        self._prepare(step)
        before, calls = self._held(), self.source.calls
        failure = self.refresher.state.failure
        backing_off = (
            failure is not None and not failure.permanent and failure.pauses(read(self.clock))
        )
        try:
            answer = self.refresher.get()
        except NonRecoverable:
            result = "nonRecoverableError"
        except FetchError:
            result = "noCredentialsError"
        else:
            result = "cachedCredentials" if answer is before else "newCredentials"
        held = self.refresher.state.held
        return {
            "result": result,
            "sourceContacted": self.source.calls > calls,
            "rateLimited": backing_off and self.source.calls == calls,
            "advisoryWindowSeconds": None if held is None else held.dead_at - held.refresh_at,
        }

    def _prepare(self, step: Mapping[str, Any]) -> None:
        response = step.get("response")
        self.source.error = {
            "error": Recoverable("the source is down"),
            "nonRecoverableError": NonRecoverable("the source refuses"),
        }.get(str(response))
        stale = response == "staleCredentials"
        self.source.lifetime = timedelta(seconds=-1 if stale else step.get("lifetimeSeconds", 3600))

    def _held(self) -> Credentials | None:
        held = self.refresher.state.held
        return None if held is None else held.credentials


def run(cases: Iterable[Mapping[str, Any]]) -> list[Result]:
    """Run *cases* against the engine under `RefreshPolicy.aws_sdk`."""
    results = []
    for case in cases:
        one = _Case(case)
        one.run(case["steps"])
        results.append(Result(case=case["documentation"], complaints=tuple(one.complaints)))
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the file that *arguments* name and print what failed; return the exit code."""
    names = sys.argv[1:] if arguments is None else arguments
    if len(names) != 1:
        print("usage: python -m rolecall.testing.vectors FILE", file=sys.stderr)
        return 2
    try:
        cases = json.loads(Path(names[0]).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"{names[0]}: {error}", file=sys.stderr)
        return 2
    results = run(cases)
    failed = [result for result in results if not result.passed]
    for result in failed:
        print(f"FAILED {result.case}", *result.complaints, sep="\n    ")
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
