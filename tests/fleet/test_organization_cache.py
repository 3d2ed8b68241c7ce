"""What is kept of an organization on disk: for how long, for whom, and when it is not believed."""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from organizations import Member, OrganizationsServer, World, world

from rolecall.errors import AccessDenied, ConfigError
from rolecall.fleet.accounts import cache as organization_cache
from rolecall.fleet.accounts.cache import OrganizationCache
from rolecall.fleet.accounts.organization import Organization
from rolecall.testing import FakeClock

FEW = world(20)


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


@pytest.fixture(scope="module")
def session(shared_server: OrganizationsServer) -> boto3.Session:
    return shared_server.session()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Kept:
    """An `Organization` with a cache in a folder of the test's own."""

    def __init__(self, folder: Path, session: boto3.Session, clock: FakeClock) -> None:
        self.folder = folder / "kept"
        self._arguments: dict[str, Any] = {
            "session": session, "cache": "1h", "cache_folder": self.folder, "clock": clock,
        }  # fmt: skip

    def organization(self, **changes: Any) -> Organization:
        """Return a new one, as another process would make it."""
        return Organization(**{**self._arguments, **changes})

    @property
    def file(self) -> Path:
        (found,) = self.folder.iterdir()
        return found


@pytest.fixture
def kept(tmp_path: Path, session: boto3.Session, clock: FakeClock) -> Kept:
    return Kept(tmp_path, session, clock)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name == "rolecall"
    ]


EVERYTHING: dict[str, Any] = {"ous": "/prod", "tags": {"env": None}, "exclude_ous": "/prod/eu"}

# ── what is kept ─────────────────────────────────────────────────────────────────────────


def test_what_was_read_is_not_asked_for_again(server: OrganizationsServer, kept: Kept) -> None:
    first = kept.organization().select(**EVERYTHING)
    whole = kept.organization().accounts(ou_paths=True, tags=True)
    server.reset()

    assert first
    assert first == kept.organization().select(**EVERYTHING)
    assert whole == kept.organization().accounts(ou_paths=True, tags=True)
    assert not server.calls


def test_only_what_is_missing_is_asked_for(server: OrganizationsServer, kept: Kept) -> None:
    kept.organization().accounts()
    server.reset()

    found = kept.organization().select(ous="/prod", tags={"env": "prod"})
    assert "ListAccounts" not in server.calls
    assert "ListRoots" in server.calls
    asked = server.calls["ListTagsForResource"]
    server.reset()

    kept.organization().accounts(tags=True)
    assert {"ListTagsForResource": len(FEW.members) - asked} == server.calls
    assert found == kept.organization().select(ous="/prod", tags={"env": "prod"})


def test_accounts_look_the_same_whatever_was_read_before(
    server: OrganizationsServer, kept: Kept
) -> None:
    plain = kept.organization().select(name="^team-1")

    kept.organization().accounts(ou_paths=True, tags=True)

    assert plain == kept.organization().select(name="^team-1")


def test_what_was_read_before_a_refusal_is_kept(server: OrganizationsServer, kept: Kept) -> None:
    server.denied["ListTagsForResource"] = "AccessDeniedException"
    with pytest.raises(AccessDenied):
        kept.organization().select(**EVERYTHING)
    server.reset()

    kept.organization().select(**EVERYTHING)

    assert {"ListTagsForResource"} == set(server.calls)


def test_nothing_is_kept_unless_it_is_asked_for(
    server: OrganizationsServer, kept: Kept, session: boto3.Session
) -> None:
    Organization(session).accounts()
    Organization(session).accounts()

    assert server.calls["DescribeOrganization"] == 2
    assert not kept.folder.exists()


def test_two_principals_keep_two_files(server: OrganizationsServer, kept: Kept) -> None:
    kept.organization().accounts()
    other = kept.organization(session=server.session(key="AKIAFAKEFAKEFAKEOTHR"))

    other.accounts()

    assert server.calls["DescribeOrganization"] == 2
    assert len(list(kept.folder.iterdir())) == 2


def test_two_endpoints_keep_two_files(server: OrganizationsServer, kept: Kept) -> None:
    kept.organization().accounts()

    with OrganizationsServer(world(3)) as other:
        assert len(kept.organization(session=other.session()).accounts()) == 3


def test_files_are_private_and_named_by_nothing_that_tells_whose_they_are(
    server: OrganizationsServer, kept: Kept
) -> None:
    before = os.umask(0)
    try:
        kept.organization().accounts(tags=True)
    finally:
        os.umask(before)

    assert stat.S_IMODE(kept.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.folder.stat().st_mode) == 0o700
    assert len(kept.file.stem) == 64
    for text in ("AKIAFAKE", "fake-secret"):
        assert text not in kept.file.read_text("ascii") + kept.file.name


