"""The organization that pages about many accounts speak of, in moto.

A page that has the line ``<!-- in an organization -->`` is read by a user of its management
account, who may assume the role Auditor in all others but one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timezone
from pathlib import Path

from rolecall.testing import StrictCloud

MARK = "<!-- in an organization -->"
MANAGEMENT = "123456789012"
#: The one whose role trusts nobody, as there is one in every organization.
CLOSED_TO_US = "777788889999"
#: moto's instants are UTC without saying so.
EPOCH = datetime(2020, 1, 1, tzinfo=timezone.utc).replace(tzinfo=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket, and who is let in by which means."""

    name: str
    public_acl: bool = False
    public_policy: bool = False
    blocked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An account.

    Attributes:
        unit: Path of names.
        keys: Names of users → when their access keys were made.
    """

    id: str
    name: str
    unit: str
    env: str
    state: str = "ACTIVE"
    buckets: tuple[Bucket, ...] = ()
    keys: Mapping[str, tuple[date, ...]] = field(default_factory=dict)


MEMBERS = (
    Member(
        id="111122223333",
        name="shop",
        unit="/prod/eu",
        env="prod",
        buckets=(Bucket(name="shop-orders"), Bucket(name="shop-pictures", public_acl=True)),
        keys={"ci": (date(2026, 10, 2),), "import": (date(2025, 3, 9), date(2026, 1, 15))},
    ),
    Member(
        id="222233334444",
        name="payments",
        unit="/prod/eu",
        env="prod",
        buckets=(Bucket(name="payments-ledger", blocked=True),),
        keys={"backup": (date(2024, 6, 30),)},
    ),
    Member(
        id="333344445555",
        name="data",
        unit="/prod/us",
        env="prod",
        buckets=(
            Bucket(name="data-exports", public_policy=True),
            Bucket(name="data-lake", public_policy=True, blocked=True),
        ),
        keys={"etl": (date(2026, 8, 1),)},
    ),
    Member(
        id="444455556666",
        name="web",
        unit="/prod/us",
        env="prod",
        buckets=(Bucket(name="web-assets", public_acl=True, public_policy=True),),
    ),
    Member(
        id="555566667777",
        name="shop-test",
        unit="/test",
        env="test",
        keys={"developer": (date(2026, 11, 3),)},
    ),
    Member(id=CLOSED_TO_US, name="sandbox", unit="/test", env="test"),
    Member(id="888899990000", name="old-shop", unit="/prod/eu", env="prod", state="SUSPENDED"),
)


def is_in_an_organization(page: Path) -> bool:
    """Return whether *page* is about the organization."""
    return MARK in page.read_text(encoding="utf-8").splitlines()


def build(cloud: StrictCloud) -> None:
    """Make the organization in *cloud*, which is running; again, where there is one already."""
    from moto.organizations.models import FakeOrganizationalUnit, organizations_backends

    assert cloud.url  # moto's state is that of the cloud that runs
    backend = organizations_backends[MANAGEMENT]["aws"]
    if backend.org is not None:
        return
    backend.create_organization(region="us-east-1", FeatureSet="ALL")
    backend.accounts[0].name = "example"
    units = {"": backend.org.root_id}
    for path in ("/prod", "/prod/eu", "/prod/us", "/test"):
        above, _, name = path.rpartition("/")
        unit = FakeOrganizationalUnit(backend.org, Name=name, ParentId=units[above])
        units[path] = unit.id
        backend.ou.append(unit)
    for number, member in enumerate(MEMBERS, 1):
        backend.create_account(AccountName=member.name, Email=f"{member.name}@example.com")
        made = backend.accounts[-1]
        del organizations_backends.master_accounts[made.id]
        organizations_backends.master_accounts[member.id] = (MANAGEMENT, "aws")
        made.id = member.id
        made.parent_id = units[member.unit]
        made.status = made.state = member.state
        made.tags = {"env": member.env}
        # moto's pages begin where this is what it was: no two may have the same.
        made.create_time = EPOCH.replace(second=number)
        _furnish(member)
    cloud.trust(f"arn:aws:iam::{CLOSED_TO_US}:role/Auditor", ())


def _furnish(member: Member) -> None:
    from moto.iam.models import iam_backends
    from moto.s3.models import get_canned_acl, s3_backends

    for bucket in member.buckets:
        s3 = s3_backends[member.id]["aws"]
        s3.create_bucket(bucket.name, "us-east-1")
        if bucket.public_acl:
            s3.put_bucket_acl(bucket.name, get_canned_acl("public-read"))
        if bucket.public_policy:
            s3.put_bucket_policy(bucket.name, json.dumps(_for_everybody(bucket.name)).encode())
        if bucket.blocked:
            s3.put_public_access_block(
                bucket.name,
                {
                    "BlockPublicAcls": "true",
                    "IgnorePublicAcls": "true",
                    "BlockPublicPolicy": "true",
                    "RestrictPublicBuckets": "true",
                },
            )
    for user, days in member.keys.items():
        iam = iam_backends[member.id]["aws"]
        iam.create_user("us-east-1", user)
        for day in days:
            key = iam.create_access_key(user)
            key.create_date = datetime.combine(day, time(12))


def _for_everybody(bucket: str) -> Mapping[str, object]:
    allowed = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    return {"Version": "2012-10-17", "Statement": [allowed]}
