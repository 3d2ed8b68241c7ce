"""A one-node Ceph on loopback: an object store and an STS that others wrote.

It enforces what moto does not: trust policies, session policies, MaxSessionDuration, and lifetimes
from two seconds. `make test-real` installs its programs.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from rolecall.clock import SYSTEM_CLOCK

START_SECONDS = 60
REGION = "default"
FAKE_STS_KEY = "fakefakefakefake"  # 16 bytes, as the gateway wants

#: Tenants of the gateway; twelve digits, so that ARNs are just as AWS has them.
ACCOUNT, OTHER_ACCOUNT = "111111111111", "222222222222"
#: What alice of `ACCOUNT` owns.
BUCKET, KEY, BODY = "fake-bucket", "fake-object", b"hello"

#: botocore refuses a DurationSeconds below 900 before it is sent; the gateway does not.
UNCHECKED = Config(parameter_validation=False)


def free_port() -> int:
    """Return a free port below the ephemeral ones, which outgoing connections take."""
    # Suites that run side by side start looking in different places.
    for port in range(20000 + os.getpid() * 16 % 11000, 32000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port on loopback")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user of the gateway, with keys that never expire.

    Attributes:
        account: The gateway's tenant. One of twelve digits gives ARNs just as AWS has them.
    """

    name: str
    account: str = ""
    access_key: str
    secret_key: str = field(repr=False)

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:user/{self.name}"


