"""An organization's accounts, and which of them are meant."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from re import Pattern
from typing import Any

from ...clock import SYSTEM_CLOCK, Clock
from ...errors import ConfigError
from ...sources.upstream import botocore_session, default_session, refuse_unless_session
from ...spans import length
from ..targets import Account
from .cache import OrganizationCache
from .directory import Directory
from .listing import Listing
from .selection import candidates, criteria, tagged, without_tags

log: logging.Logger = logging.getLogger("rolecall.fleet")

Texts = str | Iterable[str]


class Organization:
    """The accounts of the organization that a session is in.

    Nothing is read before it is needed, and then no more than that: the units for a selection by
    unit, the tags of those accounts that all else is right of. Without a cache it is read anew by
    each call.

    Args:
        session: Of the management account or a delegated administrator, such as one of
            `rolecall.assume_role`; boto3's or botocore's. None: boto3's default one.
        cache: How long what was read is good, as a timedelta, seconds or ``"1h"``; it is kept on
            disk, for this principal only. None: nothing is kept.
        cache_folder: Where. None: ``$XDG_CACHE_HOME/rolecall/organizations``.
        environ: Where ``HOME`` and ``XDG_CACHE_HOME`` are looked up.
    """

    def __init__(
        self,
        session: Any = None,
        *,
        cache: timedelta | float | str | None = None,
        cache_folder: str | os.PathLike[str] | None = None,
        clock: Clock = SYSTEM_CLOCK,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        refuse_unless_session(session)
        kept_for = length("cache", cache)
        if cache_folder is not None and kept_for is None:
            raise ValueError('cache_folder needs to know for how long: give cache="1h", too')
        self._session = default_session() if session is None else session
        self._clock = clock
        self._cache = OrganizationCache(
            cache_folder,
            kept_for or timedelta(0),
            environ=os.environ if environ is None else environ,  # noqa: TID251 - border
            clock=clock,
        )
        self._caches = kept_for is not None

    def __repr__(self) -> str:
        return f"Organization({self._session!r})"

    def accounts(self, *, ou_paths: bool = False, tags: bool = False) -> tuple[Account, ...]:
        """Return all accounts in any state, the management account among them, by id.

        Args:
            ou_paths: Whether to look up in which units they are: `Account.ou_path`, `.ou_ids`.
            tags: Whether to look up their tags: a call for each account.

        Raises:
            AccessDenied: the session may not ask; also botocore's ClientError, as all that AWS
                refuses.
        """

        def all_of(directory: Directory, listing: Listing) -> tuple[Directory, tuple[str, ...]]:
            if tags:
                directory = listing.tags(directory, directory.accounts)
            return directory, tuple(directory.accounts)

        return self._read(all_of, ou_paths=ou_paths, tags=tags)

    def select(
        self,
        *,
        ous: Texts | None = None,
        exclude_ous: Texts = (),
        tags: Mapping[str, str | Iterable[str] | None] | None = None,
        name: str | Pattern[str] | None = None,
        state: Texts | None = "ACTIVE",
        ids: Iterable[Any] | None = None,
        exclude: Iterable[Any] = (),
        include_management: bool = False,
    ) -> tuple[Account, ...]:
        """Return the accounts that meet every criterion, by id; what excludes wins.

        Args:
            ous: In any of these units or below: ids (``ou-…``, ``r-…``), paths of names such as
                ``/prod/eu``, or a name that no other unit has.
            exclude_ous: In none of these units, nor below.
            tags: Key → value, values, or None for any value.
            name: A regular expression that is found somewhere in the account's name.
            state: A state or several; None: any.
            ids: No others than these.
            exclude: Ids of accounts to leave out.
            include_management: Whether the management account may be one of them.

        Raises:
            TypeError, ValueError: an argument means nothing in any organization.
            ConfigError: the organization has no such unit or account, or does not tell what is
                asked about. All problems are in one message.
            AccessDenied: the session may not ask; also botocore's ClientError, as all that AWS
                refuses.
        """
        wanted = criteria(
            ous=ous,
            exclude_ous=exclude_ous,
            tags=tags,
            name=name,
            state=state,
            ids=ids,
            exclude=exclude,
            include_management=include_management,
        )

        def meant(directory: Directory, listing: Listing) -> tuple[Directory, tuple[str, ...]]:
            found = candidates(directory, wanted, directory.ways())
            if wanted.tags:
                directory = listing.tags(directory, found)
                having = tagged(found, directory, wanted)
                if found and not having:
                    reason = without_tags(found, directory, wanted)
                    log.warning("of %d accounts %s", len(found), reason)
                found = having
            return directory, found

        return self._read(meant, ou_paths=wanted.by_unit, tags=bool(wanted.tags))

    def forget(self) -> None:
        """Delete what is kept on disk for this session's principal, if anything is."""
        with self._listing() as listing:
            self._cache.forget(listing.whose())

    def _listing(self) -> Listing:
        return Listing(
            botocore_session(self._session),
            chain=getattr(self._session, "chain", None),
            clock=self._clock,
        )

    def _read(
        self,
        choose: Callable[[Directory, Listing], tuple[Directory, tuple[str, ...]]],
        *,
        ou_paths: bool,
        tags: bool,
    ) -> tuple[Account, ...]:
        with self._listing() as listing:
            whose = listing.whose() if self._caches else ""
            kept = self._cache.load(whose) if self._caches else None

            def read(directory: Directory) -> tuple[Account, ...]:
                try:
                    if ou_paths and directory.units is None:
                        directory = listing.units(directory)
                    directory, ids = choose(directory, listing)
                finally:
                    if self._caches and directory is not kept:
                        self._cache.save(whose, directory)
                return directory.whole(ids, ou_paths=ou_paths, tags=tags, ways=directory.ways())

            if kept is not None:
                try:
                    return read(kept)
                except ConfigError as error:
                    # It may be about what is newer than what was kept.
                    log.debug("%r: it is read anew: %s", self, error)
            return read(listing.directory())
