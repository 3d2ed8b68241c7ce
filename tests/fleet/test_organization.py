"""An organization's accounts: what is asked of AWS, how, and what is made of the answers."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from botocore.session import Session
from organizations import (
    KNOWN,
    MANAGEMENT,
    Member,
    OrganizationsServer,
    World,
    as_known,
    build,
    world,
)

import rolecall
from rolecall.errors import AccessDenied, ConfigError, RolecallError, Throttled, Unreachable
from rolecall.fleet.accounts import listing
from rolecall.fleet.accounts.listing import several
from rolecall.fleet.accounts.organization import Organization
from rolecall.fleet.targets import Account
from rolecall.testing import Gate
from rolecall.testing.cloud import StrictCloud

FEW = world(45)


@pytest.fixture(scope="module")
def shared_server() -> Iterator[OrganizationsServer]:
    with OrganizationsServer(FEW) as server:
        yield server


@pytest.fixture
def server(shared_server: OrganizationsServer) -> OrganizationsServer:
    """The module's server as it was at first."""
    shared_server.world = FEW
    shared_server.reset()
    return shared_server


def in_words(accounts: tuple[Account, ...]) -> dict[str, str | None]:
    return {one.id: one.ou_path for one in accounts}


def places(world: World) -> dict[str, str | None]:
    return {one.id: world.path(one.parent) for one in world.members}


# ── what is read ─────────────────────────────────────────────────────────────────────────


def test_moto_and_the_server_here_tell_the_same() -> None:
    with StrictCloud() as cloud:
        build(cloud, FEW)
        in_moto = Organization(cloud.session(account=MANAGEMENT))
        with OrganizationsServer(FEW) as server:
            here = Organization(server.session())

            for arguments in (
                {},
                {"ous": "/prod/eu", "exclude_ous": ["prod-eu-1"]},
                {"ous": "/stage", "tags": {"env": ["prod", "dev"]}, "name": "^team-[12]"},
                {"state": None, "include_management": True},
            ):
                found = in_moto.select(**arguments)

                assert found
                assert [(one.id, one.ou_path, one.tags) for one in found] == [
                    (one.id, one.ou_path, one.tags) for one in here.select(**arguments)
                ]


@pytest.mark.parametrize("fields", [("State", "Status"), ("State", "Paths"), ("Status",)])
def test_all_of_an_account_is_told(server: OrganizationsServer, fields: tuple[str, ...]) -> None:
    server.fields = as_known(*fields)

    found = Organization(server.session()).accounts(ou_paths=True, tags=True)

    member = FEW.members[7]
    expected = Account(
        member.id,
        name=member.name,
        email=member.email,
        state=member.state,
        ou_path=FEW.path(member.parent),
        ou_ids=tuple(FEW.way(member.parent)),
        tags=member.tags,
    )
    assert expected == next(one for one in found if one.id == member.id)
    assert sorted(one.id for one in FEW.members) == [one.id for one in found]
    assert places(FEW) == in_words(found)
    assert [one.id for one in found if one.management] == [MANAGEMENT]


def test_no_more_is_looked_up_than_is_asked_for(server: OrganizationsServer) -> None:
    organization = Organization(server.session())

    assert all(one.ou_path is None and not one.tags for one in organization.accounts())
    assert server.calls == {"ListAccounts": 3, "DescribeOrganization": 1}

    organization.select(name="^team-1-", state="ACTIVE", tags={"env": "prod"})
    named = [one for one in FEW.members if one.name.startswith("team-1-")]
    assert (
        len([one for one in named if one.state == "ACTIVE"]) == server.calls["ListTagsForResource"]
    )
    assert not server.calls["ListRoots"]


def test_where_aws_tells_the_paths_only_the_names_of_units_are_walked(
    server: OrganizationsServer,
) -> None:
    server.fields = as_known("State", "Paths")

    found = Organization(server.session()).select(ous="/prod/eu")

    assert {FEW.path(one.parent) for one in FEW.members} >= {one.ou_path for one in found}
    assert len(FEW.units) + 1 == server.calls["ListOrganizationalUnitsForParent"]
    assert bool(server.calls["ListAccountsForParent"]) is ("Paths" not in KNOWN)


