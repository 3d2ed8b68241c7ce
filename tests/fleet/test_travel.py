"""What is sent to another process, and what must never be."""

from __future__ import annotations

import functools
import pickle
import sys
import types
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import cloudpickle
import pytest
import workers
from botocore.credentials import Credentials as BotocoreCredentials

import rolecall
from rolecall.chain import GivenSession, Role, RoleChain, SessionToken
from rolecall.errors import ConfigError
from rolecall.fleet import fan_out
from rolecall.fleet.running.travel import packed_bytes, unpacked
from rolecall.fleet.running.worker import run_chunk

ACCOUNTS = ["111122223333", "444455556666"]
SECRET = "fake-secret-that-stays-here"
KEY = "AKIAFAKETHATSTAYSHERE"
HUB = "arn:aws:iam::777788889999:role/Hub"
SPOKE = "arn:aws:iam::{account}:role/Reader"


class Recording(Executor):
    """Keeps what it is given, and loses it."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def submit(self, function: Any, /, *arguments: Any, **keywords: Any) -> Future[Any]:
        self.given.append((function, arguments, keywords))
        future: Future[Any] = Future()
        future.set_exception(MemoryError("lost"))
        return future

    @property
    def sent(self) -> bytes:
        """All that a worker would be given, by the pickle that hides the least."""
        return b"".join(cloudpickle.dumps(one) for one in self.given)


@pytest.fixture
def executor() -> Recording:
    return Recording()


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> boto3.Session:
    """A session of a user of the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    return boto3.Session()


def explicit() -> boto3.Session:
    return boto3.Session(KEY, SECRET, region_name="eu-west-1")


def run_on(executor: Executor, session: Any, function: Callable[..., Any], **options: Any) -> None:
    with fan_out(session, ACCOUNTS, executor=executor, **{"role": "Reader", **options}) as run:
        list(run.map(function))


def all_within(error: BaseException) -> str:
    """Return all that is said about *error*, with what it was raised from."""
    told = ""
    one: BaseException | None = error
    while one is not None:
        told += f"{one!r} {one} {getattr(one, 'hint', '')} {one.args}"
        one = one.__cause__ or one.__context__
    return told


# ── who assumes the roles ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "base",
    [
        explicit,
        lambda: rolecall.assume_role(explicit(), HUB),
        lambda: explicit()._session,
        lambda: rolecall.refreshable_session(lambda: None),
    ],
    ids=["boto3", "hub", "botocore", "callable"],
)
def test_a_session_with_keys_of_its_own_is_refused_before_anything_is_sent(
    base: Callable[[], Any], executor: Recording, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        run_on(executor, base(), workers.account_of, journal=tmp_path / "run.jsonl")

    assert not executor.given
    assert SECRET not in all_within(caught.value)
    assert not (tmp_path / "run.jsonl").exists()


@pytest.mark.parametrize(
    "origin",
    [
        lambda: GivenSession(explicit()),
        lambda: SessionToken(of=GivenSession(explicit()), mfa_serial=None),
    ],
    ids=["given", "its session token"],
)
def test_a_chain_from_a_session_of_this_process_is_refused_before_anything_is_sent(
    base: boto3.Session, origin: Callable[[], Any], executor: Recording
) -> None:
    chain = RoleChain(origin(), Role(arn=SPOKE))

    with pytest.raises(ConfigError) as caught:
        run_on(executor, base, workers.account_of, role=chain)

    assert not executor.given
    assert SECRET not in all_within(caught.value)


@pytest.mark.parametrize("hub", [False, True], ids=["user", "hub"])
def test_the_keys_of_the_environment_stay_in_this_process(
    base: boto3.Session, executor: Recording, hub: bool
) -> None:
    session: Any = rolecall.assume_role(base, HUB) if hub else base

    run_on(executor, session, workers.account_of)

    sent = executor.sent
    assert b"444455556666" in sent
    assert SECRET.encode() not in sent
    assert KEY.encode() not in sent


# ── the function ─────────────────────────────────────────────────────────────────────────


def _core() -> botocore.session.Session:
    core = botocore.session.Session()
    core.set_credentials(KEY, SECRET)
    return core


CONTRABAND: dict[str, Callable[[], Any]] = {
    "boto3 session": explicit,
    "botocore session": _core,
    "client": lambda: explicit().client("sts"),
    "resource": lambda: explicit().resource("sqs"),
    "botocore credentials": lambda: BotocoreCredentials(KEY, SECRET),
    "frozen credentials": lambda: BotocoreCredentials(KEY, SECRET).get_frozen_credentials(),
    "rolecall credentials": lambda: rolecall.Credentials(access_key=KEY, secret_key=SECRET),
    "role session of keys": lambda: rolecall.assume_role(explicit(), HUB),
}


class Holder:
    """An object whose method is the work."""

    def __init__(self, held: Any) -> None:
        self.held = {"deep": [held]}

    def method(self, session: Any) -> None:
        """Do nothing."""

    def __call__(self, session: Any) -> None:
        """Do nothing."""


def two(session: Any, *, held: Any = None) -> None:
    """Do nothing."""


def _default(held: Any) -> Callable[..., Any]:
    return lambda session, other=held: None


def _global(held: Any) -> Callable[..., Any]:
    """Return a function as of a script, which cloudpickle sends with the globals that it names."""
    module = types.ModuleType("__main__")
    module.__dict__["held"] = held
    exec("def work(session):\n    return held", module.__dict__)  # noqa: S102 - a script, made here
    work: Callable[..., Any] = module.__dict__["work"]
    return work


def _class_attribute(held: Any) -> Callable[..., Any]:
    class Local:
        kept = held

        def __call__(self, session: Any) -> None:
            """Do nothing."""

    return Local()


CARRIERS: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "closure": lambda held: lambda session: held,
    "default": _default,
    "partial": lambda held: functools.partial(two, held=held),
    "global": _global,
    "bound method": lambda held: Holder(held).method,
    "callable object": Holder,
    "class attribute": _class_attribute,
}


