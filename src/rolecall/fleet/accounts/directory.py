"""What was read of an organization: its accounts, units and tags, as plain values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ..targets import Account

#: The account in it is the management account. [Organizations, Account, Arn]
_ARN = re.compile(r"arn:[\w-]+:organizations::(\d{12}):account/o-[a-z0-9]+/\d{12}")


@dataclass(frozen=True, slots=True)
class Unit:
    """A root or an organizational unit.

    Attributes:
        parent: Id of the one that it is in. None: it is a root.
    """

    id: str
    name: str
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one gets to a unit: the ids from the root down to it, and the names as a path.

    Attributes:
        path: Such as ``/prod/eu``; ``/`` of a root.
        name: The unit's own.
    """

    ids: tuple[str, ...]
    path: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """An organization, as far as it was read.

    Attributes:
        read_at: When its accounts were read, seconds since the epoch.
        management: Id of the management account. None: it could not be told.
        accounts: By id; without places and tags, which are here.
        units: By id. None: not read.
        parents: Account id → id of the unit that it is in, for those where it is known.
        tags: Account id → its tags, for those whose tags were read.
    """

    read_at: float
    management: str | None
    accounts: Mapping[str, Account]
    units: Mapping[str, Unit] | None = None
    parents: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def ways(self) -> dict[str, Way]:
        """Return the way to each unit, by its id; empty where the units were not read."""
        found: dict[str, Way] = {}
        for unit in (self.units or {}).values():
            self._find(unit, found)
        return found

    def _find(self, unit: Unit, found: dict[str, Way]) -> Way:
        if unit.id not in found:
            above = (self.units or {}).get(unit.parent or "")
            if above is None:
                found[unit.id] = Way(ids=(unit.id,), path="/", name=unit.name)
            else:
                way = self._find(above, found)
                path = f"{way.path}/{unit.name}" if above.parent else f"/{unit.name}"
                found[unit.id] = Way(ids=(*way.ids, unit.id), path=path, name=unit.name)
        return found[unit.id]

    def whole(
        self, ids: Iterable[str], *, ou_paths: bool, tags: bool, ways: Mapping[str, Way]
    ) -> tuple[Account, ...]:
        """Return the accounts of these *ids* with what is asked for of them, by id.

        What is known and was not asked for is left out: an account does not look different because
        somebody asked for more before.
        """
        return tuple(self._whole(id, ou_paths, tags, ways) for id in sorted(ids))

    def _whole(self, id: str, ou_paths: bool, tags: bool, ways: Mapping[str, Way]) -> Account:
        account = self.accounts[id]
        way = ways.get(self.parents.get(id, "")) if ou_paths else None
        return replace(
            account,
            management=id == self.management,
            ou_ids=() if way is None else way.ids,
            ou_path=None if way is None else way.path,
            tags=dict(self.tags.get(id, {})) if tags else {},
        )


def management_in(arn: str) -> str | None:
    """Return the management account of the organization in an account's *arn*. None: not told."""
    match = _ARN.fullmatch(arn)
    return match[1] if match else None