def test_accounts_without_a_path_among_others_are_walked_for(server: OrganizationsServer) -> None:
    server.fields = as_known("State", "Paths")
    server.pathless = {FEW.members[5].id}

    found = Organization(server.session()).accounts(ou_paths=True)

    assert places(FEW) == in_words(found)


def test_state_wins_over_status(server: OrganizationsServer) -> None:
    closed = {one.id for one in FEW.members if one.state == "CLOSED"}

    found = {one.id for one in Organization(server.session()).select(state=["CLOSED", "SUSPENDED"])}

    # The server says SUSPENDED for them, as Status has no word for closed accounts.
    assert closed
    assert closed <= found
    told = Organization(server.session()).select(state="CLOSED")
    assert ({one.id for one in told} == closed) is ("State" in KNOWN)


def test_an_account_without_a_state_is_refused_not_guessed(server: OrganizationsServer) -> None:
    server.fields = ()  # or State alone, and a botocore that does not know it

    with pytest.raises(ConfigError, match="newer boto3"):
        Organization(server.session()).select()
    assert len(FEW.members) - 1 == len(Organization(server.session()).select(state=None))


def test_an_account_that_is_moved_meanwhile_is_in_no_unit_not_in_two(
    server: OrganizationsServer,
) -> None:
    moving = Member(id="111122223333", name="moving", parent=FEW.unit("/prod"))
    also = Member(id="111122223333", name="moving", parent=FEW.unit("/stage"))
    server.world = World(members=[*FEW.members, moving, also], units=FEW.units)

    with pytest.raises(ConfigError, match="the unit of 111122223333 cannot be told"):
        Organization(server.session()).select(exclude_ous="/stage")


def test_an_account_that_left_meanwhile_has_no_tags(server: OrganizationsServer) -> None:
    gone = FEW.members[1].id
    server.gone = {gone}

    found = Organization(server.session()).accounts(tags=True)

    assert next(one for one in found if one.id == gone).tags == {}


# ── how it is asked ──────────────────────────────────────────────────────────────────────


def test_units_and_tags_are_looked_up_several_at_a_time(server: OrganizationsServer) -> None:
    arrived = threading.Barrier(listing.THREADS)
    server.before = lambda operation: (
        arrived.wait(20) if operation == "ListTagsForResource" else None
    )
    ids = [one.id for one in FEW.members[: listing.THREADS]]

    # Were they asked one by one, the first would wait here for the others, and fail.
    Organization(server.session()).select(
        ids=ids, state=None, include_management=True, tags={"env": None}
    )

    assert server.calls["ListTagsForResource"] == listing.THREADS


def test_after_the_first_refusal_no_other_call_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    gate = Gate()

    class Watched(ThreadPoolExecutor):
        def __exit__(self, *raised: Any) -> None:
            gate.open()
            super().__exit__(*raised)

    def call(number: int) -> None:
        begun.append(number)
        if number == 0:
            raise ValueError("refused")
        gate.pass_through()

    monkeypatch.setattr(listing, "ThreadPoolExecutor", Watched)
    with pytest.raises(ValueError, match="refused"):
        several(call, range(1000))

    # One for each thread, and one more for that whose call was refused.
    assert len(begun) <= listing.THREADS + 1


def test_what_was_begun_is_not_tried_again_for_nobody(server: OrganizationsServer) -> None:
    """It might be tried for minutes, and Ctrl-C would seem to do nothing."""
    ids = [one.id for one in FEW.members[: listing.THREADS]]
    begun = threading.Barrier(listing.THREADS)
    over = Gate()
    mine = threading.local()

    class Watched(listing.Listing):
        def _end(self) -> None:
            super()._end()
            over.open()

    def before(operation: str) -> None:
        if begun.wait(20) == 0:
            mine.code = "AccessDeniedException"
        else:
            over.pass_through()
            mine.code = "TooManyRequestsException"

    class Denied(dict[str, str]):
        def get(self, operation: str, default: Any = None) -> Any:
            return mine.code

    with Watched(server.session()._session) as opened:
        directory = opened.directory()
        server.before, server.denied = before, Denied()
        with pytest.raises(AccessDenied):
            opened.tags(directory, ids)

    assert server.calls["ListTagsForResource"] == listing.THREADS


