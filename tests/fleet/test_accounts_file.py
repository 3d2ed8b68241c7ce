"""Accounts that somebody wrote down, in the forms that people and tools write them in."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from rolecall.errors import ConfigError
from rolecall.fleet.accounts.file import read_accounts
from rolecall.fleet.targets import Account

ONE, TWO, ZERO = "111122223333", "444455556666", "012345678901"


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(name: str, text: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_accounts(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


# ── the forms ────────────────────────────────────────────────────────────────────────────

FULL = Account(
    ONE,
    name="team-a, eu",
    email="a@example.com",
    state="ACTIVE",
    ou_path="/prod/eu",
    tags={"env": "prod", "url": "https://example.com/a=b"},
    role="arn:aws:iam::{account}:role/x",
    regions=("eu-central-1", "us-east-1"),
)

CSV = """\
# from the wiki

Account ID,Name,Email,State,OU path,Role,Regions,Tags,Owner
111122223333,"team-a, eu",a@example.com,active,/prod/eu,arn:aws:iam::{account}:role/x,\
eu-central-1 us-east-1,env=prod;url=https://example.com/a=b,somebody
,,,,,,,,
012345678901,,,,,,enabled,,
"""

YAML = """\
accounts:
- account_id: 111122223333
  name: team-a, eu
  email: a@example.com
  state: ACTIVE
  ou_path: /prod/eu
  role: arn:aws:iam::{account}:role/x
  regions: [eu-central-1, us-east-1]
  vars: {charge: 0123}
  tags:
  - env:prod
  - url:https://example.com/a=b
- account_id: 012345678901
  name:
  regions: enabled
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", CSV),
        ("a.CSV", "\ufeff" + CSV.replace("\n", "\r\n")),
        ("a.tsv", CSV.replace('"team-a, eu"', "team-a\x00 eu").replace(",", "\t")
         .replace("\x00", ",")),
        ("excel.csv", CSV.replace('"team-a, eu"', "team-a\x00 eu").replace(";", "\x01")
         .replace(",", ";").replace("\x00", ",").replace("env=prod\x01url", '"env=prod;url')
         .replace("a=b;", 'a=b";')),
        ("a.yaml", YAML),
        ("a.yml", YAML.replace("account_id: 012345678901", "id: '012345678901'")),
    ],
)  # fmt: skip
def test_all_that_may_be_said_of_an_account_is_read(written: Any, name: str, text: str) -> None:
    assert (FULL, Account(ZERO, regions="enabled")) == read_accounts(written(name, text))


def test_json_and_lines_of_json_say_the_same(written: Any) -> None:
    entries = [
        {
            "id": ONE, "name": "team-a, eu", "email": "a@example.com", "state": "ACTIVE",
            "ou_path": "/prod/eu", "role": "arn:aws:iam::{account}:role/x",
            "regions": ["eu-central-1", "us-east-1"], "tags": dict(FULL.tags), "other": [1],
        },
        ZERO,
    ]  # fmt: skip
    lines = "# a comment\n\n" + "\n".join(map(json.dumps, entries))

    expected = (FULL, Account(ZERO))

    assert expected == read_accounts(written("a.json", json.dumps(entries)))
    assert expected == read_accounts(written("b.json", json.dumps({"accounts": entries})))
    assert expected == read_accounts(written("a.jsonl", lines))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ids.csv", f"{ONE}\n\n# {TWO}\n{ZERO}\n"),
        ("ids.csv", f"id\n{ONE}\n{ZERO}"),
        ("ids.csv", f"account\r\n{ONE}\r\n{ZERO}\r\n"),
        ("ids.tsv", f"{ONE}\t\n{ZERO}\n"),
        ("ids.yaml", f"- {ONE}\n- {ZERO}\n"),
        ("ids.yaml", f"# comment\naccounts:\n  - {ONE}\n  - id: {ZERO}\n"),
        ("ids.json", f'[{ONE}, "{ZERO}"]'),
        ("ids.jsonl", f'{ONE}\n"{ZERO}"\n'),
    ],
)
def test_ids_alone_are_accounts_and_keep_their_zeros(written: Any, name: str, text: str) -> None:
    assert (Account(ONE), Account(ZERO)) == read_accounts(written(name, text))


