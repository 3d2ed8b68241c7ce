"""One spelling for each argument, so that equal roles are equal values.

What cannot be spelled at all (a set as a tag, a policy JSON has no form for) is a `Problem` in the
list that is passed in. What can be held but breaks a limit is left for `limits`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any

from ..errors import Problem
from .arn import RoleArn

LONGEST_POLICY = 2048  # characters, inline and managed together [STS AssumeRole, Policy]

Tags = tuple[tuple[str, str], ...]


def kind(value: object) -> str:
    """Return the type of *value* in words for a message; never the value, which may be secret."""
    return "None" if value is None else f"{type(value).__name__}"


def hashable(name: str, value: Any, found: list[Problem]) -> Any:
    """Return *value* if it can be part of a value that hashes, else None and a problem."""
    try:
        hash(value)
    except TypeError:
        found.append(Problem(field=name, message=f"must be a string, got {kind(value)}"))
        return None
    return value


def arn(value: Any, found: list[Problem]) -> Any:
    """Return a role's ARN as text."""
    return str(value) if isinstance(value, RoleArn) else hashable("RoleArn", value, found)


def duration(value: Any, found: list[Problem]) -> Any:
    """Return whole seconds as a timedelta; a fraction is cut off."""
    if isinstance(value, timedelta):
        return timedelta(seconds=int(value.total_seconds()))
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return timedelta(seconds=value)
        except OverflowError:
            return value  # longer than time itself: `limits` says that it is too long
    return hashable("DurationSeconds", value, found)


def policy(value: Any, managed: Sequence[str], found: list[Problem]) -> Any:
    """Return a session policy as JSON text; text is passed on as it is."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray)):
        found.append(
            Problem(field="Policy", message=f"must be text, a dict or a list, got {kind(value)}")
        )
        return None
    try:
        text = json.dumps(_plain(value))
        if len(text) + sum(map(len, managed)) > LONGEST_POLICY:
            # STS counts the blanks too: leave them out where they decide.
            text = json.dumps(_plain(value), separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        found.append(Problem(field="Policy", message=f"cannot be written as JSON: {error}"))
        return None
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _items(name: str, value: Any, example: str, found: list[Problem]) -> list[Any]:
    """Return the items of a list argument; a bare string is a mistake, not a list of letters."""
    if value is None:
        return []
    if isinstance(value, (str, bytes, bytearray, RoleArn)) or not isinstance(value, Iterable):
        found.append(
            Problem(field=name, message=f"must be a list such as {example}, got {kind(value)}")
        )
        return []
    return list(value)


def policy_arns(value: Any, found: list[Problem]) -> tuple[str, ...]:
    """Return the ARNs of managed policies, given as text or as ``{"arn": …}``."""
    if isinstance(value, Mapping):
        value = [value]
    arns = []
    for number, item in enumerate(
        _items("PolicyArns", value, '["arn:aws:iam::…:policy/…"]', found)
    ):
        text = item.get("arn") if isinstance(item, Mapping) and set(item) == {"arn"} else item
        if isinstance(text, str):
            arns.append(text)
        else:
            message = f'must be an ARN or {{"arn": ARN}}, got {kind(item)}'
            found.append(Problem(field=f"PolicyArns[{number}]", message=message))
    return tuple(arns)


def tags(value: Any, found: list[Problem]) -> Tags:
    """Return tags as (key, value) pairs, given as a mapping, Key/Value dicts or pairs."""
    if isinstance(value, Mapping):
        if set(value) == {"Key", "Value"} and isinstance(value["Key"], str):
            message = "is one Key/Value dict; give a list of them, or a plain dict {key: value}"
            found.append(Problem(field="Tags", message=message))
            return ()
        value = list(value.items())
    pairs = []
    for number, item in enumerate(_items("Tags", value, '[{"Key": …, "Value": …}]', found)):
        name = f"Tags[{number}]"
        if isinstance(item, Mapping):
            if set(item) != {"Key", "Value"}:
                message = f"must have Key and Value, has {_names(item)}"
                found.append(Problem(field=name, message=message))
                continue
            item = (item["Key"], item["Value"])
        if not isinstance(item, tuple) or len(item) != 2:
            message = f'must be {{"Key": …, "Value": …}}, got {kind(item)}'
            found.append(Problem(field=name, message=message))
            continue
        before = len(found)
        pair = (hashable(f"{name}.Key", item[0], found), hashable(f"{name}.Value", item[1], found))
        if len(found) == before:
            pairs.append(pair)
    return tuple(pairs)


def _names(item: Mapping[Any, Any]) -> str:
    return ", ".join(sorted(str(key)[:40] for key in item)) or "neither"


def keys(value: Any, found: list[Problem]) -> tuple[str, ...]:
    """Return the keys of transitive tags."""
    items = _items("TransitiveTagKeys", value, '["team"]', found)
    return tuple(hashable(f"TransitiveTagKeys[{n}]", item, found) for n, item in enumerate(items))


def contexts(value: Any, found: list[Problem]) -> Tags:
    """Return provided contexts as (provider ARN, assertion) pairs."""
    example = '[{"ProviderArn": …, "ContextAssertion": …}]'
    pairs = []
    for number, item in enumerate(_items("ProvidedContexts", value, example, found)):
        name = f"ProvidedContexts[{number}]"
        if isinstance(item, Mapping):
            item = (item.get("ProviderArn"), item.get("ContextAssertion"))
        if not isinstance(item, tuple) or len(item) != 2:
            message = f"must have ProviderArn and ContextAssertion, got {kind(item)}"
            found.append(Problem(field=name, message=message))
            continue
        provider, assertion = item
        pairs.append(
            (
                hashable(f"{name}.ProviderArn", provider, found),
                hashable(f"{name}.ContextAssertion", assertion, found),
            )
        )
    return tuple(pairs)


def extra(value: Any, found: list[Problem]) -> Tags:
    """Return arguments rolecall does not know as (name, JSON text) pairs, sorted by name."""
    if isinstance(value, tuple):
        return value  # canonical already
    if not isinstance(value, Mapping):
        message = f"must be a dict of AssumeRole arguments, got {kind(value)}"
        found.append(Problem(field="additional_kwargs", message=message))
        return ()
    pairs = []
    for name, item in value.items():
        if not isinstance(name, str):
            message = f"names must be strings, got {kind(name)}"
            found.append(Problem(field="additional_kwargs", message=message))
            continue
        try:
            pairs.append((name, json.dumps(_plain(item))))
        except (TypeError, ValueError, RecursionError):
            message = f"must be plain data, got {kind(item)}"
            found.append(Problem(field=name, message=message))
    return tuple(sorted(pairs))


def spelled(value: object, *parts: str) -> str:
    """Return a repr out of *parts*, leaving out the empty ones."""
    return f"{type(value).__name__}({', '.join(part for part in parts if part)})"


def part(name: str, value: object) -> str:
    """Return ``name=value`` for `spelled`; nothing for None."""
    return "" if value is None else f"{name}={value!r}"


def set_fields(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that say something, which keeps its pickle small."""
    found = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: item for name, item in found.items() if item is not None and item != ()}
