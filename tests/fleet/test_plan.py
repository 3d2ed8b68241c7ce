"""`Plan`: what was shown is what is run, after it was saved and in every shard."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.errors import ConfigError
from rolecall.fleet.plan import Plan
from rolecall.fleet.results.outcomes import Failure, Kind, Outcome
from rolecall.fleet.targets import Account, Target
from rolecall.testing.source import FAKE_SECRET

STARTED = datetime(2026, 11, 21, 20, 42, 37, tzinfo=timezone.utc)
PROD = Account("111122223333", name="prod", ou_path="/prod", tags={"env": "prod", "a": "b"})
TEST = Account("444455556666")


def role_of(account: Account, name: str = "Auditor") -> str:
    return f"arn:aws:iam::{account.id}:role/{name}"


def target(account: Account = PROD, region: str | None = "eu-west-1") -> Target:
    return Target(account=account, region=region, role=role_of(account))


def failed(account: Account = TEST, **more: Any) -> Outcome:
    error = Failure(kind="assume_role", type="AccessDenied", code="AccessDenied", message="no")
    return Outcome(
        target=target(account, None),
        error=replace(error, **more),
        started=STARTED,
        elapsed=timedelta(seconds=0.25),
    )


PLAN = Plan(targets=(target(), target(region="us-east-1")), failed=(failed(),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plan.json"


# ── any plan ─────────────────────────────────────────────────────────────────────────────

TEXTS = st.text(max_size=12)
LISTS = st.lists(TEXTS, max_size=3).map(tuple)
ACCOUNTS = st.builds(
    Account,
    st.from_regex(r"[0-9]{12}", fullmatch=True),
    name=TEXTS,
    email=TEXTS,
    state=st.none() | TEXTS,
    ou_path=st.none() | TEXTS,
    ou_ids=LISTS,
    tags=st.dictionaries(TEXTS, TEXTS, max_size=3),
    management=st.booleans(),
    role=st.none() | TEXTS,
    regions=st.none() | TEXTS | LISTS,
)
REGIONS = st.none() | st.sampled_from(["eu-west-1", "us-gov-east-1", "default", "x"])
ROLES = st.none() | st.sampled_from(["Auditor", "path/x/Auditor", "a+=,.@-_"])
PARTITIONS = st.sampled_from(["aws", "aws-cn", "aws-us-gov", "aws-eusc"])
FAILURES = st.builds(
    Failure,
    kind=st.sampled_from(get_args(Kind)),
    type=TEXTS,
    code=st.none() | TEXTS,
    message=TEXTS.map(lambda text: text.replace("=", "").replace(":", "")),
    retryable=st.booleans(),
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    accounts = draw(st.lists(ACCOUNTS, max_size=4, unique_by=lambda one: one.id))
    targets, failures = [], []
    for account in accounts:
        name, partition = draw(ROLES), draw(PARTITIONS)
        role = name and f"arn:{partition}:iam::{account.id}:role/{name}"
        for region in draw(st.lists(REGIONS, max_size=3, unique=True)):
            targets.append(Target(account=account, region=region, role=role))
        if draw(st.booleans()):
            outcome = Outcome(
                target=Target(account=account, role=role),
                error=draw(FAILURES),
                started=draw(st.datetimes(timezones=st.just(timezone.utc))),
                elapsed=draw(st.timedeltas(timedelta(0), timedelta(days=2))),
                attempts=draw(st.integers(1, 9)),
            )
            failures.append(outcome)
    return Plan(targets=tuple(draw(st.permutations(targets))), failed=tuple(failures))


@settings(max_examples=60)
@given(plans())
def test_what_is_saved_is_what_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, plan: Plan
) -> None:
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    plan.save(path)

    loaded = Plan.load(path)

    assert plan == loaded
    saved = path.read_bytes()
    loaded.save(path)
    assert saved == path.read_bytes()


@settings(max_examples=50)
@given(plans(), st.integers(1, 5))
def test_the_shards_of_a_plan_are_its_parts_and_no_account_is_in_two(
    plan: Plan, shards: int
) -> None:
    parts = [plan.shard(shard, shards) for shard in range(1, shards + 1)]

    assert sorted(map(repr, plan)) == sorted(repr(one) for part in parts for one in part)
    everybody = [
        {one.account.id for one in (*part.targets, *(one.target for one in part.failed))}
        for part in parts
    ]
    assert sum(map(len, everybody)) == len(set().union(*everybody))
    assert sum(len(part.failed) for part in parts) == len(plan.failed)
    for part in parts:
        assert list(part) == [one for one in plan if one in set(part)]  # their order is kept


@settings(max_examples=50)
@given(plans(), ACCOUNTS, st.integers(1, 5), st.data())
def test_another_account_moves_none_to_another_shard(
    plan: Plan, new: Account, shards: int, data: st.DataObject
) -> None:
    if any(one.id == new.id for one in (*plan.accounts, *(one.account for one in plan.failed))):
        return
    where = data.draw(st.integers(0, len(plan)))
    more = replace(
        plan, targets=(*plan.targets[:where], Target(account=new), *plan.targets[where:])
    )

    for shard in range(1, shards + 1):
        before, after = plan.shard(shard, shards), more.shard(shard, shards)
        assert before.targets == tuple(one for one in after if one.account.id != new.id)


# ── what it gives ────────────────────────────────────────────────────────────────────────


def test_it_is_its_targets_in_their_order() -> None:
    assert list(PLAN) == [target(), target(region="us-east-1")]
    assert len(PLAN) == 2


def test_its_accounts_are_there_once_and_only_those_that_are_gone_to() -> None:
    targets = (target(TEST), target(), target(TEST, "us-east-1"))
    plan = Plan(targets=targets, failed=(failed(Account("777788889999")),))

    assert plan.accounts == (TEST, PROD)


def test_a_record_is_what_somebody_reads_before_it_is_run() -> None:
    assert PLAN.to_records()[1] == {
        "account": "111122223333",
        "account_name": "prod",
        "ou_path": "/prod",
        "region": "us-east-1",
        "role": "arn:aws:iam::111122223333:role/Auditor",
    }
    assert len(PLAN.to_records()) == 2


@pytest.mark.parametrize(
    ("shard", "shards", "error"), [(0, 2, ValueError), (3, 2, ValueError), ("1", 2, TypeError)]
)
def test_a_plan_has_only_the_shards_there_are(
    shard: Any, shards: int, error: type[Exception]
) -> None:
    with pytest.raises(error, match="shard"):
        PLAN.shard(shard, shards)


# ── what cannot be run ───────────────────────────────────────────────────────────────────

WRONG: dict[str, tuple[Callable[[], Plan], str]] = {
    "twice": (
        lambda: Plan(targets=(target(), target())),
        "target 111122223333/eu-west-1: is there twice",
    ),
    "two accounts": (
        lambda: Plan(targets=(target(), target(replace(PROD, name="other"), "us-east-1"))),
        "its account is there with other contents",
    ),
    "two accounts, one failed": (
        lambda: Plan(targets=(target(),), failed=(failed(replace(PROD, name="other")),)),
        "failed 111122223333: its account is there with other contents",
    ),
    "another account's role": (
        lambda: Plan(targets=(replace(target(), role=role_of(TEST)),)),
        "role: 'arn:aws:iam::444455556666:role/Auditor' is of the account 444455556666",
    ),
    "no role": (
        lambda: Plan(targets=(replace(target(), role="Auditor"),)),
        "role: 'Auditor' is not an ARN",
    ),
    "no region": (
        lambda: Plan(targets=(target(region="eu west"),)),
        "'eu west' is no region",
    ),
    "a success": (
        lambda: Plan(targets=(), failed=(replace(failed(), error=None),)),
        "it is ok, and only failures are kept",
    ),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_run_is_no_plan(make: Callable[[], Plan], message: str) -> None:
    with pytest.raises(ValueError, match=r"^(target|failed) [0-9]{12}") as refused:
        make()

    assert message in str(refused.value)


def test_all_that_is_wrong_is_told_but_for_what_nobody_reads() -> None:
    targets = [Target(account=Account(f"{n:012d}"), role="x") for n in range(60)]

    with pytest.raises(ValueError, match="target 000000000000: role") as refused:
        Plan(targets=tuple(targets))

    assert str(refused.value).count("; target ") == 49
    assert str(refused.value).endswith("; and 10 more")


# ── saving ───────────────────────────────────────────────────────────────────────────────


def test_equal_plans_are_equal_files(tmp_path: Path) -> None:
    account = replace(PROD, tags={"a": "b", "env": "prod"})
    assert list(account.tags) != list(PROD.tags)

    Plan(targets=(target(),)).save(tmp_path / "one")
    Plan(targets=(target(account),)).save(tmp_path / "two")

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_saved_plan_has_a_line_for_each_account_and_target(path: Path) -> None:
    PLAN.save(path)

    assert path.read_text().splitlines()[:9] == [
        "{",
        '"rolecall_plan": 1,',
        '"accounts": [',
        '{"id": "111122223333", "name": "prod", "ou_path": "/prod", '
        '"tags": {"a": "b", "env": "prod"}},',
        '{"id": "444455556666"}',
        "],",
        '"targets": [',
        '{"account": "111122223333", "region": "eu-west-1", '
        '"role": "arn:aws:iam::111122223333:role/Auditor"},',
        '{"account": "111122223333", "region": "us-east-1", '
        '"role": "arn:aws:iam::111122223333:role/Auditor"}',
    ]


def test_neither_tracebacks_nor_secrets_are_saved(path: Path) -> None:
    plan = Plan(
        targets=(),
        failed=(failed(message=f"token={FAKE_SECRET}", traceback=f"fake-line {FAKE_SECRET}"),),
    )
    plan.save(path)

    assert FAKE_SECRET not in path.read_text()
    assert "fake-line" not in path.read_text()
    (loaded,) = Plan.load(path).failed
    assert loaded == replace(failed(), error=replace(failed().error, message="token=[redacted]"))


def test_it_is_for_its_owner_only_and_nothing_else_is_left(path: Path) -> None:
    before = os.umask(0)
    try:
        PLAN.save(path)
        PLAN.save(path)
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_plan_that_cannot_be_written_harms_none_that_is_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    PLAN.save(path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(ConfigError, match=r"plan\.json: cannot be written: No space left"):
        Plan(targets=()).save(path)

    assert before == path.read_bytes()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "make",
    [os.mkdir, os.mkfifo, lambda path: path.symlink_to(path.with_name("real"))],
    ids=["empty directory", "FIFO", "link"],
)
def test_only_a_plain_file_is_replaced(path: Path, make: Callable[[Path], object]) -> None:
    make(path)
    before = path.lstat()

    with pytest.raises(ConfigError, match="it is there, and not a plain file"):
        PLAN.save(path)

    assert before.st_ino == path.lstat().st_ino
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere/plan.json", r"there is no directory .*nowhere \(make"), ("x" * 300, "too long")],
)
def test_it_must_have_a_place(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PLAN.save(tmp_path / name)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "account",
    [
        Account("111122223333", role=str.lower),
        Account("111122223333", regions=(str.lower,)),
        Account("111122223333", tags={"a": 1}),
    ],
    ids=["role", "regions", "tags"],
)
def test_what_is_no_text_cannot_be_saved(path: Path, account: Account) -> None:
    with pytest.raises(TypeError, match="account 111122223333 cannot be saved"):
        Plan(targets=(Target(account=account),)).save(path)

    assert not path.exists()


# ── loading ──────────────────────────────────────────────────────────────────────────────


def saved(path: Path) -> Any:
    PLAN.save(path)
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'"x"', b"\xff", b"[" * 100_000, b'{"rolecall_journal": 1}\n'],
)
def test_a_file_that_is_no_plan_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(ConfigError, match="it is no plan of rolecall's"):
        Plan.load(path)


def test_a_plan_that_is_not_there_is_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        Plan.load(path)


def test_a_plan_of_a_later_version_is_refused(path: Path) -> None:
    path.write_text('{"rolecall_plan": 2, "what": []}')

    with pytest.raises(ConfigError, match="its version is 2, and this rolecall's is 1"):
        Plan.load(path)


SPOILED: dict[str, tuple[Any, Any, str]] = {
    "a key": ("more", 1, "'more' is no key of a plan"),
    "no list": ("targets", {}, "targets must be a list"),
    "account: no object": ("accounts", ["x"], "accounts, number 1: it must be an object"),
    "account: no id": ("accounts", [{}], "accounts, number 1: id must be text"),
    "account: bad id": ("accounts", [{"id": "1"}], "an account id has 12 digits"),
    "account: a key": (
        "accounts",
        [{"id": "1" * 12, "nmae": "x"}],
        "accounts, number 1: there is no key 'nmae'",
    ),
    "account: twice": (
        "accounts",
        [{"id": "111122223333"}, {"id": "111122223333"}],
        "accounts, number 2: account '111122223333' is there twice",
    ),
    "account: name": ("accounts", [{"id": "1" * 12, "name": None}], "name must be text"),
    "account: role": ("accounts", [{"id": "1" * 12, "role": 1}], "role must be text"),
    "account: tags": ("accounts", [{"id": "1" * 12, "tags": {"a": 1}}], "tags must be"),
    "account: tag list": ("accounts", [{"id": "1" * 12, "tags": []}], "tags must be"),
    "account: management": ("accounts", [{"id": "1" * 12, "management": 1}], "true or false"),
    "account: ou_ids": ("accounts", [{"id": "1" * 12, "ou_ids": "x"}], "ou_ids must be a list"),
    "account: regions": ("accounts", [{"id": "1" * 12, "regions": [1]}], "regions must be a list"),
    "target: no object": ("targets", [[]], "targets, number 1: it must be an object"),
    "target: no account": ("targets", [{"region": "x"}], "account must be text"),
    "target: a key": ("targets", [{"account": "111122223333", "x": 1}], "there is no key 'x'"),
    "target: unknown account": (
        "targets",
        [{"account": "777788889999"}],
        "targets, number 1: account '777788889999' is not among the accounts",
    ),
    "target: region": ("targets", [{"account": "111122223333", "region": 1}], "region must be"),
    "target: no region": (
        "targets",
        [{"account": "111122223333", "region": ""}],
        "'' is no region",
    ),
    "target: no ARN": (
        "targets",
        [{"account": "111122223333", "role": "Auditor"}],
        "target 111122223333: role: 'Auditor' is not an ARN",
    ),
    "target: another's role": (
        "targets",
        [{"account": "111122223333", "role": role_of(TEST)}],
        "is of the account 444455556666",
    ),
    "target: twice": (
        "targets",
        [{"account": "111122223333"}, {"account": "111122223333", "role": None}],
        "target 111122223333: is there twice",
    ),
    "failed: no object": ("failed", [1], "failed, number 1: it must be an object"),
}


@pytest.mark.parametrize(("key", "value", "message"), SPOILED.values(), ids=SPOILED)
def test_a_plan_that_somebody_spoiled_is_refused(
    path: Path, key: str, value: Any, message: str
) -> None:
    document = saved(path)
    document[key] = value
    path.write_text(json.dumps(document))

    with pytest.raises(ConfigError, match="mend it, or save it again") as refused:
        Plan.load(path)

    assert message in refused.value.message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("kind", "other", "kind must be one of assume_role, access_denied"),
        ("type", None, "type must be text"),
        ("code", 1, "code must be text"),
        ("message", 1, "message must be text"),
        ("retryable", 1, "retryable must be true or false"),
        ("started", "yesterday", "Invalid isoformat string: 'yesterday'"),
        ("started", "2026-11-21T20:42:37", "started must have a time zone"),
        ("elapsed_seconds", "1", "elapsed_seconds and attempts be numbers"),
        ("elapsed_seconds", True, "elapsed_seconds and attempts be numbers"),
        ("elapsed_seconds", float("nan"), "failed, number 1: cannot convert float NaN"),
        ("elapsed_seconds", 1e300, "failed, number 1: "),
        ("attempts", 1.5, "elapsed_seconds and attempts be numbers"),
        ("traceback", "x", "there is no key 'traceback'"),
        ("role", "x", "failed 444455556666: role: 'x' is not an ARN"),
    ],
)
def test_a_failure_that_somebody_spoiled_is_refused(
    path: Path, key: str, value: Any, message: str
) -> None:
    document = saved(path)
    document["failed"][0][key] = value
    path.write_text(json.dumps(document))

    with pytest.raises(ConfigError) as refused:
        Plan.load(path)

    assert message in refused.value.message


def test_all_problems_of_a_plan_are_told_at_once_and_each_once(path: Path) -> None:
    document = saved(path)
    document["accounts"][0]["nmae"] = "x"  # its two targets are not blamed for it
    document["targets"].append({"account": "444455556666", "role": "x"})
    document["targets"].append({"account": "12"})
    document["more"] = 1
    path.write_text(json.dumps(document))

    with pytest.raises(ConfigError) as refused:
        Plan.load(path)

    first, *others = refused.value.message.splitlines()
    assert first.endswith("plan.json: 'more' is no key of a plan")
    assert [one.split(": ")[0].strip() for one in others] == [
        "accounts, number 1",
        "targets, number 4",
        "target 444455556666",
    ]


def test_accounts_that_nobody_goes_to_may_stay_in_an_edited_plan(path: Path) -> None:
    document = saved(path)
    del document["targets"][0]
    del document["failed"]
    path.write_text(json.dumps(document, indent=4))

    assert Plan.load(path) == Plan(targets=(target(region="us-east-1"),))