@pytest.mark.parametrize(
    ("what", "carrier"),
    [
        *((what, "closure") for what in CONTRABAND),
        *((what, one) for what in ("boto3 session", "frozen credentials") for one in CARRIERS),
    ],
)
def test_a_function_that_holds_keys_is_refused_at_the_call(
    base: boto3.Session, executor: Recording, what: str, carrier: str
) -> None:
    function = CARRIERS[carrier](CONTRABAND[what]())

    with pytest.raises(ConfigError) as caught:
        run_on(executor, base, function)

    assert not executor.given
    assert SECRET not in all_within(caught.value)
    assert caught.value.hint


def test_the_environment_does_not_travel_with_a_function_that_names_it(
    base: boto3.Session, executor: Recording
) -> None:
    """As of a script that begins with ``from os import environ``."""
    import os

    with pytest.raises(ConfigError):
        run_on(executor, base, _global(os.environ))

    assert SECRET.encode() not in executor.sent


def test_the_message_says_what_is_held_and_what_to_do() -> None:
    session = explicit()

    with pytest.raises(ConfigError, match=r"holds a boto3\.session\.Session") as caught:
        packed_bytes(lambda: session, "the function", "use the session you are given")

    assert caught.value.hint == "use the session you are given"


def test_the_class_of_a_session_may_be_named() -> None:
    kept = boto3.Session

    again = unpacked(packed_bytes(lambda: kept, "the function", ""))

    assert boto3.Session is again()


def test_a_role_session_in_a_closure_travels_as_its_chain(base: boto3.Session) -> None:
    log = rolecall.assume_role(base, HUB, RoleSessionName="the-log")

    sent = packed_bytes(lambda: log, "the function", "")
    again = unpacked(sent)()

    assert log.chain == again.chain
    assert SECRET.encode() not in sent


def test_without_cloudpickle_a_modules_function_travels_and_a_lambda_is_refused(
    base: boto3.Session, executor: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)

    run_on(executor, base, workers.account_of)
    assert executor.given
    executor.given.clear()

    with pytest.raises(ConfigError, match="cannot be sent to another process") as caught:
        run_on(executor, base, lambda session: None)
    assert "cloudpickle" in str(caught.value.hint)
    assert not executor.given


def test_without_cloudpickle_keys_are_refused_all_the_same(
    base: boto3.Session, executor: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    held = BotocoreCredentials(KEY, SECRET)

    with pytest.raises(ConfigError, match=r"holds a botocore\.credentials\.Credentials"):
        run_on(executor, base, functools.partial(two, held=held))

    assert not executor.given


def test_what_is_given_to_an_executor_is_a_modules_function_and_plain_data(
    base: boto3.Session, executor: Recording
) -> None:
    """So that any executor can send it, with pickle alone."""
    run_on(executor, base, lambda session: None)

    for function, arguments, keywords in executor.given:
        assert run_chunk is pickle.loads(pickle.dumps(function))
        assert pickle.loads(pickle.dumps((arguments, keywords)))


# ── a store ──────────────────────────────────────────────────────────────────────────────


def test_a_store_of_this_process_stays_here_and_a_directory_travels(
    base: boto3.Session, executor: Recording, tmp_path: Path
) -> None:
    held = {"key": SECRET}

    run_on(executor, base, workers.account_of, store=held)
    kept = rolecall.JSONFileCache(str(tmp_path / "cache"))
    run_on(executor, base, workers.account_of, store=kept)

    stores = [
        unpacked(next(one for one in arguments if isinstance(one, bytes))).store
        for _, arguments, _ in executor.given
    ]
    assert None is stores[0]
    assert isinstance(stores[-1], rolecall.JSONFileCache)
    assert kept.__reduce__() == stores[-1].__reduce__()
    assert SECRET.encode() not in executor.sent
