"""botocore's face of a `Refresher`: a credentials object that every client accepts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from botocore.credentials import ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import ClientError

from ..errors import ConfigError, FetchError
from ..refresh import Refresher
from ..sources.refusals import translate
from ..stores import Stored
from .face import Face, too_short, wanted_lifetime


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


class RefreshingCredentials(Face, RefreshableCredentials):
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
        super().__init__("", "", "", None, refresher.refresh, method)  # type: ignore[arg-type]
        self._built = True

    @property
    def interactive(self) -> bool:
        """Whether reading them now would ask a person at the terminal."""
        return self._refresher.prompts

    @property
    def identity(self) -> str:
        """Who these credentials are, for the keys of caches; may have to ask the parent's."""
        return self._identity if isinstance(self._identity, str) else self._identity()

    # ── what botocore calls ──────────────────────────────────────────────────────────────

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return the current access key, secret key, token and account id, all of one set.

        Raises:
            FetchError: none are valid and none can be had.
        """
        return self._freeze(self._refresher.get())

    def _refresh(self) -> None:
        self._refresher.get()

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
        wanted = wanted_lifetime(duration, units)
        if self.remaining >= wanted:
            return
        self._refresher.refresh()
        if self.remaining < wanted and isinstance(self._refresher.source, Stored):
            # What another process had stored is newer, but not new; the second time it is.
            self._refresher.refresh()
        left = self.remaining
        if left < wanted:
            raise too_short(self._refresher, left, wanted)

    def whoami(self) -> Identity:
        """Ask STS who these credentials are (GetCallerIdentity, which needs no permission).

        Raises:
            FetchError: no credentials can be had, or STS refuses; also botocore's ClientError then.
        """
        return identity_from(self._client, self._refresher.name)


def identity_from(sts: Callable[[], Any], name: str) -> Identity:
    """Return who signs the calls of the STS client that *sts* gives; messages call it *name*.

    Raises:
        FetchError: STS refuses; also botocore's ClientError then.
    """
    try:
        answer = sts().get_caller_identity()
    except ClientError as error:
        raise translate(error, f"{name}: GetCallerIdentity") from error
    missing = [part for part in ("Account", "Arn", "UserId") if not answer.get(part)]
    if missing:
        raise FetchError(f"{name}: STS answered without {', '.join(missing)}")
    return Identity(account=answer["Account"], arn=answer["Arn"], user_id=answer["UserId"])