def test_the_folder_is_beside_the_stores(server: OrganizationsServer, kept: Kept) -> None:
    cache, home = str(kept.folder / "cache"), str(kept.folder / "home")

    by_xdg = kept.organization(cache_folder=None, environ={"XDG_CACHE_HOME": cache, "HOME": home})
    by_home = kept.organization(cache_folder=None, environ={"HOME": home})
    by_tilde = kept.organization(cache_folder="~/mine", environ={"HOME": home})

    for organization in (by_xdg, by_home, by_tilde):
        organization.accounts()
    for folder in ("cache/rolecall/organizations", "home/.cache/rolecall/organizations",
                   "home/mine"):  # fmt: skip
        assert list((kept.folder / folder).glob("*.json"))


def test_forgetting_deletes_it_once_and_for_all(server: OrganizationsServer, kept: Kept) -> None:
    kept.organization().accounts()

    kept.organization().forget()
    kept.organization().forget()

    assert not list(kept.folder.iterdir())
    kept.organization().accounts()
    assert server.calls["DescribeOrganization"] == 2


def test_what_a_killed_writer_left_is_swept(
    server: OrganizationsServer, kept: Kept, clock: FakeClock
) -> None:
    kept.folder.mkdir()
    torn = kept.folder / ".abcd1234.tmp"
    torn.write_text("half")
    old = clock.time() - 120
    os.utime(torn, (old, old))

    kept.organization().accounts()

    assert not torn.exists()


# ── for how long ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("for_how_long", ["1h", 3600, 3600.0, timedelta(hours=1)])
def test_it_is_good_for_as_long_as_was_said(
    server: OrganizationsServer, kept: Kept, clock: FakeClock, for_how_long: Any
) -> None:
    kept.organization().accounts()
    clock.tick(seconds=3599)
    kept.organization(cache=for_how_long).accounts()
    assert server.calls["DescribeOrganization"] == 1

    clock.tick(seconds=1)

    kept.organization(cache=for_how_long).accounts()
    assert server.calls["DescribeOrganization"] == 2


def test_what_is_added_later_makes_it_no_younger(
    server: OrganizationsServer, kept: Kept, clock: FakeClock
) -> None:
    kept.organization().accounts()
    clock.tick(minutes=59)
    kept.organization().accounts(ou_paths=True, tags=True)

    clock.tick(minutes=1)

    kept.organization().accounts()
    assert server.calls["DescribeOrganization"] == 2


