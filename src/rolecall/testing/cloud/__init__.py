"""A whole AWS on loopback whose sessions really expire; `StrictCloud` is its face."""

from __future__ import annotations

from .front import Call
from .strict import StrictCloud

__all__ = ["Call", "StrictCloud"]