def test_what_the_aws_cli_prints_is_read_with_its_management_account(written: Any) -> None:
    def listed(id: str, **state: str) -> dict[str, Any]:
        arn = f"arn:aws:organizations::{ONE}:account/o-fake0fake0/{id}"
        return {"Id": id, "Arn": arn, "Name": "x", "Email": "x@example.com", **state}

    accounts = [
        listed(ONE, Status="ACTIVE", JoinedMethod="INVITED"),
        listed(TWO, State="CLOSED", Status="SUSPENDED"),
        listed(ZERO, Status="SUSPENDED", State="CLOSED"),
    ]

    file = written("a.json", json.dumps({"Accounts": accounts}))
    found = read_accounts(file, state=None, include_management=True)

    assert [(one.id, one.state, one.management) for one in found] == [
        (ONE, "ACTIVE", True),
        (TWO, "CLOSED", False),
        (ZERO, "CLOSED", False),
    ]


def test_what_is_closed_and_the_management_account_are_left_out_of_a_file(written: Any) -> None:
    arn = f"arn:aws:organizations::{ONE}:account/o-fake0fake0/{ONE}"
    listed = [
        {"Id": ONE, "Arn": arn},
        {"id": TWO, "state": "SUSPENDED"},
        {"id": ZERO, "state": "ACTIVE"},
    ]

    assert [one.id for one in read_accounts(written("a.json", json.dumps(listed)))] == [ZERO]
    with pytest.raises(ConfigError, match="closed, suspended or the management account"):
        read_accounts(written("b.json", json.dumps(listed[:2])))


def test_what_the_console_of_organizations_exports_is_read(written: Any) -> None:
    text = (
        '"Account ID","ARN","Email","Name","Status","State","Joined method","Joined timestamp"\n'
        f'"{ONE}","arn:aws:organizations::{TWO}:account/o-fake0fake0/{ONE}","x@example.com","x",'
        '"SUSPENDED","CLOSED","CREATED","2020-01-01"\n'
    )

    expected = (Account(ONE, name="x", email="x@example.com", state="CLOSED"),)

    assert expected == read_accounts(written("a.csv", text), state="CLOSED")


def test_tags_as_aws_prints_them_are_read(written: Any) -> None:
    text = json.dumps([{"id": ONE, "tags": [{"Key": "env", "Value": ""}, "a:b"]}])

    assert read_accounts(written("a.json", text))[0].tags == {"env": "", "a": "b"}


def test_an_account_that_is_there_twice_is_one_unless_it_differs(written: Any) -> None:
    same = written("same.csv", f"{TWO}\n{ONE}\n{TWO}\n")
    other = written("other.csv", f"id,name\n{TWO},x\n{ONE},\n{TWO},y\n")

    assert (Account(TWO), Account(ONE)) == read_accounts(same)
    assert f"line 4: account {TWO} is in line 2 already, and not the same" in refused(other)


# ── what is wrong ────────────────────────────────────────────────────────────────────────


def test_all_problems_are_said_at_once_with_their_lines(written: Any) -> None:
    said = refused(
        written(
            "a.csv",
            "id,regions,tags\n"
            "12345678901,,\n"
            f'{ONE},"eu-central-1 us_east_1",env\n'
            "1.11122E+11,,\n"
            ",eu-central-1,\n"
            f"{TWO},,,,surplus\n",
        )
    )

    for one in (
        "line 2: id: 12345678901 has 11 digits",
        "spreadsheets drop leading zeros, so that it may be 012345678901",
        "line 3: regions: 'us_east_1'",
        "line 3: tags: must be like env=prod",
        "line 4: id: 1.11122E+11 is how spreadsheets write",
        "line 5: there is no account id",
        "line 6: 5 cells, and 3 are named above",
    ):
        assert one in said


def test_entries_are_counted_where_there_are_no_lines(written: Any) -> None:
    said = refused(
        written("a.json", '[111122223333, 12345678901, {"id": true}, {"name": "x"}, null, [1]]')
    )

    assert "entry 2: id: 12345678901 has 11 digits" in said
    for one in ("entry 3: id:", "entry 4: there is no", "entry 5: there is no", "entry 6: id:"):
        assert one in said
    assert "entry 1" not in said


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "id,regoins,roles\n1,2,3\n", "column 'regoins' is not known: did you mean 'reg"),
        ("a.csv", "id,regoins,roles\n1,2,3\n", "column 'roles' is not known: did you mean 'role'"),
        ("a.yaml", "- {id: 1, regoins: [x]}", "entry 1: key 'regoins' is not known: did you mean"),
        ("a.json", '[{"id": "1", "tag": {}}]', "entry 1: key 'tag' is not known: did you mean"),
        ("a.json", '{"acounts": []}', "did you mean 'acounts' to be it?"),
    ],
)
def test_a_misspelt_name_is_no_name_of_somebody_elses(
    written: Any, name: str, text: str, said: str
) -> None:
    assert said in refused(written(name, text))


