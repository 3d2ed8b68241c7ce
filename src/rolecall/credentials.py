"""The `Credentials` value, and the protocol of whatever hands credentials out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import NoReturn, Protocol, runtime_checkable

NO_TIME = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """One set of AWS keys, and what is known of how long it lives.

    The secret fields stay out of ``repr``, so a `Credentials` may be logged.

    Attributes:
        access_key: Access key id: the public half, ``ASIA…`` for a role session.
        secret_key: Secret access key.
        token: Session token. None: long-term keys of an IAM user.
        expires_at: Aware UTC instant at which AWS stops accepting them, by AWS's clock.
            None: they do not expire.
        account_id: Twelve digits. None: not known.
        clock_offset: AWS's clock minus the local one, measured when they were issued;
            zero where both agree within two seconds. It lets a machine whose clock is an
            hour off refresh at the right moment.
        issued_at: Aware UTC instant at which they were issued, by AWS's clock; with `expires_at`
            it tells a process that finds them in a store how old they are. None: not known.
    """

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    account_id: str | None = None
    clock_offset: timedelta = NO_TIME
    issued_at: datetime | None = None

    def __post_init__(self) -> None:
        if not self.access_key or not self.secret_key:
            missing = "access_key" if not self.access_key else "secret_key"
            raise ValueError(f"Credentials need a {missing}, got an empty one")
        if self.expires_at is not None:
            if self.expires_at.tzinfo is None:
                raise ValueError(
                    f"expires_at must be aware, got {self.expires_at.isoformat()} without time zone"
                )
            object.__setattr__(self, "expires_at", self.expires_at.astimezone(timezone.utc))

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "Credentials do not pickle, for they hold secrets: send a RoleChain, and let the other "
            "process assume the role itself"
        )

    def __copy__(self) -> Credentials:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Credentials:
        return self


@runtime_checkable
class Source(Protocol):
    """Whatever hands out credentials: a fetcher, a store, the refresher, a fake."""

    def get(self) -> Credentials:
        """Return credentials that are valid now.

        Raises:
            FetchError: they cannot be had; the class says what can be done about it.
        """
        ...


@runtime_checkable
class AsyncSource(Protocol):
    """A `Source` for asyncio programs."""

    async def get(self) -> Credentials:
        """Return credentials that are valid now, without blocking the loop."""
        ...
