"""What botocore's faces of a `Refresher` have in common, the synchronous and the asyncio one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from botocore.credentials import ReadOnlyCredentials

from ..credentials import Credentials
from ..errors import ConfigError
from ..refresh import Phase, Refresher
from ..refresh.state import read

F = TypeVar("F", bound="Face")

_TAKES_ACCOUNT_ID = "account_id" in ReadOnlyCredentials._fields


def freeze(credentials: Credentials) -> ReadOnlyCredentials:
    """Return *credentials* as the tuple that botocore's signers take."""
    values: list[Any] = [credentials.access_key, credentials.secret_key, credentials.token]
    if _TAKES_ACCOUNT_ID:
        values.append(credentials.account_id)
    return ReadOnlyCredentials(*values)


class Face:
    """What botocore's faces of a `Refresher` tell without asking anybody, as botocore expects it.

    For credentials classes, before botocore's own class among the bases.
    """

    _refresher: Refresher
    _built: bool = False  # botocore's initializer is done
    _frozen: tuple[Credentials | None, ReadOnlyCredentials | None] = (None, None)

    def _freeze(self, credentials: Credentials) -> ReadOnlyCredentials:
        source, frozen = self._frozen
        if source is credentials and frozen is not None:
            return frozen
        frozen = freeze(credentials)
        self._frozen = (credentials, frozen)
        return frozen

    def __repr__(self) -> str:
        held = self._refresher.state.held
        until = "" if held is None else f", expires {held.credentials.expires_at}"
        return f"<{type(self).__name__} {self._refresher.name}: {self.state}{until}>"

    def refresh_needed(self, refresh_in: float | None = None) -> bool:
        """Return whether a refresh is due, or whether less than *refresh_in* seconds are left."""
        held = self._refresher.state.held
        if held is None:
            return True
        if refresh_in is None:
            return self._refresher.phase is not Phase.FRESH
        return held.left(read(self._refresher.clock)) < refresh_in

    def _seconds_remaining(self) -> float:
        held = self._refresher.state.held
        return 0.0 if held is None else held.left(read(self._refresher.clock))

    def _is_expired(self) -> bool:
        return self._seconds_remaining() <= 0

    @property
    def _expiry_time(self) -> datetime | None:
        held = self._refresher.state.held
        return None if held is None else held.credentials.expires_at

    @_expiry_time.setter
    def _expiry_time(self, value: datetime | None) -> None:
        # Tests of botocore programs set it to make credentials look old. None comes from
        # botocore's own initializer.
        if self._built and value is not None:
            self._refresher.set_expiry(value.astimezone(timezone.utc))

    @property
    def _advisory_refresh_timeout(self) -> float:
        return self._window("refresh_at")

    @_advisory_refresh_timeout.setter
    def _advisory_refresh_timeout(self, _: float) -> None:
        raise AttributeError("the windows are set by refresh_policy=RefreshPolicy(ahead=…)")

    @property
    def _mandatory_refresh_timeout(self) -> float:
        return self._window("block_at")

    @_mandatory_refresh_timeout.setter
    def _mandatory_refresh_timeout(self, _: float) -> None:
        raise AttributeError("the windows are set by refresh_policy=RefreshPolicy(margin=…)")

    def _window(self, edge: str) -> float:
        held = self._refresher.state.held
        if held is None or held.credentials.expires_at is None:
            return 0.0
        begins: float = getattr(held, edge)
        return held.dead_at - begins

    @property
    def state(self) -> str:
        """``empty``, ``fresh``, ``stale``, ``critical`` or ``expired``; asks nobody."""
        return str(self._refresher.phase)

    def invalidate(self, access_key: str) -> bool:
        """Replace the credentials before their time if their key is *access_key*.

        For services that botocore does not call: return whether new ones will be fetched.
        """
        return self._refresher.invalidate(access_key)

    # ── live credentials do not travel ───────────────────────────────────────────────────

    def __copy__(self: F) -> F:
        return self

    def __deepcopy__(self: F, memo: dict[int, Any]) -> F:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise ConfigError(
            f"{self._refresher.name}: live credentials are not pickled",
            hint="pickle the session or its chain: the other process assumes the role itself",
        )


def wanted_lifetime(duration: timedelta | None, units: Mapping[str, float]) -> timedelta:
    """Return what ``ensure_valid_for`` was asked for."""
    if duration is not None and not isinstance(duration, timedelta):
        raise TypeError(
            f"ensure_valid_for takes a timedelta or units, such as minutes=30, got {duration!r}"
        )
    return (duration or timedelta(0)) + timedelta(**units)


def too_short(refresher: Refresher, left: timedelta, wanted: timedelta) -> ConfigError:
    """Return what is raised where even new credentials do not live as long as *wanted*."""
    return ConfigError(
        f"{refresher.name}: new credentials live {left}, not {wanted}",
        hint="ask for a longer DurationSeconds, as far as the role's MaxSessionDuration "
        "(1 h when chaining) allows",
    )
