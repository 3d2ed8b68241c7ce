"""What may be written about an account, under which names and in which forms."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...chain.arn import ACCOUNT_ID
from ...sources.quote import redact
from ..targets import ENABLED, Account
from .directory import management_in

#: A field's name → what was written.
Fields = Mapping[str, Any]

_NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "account", "account_id", "accountid"),
    "name": ("name", "account_name", "accountname"),
    "email": ("email", "account_email", "accountemail"),
    "state": ("state", "status", "account_state", "account_status"),
    "ou_path": ("ou_path", "oupath"),
    "role": ("role",),
    "regions": ("regions",),
    "tags": ("tags",),
    "arn": ("arn", "account_arn"),
}
_FIELDS: Mapping[str, str] = {name: field for field, names in _NAMES.items() for name in names}

#: Near to a name of ours, and something else.
_OTHERS = frozenset({"stage", "rule", "team"})

#: How like a name of ours a name must be to be taken for a misspelt one.
_LIKENESS = 0.75

_REGION = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-\d{1,2}")
_ELEVEN = re.compile(r"\d{8,11}")
_POWER = re.compile(r"\d(?:[.,]\d+)?[eE]\+?\d+")


class Unreadable(Exception):
    """What was written about an account is wrong.

    Attributes:
        problems: All that is.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems: tuple[str, ...] = tuple(problems)
        super().__init__("; ".join(self.problems))


def known_field(name: str) -> tuple[str | None, str | None]:
    """Return which field *name* stands for, and which it looks like where it stands for none."""
    plain = re.sub(r"[\s-]+", "_", name.strip()).lower()
    field = _FIELDS.get(plain)
    if field is not None or plain in _OTHERS:
        return field, None
    close = difflib.get_close_matches(plain, _FIELDS, n=1, cutoff=_LIKENESS)
    return None, close[0] if close else None


def shown(value: object) -> str:
    """Return *value* to be shown in a message, short and without what looks like a secret."""
    return repr(redact(str(value))[:40])


def account_from(fields: Fields) -> Account:
    """Return the account that *fields* tell of.

    Raises:
        Unreadable: with all that is wrong with them.
    """
    problems: list[str] = []

    def read(name: str, reader: Callable[[Any], Any], nothing: Any) -> Any:
        value = fields.get(name)
        if value is None or value == "":
            return nothing
        try:
            return reader(value)
        except ValueError as error:
            problems.append(f"{name}: {error}")
            return nothing

    id = read("id", _id, None)
    if id is None and not problems:
        problems.append("there is no account id")
    arn = read("arn", _text, "")
    known = {
        "name": read("name", _text, ""),
        "email": read("email", _text, ""),
        "state": read("state", lambda value: _text(value).upper(), None),
        "ou_path": read("ou_path", _text, None),
        "role": read("role", _text, None),
        "regions": read("regions", _regions, None),
        "tags": read("tags", _tags, {}),
    }
    if problems or id is None:
        raise Unreadable(problems)
    return Account(id, management=management_in(arn) == id, **known)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a text, got {shown(value)}")
    return value.strip()


def _id(value: Any) -> str:
    text = _text(value)
    if ACCOUNT_ID.fullmatch(text):
        return text
    if _ELEVEN.fullmatch(text):
        raise ValueError(
            f"{text} has {len(text)} digits, an account id 12: spreadsheets drop leading zeros, "
            f"so that it may be {text:0>12}; keep the column as text"
        )
    if _POWER.fullmatch(text):
        raise ValueError(
            f"{text} is how spreadsheets write a large number; keep the column as text"
        )
    raise ValueError(f"an account id has 12 digits, got {shown(text)}")


def _regions(value: Any) -> tuple[str, ...] | str:
    listed = value if isinstance(value, list) else re.split(r"[\s;,]+", _text(value))
    found = tuple(dict.fromkeys(_text(one) for one in listed))
    found = tuple(one for one in found if one)
    if found == (ENABLED,):
        return ENABLED
    wrong = [shown(one) for one in found if not _REGION.fullmatch(one)]
    if wrong:
        raise ValueError(
            f"{', '.join(wrong)}: must be names such as eu-central-1, or {ENABLED!r} alone"
        )
    if not found:
        raise ValueError("there is none in it")
    return found


def _tags(value: Any) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {_text(key): _tag_value(one) for key, one in value.items()}
    listed = value if isinstance(value, list) else _text(value).split(";")
    found: dict[str, str] = {}
    for one in listed:
        if isinstance(one, Mapping):  # as AWS prints them
            if not {"Key", "Value"} <= one.keys():
                raise ValueError(f"must have Key and Value, got {shown(sorted(one))}")
            found[_text(one["Key"])] = _tag_value(one["Value"])
        elif text := _text(one):
            match = re.fullmatch(r"([^:=]+)[:=](.*)", text, re.DOTALL)
            if match is None:
                raise ValueError(f"must be like env=prod or env:prod, got {shown(text)}")
            found[match[1].strip()] = match[2].strip()
    return found


def _tag_value(value: Any) -> str:
    return "" if value is None else _text(value)
