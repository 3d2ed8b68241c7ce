"""What a run would go to: shown before it starts, saved, and run later or elsewhere."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast, get_args

from ..chain.arn import RoleArn, shown
from ..errors import ConfigError
from ..sources.quote import redact
from ..stores import private
from ..stores.complaints import reason
from .results.outcomes import Failure, Kind, Outcome
from .shards import in_shard, parse_shard
from .targets import Account, Target

_MARK = "rolecall_plan"
_VERSION = 1
#: A name of a host's part, which is all that endpoints ask. [RFC 1123]
_REGION = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
#: A file that is something else altogether has one problem a line.
_MOST_PROBLEMS = 50

_DEFAULTS = {
    one.name: one.default if one.default_factory is MISSING else one.default_factory()
    for one in fields(Account)
    if one.name != "id"
}
_TEXTS = ("name", "email", "state", "ou_path", "role")
_TARGET = frozenset({"account", "region", "role", "details"})
_FAILURE = frozenset({"kind", "type", "code", "message", "retryable"})
_FAILED = _TARGET | _FAILURE | {"started", "elapsed_seconds", "attempts"}
_MALFORMED = (TypeError, ValueError, KeyError, OverflowError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The targets of a run, in its order, each once.

    Attributes:
        targets: One for each account and region; an account is the same in all of its.
        failed: Accounts of whose enabled regions AWS told nothing, as outcomes that are not ok.

    Raises:
        ValueError: targets that are there twice, a role of another account than its target's, or
            something else that cannot be run; all problems in one message.
    """

    targets: tuple[Target, ...]
    failed: tuple[Outcome, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", tuple(self.targets))
        object.__setattr__(self, "failed", tuple(self.failed))
        problems = list(_problems(self.targets, self.failed))
        if problems:
            raise ValueError(_joined(problems, "; "))

    def __iter__(self) -> Iterator[Target]:
        return iter(self.targets)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts of the targets, each once, in their order."""
        return tuple({target.account.id: target.account for target in self.targets}.values())

    def shard(self, shard: int, shards: int) -> Plan:
        """Return the part of *shard* (from 1) of *shards*: whole accounts, by their ids alone.

        Raises:
            ValueError: there is no such shard.
        """
        parse_shard((shard, shards))
        return Plan(
            targets=tuple(one for one in self.targets if in_shard(one.account.id, shard, shards)),
            failed=tuple(one for one in self.failed if in_shard(one.account.id, shard, shards)),
        )

    def to_records(self) -> list[dict[str, str | None]]:
        """Return a row for each target: account, account_name, ou_path, region and role."""
        return [
            {
                "account": target.account.id,
                "account_name": target.account.name,
                "ou_path": target.account.ou_path,
                "region": target.region,
                "role": target.role,
            }
            for target in self.targets
        ]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file *path*, of mode 0600: at no moment half of it, and the same for equals.

        It is JSON: accounts, targets, and the failures as text, without their tracebacks.

        Raises:
            ConfigError: it cannot be written; what was there is unharmed.
            TypeError: an account has a role, regions or tags that are not text.
        """
        where = Path(path)
        data = self._document().encode("ascii")
        try:
            # A rename would put a file in the place of a device, a link or an empty directory.
            if not stat.S_ISREG(os.lstat(where).st_mode):
                raise _unusable(where, "it is there, and not a plain file")
        except FileNotFoundError:
            if not where.parent.is_dir():
                why = f"there is no directory {where.parent}"
                raise _unusable(where, why, hint="make it first") from None
        except OSError as error:
            raise _unusable(where, reason(error)) from error
        try:
            private.replace(where, data)
        except OSError as error:
            raise _unusable(where, f"cannot be written: {reason(error)}") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Return the plan that `save` wrote to *path*.

        Raises:
            ConfigError: it cannot be read, or is no plan that can be run; all problems at once.
        """
        where = Path(path)
        try:
            document = json.loads(where.read_bytes().decode("utf-8"))
        except OSError as error:
            raise _unusable(where, f"cannot be read: {reason(error)}") from error
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, Mapping) or _MARK not in document:
            raise _unusable(where, "it is no plan of rolecall's")
        if document[_MARK] != _VERSION:
            why = f"its version is {document[_MARK]!r}, and this rolecall's is {_VERSION}"
            raise _unusable(where, why, hint="save it again with this version")
        reader = _Reader(document)
        problems = [*reader.problems, *_problems(reader.targets, reader.failed)]
        if problems:
            raise _unusable(where, _joined(problems, "\n  "), hint="mend it, or save it again")
        return cls(targets=tuple(reader.targets), failed=tuple(reader.failed))

    def _document(self) -> str:
        # A line for each account and target, so that two plans can be compared as text.
        accounts = {one.account.id: one.account for one in self.targets}
        accounts |= {one.account.id: one.account for one in self.failed}
        parts = {
            "accounts": [_account_row(one) for one in accounts.values()],
            "targets": [_target_row(one) for one in self.targets],
            "failed": [_failed_row(one) for one in self.failed],
        }
        lists = (
            f'"{name}": [' + ",".join(f"\n{json.dumps(row)}" for row in rows) + "\n]"
            for name, rows in parts.items()
        )
        return f'{{\n"{_MARK}": {_VERSION},\n' + ",\n".join(lists) + "\n}\n"


# ── what makes a plan ────────────────────────────────────────────────────────────────────


def _problems(targets: Iterable[Target], failed: Iterable[Outcome]) -> Iterator[str]:
    accounts: dict[str, Account] = {}
    seen: set[tuple[str, str | None, str | None]] = set()
    roles: dict[tuple[str, str], str | None] = {}
    for place, target, went_well in (
        *(("target", one, False) for one in targets),
        *(("failed", one.target, one.ok) for one in failed),
    ):
        account, region, role = target.account, target.region, target.role
        where = f"{place} {target}"
        if accounts.setdefault(account.id, account) != account:
            yield f"{where}: its account is there with other contents"
        if region is not None and not _REGION.fullmatch(region):
            yield f"{where}: {shown(region)} is no region"
        if role is not None:
            if (account.id, role) not in roles:
                roles[account.id, role] = _role_problem(role, account.id)
            if (problem := roles[account.id, role]) is not None:
                yield f"{where}: {problem}"
        if went_well:
            yield f"{where}: it is ok, and only failures are kept"
        if place == "target":
            if (account.id, region, role) in seen:
                yield f"{where}: is there twice"
            seen.add((account.id, region, role))


def _role_problem(role: str, account_id: str) -> str | None:
    try:
        owner = RoleArn.parse(role).account_id
    except ValueError as error:
        return f"role: {error}"
    if owner != account_id:
        return f"role: {shown(role)} is of the account {owner}"
    return None


def _joined(problems: list[str], between: str) -> str:
    more = len(problems) - _MOST_PROBLEMS
    if more > 0:
        problems = [*problems[:_MOST_PROBLEMS], f"and {more} more"]
    return between.join(problems)


def _unusable(path: Path, why: str, *, hint: str = "give another file") -> ConfigError:
    return ConfigError(f"the plan {path}: {why}", hint=hint)


# ── rows ─────────────────────────────────────────────────────────────────────────────────


def _account_row(account: Account) -> dict[str, Any]:
    row: dict[str, Any] = {"id": account.id}
    for name, default in _DEFAULTS.items():
        value = getattr(account, name)
        if value != default:
            # Sorted, for equal accounts may have their tags in any order.
            row[name] = dict(sorted(value.items())) if isinstance(value, Mapping) else value
    try:
        _account_of(json.loads(json.dumps(row)))
    except _MALFORMED as error:
        raise TypeError(f"account {account.id} cannot be saved: {error}") from None
    return row


def _target_row(target: Target) -> dict[str, Any]:
    row = {"account": target.account.id, "region": target.region, "role": target.role}
    return {**row, "details": target.details} if target.details else row


def _failed_row(outcome: Outcome) -> dict[str, Any]:
    error = outcome.error
    assert error is not None  # only such are in a plan
    return {
        **_target_row(outcome.target),
        **{name: getattr(error, name) for name in sorted(_FAILURE)},
        "message": redact(error.message),
        "started": outcome.started.isoformat(),
        "elapsed_seconds": outcome.elapsed.total_seconds(),
        "attempts": outcome.attempts,
    }


class _Reader:
    """What a plan's document holds, and every problem with its form."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.problems = [
            f"{shown(name)} is no key of a plan"
            for name in document
            if name not in {_MARK, "accounts", "targets", "failed"}
        ]
        self._accounts: dict[str, Account | None] = {}
        self.targets: list[Target] = []
        self.failed: list[Outcome] = []
        for name, take in (
            ("accounts", self._take_account),
            ("targets", self._take_target),
            ("failed", self._take_failed),
        ):
            rows = document.get(name, [])
            if not isinstance(rows, list):
                self.problems.append(f"{name} must be a list")
                continue
            for number, row in enumerate(rows, 1):
                try:
                    take(row)
                except _MALFORMED as error:
                    self.problems.append(f"{name}, number {number}: {error.args[0]}")

    def _take_account(self, row: Any) -> None:
        # None: it is there, and wrong, which is a problem once, not again with each target.
        id = row.get("id") if isinstance(row, Mapping) else None
        if isinstance(id, str):
            if id in self._accounts:
                raise ValueError(f"account {shown(id)} is there twice")
            self._accounts[id] = None
            self._accounts[id] = _account_of(row)
        else:
            _account_of(row)

    def _target(self, row: Mapping[str, Any]) -> Target | None:
        id = _text(row, "account")
        if id not in self._accounts:
            raise ValueError(f"account {shown(id)} is not among the accounts")
        account = self._accounts[id]
        region, role = _text_or_none(row, "region"), _text_or_none(row, "role")
        details = _text(row, "details") if "details" in row else ""
        if account is None:
            return None
        return Target(account=account, region=region, role=role, details=details)

    def _take_target(self, row: Any) -> None:
        _refuse_other_keys(row, _TARGET)
        target = self._target(row)
        if target is not None:
            self.targets.append(target)

    def _take_failed(self, row: Any) -> None:
        _refuse_other_keys(row, _FAILED)
        kind, started = _text(row, "kind"), datetime.fromisoformat(_text(row, "started"))
        if kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got {shown(kind)}")
        if started.tzinfo is None:
            raise ValueError("started must have a time zone")
        retryable, seconds, attempts = (
            row.get(one) for one in ("retryable", "elapsed_seconds", "attempts")
        )
        if not isinstance(retryable, bool) or not _number(seconds) or type(attempts) is not int:
            raise ValueError(
                "retryable must be true or false, elapsed_seconds and attempts be numbers"
            )
        error = Failure(
            kind=cast(Kind, kind),
            type=_text(row, "type"),
            code=_text_or_none(row, "code"),
            message=_text(row, "message"),
            retryable=retryable,
        )
        elapsed = timedelta(seconds=seconds)
        target = self._target(row)
        if target is not None:
            self.failed.append(
                Outcome(
                    target=target, error=error, started=started, elapsed=elapsed, attempts=attempts
                )
            )