def test_its_age_is_no_trouble_to_be_warned_of(
    server: OrganizationsServer, kept: Kept, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    kept.organization().accounts()
    clock.tick(hours=2)

    kept.organization().accounts()

    assert not warnings(caplog)


# ── what is newer than it ────────────────────────────────────────────────────────────────


def test_an_account_that_is_not_in_it_is_looked_for_anew(
    server: OrganizationsServer, kept: Kept
) -> None:
    kept.organization().accounts()
    new = Member(id="111122223333", name="new", parent=FEW.unit("/prod"))
    server.world = World(members=[*FEW.members, new], units=FEW.units)

    assert tuple(one.name for one in kept.organization().select(ids=[new.id])) == ("new",)
    assert kept.organization().select(exclude=[new.id])
    assert server.calls["DescribeOrganization"] == 2


def test_a_unit_that_is_not_in_it_is_looked_for_anew(
    server: OrganizationsServer, kept: Kept
) -> None:
    kept.organization().accounts(ou_paths=True)
    server.world = World(
        members=[*FEW.members, Member(id="111122223333", name="new", parent="ou-ab12-newnewne")],
        units={**FEW.units, "ou-ab12-newnewne": ("new", FEW.unit("/prod"))},
    )

    assert [one.id for one in kept.organization().select(ous="/prod/new")] == ["111122223333"]


def test_states_that_an_older_boto3_did_not_know_are_read_anew(
    server: OrganizationsServer, kept: Kept
) -> None:
    server.fields = ()
    kept.organization().select(state=None)
    server.reset()

    assert kept.organization().select()


def test_what_is_not_there_either_is_refused(server: OrganizationsServer, kept: Kept) -> None:
    kept.organization().accounts()

    with pytest.raises(ConfigError, match="exclude: 111122223333 is not in the organization"):
        kept.organization().select(exclude=["111122223333"])


# ── what is not believed ─────────────────────────────────────────────────────────────────


def changed(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


NOT_OURS = {
    "torn": lambda file: file.write_bytes(file.read_bytes()[:-20]),
    "empty": lambda file: file.write_bytes(b""),
    "binary": lambda file: file.write_bytes(b"\xff\xfe\x00"),
    "deep": lambda file: file.write_text("[" * 100_000),
    "a list": lambda file: file.write_text("[]"),
    "another program's": lambda file: file.write_text('{"Credentials": {}}'),
    "another version's": lambda file: changed(file, rolecall={"organization": 2, "key": file.stem}),
    "another principal's": lambda file: changed(
        file, rolecall={"organization": 1, "key": "0" * 64}
    ),
    "of no time": lambda file: changed(file, read_at=None),
    "of a time in words": lambda file: changed(file, read_at="now"),
    "of an id that is none": lambda file: changed(file, accounts={"12": ["", "", "ACTIVE"]}),
    "of an account without parts": lambda file: changed(file, accounts={"1" * 12: []}),
    "of a name that is none": lambda file: changed(file, accounts={"1" * 12: [1, "", None]}),
    "without accounts": lambda file: changed(file, accounts=None),
    "of units in a ring": lambda file: changed(
        file, units=[["ou-1", "a", "ou-2"], ["ou-2", "b", "ou-1"]]
    ),
    "of tags that are none": lambda file: changed(file, tags={"1" * 12: {"env": 1}}),
    "of parents that are none": lambda file: changed(file, parents=["1" * 12]),
    "readable by others": lambda file: file.chmod(0o640),
    "writable by others": lambda file: file.chmod(0o602),
    "a link": lambda file: (
        file.rename(file.parent.parent / "elsewhere"),
        file.symlink_to(file.parent.parent / "elsewhere"),
    ),
    "a directory": lambda file: (file.unlink(), file.mkdir()),
    "a pipe": lambda file: (file.unlink(), os.mkfifo(file, 0o600)),
}


@pytest.mark.parametrize("what", NOT_OURS)
def test_a_file_that_is_not_what_we_wrote_is_read_anew_with_a_warning(
    server: OrganizationsServer, kept: Kept, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    before = kept.organization().accounts()
    NOT_OURS[what](kept.file)

    assert before == kept.organization().accounts()
    assert server.calls["DescribeOrganization"] == 2
    (said,) = warnings(caplog)
    assert "what was read of an organization cannot be used: " in said

    assert before == kept.organization().accounts()
    assert server.calls["DescribeOrganization"] == 2, "it was not replaced"


def test_somebody_elses_file_is_not_believed(
    server: OrganizationsServer,
    kept: Kept,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept.organization().accounts()
    monkeypatch.setattr(os, "geteuid", lambda: 4242)  # to give it away one must be root

    kept.organization().accounts()

    assert server.calls["DescribeOrganization"] == 2
    assert "it belongs to user" in warnings(caplog)[0]


def test_a_file_from_the_future_is_not_believed(
    server: OrganizationsServer, kept: Kept, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    kept.organization().accounts()
    clock.jump(minutes=-1)

    kept.organization().accounts()

    assert server.calls["DescribeOrganization"] == 2
    assert "it is from the future" in warnings(caplog)[0]


def test_a_folder_that_cannot_be_written_fails_nothing(
    server: OrganizationsServer, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    kept.folder.parent.mkdir(exist_ok=True)
    kept.folder.write_text("a file where the folder should be")

    assert kept.organization().accounts()
    kept.organization().forget()

    assert any("cannot be written" in one for one in warnings(caplog))


def test_a_file_that_would_be_too_large_is_not_written(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, server: OrganizationsServer,
    kept: Kept,
) -> None:  # fmt: skip
    monkeypatch.setattr(organization_cache, "MOST_BYTES", 100)

    assert kept.organization().accounts()
    assert not kept.folder.exists()


def test_what_is_loaded_is_what_was_saved(
    server: OrganizationsServer, kept: Kept, clock: FakeClock
) -> None:
    cache = OrganizationCache(kept.folder, timedelta(hours=1), environ={}, clock=clock)
    with kept.organization()._listing() as listing:
        read = listing.units(listing.directory())
        read = listing.tags(read, [one.id for one in FEW.members[:5]])
        unknown = replace(read, management=None, units=None, parents={}, tags={})

    for directory in (read, unknown):
        cache.save("me", directory)

        assert directory == cache.load("me")
    assert cache.load("somebody else") is None
