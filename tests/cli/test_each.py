"""``rolecall each``: which accounts, what is called there, and what comes of it."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import SERIAL, Desk, Ended

from rolecall.cli.each import options as each_options
from rolecall.cli.each import printed as each_printed
from rolecall.testing import StrictCloud

Run = Callable[..., Ended]

ONE, TWO, THREE = "111122223333", "444455556666", "777788889999"
WHO = ("--call", "sts.get_caller_identity")
BASE = ("--profile", "hub", "--role", "Auditor")
THEM = (*BASE, "--account", f"{ONE},{TWO}")


def rows(found: Ended) -> list[dict[str, Any]]:
    """Return the objects of JSON lines, by account and region."""
    lines = [json.loads(line) for line in found.out.splitlines()]
    return sorted(lines, key=lambda row: (row["account"], row["region"] or ""))


def arn(account: str, name: str = "Auditor") -> str:
    return f"arn:aws:iam::{account}:role/{name}"


# ── what is called ───────────────────────────────────────────────────────────────────────


def test_a_call_is_made_in_each_account_and_region(rolecall: Run, cloud: StrictCloud) -> None:
    before = cloud.calls("AssumeRole")
    of_users = cloud.calls("GetSessionToken")

    found = rolecall("each", *THEM, "--regions", "eu-west-1,us-east-1", *WHO, "--json")

    assert (found.code, found.err) == (0, "rolecall: 4 ok\n")
    seen = [(one["account"], one["region"], one["ok"], one["role"]) for one in rows(found)]
    assert seen == [
        (account, region, True, arn(account))
        for account in (ONE, TWO)
        for region in ("eu-west-1", "us-east-1")
    ]
    assert [one["value"]["Account"] for one in rows(found)] == [ONE, ONE, TWO, TWO]
    assert cloud.calls("AssumeRole") - before == 2
    # A user's own keys stay here: a session of theirs would be a call for nothing.
    assert cloud.calls("GetSessionToken") == of_users


def test_a_query_takes_what_is_wanted_of_the_answer(rolecall: Run) -> None:
    found = rolecall("each", *THEM, *WHO, "--query", "Account", "--format", "csv")

    table = list(csv.DictReader(io.StringIO(found.out)))
    assert sorted(row["value"] for row in table) == [ONE, TWO]
    assert found.code == 0


def test_arguments_come_from_the_line_or_from_a_file(rolecall: Run, tmp_path: Path) -> None:
    file = tmp_path / "arguments.json"
    file.write_text('{"RoleName": "Auditor", "AssumeRolePolicyDocument": "{}"}')

    made = rolecall(
        "each", *BASE, "--account", ONE, "--call", "iam.create-role",
        "--arguments", f"file://{file}", "--query", "Role.Arn", "--json",
    )  # fmt: skip
    got = rolecall(
        "each", *BASE, "--account", ONE, "--call", "iam.GetRole",
        "--arguments", '{"RoleName": "Auditor"}', "--query", "Role.Arn", "--json",
    )  # fmt: skip

    assert rows(made)[0]["value"] == rows(got)[0]["value"] == arn(ONE)


def test_elements_become_rows_and_keys_columns(rolecall: Run) -> None:
    query = "[{Where: Account, Number: `1`}, {Where: Account, Number: `2`}]"

    found = rolecall("each", *THEM, *WHO, "--query", query, "--rows", "--json")
    table = rolecall("each", *THEM, *WHO, "--query", query, "--rows")

    assert [(one["value.Where"], one["value.Number"]) for one in rows(found)] == [
        (ONE, 1), (ONE, 2), (TWO, 1), (TWO, 2),
    ]  # fmt: skip
    assert [line.split() for line in table.out.splitlines()] == [
        ["ACCOUNT", "Where", "Number"],
        [ONE, ONE, "1"], [ONE, ONE, "2"], [TWO, TWO, "1"], [TWO, TWO, "2"],
    ]  # fmt: skip


def test_the_role_is_assumed_as_the_options_say(rolecall: Run, cloud: StrictCloud) -> None:
    role = cloud.role("Guarded", ONE)
    cloud.trust(role, external_id="fake-id")
    cloud.role("Guarded", TWO)
    cloud.trust(arn(TWO, "Guarded"), external_id="fake-other")

    found = rolecall(
        "each", "--profile", "hub", "--role", "arn:aws:iam::{account}:role/Guarded",
        "--account", ONE, "--account", TWO, "--external-id", "fake-id", "--session-name", "nightly",
        "--session-tag", "team=x", "--transitive", "team", "--duration", "15m",
        "--policy", '{"Version": "2012-10-17", "Statement": []}',
        *WHO, "--query", "Arn", "--json",
    )  # fmt: skip

    assert found.code == 1
    good, bad = rows(found)
    assert good["value"] == f"arn:aws:sts::{ONE}:assumed-role/Guarded/nightly"
    assert (bad["error_kind"], bad["error_code"]) == ("assume_role", "AccessDenied")
    assert found.err.splitlines()[-1] == "rolecall: 1 ok, 1 failed (assume_role 1)"
    assert f"rolecall: {TWO}: AccessDenied: " in found.err


def test_a_hub_role_is_assumed_once_on_the_way(rolecall: Run, cloud: StrictCloud) -> None:
    hub = cloud.role("Hub")
    for account in (ONE, TWO):
        cloud.role("Inner", account)
        cloud.trust(arn(account, "Inner"), principals=[hub])
    before = cloud.calls("AssumeRole")

    found = rolecall("each", *THEM, "--role", "Inner", "--via", hub, *WHO, "--json")

    assert [one["ok"] for one in rows(found)] == [True, True]
    assert cloud.calls("AssumeRole") - before == 3


def test_one_code_serves_all_accounts(rolecall: Run, cloud: StrictCloud) -> None:
    cloud.mfa_codes(SERIAL, "271828")
    for account in (ONE, TWO):
        cloud.role("Careful", account)
        cloud.trust(arn(account, "Careful"), mfa=True)
    careful = (*THEM, "--role", "Careful", *WHO)
    device = ("--mfa-serial", SERIAL)

    refused = rolecall("each", *careful, *device, "--mfa-command", "echo 161803")
    found = rolecall("each", *careful, *device, "--mfa-command", "echo 271828", "--json")

    assert refused.code != 0
    assert [one["ok"] for one in rows(found)] == [True, True]


# ── which accounts ───────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def organization(cloud: StrictCloud) -> dict[str, str]:
    """Names of accounts → ids, in an organization with a unit ``prod``."""
    client = cloud.session().client("organizations")
    client.create_organization(FeatureSet="ALL")
    root = client.list_roots()["Roots"][0]["Id"]
    prod = client.create_organizational_unit(ParentId=root, Name="prod")["OrganizationalUnit"]
    found = {}
    for name, tags in (
        ("team-a", {"env": "prod"}), ("team-b", {"env": "dev"}), ("team-c", {}),
        ("sand-box", {"env": "prod"}),
    ):  # fmt: skip
        made = client.create_account(AccountName=name, Email=f"{name}@example.com")
        id = found[name] = made["CreateAccountStatus"]["AccountId"]
        if tags:
            listed = [{"Key": key, "Value": value} for key, value in tags.items()]
            client.tag_resource(ResourceId=id, Tags=listed)
    for name in ("team-a", "team-b"):
        client.move_account(
            AccountId=found[name], SourceParentId=root, DestinationParentId=prod["Id"]
        )
    return found


ALL = {"team-a", "team-b", "team-c", "sand-box"}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--organization", "--cache", "1h"], ALL),
        (["--ou", "/prod", "--tag", "env=prod"], {"team-a"}),
        (["--organization", "--exclude-ou", "prod"], {"team-c", "sand-box"}),
        (["--tag", "env"], {"team-a", "team-b", "sand-box"}),
        (["--tag", "env=prod", "--tag", "env=x", "--name", "^team-"], {"team-a"}),
        (["--name", "^team-", "--exclude", "{team-b}"], {"team-a", "team-c"}),
        (["--include-management", "--state", "any"], {*ALL, "master"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_accounts_are_selected_of_the_organization(
    rolecall: Run, organization: dict[str, str], words: list[str], names: set[str]
) -> None:
    given = [word.format(**organization) for word in words]

    found = rolecall("each", *BASE, *given, "--dry-run", "--json")

    assert (found.code, len(rows(found))) == (0, len(names))
    assert {one["account_name"] for one in rows(found)} == names
    assert {one["role"] for one in rows(found)} == {arn(one["account"]) for one in rows(found)}


def test_a_selection_by_unit_knows_where_accounts_are(
    rolecall: Run, organization: dict[str, str]
) -> None:
    found = rolecall("each", *BASE, "--ou", "prod", *WHO, "--query", "Account", "--json")

    assert {(one["account_name"], one["value"], one["ou_path"]) for one in rows(found)} == {
        (name, organization[name], "/prod") for name in ("team-a", "team-b")
    }


@pytest.mark.parametrize(
    ("tag", "why"),
    [
        ("evn=prod", "none has a tag 'evn': did you mean 'env'?"),
        ("owner", "none has a tag 'owner': there are 'env'"),
        ("env=prd", "none has env='prd': there are "),
    ],
)
def test_a_tag_that_no_account_has_is_told(
    rolecall: Run, organization: dict[str, str], tag: str, why: str
) -> None:
    found = rolecall("each", *BASE, "--tag", tag, *WHO)

    assert (found.code, found.out) == (2, "")
    assert why in found.err.splitlines()[0]
    assert "no account is left of those that are meant" in found.err


def test_some_accounts_have_another_role(
    rolecall: Run, organization: dict[str, str], tmp_path: Path
) -> None:
    one, two = organization["team-a"], organization["team-b"]
    file = tmp_path / "accounts.csv"
    file.write_text(f"id,role\n{ONE},Special\n{TWO},Special\n{THREE},\n")

    units = rolecall(
        "each", *BASE, "--ou", "prod", "--role-for", f"{two}=Own", "--dry-run", "--json"
    )
    listed = rolecall(
        "each", "--profile", "hub", "--accounts", str(file), "--dry-run", "--json",
        "--role-for", f"{ONE}={arn(ONE, 'a=b')}", "--role-for", f"{THREE}=path/Own",
    )  # fmt: skip

    assert {row["account"]: row["role"] for row in rows(units)} == {
        one: arn(one), two: arn(two, "Own"),
    }  # fmt: skip
    assert [row["role"] for row in rows(listed)] == [
        arn(ONE, "a=b"), arn(TWO, "Special"), arn(THREE, "path/Own"),
    ]  # fmt: skip


def test_accounts_come_from_a_file_that_may_name_roles_and_regions(
    rolecall: Run, tmp_path: Path
) -> None:
    file = tmp_path / "accounts.yaml"
    file.write_text(
        f"- {{id: '{ONE}', name: first, role: Special, regions: [eu-west-1, eu-west-2]}}\n"
        f"- {{id: '{TWO}', role: Other}}\n- {{id: '{THREE}', role: Other}}\n"
    )

    found = rolecall(
        "each", "--profile", "hub", "--accounts", str(file), "--exclude", THREE, "--dry-run",
        "--json",
    )  # fmt: skip

    assert [(one["account"], one["region"], one["role"]) for one in rows(found)] == [
        (ONE, "eu-west-1", arn(ONE, "Special")),
        (ONE, "eu-west-2", arn(ONE, "Special")),
        (TWO, "us-east-2", arn(TWO, "Other")),
    ]


def test_a_plan_is_shown_saved_and_run(rolecall: Run, cloud: StrictCloud, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    before = cloud.calls("AssumeRole")

    shown = rolecall(
        "each", *THEM, "--region", "eu-west-1", "--dry-run", "--save-plan", str(file), *WHO
    )
    untouched = cloud.calls("AssumeRole")
    found = rolecall("each", "--profile", "hub", "--plan", str(file), "--json", *WHO)
    rest = rolecall(
        "each", "--profile", "hub", "--plan", str(file), "--exclude", ONE, "--json", *WHO
    )

    assert [line.split() for line in shown.out.splitlines()] == [
        ["ACCOUNT", "REGION", "ROLE"],
        [ONE, "eu-west-1", arn(ONE)],
        [TWO, "eu-west-1", arn(TWO)],
    ]
    assert shown.err == "rolecall: 2 targets in 2 accounts; nothing was run\n"
    assert untouched == before
    assert [(one["account"], one["region"]) for one in rows(found)] == [
        (ONE, "eu-west-1"), (TWO, "eu-west-1"),
    ]  # fmt: skip
    assert [one["account"] for one in rows(rest)] == [TWO]


def test_a_plan_is_saved_beside_a_run(rolecall: Run, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"

    found = rolecall("each", *THEM, "--save-plan", str(file), "--json", *WHO)

    assert len(rows(found)) == 2
    assert len(json.loads(file.read_text())["targets"]) == 2


REGIONS = """<DescribeRegionsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
<regionInfo><item><regionName>eu-west-1</regionName></item><item><regionName>us-east-1</regionName>
</item></regionInfo></DescribeRegionsResponse>"""


def test_enabled_regions_are_asked_for_in_each_account(rolecall: Run, cloud: StrictCloud) -> None:
    """Whoever does not tell his is named."""
    cloud.fail("DescribeRegions", code="UnauthorizedOperation", times=1)
    cloud.fail("DescribeRegions", status=200, body=REGIONS, content_type="text/xml")

    found = rolecall(
        "each", *THEM, "--regions", "enabled", "--dry-run", "--format", "csv", "--max-workers", "1"
    )

    assert found.code == 1
    table = list(csv.DictReader(io.StringIO(found.out)))
    assert list(table[0]) == ["account", "account_name", "ou_path", "region", "role"]
    assert [(row["account"], row["region"]) for row in table] == [
        (TWO, "eu-west-1"), (TWO, "us-east-1"),
    ]  # fmt: skip
    assert f"rolecall: {ONE}: its regions are not known: UnauthorizedOperation: " in found.err


def test_shards_share_the_accounts(rolecall: Run) -> None:
    ids = [f"{number:012d}" for number in range(1, 21)]
    seen: list[str] = []
    for number in (1, 2, 3):
        found = rolecall(
            "each", *BASE, "--account", ",".join(ids), "--shard", f"{number}/3", "--dry-run",
            "--json",
        )  # fmt: skip
        seen += [one["account"] for one in rows(found)]

    assert sorted(seen) == ids


# ── how it is written ────────────────────────────────────────────────────────────────────


def test_csv_can_be_made_safe_for_spreadsheets(rolecall: Run, tmp_path: Path) -> None:
    file = tmp_path / "found.csv"
    words = ("each", *BASE, "--account", ONE, *WHO, "--query", "'=1+1'", "--for-spreadsheets")

    printed = rolecall(*words, "--format", "csv")
    rolecall(*words, "--output", str(file))

    assert next(csv.DictReader(io.StringIO(printed.out)))["value"] == "'=1+1"
    assert file.read_text("utf-8-sig").splitlines()[1].split(",")[6] == "'=1+1"


@pytest.mark.parametrize("format", ["csv", "parquet", "table"])
def test_it_is_written_to_a_file_of_its_users_alone(
    rolecall: Run, tmp_path: Path, format: str
) -> None:
    file = tmp_path / f"found.{'txt' if format == 'table' else format}"

    found = rolecall("each", *THEM, *WHO, "--query", "Account", "--output", str(file))

    assert (found.code, found.out) == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    if format == "parquet":
        from pyarrow import parquet

        table = parquet.read_table(file).to_pylist()
        assert {row["account"] for row in table} == {ONE, TWO}
        return
    text = file.read_text()
    if format == "csv":
        parsed = [row["account"] for row in csv.DictReader(io.StringIO(text))]
    else:
        parsed = [line.split()[0] for line in text.splitlines()[1:]]
    assert sorted(parsed) == [ONE, TWO]


def test_a_table_is_one_line_a_row_for_people(rolecall: Run) -> None:
    long = "join('', [Arn, `" + json.dumps("x" * 300) + "`])"

    found = rolecall("each", *THEM, *WHO, "--query", long)

    head, *body = found.out.splitlines()
    assert head.split() == ["ACCOUNT", "VALUE"]
    assert [line.split()[0] for line in body] == [ONE, TWO]
    assert all(line.endswith("…") for line in body)


def test_what_is_kept_for_a_cell_steers_no_terminal() -> None:
    assert each_printed.short("a\x1b[2J\nb\tc") == "a?[2J b c"


def test_parquet_is_refused_without_its_library(
    rolecall: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    found = rolecall("each", *THEM, *WHO, "--output", str(tmp_path / "x.parquet"))

    assert found.code == 2
    assert "pip install pyarrow" in found.err


# ── how it goes on and ends ──────────────────────────────────────────────────────────────


def test_a_journal_leaves_out_what_was_done(
    rolecall: Run, cloud: StrictCloud, tmp_path: Path
) -> None:
    journal = ("--journal", str(tmp_path / "journal.jsonl"))
    cloud.fail("GetCallerIdentity", code="AccessDenied", times=1)

    first = rolecall("each", *THEM, *WHO, "--max-workers", "1", "--json", *journal)
    second = rolecall("each", *THEM, *WHO, "--json", *journal)
    other = rolecall("each", *THEM, *WHO, "--query", "Arn", *journal)

    assert [one["ok"] for one in rows(first)] == [False, True]
    assert first.err.splitlines()[-1] == "rolecall: 1 ok, 1 failed (access_denied 1)"
    assert [one["account"] for one in rows(second)] == [ONE]
    assert second.err == "rolecall: 1 ok, 1 done before\n"
    assert other.code == 2  # another job's
    text = (tmp_path / "journal.jsonl").read_text()
    assert '"each sts.get_caller_identity ' in text


def spreadsheet(text: str) -> str:
    """Return CSV as a spreadsheet saves it."""
    return "\ufeff" + text.replace("\n", "\r\n")


STRANGE: dict[str, tuple[str, Callable[[str], str], str]] = {
    "other columns": (
        "csv", lambda text: text.replace("ou_path,", ""), "there are other columns in the file",
    ),
    "JSON lines": ("csv", lambda _: '{"account": "1"}\n', "there are other columns in the file"),
    "CSV": ("jsonl", lambda _: "account,region\n", "something else in the file than JSON lines"),
    "other JSON lines": ("jsonl", lambda _: '{"id": 1}\n', "something else in the file"),
    "a list": ("jsonl", lambda _: "[]\n", "something else in the file"),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGE)
def test_rows_are_not_added_to_another_file_and_nothing_runs(
    rolecall: Run, cloud: StrictCloud, tmp_path: Path, case: str
) -> None:
    format, changed, why = STRANGE[case]
    journal, output = tmp_path / "journal.jsonl", tmp_path / "out.txt"
    words = ("--journal", str(journal), "--output", str(output), "--format", format)
    first = rolecall("each", *BASE, "--account", ONE, *WHO, *words)
    output.write_text(changed(output.read_text()))
    before = cloud.calls(), journal.read_bytes(), output.read_bytes()

    found = rolecall("each", *THEM, *WHO, *words)

    assert first.code == 0
    assert (found.code, found.out) == (2, "")
    assert f"rolecall: --output {output}: " in found.err
    assert why in found.err
    assert found.err.endswith(
        "\n  hint: give another file: the journal says what is done already\n"
    )
    assert (cloud.calls(), journal.read_bytes(), output.read_bytes()) == before
    # What is left can be looked at all the same: it is not written there.
    dry = ("each", *THEM, *WHO, "--journal", str(journal), "--dry-run", "--json")
    assert [one["account"] for one in rows(rolecall(*dry))] == [TWO]


@pytest.mark.parametrize("changed", [spreadsheet, lambda text: text + "half a ro", str])
def test_rows_are_added_to_a_file_that_a_spreadsheet_has_saved(
    rolecall: Run, tmp_path: Path, changed: Callable[[str], str]
) -> None:
    journal, output = tmp_path / "journal.jsonl", tmp_path / "out.csv"
    words = (*WHO, "--query", "Account", "--journal", str(journal), "--output", str(output))
    rolecall("each", *BASE, "--account", ONE, *words)
    output.write_text(changed(output.read_text()), encoding="utf-8", newline="")

    found = rolecall("each", *THEM, *words)

    assert (found.code, found.err) == (0, "rolecall: 1 ok, 1 done before\n")
    table = list(csv.DictReader(io.StringIO(output.read_bytes().decode("utf-8-sig"))))
    assert [row["value"] for row in table] == [ONE, TWO]


@pytest.mark.parametrize("format", ["csv", "jsonl"])
@pytest.mark.parametrize("kind", ["a FIFO", "a pipe"])
def test_what_is_found_may_be_written_to_what_is_no_file(
    rolecall: Run, tmp_path: Path, format: str, kind: str
) -> None:
    """As ``>(gzip >found.gz)`` gives one. A journal may stand beside it."""
    if kind == "a FIFO":
        output = str(tmp_path / "fifo")
        os.mkfifo(output)
        reader, writer = os.open(output, os.O_RDONLY | os.O_NONBLOCK), None
    else:
        reader, writer = os.pipe()
        output = f"/dev/fd/{writer}"
    words = ("--output", output, "--format", format, "--journal", str(tmp_path / "journal.jsonl"))
    text = ""
    try:
        for account in (ONE, TWO):
            found = rolecall("each", *BASE, "--account", f"{ONE},{account}", *WHO, *words)
            assert found.code == 0, found.err
            text += os.read(reader, 65536).decode()
    finally:
        for one in (reader, writer):
            if one is not None:
                os.close(one)

    heads = [line for line in text.splitlines() if line.startswith("account,")]
    assert len(heads) == (2 if format == "csv" else 0)
    values = [line for line in text.splitlines() if line not in heads]
    assert [ONE in values[0], TWO in values[1], len(values)] == [True, True, 2]


def test_a_dry_run_beside_a_journal_shows_what_is_left(rolecall: Run, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = ("--journal", str(path))

    before = rolecall("each", *THEM, *WHO, *journal, "--dry-run", "--json")
    untouched = path.exists()
    rolecall("each", *BASE, "--account", TWO, *WHO, *journal)
    text = path.read_text()
    path.write_text(text + '{"account": "')  # another run is writing
    after = rolecall("each", *THEM, *WHO, *journal, "--dry-run", "--json")

    assert [one["account"] for one in rows(before)] == [ONE, TWO]
    assert not untouched
    assert [one["account"] for one in rows(after)] == [ONE]
    left = f"rolecall: 1 targets in 1 accounts are left, by {path}; nothing was run\n"
    assert after.err == left
    assert path.read_text() == text + '{"account": "'
    other = rolecall("each", *THEM, *WHO, "--query", "Arn", *journal, "--dry-run")
    assert (other.code, other.out) == (2, "")


def test_a_dry_run_harms_nothing_that_was_found_or_planned(rolecall: Run, tmp_path: Path) -> None:
    journal, found, plan = (tmp_path / name for name in ("j.jsonl", "found.csv", "plan.json"))
    words = ("each", *THEM, *WHO, "--journal", str(journal))
    rolecall(*words, "--output", str(found), "--save-plan", str(plan))
    rows_found, whole = found.read_bytes(), plan.read_bytes()

    refused = rolecall(*words, "--output", str(found), "--dry-run")
    again = rolecall(*words, "--save-plan", str(plan), "--dry-run")

    assert (refused.code, refused.out) == (2, "")
    assert "leave it out for --dry-run" in refused.err
    assert found.read_bytes() == rows_found
    assert again.err.startswith("rolecall: 0 targets in 0 accounts are left")
    assert plan.read_bytes() == whole  # not what is left


def test_half_a_line_that_is_cut_off_is_told(rolecall: Run, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    words = ("each", *BASE, "--account", ONE, *WHO, "--journal", str(path))
    rolecall(*words)
    with path.open("a") as file:
        file.write('{"account": "')

    found = rolecall(*words)

    assert found.err.splitlines()[0].startswith(
        f"rolecall: the journal {path}: cut off its last 13"
    )


def test_a_region_that_may_be_misspelt_is_told(rolecall: Run) -> None:
    words = ("each", *THEM, *WHO, "--regions", "eu-wset-1", "--dry-run")
    warning = "this botocore knows no region eu-wset-1: did you mean eu-west-1?"

    quiet, verbose = rolecall(*words), rolecall(*words, "-v")

    assert quiet.err.splitlines()[0] == f"rolecall: {warning}"
    assert verbose.err.count(warning) == 1


def test_too_many_failures_stop_the_run_and_the_rest_is_named(
    rolecall: Run, cloud: StrictCloud
) -> None:
    cloud.fail("GetCallerIdentity", code="AccessDenied")
    ids = [f"{number:012d}" for number in range(1, 31)]

    found = rolecall(
        "each", *BASE, "--account", ",".join(ids), *WHO, "--max-workers", "1",
        "--failure-tolerance", "2", "--json",
    )  # fmt: skip

    assert found.code == 1
    assert [one["ok"] for one in rows(found)] == [False] * 3
    assert found.err.splitlines()[-1] == (
        "rolecall: 0 ok, 3 failed (access_denied 3), 27 not run (tolerance)"
    )
    assert "rolecall: not run: 000000000004, " in found.err
    assert "000000000013 and 17 more" in found.err
    assert "--journal" in found.err


def test_ten_failures_are_named(rolecall: Run, cloud: StrictCloud) -> None:
    cloud.fail("GetCallerIdentity", code="AccessDenied")
    ids = [f"{number:012d}" for number in range(1, 13)]

    found = rolecall("each", *BASE, "--account", ",".join(ids), *WHO)

    assert found.err.count("refused by the test") == 10
    assert "rolecall: and 2 more failures\n" in found.err


USAGE = {
    "no accounts": ([*BASE, *WHO], "which accounts?"),
    "an exclusion alone": ([*BASE, "--exclude", ONE, *WHO], "which accounts?"),
    "two sources": ([*THEM, "--plan", "p", *WHO], "--account and --plan"),
    "a source and a selection": ([*THEM, "--ou", "x", *WHO], "--ou selects of the organization"),
    "no role": (["--profile", "hub", "--account", ONE, *WHO], "--role: which role"),
    "regions for a plan": (
        ["--profile", "hub", "--plan", "p", "--regions", "eu-west-1", *WHO],
        "--regions: the plan says that",
    ),
    "an account that is not there is left out": (
        [*THEM, "--exclude", "999999999999", *WHO], "--exclude 999999999999: is not among",
    ),
    "nothing to do": ([*THEM], "what is to be done?"),
    "a query of a program": ([*THEM, "--query", "x", "--", "true"], "--query goes with --call"),
    "a call and a program": ([*THEM, *WHO, "--", "true"], "give one of them"),
    "a journal of nothing": (
        [*THEM, "--journal", "x.jsonl", "--dry-run"], "--journal: is of a program or a --call",
    ),
    "another role for nobody": (
        [*THEM, "--role-for", f"{THREE}=Own", "--role-for", "Own", *WHO],
        f"{THREE} is not among the accounts; --role-for Own: must be ID=NAME",
    ),
    "two other roles": (
        [*THEM, "--role-for", f"{ONE}=a", "--role-for", f"{ONE}=b", *WHO], "has both a and b",
    ),
    "another role for a plan": (
        ["--profile", "hub", "--plan", "p", "--role-for", f"{ONE}=a", *WHO],
        "--role-for: the plan says that",
    ),
    "a table for spreadsheets": ([*THEM, "--for-spreadsheets", *WHO], "--for-spreadsheets goes"),
    "no operation": ([*THEM, "--call", "sts"], "must be SERVICE.OPERATION"),
    "an unknown operation": ([*THEM, "--call", "sts.get_caller"], "get_caller_identity"),
    "an unknown argument": ([*THEM, *WHO, "--arguments", '{"X": 1}'], "no argument 'X'"),
    "arguments that are none": ([*THEM, *WHO, "--arguments", "[1]"], "must be a JSON object"),
    "a wrong query": ([*THEM, *WHO, "--query", "a["], "no JMESPath"),
    "an account": ([*BASE, "--account", "12", *WHO], "12 digits"),
    "a missing word": ([*BASE, "--account", f"{ONE},,{TWO}", *WHO], "a word is missing"),
    "a region": ([*THEM, "--regions", "mars", *WHO], "'mars' is no region"),
    "enabled and more": ([*THEM, "--regions", "enabled,eu-west-1", *WHO], "no other region"),
    "a time": ([*THEM, "--timeout", "soon", *WHO], "must be a time such as 45m"),
    "a shard": ([*THEM, "--shard", "4/3", *WHO], "shard"),
    "a session tag": ([*THEM, "--session-tag", "x", *WHO], "--session-tag x: must be KEY=VALUE"),
    "a tag": ([*BASE, "--tag", "=x", *WHO], "--tag =x: must be KEY or KEY=VALUE"),
    "a device of nobody": (
        ["--role", "A", "--account", ONE, "--mfa-serial", SERIAL, *WHO], "with --profile",
    ),
    "parquet without a file": ([*THEM, *WHO, "--format", "parquet"], "name a file with --output"),
    "no directory": ([*THEM, *WHO, "--output", "/no/such/x.csv"], "there is no directory"),
    "no account left": ([*THEM, "--exclude", f"{ONE},{TWO}", *WHO], "no account is left"),
    "a limit of STS": ([*THEM, "--duration", "1m", *WHO], "DurationSeconds"),
    "no plan": (["--profile", "hub", "--plan", "/no/such", *WHO], "the plan /no/such"),
}  # fmt: skip


@pytest.mark.parametrize("case", USAGE)
def test_what_does_not_add_up_is_told_before_anything_runs(
    rolecall: Run, cloud: StrictCloud, case: str
) -> None:
    words, why = USAGE[case]
    before = cloud.calls()

    found = rolecall("each", *words)

    assert (found.code, found.out) == (2, "")
    assert why in found.err
    assert cloud.calls() == before


def test_without_source_credentials_it_ends_with_3(rolecall: Run) -> None:
    found = rolecall("each", "--role", "Auditor", "--account", ONE, *WHO)

    assert (found.code, found.out) == (3, "")
    assert "profile 'default' has no credentials" in found.err


def test_its_help_loads_no_aws() -> None:
    program = (
        "import sys; from rolecall.cli import main; main(['each', '--help']); "
        "sys.exit(bool({'botocore', 'boto3', 'rich', 'uvicorn', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, b"")


def test_every_option_is_in_a_section_and_in_the_reference(rolecall: Run) -> None:
    help = rolecall("each", "--help").out
    page = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"
    section = page.read_text().partition("\n## `each`\n")[2].partition("\n## ")[0]

    sections = [line for line in help.splitlines() if line.endswith(":") and line[0] != " "]
    assert len(sections) == 6
    own = help.partition(sections[0])[2]
    for _, names, _ in each_options._OWN:
        assert names[0] in own
        assert f"`{names[0]}" in section, names[0]


def test_a_profile_can_be_completed(desk: Desk) -> None:
    words = {"COMP_WORDS": "rolecall each --profile hu", "COMP_CWORD": "3"}
    desk.environ |= {"_ROLECALL_COMPLETE": "bash_complete", **words}

    assert desk.run().out == "plain,hub\n"
