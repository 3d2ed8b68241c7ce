"""Which accounts of an organization are meant: pure, nothing is looked up here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import ConfigError
from ..targets import account_of
from .directory import Directory, Way

#: [Organizations, Account, State; Status has but three of them]
STATES = ("PENDING_ACTIVATION", "ACTIVE", "SUSPENDED", "PENDING_CLOSURE", "CLOSED")

_UNIT_ID = re.compile(r"r-[0-9a-z]{4,32}|ou-[0-9a-z]{4,32}-[a-z0-9]{8,32}")

#: So many are named in a message before it says how many more there are.
_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What an account must be like to be meant. None: that does not matter.

    Attributes:
        ous: Units, as they were given: ids, paths or names.
        tags: Key → the values that will do. None: any.
    """

    ous: tuple[str, ...] | None
    exclude_ous: tuple[str, ...]
    tags: Mapping[str, frozenset[str] | None]
    name: re.Pattern[str] | None
    states: frozenset[str] | None
    ids: frozenset[str] | None
    exclude: frozenset[str]
    include_management: bool

    @property
    def by_unit(self) -> bool:
        """Whether it matters where an account is."""
        return self.ous is not None or bool(self.exclude_ous)


def criteria(
    *,
    ous: Any = None,
    exclude_ous: Any = (),
    tags: Any = None,
    name: Any = None,
    state: Any = "ACTIVE",
    ids: Any = None,
    exclude: Any = (),
    include_management: Any = False,
) -> Criteria:
    """Return the arguments of `Organization.select` as values.

    Raises:
        TypeError, ValueError: some cannot be meant, whatever the organization: all in one message.
    """
    given = _Given()
    found = Criteria(
        ous=None if ous is None else given.texts("ous", ous),
        exclude_ous=given.texts("exclude_ous", exclude_ous),
        tags=given.tags(tags),
        name=given.pattern(name),
        states=given.states(state),
        ids=None if ids is None else given.ids("ids", ids),
        exclude=given.ids("exclude", exclude),
        include_management=given.flag("include_management", include_management),
    )
    if given.wrong:
        raise (TypeError if given.of_wrong_type else ValueError)("; ".join(given.wrong))
    return found


