"""botocore's own credentials in an asynchronous session: those of a chain without roles."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime, timedelta, timezone
from typing import Any

from botocore.credentials import Credentials as BotocoreCredentials
from botocore.credentials import ReadOnlyCredentials, RefreshableCredentials

from ...clock import SYSTEM_CLOCK
from ...errors import ConfigError
from ...fork import ForkSafeLock, tell_after_fork
from ...refresh.aio import in_thread, running_loop, until_done, working
from ...refresh.flight import Askers
from ...sources.upstream import expiry_of
from ..credentials import Identity, identity_from
from ..face import wanted_lifetime


class CredentialsBesideTheLoop:
    """botocore's own credentials for an asynchronous session: read in a thread if they refresh.

    It has the names of `AioRefreshingCredentials`; but when they are renewed is botocore's matter.

    Args:
        theirs: They themselves, or those of an asynchronous session as a thread reads them.
        client: Gives an STS client that signs with them; called in a thread.
    """

    def __init__(self, theirs: Any, client: Callable[[], Any]) -> None:
        self._theirs = theirs
        # An asynchronous session's know themselves when they expire.
        self._original = getattr(theirs, "original", theirs)
        self._client = client
        self.method: str | None = getattr(theirs, "method", None)
        self._read: ReadOnlyCredentials | None = None
        self._lock = ForkSafeLock()  # guards _future
        self._future: Future[Any] | None = None
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Forget a thread that does not live here."""
        self._future = None

    def __repr__(self) -> str:
        return f"<CredentialsBesideTheLoop {self.method}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> CredentialsBesideTheLoop:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise ConfigError(
            "live credentials are not pickled",
            hint="pickle the session or its chain: the other process finds them for itself",
        )

    # ── what aiobotocore calls ───────────────────────────────────────────────────────────

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return the current access key, secret key and token, all of one set."""
        self._read = read = await self._now()
        return read

    async def _now(self) -> ReadOnlyCredentials:
        running_loop()
        read: ReadOnlyCredentials
        if self._theirs is not self._original:
            if self.refresh_needed():
                # They are awaited on this loop, from a thread; once for all who need them.
                read = await in_thread(self._theirs.get_frozen_credentials)
            else:
                read = await self._original.get_frozen_credentials()
        elif isinstance(self._theirs, RefreshableCredentials) and self.refresh_needed():
            with self._lock:
                future = self._future
                if future is None or future.done():
                    future = self._future = working(self._theirs.get_frozen_credentials, Askers())
            await until_done(future, None)
            read = future.result()
        else:
            read = self._theirs.get_frozen_credentials()
        return read

    async def get_access_key(self) -> str:
        """Return the access key id."""
        return str((await self.get_frozen_credentials()).access_key)

    async def get_secret_key(self) -> str:
        """Return the secret access key."""
        return str((await self.get_frozen_credentials()).secret_key)

    async def get_token(self) -> str | None:
        """Return the session token."""
        return (await self.get_frozen_credentials()).token

    async def get_account_id(self) -> str | None:
        """Return the account, where it is known."""
        return getattr(await self.get_frozen_credentials(), "account_id", None)

    def get_deferred_property(self, property_name: str) -> Callable[[], Any]:
        """Return what gives a property without a fetch: None. Older aiobotocores ask."""
        return lambda: None

    def refresh_needed(self, refresh_in: float | None = None) -> bool:
        """Return whether a refresh is due, or whether less than *refresh_in* seconds are left."""
        needed: Callable[..., bool] | None = getattr(self._original, "refresh_needed", None)
        if needed is None:  # they never change, or nobody can tell
            return self._theirs is not self._original
        return needed(refresh_in) if refresh_in is not None else needed()

    # ── what a program asks ──────────────────────────────────────────────────────────────

    @property
    def access_key(self) -> str:
        """Access key id of what is held; needs an await before, as the next two do."""
        return str(self._held().access_key)

    @property
    def secret_key(self) -> str:
        """Secret access key of what is held."""
        return str(self._held().secret_key)

    @property
    def token(self) -> str | None:
        """Session token of what is held."""
        return self._held().token

    @property
    def account_id(self) -> str | None:
        """Account the session is in, as far as it is known now."""
        return getattr(self._held() if self._lasting else self._read, "account_id", None)

    @property
    def expires_at(self) -> datetime | None:
        """When what is held expires, aware UTC. None: nothing is held yet, or never."""
        expiry = expiry_of(self._original)
        return None if expiry is None else expiry.astimezone(timezone.utc)

    @property
    def remaining(self) -> timedelta:
        """How long what is held still lives; zero if nothing is."""
        expires_at = self.expires_at
        if expires_at is None:
            return timedelta(0) if self.state == "empty" else timedelta.max
        left = expires_at - datetime.fromtimestamp(SYSTEM_CLOCK.time(), timezone.utc)
        return max(left, timedelta(0))

    @property
    def state(self) -> str:
        """``empty``, ``fresh``, ``stale`` or ``expired``; asks nobody."""
        if self.expires_at is None:
            return "fresh" if self._lasting or self._read is not None else "empty"
        if not self.remaining:
            return "expired"
        return "stale" if self.refresh_needed() else "fresh"

    def invalidate(self, access_key: str) -> bool:
        """Return False: nothing replaces botocore's own credentials before their time."""
        return False

    async def refresh(self) -> None:
        """Refuse: botocore renews its own credentials when it finds them due.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            f"{self!r}: botocore's own credentials cannot be renewed before they are due",
            hint="await get_frozen_credentials(), which renews them when they are; the "
            "credentials of a role can be refreshed",
        )

    async def ensure_valid_for(self, duration: timedelta | None = None, **units: float) -> None:
        """Make sure that the credentials live at least so long, renewed if botocore finds them due.

        Raises:
            ConfigError: they do not live that long.
        """
        wanted = wanted_lifetime(duration, units)
        await self.get_frozen_credentials()
        if self.remaining < wanted:
            raise ConfigError(
                f"{self!r}: they live {self.remaining}, not {wanted}, and botocore's own "
                "credentials cannot be renewed before they are due",
                hint="ask for less, or assume a role whose DurationSeconds is that long",
            )

    async def whoami(self) -> Identity:
        """Ask STS who these credentials are (GetCallerIdentity, which needs no permission).

        Raises:
            FetchError: STS refuses; also botocore's ClientError then.
        """
        await self.get_frozen_credentials()
        return await in_thread(lambda: identity_from(self._client, str(self.method)))

    @property
    def _lasting(self) -> bool:
        return type(self._theirs) is BotocoreCredentials

    def _held(self) -> ReadOnlyCredentials:
        if self._lasting:
            frozen: ReadOnlyCredentials = self._theirs.get_frozen_credentials()
            return frozen
        if self._read is None or not self.remaining:
            raise ConfigError(
                f"{self!r}: no valid credentials are held now, and none can be fetched without "
                "awaiting them",
                hint="await get_frozen_credentials() instead",
            )
        return self._read
