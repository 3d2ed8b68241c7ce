"""Accounts, and one account in one region: what a run goes over, as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..chain.arn import ACCOUNT_ID

#: What `Account.regions` says for: all regions that are enabled in the account.
ENABLED = "enabled"

_EXAMPLE = "111122223333"


@dataclass(frozen=True, slots=True)
class Account:
    """One AWS account, as far as it is known.

    Attributes:
        id: Twelve digits.
        name: Its name in the organization; empty: not known.
        email: Of its root user; empty: not known.
        state: ``ACTIVE``, ``SUSPENDED``, ``PENDING_CLOSURE``, ``CLOSED``, ``PENDING_ACTIVATION``.
            None: not known. [Organizations, Account, State; before September 2026: Status]
        ou_path: Names of the organizational units down to it, such as ``/prod/eu``; ``/``: it is in
            the root. None: not looked up.
        ou_ids: Their ids, from the root's down.
        tags: Its tags in the organization; empty where they were not looked up. Not to be changed.
        management: Whether it is the organization's management account.
        role: The role to assume in this one, instead of the run's; as `fan_out` takes it.
        regions: The regions to go to in this one, instead of the run's, or ``"enabled"``.
    """

    id: str
    name: str = ""
    email: str = ""
    state: str | None = None
    ou_path: str | None = None
    ou_ids: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    management: bool = False
    role: str | None = None
    regions: tuple[str, ...] | str | None = None

    def __post_init__(self) -> None:
        given: object = self.id
        if not isinstance(given, str) or not ACCOUNT_ID.fullmatch(given):
            raise ValueError(f"an account id has 12 digits, such as {_EXAMPLE}, got {self.id!r}")

    def __str__(self) -> str:
        return f"{self.id} ({self.name})" if self.name else self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One account in one region, and the role that is assumed for it.

    Attributes:
        region: None: the session's own region, or not known yet, where the regions that are enabled
            could not be looked up.
        role: ARN. None: the session that was given, which is of that account itself.
        details: Fingerprint of what else the role is assumed with: policies, tags, a source
            identity, or a chain of its own; not names, durations and external ids. Empty: nothing.
    """

    account: Account
    region: str | None = None
    role: str | None = None
    details: str = ""

    def __str__(self) -> str:
        return f"{self.account.id}/{self.region}" if self.region else self.account.id


def account_of(given: Any) -> Account:
    """Return *given* as an account: an `Account`, or its id, as text or as a number.

    Raises:
        TypeError, ValueError: it is no account.
    """
    if isinstance(given, Account):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        # Numbers lose their leading zeros.
        return Account(f"{given:012d}")
    if isinstance(given, str):
        return Account(given)
    raise TypeError(
        f"a target is an account id such as '{_EXAMPLE}' or an Account, got {type(given).__name__}"
    )


def accounts_of(given: Iterable[Any]) -> tuple[Account, ...]:
    """Return *given* as accounts, each once, in their order.

    Raises:
        TypeError: it is no list of accounts.
        ValueError: ids that are none, all of them in one message; one account with two contents.
    """
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise TypeError(
            f"targets must be a list of account ids or Accounts, got {type(given).__name__}"
        )
    found: dict[str, Account] = {}
    wrong: list[str] = []
    for one in given:
        try:
            account = account_of(one)
        except ValueError as error:
            wrong.append(str(error))
            continue
        if found.setdefault(account.id, account) != account:
            wrong.append(f"account {account.id} is there twice, and not the same")
    if wrong:
        raise ValueError("; ".join(dict.fromkeys(wrong)))
    return tuple(found.values())
