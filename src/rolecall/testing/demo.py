"""Watch sessions outlive their credentials: ``python -m rolecall.testing.demo``.

An AWS on loopback lets every session die within seconds. Four roles, three of them assumed from
the fourth, go on calling it while rolecall renews them; then the same calls are made with keys
that nobody renews. Nothing leaves the machine. Exits with 0 only if the first went without an
error and the second did not.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TextIO

from ..clock import SYSTEM_CLOCK, Clock
from .cloud import StrictCloud
from .demo_screen import Plain, screen_for, sums

if TYPE_CHECKING:
    from ..refresh import Event

#: Four calls and a picture at each step.
STEP_SECONDS = 0.1
SECONDS, LIFETIME_SECONDS = 18.0, 5.0

INTERRUPTED = 130


class Worker:
    """One session that calls one service, and what has become of it.

    Attributes:
        renewed_at: Seconds into the phase at which it got credentials, the first ones included.
        died_at: Seconds into the phase of the first call that failed. None: none has.
        reason: The error code of that call.
    """

    def __init__(self, name: str, service: str, elapsed: Callable[[], float]) -> None:
        self.name = name
        self.service = service
        self.calls: int = 0
        self.errors: int = 0
        self.renewed_at: list[float] = []
        self.last_call: float = 0.0
        self.died_at: float | None = None
        self.reason: str = ""
        self._elapsed = elapsed
        self.call: Callable[[], object] = lambda: None
        self.left: Callable[[], float] = lambda: 0.0
        self.state: Callable[[], str] = lambda: "empty"

    def hear(self, event: Event) -> None:
        """Note new credentials; rolecall calls this, from any thread."""
        if event.kind == "refreshed":
            self.renewed_at.append(self._elapsed())

    @property
    def rotations(self) -> int:
        """How often its credentials were replaced."""
        return max(0, len(self.renewed_at) - 1)

    def work(self) -> None:
        """Make one call."""
        from botocore.exceptions import BotoCoreError, ClientError

        self.last_call = self._elapsed()
        try:
            self.call()
        except (ClientError, BotoCoreError) as error:
            self.errors += 1
            if self.died_at is None:
                response: dict[str, Any] = getattr(error, "response", None) or {}
                self.died_at = self.last_call
                self.reason = (response.get("Error") or {}).get("Code") or type(error).__name__
        else:
            self.calls += 1


class Demo:
    """The two phases, and the sum of both."""

    def __init__(
        self,
        cloud: StrictCloud,
        screen: Plain,
        *,
        seconds: float,
        lifetime: float,
        clock: Clock,
        pause: Callable[[float], object],
    ) -> None:
        self._cloud = cloud
        self._screen = screen
        self._seconds = seconds
        self._lifetime = lifetime
        self._clock = clock
        self._pause = pause
        self._began: float | None = None

    def elapsed(self) -> float:
        """Return seconds since the phase began; 0 while it is being prepared."""
        return 0.0 if self._began is None else self._clock.boottime() - self._began

    def run(self) -> bool:
        """Run both phases and sum up; return whether what rolecall promises held."""
        say = self._screen.say
        say('  hub    = rolecall.assume_role(boto3.Session(), "arn:aws:iam::…:role/Hub")')
        say('  orders = rolecall.assume_role(hub, "arn:aws:iam::…:role/Orders")')
        say()
        say(f"With rolecall ({self._screen.legend}):")
        workers = self._refreshed()
        self._work(workers, self._seconds)
        say()
        say("The same S3 calls with the keys of one AssumeRole, as they are:")
        static = self._static()
        self._work([static], self._seconds + 2 * self._lifetime, until_it_dies=True)
        say()
        return self._sum_up(workers, static)

    def _work(
        self, workers: Sequence[Worker], seconds: float, *, until_it_dies: bool = False
    ) -> None:
        self._began = self._clock.boottime()
        while (elapsed := self.elapsed()) < seconds:
            for one in workers:
                one.work()
            if until_it_dies and workers[0].errors:
                break
            self._screen.show(workers, elapsed)
            self._pause(STEP_SECONDS)
        self._screen.show(workers, self.elapsed(), last=True)

    def _arn(self, name: str, account: str) -> str:
        return self._cloud.role(name, account)

    def _refreshed(self) -> list[Worker]:
        """Return the hub and its three spokes, in four accounts, each with something to do."""
        import boto3

        from ..sessions import assume_role

        self._began = None
        session: Any = boto3.Session()
        workers = []
        for name, service, account in (
            ("Hub", "STS", "111111111111"),
            ("Orders", "DynamoDB", "222222222222"),
            ("Billing", "S3", "333333333333"),
            ("Mail", "SQS", "444444444444"),
        ):
            one = Worker(name, service, self.elapsed)
            opened = assume_role(
                session,
                self._arn(name, account),
                RoleSessionName="demo",
                on_event=one.hear,
                clock=self._clock,
            )
            if name == "Hub":
                session = opened
            self._employ(one, opened)
            workers.append(one)
        return workers

    def _employ(self, one: Worker, session: Any) -> None:
        credentials = session.get_credentials()
        one.left = lambda: float(credentials.remaining.total_seconds())
        one.state = lambda: str(credentials.state)
        one.call = _JOBS[one.service](session)

    def _static(self) -> Worker:
        """Return a session of keys that were fetched once, with the same job in S3."""
        import boto3

        self._began = None
        role = self._arn("Billing", "333333333333")
        keys = boto3.Session().client("sts").assume_role(RoleArn=role, RoleSessionName="static")
        keys = keys["Credentials"]
        session = boto3.Session(
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
        )
        one = Worker("Billing", "S3", self.elapsed)
        one.renewed_at.append(0.0)
        one.left = lambda: float(keys["Expiration"].timestamp() - self._clock.time())
        one.state = lambda: "fresh" if one.left() > 0 else "expired"
        one.call = _JOBS["S3"](session)
        return one

    def _sum_up(self, workers: Sequence[Worker], static: Worker) -> bool:
        calls, rotations, errors = sums(workers)
        once = len(static.renewed_at)
        assumed = self._cloud.calls("AssumeRole") - once
        died = "still alive"
        if static.died_at is not None:
            died = f"died after {static.died_at:.1f} s: {static.reason}"
        say = self._screen.say
        say(f"{'':18}{'calls':>7}{'rotations':>11}{'AssumeRole':>12}{'errors':>8}")
        say(
            f"  {'with rolecall':16}{calls:7}{rotations:11}{assumed:12}{errors:8}"
            f"  going on after {self._seconds:g} s"
        )
        say(f"  {'static keys':16}{static.calls:7}{0:11}{once:12}{static.errors:8}  {died}")
        say()
        held = errors == 0 and all(one.rotations for one in workers)
        held = held and static.reason == "ExpiredToken"
        say(
            'Next: session = rolecall.assume_role(boto3.Session(), "arn:aws:iam::…:role/…")'
            if held
            else "That is not what rolecall promises. Is this machine too busy for sessions of "
            f"{self._lifetime:g} s? Try --lifetime {2 * self._lifetime:g}"
        )
        return held


def _dynamodb(session: Any) -> Callable[[], object]:
    client = session.client("dynamodb")
    client.create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return lambda: client.put_item(TableName="orders", Item={"id": {"S": "1"}})


def _s3(session: Any) -> Callable[[], object]:
    client = session.client("s3")
    client.create_bucket(Bucket="billing")
    return lambda: client.put_object(Bucket="billing", Key="invoice", Body=b"1 EUR")


def _sqs(session: Any) -> Callable[[], object]:
    client = session.client("sqs")
    url = client.create_queue(QueueName="mail")["QueueUrl"]
    return lambda: client.send_message(QueueUrl=url, MessageBody="hello")


def _sts(session: Any) -> Callable[[], object]:
    call: Callable[[], object] = session.client("sts").get_caller_identity
    return call


_JOBS = {"DynamoDB": _dynamodb, "S3": _s3, "SQS": _sqs, "STS": _sts}


@contextlib.contextmanager
def _as_user_of(cloud: StrictCloud, environ: MutableMapping[str, str]) -> Iterator[None]:
    """Let boto3 find this cloud, and nothing of the user's own AWS, proxies included."""
    before = dict(environ)
    for name in before:
        if name.upper().startswith(("AWS_", "ROLECALL_")):
            del environ[name]
    environ.update(cloud.environ())
    environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
    environ.update(NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
    try:
        yield
    finally:
        environ.clear()
        environ.update(before)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m rolecall.testing.demo",
        description="Watch boto3 sessions outlive their credentials, offline.",
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="how long the sessions work [%(default)g]"
    )
    parser.add_argument(
        "--lifetime",
        type=float,
        default=LIFETIME_SECONDS,
        help="how long credentials live, in seconds [%(default)g]",
    )
    parser.add_argument("--plain", action="store_true", help="lines of text, no picture")
    options = parser.parse_args(arguments)
    if not 1 <= options.lifetime < options.seconds <= 3600:
        parser.error("1 <= lifetime < seconds <= 3600, or nothing expires while you watch")
    return options


