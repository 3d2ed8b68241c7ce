"""Organizations to test with: in moto, and in a small server that speaks to AWS's own rules."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import boto3
from botocore.loaders import create_loader
from botocore.session import Session

from rolecall.testing.cloud import StrictCloud
from rolecall.testing.cloud.server import LoopbackServer

MANAGEMENT = "123456789012"
ROOT = "r-ab12"
ORGANIZATION = "o-fake0fake0"
#: As moto writes instants.
EPOCH = datetime(2020, 1, 1)

#: [Organizations, MaxResults]
PAGE = 20

_loader = create_loader()

#: What this botocore reads of an account: the oldest knows neither State nor Paths.
KNOWN = frozenset(
    _loader.load_service_model("organizations", "service-2")["shapes"]["Account"]["members"]
)


def as_known(*fields: str) -> tuple[str, ...]:
    """Return those of *fields* that this botocore reads; Status where it does not read State."""
    return tuple("Status" if one == "State" and one not in KNOWN else one for one in fields)


def account_id(number: int) -> str:
    """Return the id of an organization's account *number*; one in ten begins with a zero."""
    # Spread over all ids, as AWS's are; the modulus is a prime, so that no two are the same.
    return f"{number * 618_033_988_749 % 999_999_999_989:012d}"


@dataclass(kw_only=True)
class Member:
    """An account as Organizations knows it."""

    id: str
    name: str
    parent: str = ROOT
    state: str = "ACTIVE"
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def email(self) -> str:
        return f"{self.name}@example.com"


@dataclass(kw_only=True)
class World:
    """An organization: accounts, the management account first, and units below the root.

    Attributes:
        units: Id → name and parent's id.
    """

    members: list[Member]
    units: dict[str, tuple[str, str]] = field(default_factory=dict)
    management: str = MANAGEMENT

    def way(self, unit: str) -> list[str]:
        """Return the ids from the root down to *unit*."""
        return [*self.way(self.units[unit][1]), unit] if unit in self.units else [unit]

    def path(self, unit: str) -> str:
        """Return the names from the root down to *unit*."""
        return "/" + "/".join(self.units[one][0] for one in self.way(unit)[1:])

    def unit(self, path: str) -> str:
        """Return the id of the unit at *path*."""
        return next(one for one in [ROOT, *self.units] if self.path(one) == path)


