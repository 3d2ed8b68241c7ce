"""botocore's face of a `Refresher`: a credentials object that every client accepts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from botocore.credentials import ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import ClientError

from ..credentials import Credentials
from ..errors import ConfigError, FetchError
from ..refresh import Phase, Refresher
from ..refresh.state import read
from ..sources.refusals import translate
from ..stores import Stored

_TAKES_ACCOUNT_ID = "account_id" in ReadOnlyCredentials._fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a session is, as AWS sees it.

    Attributes:
        account: Twelve digits.
        arn: For a role session ``arn:aws:sts::<account>:assumed-role/<role>/<session name>``.
        user_id: ``<role id>:<session name>`` for a role session.
    """

    account: str
    arn: str
    user_id: str

    def __str__(self) -> str:
        return self.arn


def freeze(credentials: Credentials) -> ReadOnlyCredentials:
    """Return *credentials* as the tuple that botocore's signers take."""
    values: list[Any] = [credentials.access_key, credentials.secret_key, credentials.token]
    if _TAKES_ACCOUNT_ID:
        values.append(credentials.account_id)
    return ReadOnlyCredentials(*values)


class RefreshingCredentials(RefreshableCredentials):
    """The credentials of a session: always valid, refreshed beside the program's work.

    Made by `assume_role` and its companions; get it with ``session.get_credentials()``. Reading it
    blocks only when nothing is valid, or for a second in the last moments before expiry.
    """

    def __init__(
        self,
        refresher: Refresher,
        *,
        method: str,
        identity: Callable[[], str] | str,
        client: Callable[[], Any],
    ) -> None:
        self._refresher = refresher
        self._identity = identity
        self._client = client
        self._frozen: tuple[Credentials | None, ReadOnlyCredentials | None] = (None, None)
        self._built = False
        super().__init__("", "", "", None, refresher.refresh, method)  # type: ignore[arg-type]
        self._built = True

    @property
    def interactive(self) -> bool:
        """Whether reading them now would ask a person at the terminal."""
        return self._refresher.prompts

    @property
    def identity(self) -> str:
        """Who these credentials are, for the keys of caches; may have to ask the parent's."""
        if not isinstance(self._identity, str):
            self._identity = self._identity()
        return self._identity

    def __repr__(self) -> str:
        held = self._refresher.state.held
        until = "" if held is None else f", expires {held.credentials.expires_at}"
        return f"<RefreshingCredentials {self._refresher.name}: {self.state}{until}>"

    # ── what botocore calls ──────────────────────────────────────────────────────────────

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return the current access key, secret key, token and account id, all of one set.

        Raises:
            FetchError: none are valid and none can be had.
        """
        credentials = self._refresher.get()
        source, frozen = self._frozen
        if source is credentials and frozen is not None:
            return frozen
        frozen = freeze(credentials)
        self._frozen = (credentials, frozen)
        return frozen

    def refresh_needed(self, refresh_in: float | None = None) -> bool:
        """Return whether a refresh is due, or whether less than *refresh_in* seconds are left."""
        held = self._refresher.state.held
        if held is None:
            return True
        if refresh_in is None:
            return self._refresher.phase is not Phase.FRESH
        return held.left(read(self._refresher.clock)) < refresh_in

    def _refresh(self) -> None:
        self._refresher.get()

    def _seconds_remaining(self) -> float:
        held = self._refresher.state.held
        return 0.0 if held is None else held.left(read(self._refresher.clock))

    def _is_expired(self) -> bool:
        return self._seconds_remaining() <= 0

    @property  # type: ignore[misc]  # read-only: a set of keys changes as a whole
    def access_key(self) -> str:  # type: ignore[override]  # as above
        """Access key id. Read several fields from `get_frozen_credentials` instead."""
        return self._refresher.get().access_key

    @property  # type: ignore[misc]  # read-only: a set of keys changes as a whole
    def secret_key(self) -> str:  # type: ignore[override]  # as above
        """Secret access key."""
        return self._refresher.get().secret_key

    @property  # type: ignore[misc]  # read-only: a set of keys changes as a whole
    def token(self) -> str | None:  # type: ignore[override]  # as above
        """Session token."""
        return self._refresher.get().token

    @property  # type: ignore[misc]  # read-only: a set of keys changes as a whole
    def account_id(self) -> str | None:  # type: ignore[override]  # as above
        """Account the session is in."""
        return self._refresher.get().account_id

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

    # ── what a program asks ──────────────────────────────────────────────────────────────

    @property
    def expires_at(self) -> datetime:
        """When the current credentials expire, aware UTC; fetches them if there are none yet.

        Raises:
            FetchError: they cannot be had.
            ConfigError: they never expire.
        """
        expires_at = self._refresher.get().expires_at
        if expires_at is None:
            raise ConfigError(f"{self._refresher.name}: these credentials never expire")
        return expires_at

    @property
    def remaining(self) -> timedelta:
        """How long the current credentials still live; fetches them if there are none yet."""
        self._refresher.get()
        left = self._refresher.remaining
        return timedelta.max if left is None else left

    @property
    def state(self) -> str:
        """``empty``, ``fresh``, ``stale``, ``critical`` or ``expired``; asks nobody."""
        return str(self._refresher.phase)

    def refresh(self) -> None:
        """Fetch new credentials now, whatever is left of the old ones.

        Raises:
            FetchError: the source failed; the old ones stay in use while they are valid.
        """
        self._refresher.refresh()

    def ensure_valid_for(self, duration: timedelta | None = None, **units: float) -> None:
        """Make sure that the credentials live at least so long, refreshing them if they do not.

        For what outlives a request: a presigned URL, or keys handed to another program.
        ``ensure_valid_for(minutes=30)`` or ``ensure_valid_for(timedelta(minutes=30))``.

        Raises:
            ConfigError: even new ones do not live that long; ask for a longer DurationSeconds.
            FetchError: new ones cannot be had.
        """
        if duration is not None and not isinstance(duration, timedelta):
            raise TypeError(
                f"ensure_valid_for takes a timedelta or units, such as minutes=30, got {duration!r}"
            )
        wanted = (duration or timedelta(0)) + timedelta(**units)
        if self.remaining >= wanted:
            return
        self._refresher.refresh()
        if self.remaining < wanted and isinstance(self._refresher.source, Stored):
            # What another process had stored is newer, but not new; the second time it is.
            self._refresher.refresh()
        left = self.remaining
        if left < wanted:
            raise ConfigError(
                f"{self._refresher.name}: new credentials live {left}, not {wanted}",
                hint="ask for a longer DurationSeconds, as far as the role's MaxSessionDuration "
                "(1 h when chaining) allows",
            )

    def invalidate(self, access_key: str) -> bool:
        """Replace the credentials before their time if their key is *access_key*.

        For services that botocore does not call: return whether new ones will be fetched.
        """
        return self._refresher.invalidate(access_key)

    def whoami(self) -> Identity:
        """Ask STS who these credentials are (GetCallerIdentity, which needs no permission).

        Raises:
            FetchError: no credentials can be had, or STS refuses; also botocore's ClientError then.
        """
        try:
            answer = self._client().get_caller_identity()
        except ClientError as error:
            raise translate(error, f"{self._refresher.name}: GetCallerIdentity") from error
        missing = [name for name in ("Account", "Arn", "UserId") if not answer.get(name)]
        if missing:
            raise FetchError(f"{self._refresher.name}: STS answered without {', '.join(missing)}")
        return Identity(account=answer["Account"], arn=answer["Arn"], user_id=answer["UserId"])

    # ── live credentials do not travel ───────────────────────────────────────────────────

    def __copy__(self) -> RefreshingCredentials:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> RefreshingCredentials:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise ConfigError(
            f"{self._refresher.name}: live credentials are not pickled",
            hint="pickle the session or its chain: the other process assumes the role itself",
        )
