"""A user of a StrictCloud with ``~/.aws`` files, and the ``rolecall`` command in his hands."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rolecall.testing import StrictCloud

#: The installed command, beside the Python that runs the tests.
ROLECALL = str(Path(sys.executable).with_name("rolecall"))

#: Has other processes import what this one does, where that is not what is installed.
SAME_CODE = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}

#: How long a command may take that ends by itself.
SECONDS = 60

SERIAL = "arn:aws:iam::123456789012:mfa/fake-device"

#: Prints who its AWS credentials make a program: the ARN, as AWS has it.
WHO = """
import botocore.session
sts = botocore.session.get_session().create_client("sts", region_name="us-east-1")
print(sts.get_caller_identity()["Arn"])
"""

#: Makes what follows a job of its own, where no shell does: in an orphaned process group, such as
#: CI's, nothing stops [POSIX].
A_JOB = """
import os
if os.getpgrp() != os.getpid():
    os.setpgrp()
"""

#: What `exec` does around a child, without AWS.
PARENT = """
import os, sys
from rolecall.cli.children import as_given, run, signals_kept, without_core_dumps
core = without_core_dumps()
with signals_kept():
    sys.exit(run(sys.argv[1:], as_given(os.environ), core=core))
"""

#: Says of each signal which it is and who sent it, until it is told to end.
COUNTER = """
import os, signal, sys
wanted = {getattr(signal, "SIG" + name) for name in sys.argv[1:]}
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
print("ready", os.getpid(), os.getppid(), flush=True)
while True:
    info = signal.sigwaitinfo(wanted)
    print(signal.Signals(info.si_signo).name, info.si_pid, flush=True)
    if info.si_signo == signal.SIGUSR2:
        break
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of a command."""

    code: int | None
    out: str
    err: str


class Desk:
    """A home directory, an environment, and commands that are run in them.

    Attributes:
        environ: What commands are run with. Tests add to it.
        arns: Name of a profile that is a role → the role's ARN.
    """

    def __init__(self, cloud: StrictCloud, home: Path) -> None:
        self.cloud = cloud
        self.home = home
        self.arns: dict[str, str] = {}
        user = cloud.credentials()
        self.secret = user.secret_key
        self._config = {"default": {"region": "us-east-2"}, "profile hub": {"region": "us-east-2"}}
        self._credentials = {"hub": self.keys(user.access_key, user.secret_key)}
        self.environ = {
            **SAME_CODE,
            "HOME": str(home),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
            "LANG": "C.UTF-8",
            "AWS_ENDPOINT_URL": cloud.url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        for name in ("reader", "deploy"):
            self.add_role(name)

    @staticmethod
    def keys(access_key: str, secret_key: str, token: str | None = None) -> dict[str, str]:
        """Return keys as a profile has them."""
        held = {"aws_access_key_id": access_key, "aws_secret_access_key": secret_key}
        return held if token is None else {**held, "aws_session_token": token}

    @property
    def config_file(self) -> Path:
        return self.home / ".aws" / "config"

    @property
    def credentials_file(self) -> Path:
        return self.home / ".aws" / "credentials"

    @property
    def rolecall_files(self) -> list[str]:
        """What a run of `exec` or `serve` has left behind: files of one run, and their places."""
        found = []
        for place in (self.home / ".cache/rolecall/run", self.home / "run/rolecall"):
            found += [str(one.relative_to(place)) for one in place.rglob("*")]
        return sorted(one for one in found if one != "endpoints")

    def add_role(self, name: str, *, source: str = "hub", **more: Any) -> str:
        """Make a role of the cloud, and a profile *name* for it; return its ARN."""
        arn = self.cloud.role(name.capitalize())
        self.arns[name] = arn
        values = {"role_arn": arn, "source_profile": source, "region": "us-east-2", **more}
        self.profile(f"profile {name}", **values)
        return arn

    def profile(self, section: str, **values: Any) -> None:
        """Write the section *section* of ``~/.aws/config``; without values: delete it."""
        self._config.pop(section, None)
        if values:
            self._config[section] = values
        self._write()

    def default_keys(self, **values: str) -> None:
        """Write the section ``default`` of ``~/.aws/credentials``."""
        self._credentials["default"] = values
        self._write()

    def _write(self) -> None:
        self.config_file.parent.mkdir(exist_ok=True)
        for file, sections in (
            (self.config_file, self._config),
            (self.credentials_file, self._credentials),
        ):
            lines = []
            for section, values in sections.items():
                lines += [f"[{section}]", *(f"{key} = {value}" for key, value in values.items())]
            file.write_text("\n".join(lines) + "\n")

    def start(
        self, *words: str, program: Sequence[str] = (), **keywords: Any
    ) -> subprocess.Popen[str]:
        """Start ``rolecall`` with *words* and, behind ``--``, *program*, its output in pipes."""
        behind = ["--", *program] if program else []
        options = {"stdin": subprocess.DEVNULL, "env": self.environ, **keywords}
        return subprocess.Popen(
            [ROLECALL, *words, *behind],
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=options.pop("stderr", subprocess.PIPE),
            text=True,
            **options,
        )

    def run(
        self, *words: str, program: Sequence[str] = (), stdin: str = "", **keywords: Any
    ) -> Ended:
        """Run ``rolecall`` to its end, as a process without a terminal."""
        # Of a session of its own, or MFA codes are asked for at the terminal of whoever tests.
        options = {"start_new_session": True, **keywords}
        process = self.start(*words, program=program, **{**options, "stdin": subprocess.PIPE})
        try:
            out, err = process.communicate(stdin, timeout=SECONDS)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        return Ended(process.returncode, out, err)

    def here(
        self, capture: Callable[[], Any], *words: str, environ: Mapping[str, str] | None = None
    ) -> Ended:
        """Run ``rolecall`` in this process, whose environment becomes the desk's; it is quicker.

        Args:
            capture: ``capsys.readouterr``.
        """
        from rolecall.cli import launch, main

        os.environ.clear()
        os.environ.update(self.environ if environ is None else environ)
        capture()
        # What a process may change that is about to become another, or to end.
        limit = resource.getrlimit(resource.RLIMIT_CORE)
        # This one does not, and servers in its other threads write to whoever has left.
        undo, launch.undo_pythons_signals = launch.undo_pythons_signals, lambda: None
        try:
            code = main(words)
        finally:
            launch.undo_pythons_signals = undo
            resource.setrlimit(resource.RLIMIT_CORE, limit)
        said = capture()
        return Ended(0 if code is None else code, said.out, said.err)

    def python(self, *lines: str) -> list[str]:
        """Return a program: this Python with *lines*."""
        return [sys.executable, "-c", "\n".join(lines)]


def role_of(arn: str) -> str:
    """Return the role's name in the ARN of one of its sessions, such as GetCallerIdentity gives."""
    kind, name, _ = arn.strip().split(":")[5].split("/")
    assert kind == "assumed-role", arn
    return name
