"""What users need to test their own refresh paths in seconds: clocks, sources, gates, a cloud."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clock import FakeClock as FakeClock
    from .cloud import StrictCloud as StrictCloud
    from .contracts import SourceContract as SourceContract
    from .contracts import StoreContract as StoreContract
    from .gate import Gate as Gate
    from .oidc import OidcIssuer as OidcIssuer
    from .source import FakeSource as FakeSource

_HOMES = {
    "FakeClock": "clock",
    "FakeSource": "source",
    "Gate": "gate",
    "OidcIssuer": "oidc",
    "SourceContract": "contracts",
    "StoreContract": "contracts",
    "StrictCloud": "cloud",
}

__all__ = [
    "FakeClock",
    "FakeSource",
    "Gate",
    "OidcIssuer",
    "SourceContract",
    "StoreContract",
    "StrictCloud",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