def _account_of(row: Any) -> Account:
    """Return the account in *row*; ValueError or TypeError if there is none."""
    _refuse_other_keys(row, {"id", *_DEFAULTS})
    id = _text(row, "id")
    found: dict[str, Any] = {}
    for name, default in _DEFAULTS.items():
        if name not in row:
            continue
        value = row[name]
        if name in _TEXTS:
            value = _text_or_none(row, name) if default is None else _text(row, name)
        elif name == "tags":
            if not isinstance(value, Mapping) or not _texts(value.values()):
                raise ValueError("tags must be an object of texts")
        elif name == "management":
            if not isinstance(value, bool):
                raise ValueError("management must be true or false")
        elif isinstance(value, list) and _texts(value):
            value = tuple(value)
        elif name == "ou_ids" or not (value is None or isinstance(value, str)):
            raise ValueError(f"{name} must be a list of texts")
        found[name] = value
    return Account(id, **found)


def _refuse_other_keys(row: Any, keys: Iterable[str]) -> None:
    if not isinstance(row, Mapping):
        raise TypeError("it must be an object")
    others = sorted(map(shown, set(row) - set(keys)))
    if others:
        raise ValueError(f"there is no key {', '.join(others)}")


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text")
    return value


def _text_or_none(row: Mapping[str, Any], name: str) -> str | None:
    return None if row.get(name) is None else _text(row, name)


def _texts(values: Iterable[Any]) -> bool:
    return all(isinstance(one, str) for one in values)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
