"""The refresh engine: pure rules, and thin drivers of them."""

from __future__ import annotations

from .events import Event, EventKind, Listener
from .policy import DEFAULT_POLICY, ExponentialBackoff, RefreshPolicy, UniformBackoff
from .state import Phase
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