def world(accounts: int = 200, *, stages: int = 2, areas: int = 2, teams: int = 2) -> World:
    """Return an organization of so many accounts, three levels of units deep below the root.

    The same at each call. Accounts are spread over the units of all four levels; every eleventh is
    suspended or closed; tags are ``env`` and ``team``.
    """
    units: dict[str, tuple[str, str]] = {}

    def add(name: str, parent: str) -> str:
        id = f"ou-ab12-{len(units) + 1:08d}"
        units[id] = (name, parent)
        return id

    for stage in ("prod", "stage", "dev", "lab")[:stages]:
        top = add(stage, ROOT)
        for area in ("eu", "us", "ap", "sa")[:areas]:
            middle = add(area, top)
            for team in range(teams):
                add(f"{stage}-{area}-{team}", middle)
    places = [ROOT, *units]
    gone = ("SUSPENDED", "CLOSED", "PENDING_CLOSURE")
    members = [Member(id=MANAGEMENT, name="management")]
    for number in range(1, accounts):
        tags = {"env": ("prod", "stage", "dev")[number % 3], "team": f"team-{number % 10}"}
        members.append(
            Member(
                id=account_id(number),
                name=f"team-{number % 10}-{number}",
                parent=places[number % len(places)],
                state=gone[number // 11 % 3] if number % 11 == 0 else "ACTIVE",
                tags=tags if number % 7 else {},
            )
        )
    return World(members=members, units=units)


def build(cloud: StrictCloud, world: World) -> dict[str, str]:
    """Make *world* the organization of its management account in *cloud*, which is running.

    moto chooses the root's id: what is returned leads from the ids here to moto's.
    """
    from moto.organizations.models import (
        FakeAccount,
        FakeOrganizationalUnit,
        organizations_backends,
    )

    assert cloud.url  # moto's state is that of the cloud that runs
    backend = organizations_backends[world.management]["aws"]
    backend.create_organization(region="us-east-1", FeatureSet="ALL")
    ids = {ROOT: backend.org.root_id}
    for id, (name, parent) in world.units.items():
        unit = FakeOrganizationalUnit(backend.org, Name=name, ParentId=ids[parent])
        ids[id] = unit.id
        backend.ou.append(unit)
    backend.accounts[0].name = world.members[0].name
    for number, member in enumerate(world.members[1:], 1):
        # Not by create_account, which looks through all accounts for each.
        made = FakeAccount(backend.org, AccountName=member.name, Email=member.email)
        backend.accounts.append(made)
        organizations_backends.master_accounts[member.id] = (world.management, "aws")
        made.id = member.id
        made.parent_id = ids[member.parent]
        made.status = made.state = member.state
        made.tags = dict(member.tags)
        # moto's pages begin where this is what it was: no two may have the same.
        made.create_time = EPOCH + timedelta(seconds=number)
    return ids


class OrganizationsServer:
    """Organizations on loopback: its pages of 20, its fields as AWS has or had them.

    No signature is checked. Attributes may be changed while it runs.

    Attributes:
        fields: Which of State, Status and Paths an account has.
        denied: Operations that are refused, and the code with which.
        most_at_once: More calls at a time are refused; None: any number.
        throttled: So many calls are refused before any is answered.
        pathless: Accounts that have no Paths where others have.
        gone: Accounts that have left since they were listed.
        arns: Whether accounts have an Arn.
        calls: How often each operation was called, refused calls too.
        before: Called with each operation's name before it is answered.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._lock = threading.Lock()  # guards the counters
        self._now = 0
        self._server = LoopbackServer(self._answer, threads=16)
        self.reset()

    def reset(self) -> None:
        """Answer as at first, and count from nothing."""
        self.fields: Iterable[str] = ("State", "Status")
        self.denied: dict[str, str] = {}
        self.most_at_once: int | None = None
        self.throttled = 0
        self.pathless: set[str] = set()
        self.gone: set[str] = set()
        self.arns = True
        self.calls: Counter[str] = Counter()
        self.before: Callable[[str], object] = lambda operation: None

    def __enter__(self) -> OrganizationsServer:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        return self._server.url

    def session(
        self, *, key: str = "AKIAFAKEFAKEFAKEFAKE", region_name: str | None = "us-east-1"
    ) -> boto3.Session:
        """Return a session whose Organizations is this one."""
        core = Session()
        # Loading the model of Organizations is what takes longest in a test.
        core.register_component("data_loader", _loader)
        core.full_config["services"] = {"here": {"organizations": {"endpoint_url": self.url}}}
        core.full_config["profiles"] = {"default": {"services": "here"}}
        return boto3.Session(key, "fake-secret", region_name=region_name, botocore_session=core)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        operation = environ["HTTP_X_AMZ_TARGET"].partition(".")[2]
        length = int(environ.get("CONTENT_LENGTH") or 0)
        arguments = json.loads(environ["wsgi.input"].read(length) or b"{}")
        with self._lock:
            self.calls[operation] += 1
            self._now += 1
            busy = self.most_at_once is not None and self._now > self.most_at_once
            if self.throttled:
                self.throttled -= 1
                busy = True
        try:
            self.before(operation)
            status, found = "200 OK", {}
            code = "TooManyRequestsException" if busy else self.denied.get(operation)
            if operation == "ListTagsForResource" and arguments["ResourceId"] in self.gone:
                code = "TargetNotFoundException"
            if code is not None:
                said = "another request is already in progress" if busy else "refused by the test"
                status, found = "400 Bad Request", {"__type": code, "Message": said}
            else:
                found = getattr(self, re.sub("(?<!^)(?=[A-Z])", "_", operation).lower())(arguments)
        finally:
            with self._lock:
                self._now -= 1
        body = json.dumps(found).encode()
        start_response(
            status,
            [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(body)))],
        )
        return [body]

    # What it answers, an operation each.

    def describe_organization(self, _: Any) -> dict[str, Any]:
        return {"Organization": {"Id": ORGANIZATION, "MasterAccountId": self.world.management}}

    def list_accounts(self, arguments: Any) -> dict[str, Any]:
        return _page("Accounts", self.world.members, arguments, self._account)

    def list_accounts_for_parent(self, arguments: Any) -> dict[str, Any]:
        inside = [one for one in self.world.members if one.parent == arguments["ParentId"]]
        return _page("Accounts", inside, arguments, self._account)

    def list_roots(self, arguments: Any) -> dict[str, Any]:
        return _page("Roots", [ROOT], arguments, lambda id: {"Id": id, "Name": "Root"})

    def list_organizational_units_for_parent(self, arguments: Any) -> dict[str, Any]:
        units = self.world.units
        inside = [id for id, (_, parent) in units.items() if parent == arguments["ParentId"]]
        return _page(
            "OrganizationalUnits",
            inside,
            arguments,
            lambda id: {"Id": id, "Name": units[id][0]},
        )

    def list_tags_for_resource(self, arguments: Any) -> dict[str, Any]:
        tags = next(one.tags for one in self.world.members if one.id == arguments["ResourceId"])
        return _page(
            "Tags", list(tags.items()), arguments, lambda tag: {"Key": tag[0], "Value": tag[1]}
        )

    def _account(self, member: Member) -> dict[str, Any]:
        found: dict[str, Any] = {
            "Id": member.id,
            "Arn": f"arn:aws:organizations::{self.world.management}:account/{ORGANIZATION}/"
            f"{member.id}",
            "Name": member.name,
            "Email": member.email,
            "JoinedMethod": "CREATED",
        }
        if not self.arns:
            del found["Arn"]
        if "State" in self.fields:
            found["State"] = member.state
        if "Status" in self.fields:  # it has no word for closed accounts
            found["Status"] = "SUSPENDED" if member.state == "CLOSED" else member.state
        if "Paths" in self.fields and member.id not in self.pathless:
            way = "/".join(self.world.way(member.parent))
            found["Paths"] = [f"{ORGANIZATION}/{way}/{member.id}/"]
        return found


def _page(
    key: str, found: list[Any], arguments: Any, shown: Callable[[Any], Any]
) -> dict[str, Any]:
    start = int(arguments.get("NextToken") or 0)
    end = start + PAGE
    more = {"NextToken": str(end)} if end < len(found) else {}
    return {key: [shown(one) for one in found[start:end]], **more}
