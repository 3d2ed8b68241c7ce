"""The refresh engine: pure rules, and thin drivers of them."""

from __future__ import annotations

from .decide import Phase
from .events import Event, EventKind, Listener
from .policy import DEFAULT_POLICY, ExponentialBackoff, RefreshPolicy, UniformBackoff
from .threads import Refresher

__all__ = [
    "DEFAULT_POLICY",
    "Event",
    "EventKind",
    "ExponentialBackoff",
    "Listener",
    "Phase",
    "RefreshPolicy",
    "Refresher",
    "UniformBackoff",
]
