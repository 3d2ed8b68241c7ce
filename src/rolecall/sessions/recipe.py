"""What makes a session beside its chain: keywords of `assume_role`, kept as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from ..clock import SYSTEM_CLOCK, Clock
from ..credentials import Source
from ..refresh import DEFAULT_POLICY, Listener, Refresher, RefreshPolicy
from ..sources.custom import is_async
from ..sources.sts import Pace

#: A region keyword: None links to the parent's, True copies it, False is the child's own.
Region = str | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one hop's session is made: enough, with its chain, to make it again elsewhere."""

    region_name: Region = None
    policy: RefreshPolicy = DEFAULT_POLICY
    on_event: Listener | None = None
    clock: Clock = SYSTEM_CLOCK
    sts_client_kwargs: Mapping[str, Any] = field(default_factory=dict)
    inherit_config: bool = True
    cache: Any = None
    mfa_token_provider: Any = None
    mfa_session: timedelta | None = None
    token_code: str | None = field(default=None, repr=False)
    pace: Pace | None = None

    @property
    def codes(self) -> Any:
        """What gives MFA codes: a provider, a single code, or None for the terminal."""
        return self.mfa_token_provider if self.mfa_token_provider is not None else self.token_code

    @property
    def key(self) -> tuple[Any, ...]:
        """What two hops must have in common, beside the chain, to share one refresher."""
        return (
            self.policy,
            id(self.on_event),
            id(self.clock),
            tuple(
                (name, id(value) if name == "config" else value)
                for name, value in sorted(self.sts_client_kwargs.items())
            ),
            id(self.cache),
            id(getattr(self.mfa_token_provider, "asks", self.mfa_token_provider)),
            self.mfa_session,
            self.token_code is None,
            id(self.pace),
        )

    def refresher(self, source: Source, name: str) -> Refresher:
        """Return a refresher of *source* under this recipe."""
        return Refresher(
            source, policy=self.policy, clock=self.clock, on_event=self.on_event, name=name
        )


#: Keyword → its types (None: a callable), and how to say so.
_KINDS: dict[str, tuple[Any, str]] = {
    "region_name": ((str, bool), "a region, True, False or None"),
    "additional_kwargs": (Mapping, "a dict of AssumeRole arguments"),
    "mfa_session": (timedelta, "a timedelta such as timedelta(hours=12)"),
    "refresh_policy": (RefreshPolicy, "a RefreshPolicy"),
    "on_event": (None, "a callable that need not be awaited"),
    "sts_client_kwargs": (Mapping, "a dict of client keywords"),
}


def refuse_types(**given: Any) -> None:
    """Raise TypeError with every keyword that is of the wrong kind; None is left out."""
    wrong = []
    for name, value in given.items():
        kinds, wanted = _KINDS[name]
        good = (
            callable(value) and not is_async(value) if kinds is None else isinstance(value, kinds)
        )
        if value is not None and not good:
            wrong.append(f"{name} must be {wanted}, got {value!r}")
    if wrong:
        raise TypeError("; ".join(wrong))