def test_organizations_own_throttling_is_waited_out(server: OrganizationsServer) -> None:
    server.world = world(10)
    server.throttled = 1

    assert len(Organization(server.session()).accounts()) == 10
    assert server.calls["ListAccounts"] == 2


def test_a_session_of_a_delegated_administrators_role_will_do() -> None:
    with StrictCloud() as cloud, OrganizationsServer(FEW) as server:
        role = rolecall.assume_role(cloud.session(), cloud.role("Auditor"))
        role._session.full_config["services"] = {
            "here": {"organizations": {"endpoint_url": server.url}}
        }
        role._session.full_config["profiles"] = {"default": {"services": "here"}}

        assert len(FEW.members) == len(Organization(role).accounts())


@pytest.mark.parametrize("kind", ["boto3", "botocore", "default"])
def test_any_session_of_boto3_or_botocore_will_do(server: OrganizationsServer, kind: str) -> None:
    session = server.session()
    given: Any = {"boto3": session, "botocore": session._session, "default": None}[kind]
    boto3.DEFAULT_SESSION = session

    assert len(FEW.members) == len(Organization(given).accounts())


def test_a_session_without_a_region_will_do(server: OrganizationsServer) -> None:
    assert Organization(server.session(region_name=None)).accounts()


@pytest.mark.parametrize(
    ("region", "partition", "host"),
    [
        (None, "aws", "organizations.us-east-1.amazonaws.com"),
        ("eu-central-1", "aws", "organizations.us-east-1.amazonaws.com"),
        ("cn-north-1", "aws-cn", "organizations.cn-northwest-1.amazonaws.com.cn"),
        (None, "aws-cn", "organizations.cn-northwest-1.amazonaws.com.cn"),
        (None, "aws-us-gov", "organizations.us-gov-west-1.amazonaws.com"),
    ],
)
def test_organizations_is_looked_for_in_the_sessions_partition(
    region: str | None, partition: str, host: str
) -> None:
    parent = boto3.Session("AKIAFAKEFAKEFAKEFAKE", "fake-secret", region_name=region)
    role = rolecall.assume_role(parent, f"arn:{partition}:iam::111122223333:role/Auditor")

    # Who is asked, without asking.
    with listing.Listing(role._session, chain=role.chain) as opened:
        assert opened.whose().endswith(f"\0https://{host}")