class Ceph:
    """A running cluster.

    Attributes:
        url: Where S3, IAM and STS answer.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self._processes: list[subprocess.Popen[bytes]] = []
        # Shared: each session would else read botocore's data anew, which takes longer than a test.
        self._loader = botocore.session.Session().get_component("data_loader")

    def run(self, program: str, *arguments: str) -> str:
        """Run one of Ceph's programs on this cluster and return what it prints."""
        done = subprocess.run(
            [program, "-c", str(self.folder / "ceph.conf"), *arguments],
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{program} {arguments[:2]}: {done.stderr[-2000:]}"
        return done.stdout

    def user(self, name: str, *, account: str = "", caps: str = "") -> User:
        """Make a user; *caps* such as ``roles=*`` lets it administer."""
        user = User(
            name=name,
            account=account,
            access_key=f"AKIAFAKE{name.upper():0<12.12}",
            secret_key=f"fake-secret-of-{name}",
        )
        keys = [f"--access-key={user.access_key}", f"--secret-key={user.secret_key}"]
        rest = [f"--caps={caps}"] if caps else []
        if account:
            rest.append(f"--tenant={account}")
        self.run(
            "radosgw-admin", "user", "create", f"--uid={name}", f"--display-name={name}",
            *keys, *rest,
        )  # fmt: skip
        return user

    def session(self, user: User) -> boto3.Session:
        """Return a plain boto3 session of *user* in which every service is this cluster."""
        return self.session_of(user.access_key, user.secret_key, None)

    def session_of(self, access_key: str, secret_key: str, token: str | None) -> boto3.Session:
        """Return a plain boto3 session with the keys given; every service is this cluster."""
        core = botocore.session.Session()
        core.set_config_variable("config_file", str(self.folder / "aws-config"))
        core.set_config_variable("profile", "default")
        core.register_component("data_loader", self._loader)
        return boto3.Session(access_key, secret_key, token, botocore_session=core)

    def client(self, session: boto3.Session, service: str) -> Any:
        """Return a client that sends what it is given, unchecked, and sends it once."""
        once = UNCHECKED.merge(Config(retries={"total_max_attempts": 1}))
        return session.client(service, config=once)

    def let_expire(self, expiration: datetime) -> None:
        """Return when *expiration* is past by the machine's clock.

        The one place where real time has to pass: the gateway has no other clock.
        """
        left = expiration.timestamp() - SYSTEM_CLOCK.time()
        assert left < 60, f"a session of seconds was wanted: {left:.0f} s left"
        never: Future[None] = Future()
        SYSTEM_CLOCK.wait(never, left + 0.2)

    def role(
        self, admin: User, name: str, *, trusts: str, policy: dict[str, Any], **arguments: Any
    ) -> str:
        """Make a role that *trusts* one ARN and may do what *policy* says; return its ARN.

        It is of *admin*'s account; *arguments* go to IAM CreateRole.
        """
        iam = self.client(self.session(admin), "iam")
        trust = compact(trust_of(trusts))
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust, **arguments)
        iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=compact(policy))
        return str(made["Role"]["Arn"])

    def trust(self, admin: User, name: str, *, trusts: str) -> None:
        """Let the role trust another ARN instead."""
        iam = self.client(self.session(admin), "iam")
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=compact(trust_of(trusts)))

    def delete_role(self, admin: User, name: str) -> None:
        """Delete a role that `role` made."""
        iam = self.client(self.session(admin), "iam")
        iam.delete_role_policy(RoleName=name, PolicyName="all")
        iam.delete_role(RoleName=name)

    def start(self) -> None:
        port, monitor = free_port(), 0
        while monitor in {0, port}:
            monitor = free_port() if monitor == 0 else monitor + 1
        self.url = f"http://127.0.0.1:{port}"
        for name in ("mon", "osd", "log", "run"):
            (self.folder / name).mkdir(parents=True)
        cluster = str(uuid.uuid4())
        (self.folder / "ceph.conf").write_text(configuration(self.folder, cluster, port, monitor))
        (self.folder / "aws-config").write_text(
            f"[default]\nregion = {REGION}\nendpoint_url = {self.url}\n"
        )
        keys = self.folder / "keyring"
        everything = ["--cap", "mon", "allow *", "--cap", "osd", "allow *"]
        tool("ceph-authtool", "--create-keyring", str(keys), "--gen-key", "-n", "mon.",
             "--cap", "mon", "allow *")  # fmt: skip
        for name in ("client.admin", "client.rgw", "osd.0"):
            tool("ceph-authtool", str(keys), "--gen-key", "-n", name, *everything)
        members = self.folder / "members"
        tool("monmaptool", "--create", "--fsid", cluster,
             "--addv", "a", f"[v2:127.0.0.1:{monitor}/0]", str(members))  # fmt: skip
        self.run("ceph-mon", "-i", "a", "--mkfs", "--monmap", str(members), "--keyring", str(keys))
        self._spawn("ceph-mon", "-i", "a", "-f")
        disk = str(uuid.uuid4())
        self.run("ceph", "--connect-timeout", "30", "osd", "new", disk, "0")
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        self._spawn("ceph-osd", "-i", "0", "-f")
        self._spawn("radosgw", "-n", "client.rgw", "-f")
        self._wait_for_answer()

    def _spawn(self, program: str, *arguments: str) -> None:
        with (self.folder / "log" / f"{program}.out").open("wb") as output:
            self._processes.append(
                subprocess.Popen(
                    [program, "-c", str(self.folder / "ceph.conf"), *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def _wait_for_answer(self) -> None:
        # Nothing tells when a foreign server is ready: this and no other place asks repeatedly.
        deadline, pause = time.monotonic() + START_SECONDS, threading.Event()
        while time.monotonic() < deadline:
            with suppress(OSError):
                urllib.request.urlopen(self.url, timeout=2).close()
                return
            dead = [p.args for p in self._processes if p.poll() is not None]
            assert not dead, f"{dead} ended; see {self.folder / 'log'}"
            pause.wait(0.1)
        raise RuntimeError(f"no answer from {self.url} in {START_SECONDS} s")

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.send_signal(signal.SIGKILL)  # nothing on its disk is wanted
            process.wait(timeout=30)


def compact(policy: dict[str, Any]) -> str:
    """Return JSON without spaces: the gateway takes no other."""
    return json.dumps(policy, separators=(",", ":"))


def trust_of(arn: str) -> dict[str, Any]:
    """Return the trust policy of a role that lets *arn* assume it."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": [arn]}, "Action": ["sts:AssumeRole"]}
        ],
    }


def tool(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=START_SECONDS)


def configuration(folder: Path, cluster: str, port: int, monitor: int) -> str:
    """Return the ceph.conf of a cluster that keeps all in memory and under *folder*."""
    return f"""[global]
fsid = {cluster}
mon_host = [v2:127.0.0.1:{monitor}/0]
ms_bind_msgr1 = false
public_addr = 127.0.0.1
public_network = 127.0.0.0/8
cluster_addr = 127.0.0.1
cluster_network = 127.0.0.0/8
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
keyring = {folder}/keyring
run_dir = {folder}/run
admin_socket = {folder}/run/$name.asok
pid_file =
log_file = {folder}/log/$name.log
mon_data = {folder}/mon
osd_data = {folder}/osd
osd_objectstore = memstore
memstore_device_bytes = 1073741824
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
osd_class_load_list = *
osd_class_default_list = *
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_max_pg_per_osd = 2000
mon_data_avail_crit = 1
mon_data_avail_warn = 2
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw_s3_auth_use_sts = true
rgw_sts_key = {FAKE_STS_KEY}
rgw_sts_min_session_duration = 2
rgw_enable_gc_threads = false
rgw_enable_lc_threads = false
rgw_thread_pool_size = 32
"""
