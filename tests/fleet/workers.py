"""What these tests run in other processes: importable there, since sys.path travels to them."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from rolecall.fleet import fan_out
from rolecall.fleet.targets import Target

#: What the accounts that `troubles` tells apart end with.
TROUBLES = (
    "fine",
    "modelled",
    "unpickled",
    "denied",
    "locked_error",
    "exit",
    "lock",
    "client",
    "session",
    "keys",
    "huge",
)

HUGE = 3_000_000


def become(environ: Mapping[str, str]) -> None:
    """Have this environment: a forkserver has the one of when it was started."""
    os.environ.update(environ)
    boto3.DEFAULT_SESSION = None


def account_of(session: boto3.Session) -> str:
    """Return whose account *session* is in, as STS sees it."""
    return str(session.client("sts").get_caller_identity()["Account"])


def who_and_where(session: boto3.Session, target: Target) -> tuple[str, str, int]:
    """Return account and region, as they really are, and the process."""
    sts = session.client("sts")
    return str(sts.get_caller_identity()["Account"]), sts.meta.region_name, os.getpid()


def region_of(session: boto3.Session) -> str:
    return str(session.region_name)


class LockedError(Exception):
    """An error that cannot be pickled."""


def troubles(session: boto3.Session, target: Target) -> Any:
    """End in the way that the account's name says."""
    what = target.account.name
    if what == "modelled":
        session.client("s3").list_objects_v2(Bucket="no-such-bucket-of-anybody")
    if what == "unpickled":
        try:
            session.client("s3").list_objects_v2(Bucket="no-such-bucket-of-anybody")
        except ClientError as error:
            raise pickle.loads(pickle.dumps(error)) from None
    if what == "denied":
        refused: Any = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}
        raise ClientError(refused, "ListKeys")
    if what == "locked_error":
        raise LockedError(threading.Lock())
    if what == "exit":
        raise SystemExit(3)
    if what == "lock":
        return threading.Lock()
    if what == "client":
        return {"deep": [session.client("sts")]}
    if what == "session":
        return boto3.Session("fake-key", "fake-secret", region_name="eu-west-1")
    if what == "keys":
        credentials: Any = session.get_credentials()
        return credentials.get_frozen_credentials()
    if what == "huge":
        return b"x" * HUGE
    return what


def fails_at_first(marks: str, session: boto3.Session, target: Target) -> str:
    """Be throttled once in each account."""
    mark = Path(marks) / target.account.id
    if not mark.exists():
        mark.touch()
        refused: Any = {"Error": {"Code": "Throttling", "Message": "slow"}}
        raise ClientError(refused, "ListKeys")
    return "done"


def never_ends(session: boto3.Session, target: Target) -> str:
    """Take for ever in the account that is called slow."""
    if target.account.name == "slow":
        threading.Event().wait(20)
    return "done"


def dies(session: boto3.Session, target: Target) -> str:
    """End the process in the account that is called deadly."""
    if target.account.name == "deadly":
        os._exit(3)
    return "done"


def fails_in(bad: tuple[str, ...], session: boto3.Session, target: Target) -> str:
    """Fail in these accounts."""
    if target.account.id in bad:
        raise ValueError("not in this one")
    return target.account.id


def marked(marks: str, session: boto3.Session, target: Target) -> str:
    """Leave a file for each time that an account is entered."""
    number = len(list(Path(marks).glob(f"{target.account.id}.*")))
    (Path(marks) / f"{target.account.id}.{number}").touch()
    return account_of(session)


def fails(session: boto3.Session) -> None:
    """Fail in every account."""
    raise ValueError("not in this one, nor in any other")


def nothing() -> int:
    """Return the process, of which nothing else is wanted."""
    return os.getpid()


class Turnstile:
    """Where functions in other processes check in, and wait until they are let through."""

    PATIENCE_SECONDS = 60.0

    def __init__(self) -> None:
        self._door = socket.create_server(("127.0.0.1", 0))
        self._door.settimeout(self.PATIENCE_SECONDS)
        self._waiting: list[socket.socket] = []
        self.address: tuple[str, int] = self._door.getsockname()

    def __enter__(self) -> Turnstile:
        return self

    def __exit__(self, *_: object) -> None:
        self.open()

    def next(self) -> str:
        """Return what the next one says who comes; it waits."""
        caller, _ = self._door.accept()
        caller.settimeout(self.PATIENCE_SECONDS)
        self._waiting.append(caller)
        with caller.makefile("r") as lines:
            return lines.readline().strip()

    def let_through(self) -> None:
        """Let all go on who wait."""
        for caller in self._waiting:
            caller.close()
        self._waiting.clear()

    def open(self) -> None:
        """Let all go on, those who wait and those to come."""
        self._door.close()
        self.let_through()


def check_in(address: tuple[str, int], text: str) -> None:
    """Say *text* at a `Turnstile`, and wait until it lets this one through."""
    try:
        with socket.create_connection(address, Turnstile.PATIENCE_SECONDS) as door:
            door.sendall(f"{text}\n".encode())
            door.recv(1)
    except ConnectionError:
        return  # it is open


def checks_in(address: tuple[str, int], session: boto3.Session, target: Target) -> str:
    """Check in, then say whose account it is."""
    check_in(address, target.account.id)
    return account_of(session)


class Checked:
    """`checks_in` as a callable object, which has the same name in every run."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address

    def __call__(self, session: boto3.Session, target: Target) -> str:
        return checks_in(self.address, session, target)


def audit(journal: str, port: int, accounts: list[str], *, processes: bool) -> None:
    """Go over *accounts* one by one, as the program that is to be killed."""
    executor = None
    if processes:
        executor = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    with fan_out(
        boto3.Session(),
        accounts,
        role="Reader",
        executor=executor,
        max_workers=1,
        chunk_size=1,
        journal=journal,
        job="audit",
    ) as run:
        list(run.map(Checked(("127.0.0.1", port))))