class _Given:
    """Reads arguments, and notes what is wrong with them."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.of_wrong_type = False

    def type(self, name: str, must_be: str, value: object) -> None:
        self.of_wrong_type = True
        self.wrong.append(f"{name} must be {must_be}, got {value!r}")

    def texts(self, name: str, given: Any) -> tuple[str, ...]:
        values = self._listed(name, given)
        for value in values:
            if not isinstance(value, str):
                self.type(name, "texts", value)
            elif not value.strip():
                self.wrong.append(f"{name}: {value!r} is empty")
        return tuple(dict.fromkeys(value for value in values if isinstance(value, str)))

    def _listed(self, name: str, given: Any) -> list[Any]:
        if isinstance(given, str):
            return [given]
        if isinstance(given, (bytes, Mapping)) or not isinstance(given, Iterable):
            self.type(name, "a text or a list of them", given)
            return []
        return list(given)

    def ids(self, name: str, given: Any) -> frozenset[str]:
        # A text alone is one id, not twelve digits.
        found = set()
        for value in self._listed(name, given):
            try:
                found.add(account_of(value).id)
            except TypeError:
                self.type(name, "account ids", value)
            except ValueError as error:
                self.wrong.append(f"{name}: {error}")
        return frozenset(found)

    def tags(self, given: Any) -> dict[str, frozenset[str] | None]:
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            self.type("tags", "a mapping such as {'env': 'prod'}", given)
            return {}
        found: dict[str, frozenset[str] | None] = {}
        for key, value in given.items():
            if not isinstance(key, str) or not key:
                self.type("tags", "a mapping of texts", key)
            elif value is None:
                found[key] = None
            else:
                listed = self._listed(f"tags[{key!r}]", value)
                for one in listed:
                    if not isinstance(one, str):  # an empty one is a value, too
                        self.type(f"tags[{key!r}]", "a text, texts or None", one)
                found[key] = frozenset(one for one in listed if isinstance(one, str))
        return found

    def pattern(self, given: Any) -> re.Pattern[str] | None:
        if given is None or (isinstance(given, re.Pattern) and isinstance(given.pattern, str)):
            return given
        if not isinstance(given, str):
            self.type("name", "a regular expression", given)
            return None
        try:
            return re.compile(given)
        except (re.error, OverflowError, RecursionError) as error:
            self.wrong.append(f"name: {given!r} is no regular expression: {error}")
            return None

    def states(self, given: Any) -> frozenset[str] | None:
        if given is None:
            return None
        found = self.texts("state", given)
        for one in found:
            if one not in STATES and one.strip():
                close = difflib.get_close_matches(one.upper(), STATES, n=1)
                self.wrong.append(
                    f"state: {one!r} is none: "
                    + (f"did you mean {close[0]!r}?" if close else f"there are {', '.join(STATES)}")
                )
        return frozenset(found)

    def flag(self, name: str, given: Any) -> bool:
        if not isinstance(given, bool):
            self.type(name, "True or False", given)
        return bool(given)


def candidates(directory: Directory, wanted: Criteria, ways: Mapping[str, Way]) -> tuple[str, ...]:
    """Return the ids of the accounts that meet all of *wanted* but its tags, sorted.

    Args:
        ways: Those of *directory*, whose units were read if *wanted* is about units.

    Raises:
        ConfigError: it names what the organization does not have, or cannot be decided for some
            account; all of it in one message.
    """
    problems: list[str] = []
    ous = None if wanted.ous is None else _units("ous", wanted.ous, ways, problems)
    exclude_ous = _units("exclude_ous", wanted.exclude_ous, ways, problems)
    for name, ids in (("ids", wanted.ids or frozenset()), ("exclude", wanted.exclude)):
        strange = sorted(ids - directory.accounts.keys())
        problems += [
            f"{name}: {id} is not in the organization"
            # Looking for like ids takes a while in a large one.
            + (_like_id(id, directory) if number < _NAMED else "")
            for number, id in enumerate(strange)
        ]
    if directory.management is None and not wanted.include_management:
        problems.append(
            "which account is the management account cannot be told: give include_management=True, "
            "and exclude it by its id"
        )
    found, stateless, lost = [], [], []
    for id in sorted(directory.accounts):
        account = directory.accounts[id]
        if (
            id in wanted.exclude
            or (wanted.ids is not None and id not in wanted.ids)
            or (id == directory.management and not wanted.include_management)
            or (wanted.name is not None and not wanted.name.search(account.name))
        ):
            continue
        if wanted.states is not None:
            if account.state is None:
                stateless.append(id)
                continue
            if account.state not in wanted.states:
                continue
        if wanted.by_unit:
            way = ways.get(directory.parents.get(id, ""))
            if way is None:
                lost.append(id)
                continue
            inside = set(way.ids)
            if (ous is not None and not inside & ous) or inside & exclude_ous:
                continue
        found.append(id)
    if stateless:
        problems.append(
            f"AWS gave no state for {_some(stateless)}: get a newer boto3, which knows the field "
            "State that took the place of Status, or give state=None for accounts in any state"
        )
    if lost:
        problems.append(
            f"the unit of {_some(lost)} cannot be told, such as of one that is being moved: try "
            "again, or exclude it by its id"
        )
    if problems:
        raise ConfigError(
            "accounts cannot be selected: " + "; ".join(problems), context={"problems": problems}
        )
    return tuple(found)


def _units(
    argument: str, given: Iterable[str], ways: Mapping[str, Way], problems: list[str]
) -> set[str]:
    found: set[str] = set()
    for text in given:
        meant = [text] if text in ways else _named(text, ways)
        if not meant:
            problems.append(
                f"{argument}: {text!r} is no unit of the organization{_like(text, ways)}"
            )
        elif len(meant) > 1:
            where = ", ".join(f"{ways[id].path} ({id})" for id in sorted(meant))
            problems.append(f"{argument}: {text!r} may be any of {where}: give an id")
        found.update(meant)
    return found


def _named(text: str, ways: Mapping[str, Way]) -> list[str]:
    path = f"/{text.strip('/')}"
    by_path = [id for id, way in ways.items() if way.path == path]
    if text.startswith("/"):
        return by_path
    # A name alone, wherever it is; a root's says nothing.
    by_name = [id for id, way in ways.items() if way.name == text and len(way.ids) > 1]
    return list(dict.fromkeys([*by_path, *by_name]))


def _like(text: str, ways: Mapping[str, Way]) -> str:
    if _UNIT_ID.fullmatch(text):
        close = difflib.get_close_matches(text, ways, n=3, cutoff=0.8)
        shown = [f"{id} ({ways[id].path})" for id in close]
    else:
        # Whoever forgets a part of a path, or writes it in capitals, means its last name.
        last = text.rstrip("/").rpartition("/")[2].lower()
        names = {way.path.rpartition("/")[2].lower(): way.path for way in ways.values()}
        paths = {way.path.lower(): way.path for way in ways.values()}
        close = difflib.get_close_matches(text.lower(), paths, n=3, cutoff=0.8)
        shown = [paths[one] for one in close]
        shown += [names[one] for one in difflib.get_close_matches(last, names, n=3)]
        shown = [repr(one) for one in dict.fromkeys(shown)][:3]
    return f": did you mean {' or '.join(shown)}?" if shown else ""


def _like_id(id: str, directory: Directory) -> str:
    close = difflib.get_close_matches(id, directory.accounts, n=2, cutoff=0.8)
    like = " or ".join(str(directory.accounts[one]) for one in close)
    return f": did you mean {like}?" if like else ""


def _some(ids: list[str]) -> str:
    more = len(ids) - _NAMED
    return ", ".join(ids[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def tagged(ids: Iterable[str], directory: Directory, wanted: Criteria) -> tuple[str, ...]:
    """Return those of *ids* whose tags, which were read, are as *wanted*."""
    return tuple(id for id in ids if _has(directory.tags[id], wanted.tags))


def without_tags(ids: Iterable[str], directory: Directory, wanted: Criteria) -> str:
    """Return why none of *ids*, of which none has the tags *wanted*, has them."""
    found: dict[str, set[str]] = {}
    for id in ids:
        for key, value in directory.tags[id].items():
            found.setdefault(key, set()).add(value)
    reasons = []
    for key, values in wanted.tags.items():
        if key not in found:
            near = difflib.get_close_matches(key, found, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {_several(found)}"
            reasons.append(f"none has a tag {key!r}: {hint if found else 'none has any tag'}")
        elif values is not None and not values & found[key]:
            reasons.append(f"none has {key}={_several(values)}: there are {_several(found[key])}")
    return "; ".join(reasons) or "none has all of these tags"


def _several(texts: Iterable[str]) -> str:
    return _some([repr(text) for text in sorted(texts)])


def _has(tags: Mapping[str, str], wanted: Mapping[str, frozenset[str] | None]) -> bool:
    return all(
        key in tags and (values is None or tags[key] in values) for key, values in wanted.items()
    )
