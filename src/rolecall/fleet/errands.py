"""What is to be done in one account, before its regions are known: data that may travel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .regions import HOME_REGIONS, Regions
from .roles import Way
from .targets import ENABLED, Account, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One account, how it is entered, and where.

    Attributes:
        regions: ``"enabled"``: they are asked for first.
        home: The region in which it is asked which ones are enabled.
        done: Targets that are to be left out.
    """

    account: Account
    way: Way
    regions: Regions
    home: str = HOME_REGIONS["aws"]
    done: frozenset[str | None] = frozenset()

    @property
    def role(self) -> str | None:
        """ARN of the role. None: the session itself."""
        return None if self.way.role is None else str(self.way.role.arn)

    @property
    def known(self) -> tuple[str | None, ...] | None:
        """Its regions. None: they are not known yet."""
        return self.regions if isinstance(self.regions, tuple) else None

    def targets(self, regions: Sequence[str | None] | None = None) -> tuple[Target, ...]:
        """Return its targets in *regions*, or in its own; without those that are done."""
        named = self.known if regions is None else regions
        if named is None:
            # Not looked up, for whatever reason: the account as such.
            return (self.at(None),)
        return tuple(self.at(region) for region in named if region not in self.done)

    def at(self, region: str | None) -> Target:
        """Return its target in *region*."""
        return Target(account=self.account, region=region, role=self.role, details=self.way.details)

    @property
    def asks(self) -> bool:
        """Whether its regions are to be asked for first."""
        return self.regions == ENABLED
