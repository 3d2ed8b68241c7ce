"""aiobotocore's face of a `Refresher`: a credentials object that every client accepts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from aiobotocore.credentials import AioRefreshableCredentials
from botocore.credentials import ReadOnlyCredentials

from ...credentials import Credentials
from ...errors import ConfigError
from ...refresh import Refresher
from ...refresh.aio import AsyncRefresher, in_thread
from ...stores import Stored
from ..boto import Child, RoleSession
from ..credentials import Identity
from ..face import Face, too_short, wanted_lifetime


class AioRefreshingCredentials(Face, AioRefreshableCredentials):
    """The credentials of an asynchronous session: always valid, refreshed beside its work.

    Made by `rolecall.aio.assume_role` and its companions; get it with ``await
    session.get_credentials()``. Awaiting it takes no time but when nothing is valid, or for a
    second in the last moments before expiry. It may be used from any number of event loops.
    """

    def __init__(self, child: Child, session: Callable[[], RoleSession], method: str) -> None:
        self._session = session
        roles = () if child.chain is None else child.chain.roles
        self._account = roles[-1].arn.split(":")[4] if roles else None
        self._refresher: Refresher = child.refresher
        self._reader = AsyncRefresher(self._refresher)
        super().__init__("", "", "", None, self._reader.refresh, method)  # type: ignore[arg-type]
        self._built = True

    # ── what aiobotocore calls ───────────────────────────────────────────────────────────

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:  # type: ignore[override]
        """Return the current access key, secret key, token and account id, all of one set.

        Raises:
            FetchError: none are valid and none can be had.
            ConfigError: no asyncio event loop runs here.
        """
        return self._freeze(await self._reader.get())

    async def _refresh(self) -> None:
        await self._reader.get()

    async def get_access_key(self) -> str:
        """Return the access key id."""
        return (await self._reader.get()).access_key

    async def get_secret_key(self) -> str:
        """Return the secret access key."""
        return (await self._reader.get()).secret_key

    async def get_token(self) -> str | None:  # type: ignore[override]  # aiobotocore, too
        """Return the session token."""
        return (await self._reader.get()).token

    async def get_account_id(self) -> str | None:
        """Return the account the session is in."""
        return (await self._reader.get()).account_id

    @property  # type: ignore[misc]  # read-only: a set of keys changes as a whole
    def access_key(self) -> str:  # type: ignore[override]  # as above
        """Access key id of what is held; needs an await before, as the next two do."""
        return self._valid().access_key

    @property  # type: ignore[misc]  # read-only: a set of keys changes as a whole
    def secret_key(self) -> str:  # type: ignore[override]  # as above
        """Secret access key of what is held."""
        return self._valid().secret_key

    @property  # type: ignore[misc]  # read-only: a set of keys changes as a whole
    def token(self) -> str | None:  # type: ignore[override]  # as above
        """Session token of what is held."""
        return self._valid().token

    @property  # type: ignore[misc]  # read-only: a set of keys changes as a whole
    def account_id(self) -> str | None:  # type: ignore[override]  # as above
        """Account the session is in, as far as it is known now.

        Older versions of aiobotocore read it before anything is fetched.
        """
        held = self._refresher.state.held
        if held is not None:
            return held.credentials.account_id
        return self._account

    def _valid(self) -> Credentials:
        held = self._refresher.state.held
        if held is None or self._is_expired():
            raise ConfigError(
                f"{self._refresher.name}: no valid credentials are held now, and none can be "
                "fetched without awaiting them",
                hint="await get_frozen_credentials() instead",
            )
        return held.credentials

    # ── what a program asks ──────────────────────────────────────────────────────────────

    @property
    def expires_at(self) -> datetime | None:
        """When what is held expires, aware UTC. None: nothing is held yet, or never."""
        return self._expiry_time

    @property
    def remaining(self) -> timedelta:
        """How long what is held still lives; zero if nothing is."""
        if self._refresher.state.held is None:
            return timedelta(0)
        left = self._refresher.remaining
        return timedelta.max if left is None else left

    async def refresh(self) -> None:
        """Fetch new credentials now, whatever is left of the old ones.

        Raises:
            FetchError: the source failed; the old ones stay in use while they are valid.
        """
        await self._reader.refresh()

    async def ensure_valid_for(self, duration: timedelta | None = None, **units: float) -> None:
        """Make sure that the credentials live at least so long, refreshing them if they do not.

        For what outlives a request: a presigned URL, or keys handed to another program.
        ``ensure_valid_for(minutes=30)`` or ``ensure_valid_for(timedelta(minutes=30))``.

        Raises:
            ConfigError: even new ones do not live that long; ask for a longer DurationSeconds.
            FetchError: new ones cannot be had.
        """
        wanted = wanted_lifetime(duration, units)
        await self._reader.get()
        if self.remaining >= wanted:
            return
        await self._reader.refresh()
        if self.remaining < wanted and isinstance(self._refresher.source, Stored):
            # What another process had stored is newer, but not new; the second time it is.
            await self._reader.refresh()
        if self.remaining < wanted:
            raise too_short(self._refresher, self.remaining, wanted)

    async def whoami(self) -> Identity:
        """Ask STS who these credentials are (GetCallerIdentity, which needs no permission).

        Raises:
            FetchError: no credentials can be had, or STS refuses; also botocore's ClientError then.
        """
        await self._reader.get()
        return await in_thread(lambda: self._session().get_credentials().whoami())
