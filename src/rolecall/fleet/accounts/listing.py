"""Organizations' answers: the only module of the fleet that asks it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.session import Session

from ...chain import RoleChain
from ...clock import SYSTEM_CLOCK, Clock
from ...errors import (
    AccessDenied,
    ConfigError,
    CredentialsExpired,
    FetchError,
    RolecallError,
    Throttled,
    meaning_of,
)
from ...fork import ForkSafeLock
from ...sessions.bind import partition_in
from ...sources.identity import identity
from ...sources.origin import load_credentials
from ...sources.refusals import alike, refusal_in, translate
from ..targets import Account
from .directory import Directory, Unit, management_in

T = TypeVar("T")
R = TypeVar("R")

#: Organizations allows few calls at a time for the whole organization, and does not say how many.
THREADS = 8
ATTEMPTS = 12
CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 30

#: Where a session without a region finds its partition's Organizations; botocore leads there from
#: any of its regions.
_REGIONS = {"aws-cn": "cn-northwest-1", "aws-us-gov": "us-gov-west-1"}
_DEFAULT_REGION = "us-east-1"

_ELSEWHERE = (
    "use a session of the management account or of a delegated administrator, or give ids or a "
    "file of accounts (read_accounts)"
)
_HINTS: Mapping[type[FetchError], str] = {
    AccessDenied: _ELSEWHERE,
    Throttled: "Organizations allows few calls at a time in the whole organization: try again "
    'later, and keep what was read with cache="1h"',
}

#: o-…/r-…/ou-…/…/ and maybe the account itself. [Organizations, Account, Paths]
_PATH = re.compile(r"o-[a-z0-9]+/(r-[0-9a-z]+(?:/ou-[0-9a-z]+-[a-z0-9]+)*)(?:/\d{12})*/?")
_creating = ForkSafeLock()  # botocore makes one client at a time


class Listing:
    """What one session sees of its organization. Its client is closed at the end of a ``with``.

    A client lives no longer than a reading: none is there to be shared by a forked process.

    All methods raise `RolecallError`, which is also botocore's ClientError where AWS refused.
    """

    def __init__(
        self, session: Session, *, chain: RoleChain | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._session = session
        self._chain = chain
        self._clock = clock
        self._made: Any = None
        self._is_over = False

    def __enter__(self) -> Listing:
        return self

    def __exit__(self, *_: object) -> None:
        made, self._made = self._made, None
        if made is not None:
            made.close()

    @property
    def _client(self) -> Any:
        if self._made is None:
            load_credentials(self._session)
            with _creating:
                self._made = _client(self._session, self._chain)
            self._made.meta.events.register("before-send", self._refuse_once_over)
        return self._made

    def _refuse_once_over(self, **_: object) -> None:
        # Only another try comes here after the end: it would be for nobody.
        if self._is_over:
            raise FetchError("the organization: nobody waits for it any more")

    def _end(self) -> None:
        self._is_over = True

    def whose(self) -> str:
        """Return what tells this organization, as this principal sees it, from all others."""
        with _translated():
            return f"{identity(self._session)}\0{self._client.meta.endpoint_url}"

    def directory(self) -> Directory:
        """Return all accounts, without tags; their places where AWS tells them unasked."""
        read_at = self._clock.time()
        with _translated():
            listed = list(self._pages("list_accounts", "Accounts"))
            management = self._management(listed)
        accounts = {one["Id"]: account_in(one) for one in listed}
        parents = {one["Id"]: parent for one in listed if (parent := _parent_in(one)) is not None}
        return Directory(read_at=read_at, management=management, accounts=accounts, parents=parents)

    def _management(self, listed: Iterable[Mapping[str, Any]]) -> str | None:
        try:
            described = self._client.describe_organization()["Organization"]
        except ClientError as error:
            if isinstance(error, RolecallError) or "AccessDenied" not in _code(error):
                raise
            # It is in the accounts' ARNs as well.
            found = {management_in(one.get("Arn", "")) for one in listed}
            return found.pop() if len(found) == 1 else None
        management = described.get("MasterAccountId")
        return management if isinstance(management, str) else None

    def units(self, directory: Directory) -> Directory:
        """Return *directory* with all units, and with the place of each account."""
        with _translated():
            roots = [Unit(one["Id"], one["Name"]) for one in self._pages("list_roots", "Roots")]
            units = {root.id: root for root in roots}
            level = roots
            while level:
                below = several(self._units_in, [unit.id for unit in level], end=self._end)
                level = [unit for found in below for unit in found if unit.id not in units]
                units.update((unit.id, unit) for unit in level)
            parents = {id: unit for id, unit in directory.parents.items() if unit in units}
            if directory.accounts.keys() - parents.keys():
                parents = self._walked(units) | parents
        return replace(directory, units=units, parents=parents)

    def _units_in(self, parent: str) -> list[Unit]:
        pages = self._pages(
            "list_organizational_units_for_parent", "OrganizationalUnits", ParentId=parent
        )
        return [Unit(one["Id"], one["Name"], parent) for one in pages]

    def _walked(self, units: Mapping[str, Unit]) -> dict[str, str]:
        ids = sorted(units)
        found: dict[str, set[str]] = {}
        for unit, accounts in zip(ids, several(self._accounts_in, ids, end=self._end), strict=True):
            for account in accounts:
                found.setdefault(account, set()).add(unit)
        # One that was moved while it was looked for may be in two, or in none.
        return {account: where.pop() for account, where in found.items() if len(where) == 1}

    def _accounts_in(self, unit: str) -> list[str]:
        pages = self._pages("list_accounts_for_parent", "Accounts", ParentId=unit)
        return [one["Id"] for one in pages]

    def tags(self, directory: Directory, ids: Iterable[str]) -> Directory:
        """Return *directory* with the tags of the accounts *ids*, those it has left as they are."""
        missing = sorted(set(ids) - directory.tags.keys())
        with _translated():
            found = several(self._tags_of, missing, end=self._end)
        return replace(directory, tags={**directory.tags, **dict(zip(missing, found, strict=True))})

    def _tags_of(self, account: str) -> dict[str, str]:
        pages = self._pages("list_tags_for_resource", "Tags", ResourceId=account)
        try:
            return {one["Key"]: one["Value"] for one in pages}
        except ClientError as error:
            if isinstance(error, RolecallError) or _code(error) != "TargetNotFoundException":
                raise
            return {}  # it has left the organization since it was listed

    def _pages(self, operation: str, key: str, **arguments: str) -> Iterator[Any]:
        for page in self._client.get_paginator(operation).paginate(**arguments):
            yield from page.get(key, ())


def account_in(given: Mapping[str, Any]) -> Account:
    """Return an account of a ListAccounts answer, without its place and tags."""
    # Status is what State was called until September 2026.
    return Account(
        given["Id"],
        name=given.get("Name") or "",
        email=given.get("Email") or "",
        state=given.get("State") or given.get("Status") or None,
    )


def _parent_in(given: Mapping[str, Any]) -> str | None:
    paths: Sequence[str] = given.get("Paths") or ()
    match = _PATH.fullmatch(paths[0]) if len(paths) == 1 else None
    return match[1].rpartition("/")[2] if match else None


def several(
    call: Callable[[T], R], items: Iterable[T], *, end: Callable[[], object] = lambda: None
) -> list[R]:
    """Return what *call* gives for each item, in their order, some of them at a time.

    After the first that fails, and after Ctrl-C, no other is begun.

    Args:
        end: Called then, before those that have begun are waited for.
    """
    with ThreadPoolExecutor(THREADS, thread_name_prefix="rolecall organization") as pool:
        futures = [pool.submit(call, item) for item in items]
        try:
            ended = wait(futures, return_when=FIRST_EXCEPTION).done
            for one in futures:
                if one in ended:
                    one.result()  # raises what made it end, not what ends because of that
            return [one.result() for one in futures]
        except BaseException:
            end()
            for one in futures:
                one.cancel()
            raise


def _client(session: Session, chain: RoleChain | None) -> Any:
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        max_pool_connections=THREADS,
        # standard would give up half of the calls once its quota is used up: adaptive slows down.
        retries={"mode": "adaptive", "total_max_attempts": ATTEMPTS},
    )
    chosen = session.get_default_client_config()
    if chosen is not None:
        config = config.merge(chosen)
    region = session.get_config_variable("region") or _region_of(chain)
    return session.create_client("organizations", region_name=region, config=config)


def _region_of(chain: RoleChain | None) -> str:
    """Return a region of the partition that *chain* ends in."""
    partition = partition_in(chain.roles[-1].arn) if chain is not None and chain.roles else None
    return _REGIONS.get(partition or "", _DEFAULT_REGION)


def _code(error: ClientError) -> str:
    return str(refusal_in(error.response or {}).get("Code"))


@contextmanager
def _translated() -> Iterator[None]:
    """Let what botocore raises be ours, too; what a role session raises is ours already."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        if isinstance(error, RolecallError):
            raise
        raise _ours(error) from error


def _ours(error: ClientError | BotoCoreError) -> RolecallError:
    what = "the organization"
    if isinstance(error, NoCredentialsError):
        return alike(
            CredentialsExpired,
            NoCredentialsError,
            f"{what}: there are no credentials to read it with",
            hint="sign in, set AWS_PROFILE, or configure credentials",
        )
    if not isinstance(error, ClientError):
        return translate(error, what)
    code = _code(error)
    if code != "AWSOrganizationsNotInUseException":
        metadata: Mapping[str, Any] = error.response.get("ResponseMetadata") or {}
        meaning = meaning_of(code, metadata.get("HTTPStatusCode"))
        hint = meaning.hint or _HINTS.get(meaning.kind) or meaning.kind.default_hint
        return translate(error, what, hint=hint or "try again later")
    ours = alike(
        ConfigError,
        ClientError,
        f"{what}: {error.operation_name} says {code}: the account is in none",
        hint=_ELSEWHERE,
        context={"code": code, "operation": error.operation_name},
    )
    vars(ours).update(response=error.response, operation_name=error.operation_name)
    return ours