def test_a_client_lives_no_longer_than_a_reading(
    server: OrganizationsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = server.session()._session
    create, made, closed = session.create_client, [], []

    def watched(*arguments: Any, **keywords: Any) -> Any:
        client = create(*arguments, **keywords)
        close = client.close
        monkeypatch.setattr(client, "close", lambda: (closed.append(client), close()))
        made.append(client)
        return client

    monkeypatch.setattr(session, "create_client", watched)
    organization = Organization(session)
    organization.accounts(ou_paths=True)
    organization.accounts()

    assert len(made) == 2
    assert made == closed


# ── refusals ─────────────────────────────────────────────────────────────────────────────


def test_no_right_to_list_accounts_is_access_denied_and_says_what_to_do(
    server: OrganizationsServer,
) -> None:
    server.denied["ListAccounts"] = "AccessDeniedException"

    with pytest.raises(AccessDenied, match="ListAccounts says AccessDeniedException") as caught:
        Organization(server.session()).select()

    assert isinstance(caught.value, ClientError)
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    assert "delegated administrator" in caught.value.hint
    assert "read_accounts" in caught.value.hint
    assert not caught.value.retryable


def test_an_account_in_no_organization_says_so(server: OrganizationsServer) -> None:
    server.denied["ListAccounts"] = "AWSOrganizationsNotInUseException"

    with pytest.raises(ConfigError, match="the account is in none") as caught:
        Organization(server.session()).select()

    assert isinstance(caught.value, ClientError)
    assert not caught.value.retryable
    copy = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(copy, ClientError)
    assert caught.value.response == copy.response


@pytest.mark.parametrize(
    ("denied", "arguments"),
    [
        ("ListRoots", {"ous": "/prod"}),
        ("ListOrganizationalUnitsForParent", {"exclude_ous": "/prod"}),
        ("ListAccountsForParent", {"ous": "/prod"}),
        ("ListTagsForResource", {"tags": {"env": "prod"}}),
    ],
)
def test_what_is_not_needed_may_be_denied(
    server: OrganizationsServer, denied: str, arguments: dict[str, Any]
) -> None:
    server.denied[denied] = "AccessDeniedException"

    assert Organization(server.session()).select(name="^team-1")
    with pytest.raises(AccessDenied, match=f"{denied} says AccessDeniedException"):
        Organization(server.session()).select(**arguments)


def test_the_management_account_is_known_by_the_accounts_arns_as_well(
    server: OrganizationsServer,
) -> None:
    server.denied["DescribeOrganization"] = "AccessDeniedException"

    found = Organization(server.session()).accounts()

    assert [one.id for one in found if one.management] == [MANAGEMENT]


def test_a_management_account_that_cannot_be_told_is_not_let_in(
    server: OrganizationsServer,
) -> None:
    server.denied["DescribeOrganization"] = "AccessDeniedException"
    server.arns = False
    organization = Organization(server.session())

    with pytest.raises(ConfigError, match="which account is the management account"):
        organization.select()
    assert organization.select(include_management=True, exclude=[MANAGEMENT])


def test_throttling_without_end_says_to_keep_what_was_read(
    server: OrganizationsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "ATTEMPTS", 1)
    server.throttled = 1

    with pytest.raises(Throttled, match="another request is already in progress") as caught:
        Organization(server.session()).accounts()

    assert 'cache="1h"' in caught.value.hint
    assert caught.value.retryable


def test_errors_that_are_not_about_rights_say_nothing_of_rights(
    server: OrganizationsServer,
) -> None:
    server.denied["ListAccounts"] = "ConcurrentModificationException"

    with pytest.raises(RolecallError, match="try again later") as caught:
        Organization(server.session()).accounts()

    assert isinstance(caught.value, ClientError)


def test_a_server_that_is_not_there_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "ATTEMPTS", 1)
    with OrganizationsServer(FEW) as server:
        session = server.session()

    with pytest.raises(Unreachable, match="the organization: ") as caught:
        Organization(session).accounts()
    assert isinstance(caught.value, EndpointConnectionError)


def test_a_role_that_cannot_be_assumed_is_told_as_it_is() -> None:
    with StrictCloud() as cloud:
        cloud.fail("AssumeRole")
        role = rolecall.assume_role(cloud.session(), cloud.role("Auditor"))

        with pytest.raises(AccessDenied, match=r"^arn:aws:iam::.*STS says AccessDenied") as caught:
            Organization(role).accounts()
    assert "trust policy" in caught.value.hint
    assert caught.value.__cause__ is not caught.value


def test_no_credentials_are_told_as_they_are() -> None:
    with pytest.raises(rolecall.RolecallError, match="no credentials to read it with") as caught:
        Organization(Session()).accounts()
    assert isinstance(caught.value, NoCredentialsError)


# ── the call itself ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"session": "prod"}, TypeError),
        ({"cache": "soon"}, ValueError),
        ({"cache": -1}, ValueError),
        ({"cache": True}, TypeError),
        ({"cache_folder": "x"}, ValueError),
    ],
)
def test_what_makes_no_organization_is_refused_at_once(
    arguments: dict[str, Any], error: type[Exception]
) -> None:
    session = boto3.Session("AKIAFAKEFAKEFAKEFAKE", "fake-secret")

    with pytest.raises(error):
        Organization(**{"session": session, **arguments})


def test_what_is_wrong_with_the_arguments_is_said_before_anything_is_asked(
    server: OrganizationsServer,
) -> None:
    with pytest.raises(ValueError, match="did you mean 'ACTIVE'"):
        Organization(server.session()).select(state="Active")
    assert not server.calls


def test_making_one_asks_nothing_and_shows_no_secret(server: OrganizationsServer) -> None:
    organization = Organization(server.session(), cache="1h")

    assert "fake-secret" not in repr(organization)
    assert not server.calls