@pytest.mark.parametrize("other", ["Owner", "Cost center", "stage", "vars", "partition", "team"])
def test_names_that_are_like_none_of_ours_are_others_business(written: Any, other: str) -> None:
    assert (Account(ONE),) == read_accounts(written("a.csv", f"id,{other}\n{ONE},x\n"))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "", "there is no account in it"),
        ("a.csv", "id,name\n", "there is no account in it"),
        ("a.yaml", "", "there is no account in it"),
        ("a.yaml", "accounts:\n", "there is no account in it"),
        ("a.json", "  ", "there is no account in it"),
        ("a.json", '{"Accounts": []}', "there is no account in it"),
        ("a.jsonl", "# nothing", "there is no account in it"),
        ("a.csv", "name,email\nx,y\n", "no column is named id, account or account_id"),
        ("a.csv", f"id,account\n{ONE},{ONE}\n", "two columns say id"),
        ("a.csv", f'id,name\n{ONE},"{"x" * 200_000}"\n', "line 2: field larger than"),
        ("a.csv", b"\xff\xfe1\x00", "is not UTF-8"),
        ("a.yaml", "accounts: [\n  x: y: z\n", "is not YAML at line 2"),
        ("a.yaml", "7", "has no list of accounts"),
        ("a.yaml", "accounts: {a: b}", "has no list of accounts"),
        ("a.yaml", f"{ONE}: team-a", "a mapping without a list named accounts"),
        ("a.json", "[\n1,\n", "is not JSON at line 3"),
        ("a.json", "[" * 100_000, "is not JSON"),
        ("a.jsonl", "{}\n{", "line 2 is not JSON"),
        ("a.txt", ONE, "what it is cannot be told from its name"),
    ],
)
def test_a_file_that_is_none_of_accounts_is_refused(
    written: Any, name: str, text: str | bytes, said: str
) -> None:
    assert said in refused(written(name, text))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refused(tmp_path / "a.csv")


def test_many_problems_are_counted_and_all_are_in_the_context(written: Any) -> None:
    path = written("a.csv", "id\n" + "12345678901\n" * 500)

    with pytest.raises(ConfigError) as caught:
        read_accounts(path)

    assert str(caught.value).endswith("and 480 more")
    assert len(caught.value.context["problems"]) == 500


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("keys.csv", "SECRET\nSECRET\n"),
        ("keys.csv", "id\nSECRET\n"),
        ("keys.csv", f"id,regions,tags\n{ONE},SECRET,SECRET\n"),
        ("keys.yaml", "- SECRET\n- {id: SECRET}\n- ["),
        ("keys.json", '["SECRET"]'),
        ("keys.json", '["SECRET'),
        ("keys.jsonl", '"SECRET"\nSECRET'),
    ],
)
def test_a_file_of_keys_given_by_mistake_is_not_shown(written: Any, name: str, text: str) -> None:
    secret = "fakeSECRET0123456789/fakeSECRET0123456789"

    with pytest.raises(ConfigError) as caught:
        read_accounts(written(name, text.replace("SECRET", secret)))

    assert secret not in str(caught.value)
    assert secret not in repr(caught.value.context)
    assert caught.value.__context__ is None or secret not in str(caught.value.__context__)


def test_yaml_without_pyyaml_says_what_to_install(
    written: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)

    with pytest.raises(ImportError, match=r"pip install 'rolecall\[fleet\]'"):
        read_accounts(written("a.yaml", "- 1"))


def test_nothing_in_a_yaml_file_is_run(written: Any, tmp_path: Path) -> None:
    made = tmp_path / "made"

    refused(written("a.yaml", f"- !!python/object/apply:os.mkdir ['{made}']\n"))

    assert not made.exists()