def main(
    arguments: Sequence[str] | None = None,
    *,
    out: TextIO | None = None,
    environ: MutableMapping[str, str] = os.environ,  # noqa: TID251 - border
    clock: Clock = SYSTEM_CLOCK,
    pause: Callable[[float], object] | None = None,
) -> int:
    """Run the demo with command line *arguments* and return the exit code.

    Args:
        environ: Changed while it runs, since that is where boto3 looks.
        pause: Called between steps with the seconds to wait.
    """
    options = _options(arguments)
    out = sys.stdout if out is None else out
    screen = screen_for(out, options, environ)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of moto's and boto3's own matters
            lifetime = timedelta(seconds=options.lifetime)
            cloud = StrictCloud(lifetime=lifetime, clock=clock)
            screen.say(
                f"An AWS on this machine, whose sessions die after {options.lifetime:g} s. "
                "Nothing leaves it.\n"
            )
            with cloud, _as_user_of(cloud, environ):
                demo = Demo(
                    cloud,
                    screen,
                    seconds=options.seconds,
                    lifetime=options.lifetime,
                    clock=clock,
                    pause=pause or threading.Event().wait,
                )
                return 0 if demo.run() else 1
    except KeyboardInterrupt:
        screen.say("\ninterrupted")
        return INTERRUPTED
    except ImportError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        screen.close()


if __name__ == "__main__":
    sys.exit(main())
