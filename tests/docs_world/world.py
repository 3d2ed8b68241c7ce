"""A person at a terminal, in a new home, with an AWS on loopback: does what a page says."""

from __future__ import annotations

import configparser
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pexpect

from rolecall.testing import StrictCloud

from .commands import CONFIGURES, Command, Sheet, differences
from .signin import sign_in

ROOT = Path(__file__).parent.parent.parent
STAND_IN = Path(__file__).with_name("stand_in.py")

#: Programs that are not here, or that would do something: see `stand_in`. Where the real one is
#: installed with the tests, as the AWS CLI is, that one runs.
STAND_INS = (
    "aws-vault", "backup", "curl", "docker", "jq", "jupyter", "make", "old-tool", "pip", "pipx",
    "terraform", "ykman",
)  # fmt: skip

#: A page's commands; one takes half a second.
PAGE_SECONDS = 90
PROMPT = r"MFA code for \S+: "
MARK = "\x1e"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of a command."""

    command: Command
    code: int
    out: str

    @property
    def wrong(self) -> str:
        """What is not as the page says; "" if all is."""
        wrong = ""
        if self.command.ends is not None and self.code != self.command.ends:
            wrong = f"exit code {self.code}, not {self.command.ends}:\n{self.out}"
        elif self.command.shown is not None:
            wrong = differences(self.command.shown, self.out)
        return wrong and f"line {self.command.line}: $ {self.command.text}\n{wrong}"


class World:
    """A home with the profiles of a page, whose users exist in *cloud*.

    Attributes:
        prompts: How many MFA codes were asked for.
    """

    def __init__(self, cloud: StrictCloud, home: Path, sheet: Sheet) -> None:
        self.cloud = cloud
        self.home = home
        self.prompts = 0
        self._sheet = sheet
        self._log = home.parent / "stand-ins.log"
        self._profiles = configparser.ConfigParser(interpolation=None)
        self._profiles.read_string(sheet.config)
        (home / ".aws").mkdir(parents=True)
        (home / ".aws" / "config").write_text(sheet.config, encoding="utf-8")
        (home / ".aws" / "credentials").write_text(self._keys(), encoding="utf-8")
        (home / "my_program.py").write_text(sheet.program, encoding="utf-8")
        for name, contents in sheet.files.items():
            (home / name).write_text(contents, encoding="utf-8")
        self.environ = {
            **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
            "HOME": str(home),
            "PATH": os.pathsep.join(
                [str(self._stand_ins()), str(Path(sys.executable).parent), "/usr/bin", "/bin"]
            ),
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "AWS_ENDPOINT_URL": cloud.url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _keys(self) -> str:
        """Return ``~/.aws/credentials``: of each user whom a profile starts from."""
        written = configparser.ConfigParser(interpolation=None)
        sections = {name.removeprefix("profile "): self._profiles[name] for name in self._profiles}
        for values in sections.values():
            user = values.get("source_profile")
            if user is None or "role_arn" in sections.get(user, {}):
                continue
            held = self.cloud.credentials(user=user)
            if "credential_process" in sections.get(user, {}):
                vault = {"AccessKeyId": held.access_key, "SecretAccessKey": held.secret_key}
                self._log.with_name("vault.json").write_text(json.dumps({"Version": 1, **vault}))
                continue
            written[user] = {
                "aws_access_key_id": held.access_key,
                "aws_secret_access_key": held.secret_key,
            }
        text = io.StringIO()
        written.write(text)
        return text.getvalue()

    def _stand_ins(self) -> Path:
        folder = self.home.parent / "stand-ins"
        folder.mkdir()
        for name in STAND_INS:
            words = [sys.executable, str(STAND_IN), str(self._log), str(ROOT), name]
            file = folder / name
            file.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
            file.chmod(0o755)
        return folder

    def do(self) -> list[Seen]:
        """Type all that the sheet has; return what came of it, in order."""
        with ExitStack() as stack:
            for command in self._sheet.aside:
                stack.enter_context(self._aside(command))
            return self._at_a_terminal(self._sheet.commands)

    def try_each(self, commands: tuple[Command, ...]) -> list[Seen]:
        """Type *commands*, which the page only speaks of; return what came of it."""
        with sign_in() as url:
            self.environ |= {"FAKE_SIGN_IN": url, "BROWSER": "/bin/true"}
            return self._at_a_terminal(commands)

    def _at_a_terminal(self, commands: tuple[Command, ...]) -> list[Seen]:
        """Type *commands* into one shell, at a terminal of its own.

        They reach it by its standard input, so that a shell within the shell reads on where the
        first has stopped, as if they were typed; what is shown, and the prompt for an MFA code, is
        on the terminal.
        """
        if not commands:
            return []
        typed = self.home.parent / "typed"
        os.mkfifo(typed)
        writer = os.open(typed, os.O_RDWR)
        try:
            os.write(writer, "".join(map(_typed, commands)).encode() + b"exit\n")
            shell = pexpect.spawn(
                "bash",
                ["--norc", "--noprofile", "-c", f"exec bash --norc < {shlex.quote(str(typed))}"],
                env=self.environ,
                cwd=self.home,
                timeout=PAGE_SECONDS,
                encoding="utf-8",
                echo=False,
                dimensions=(50, 160),
            )
            shell.delaybeforesend = None
            try:
                said = self._watched(shell)
            finally:
                shell.close(force=True)
        finally:
            os.close(writer)
        return list(_told(said, commands))

    def _watched(self, shell: pexpect.spawn[str]) -> str:
        said = ""
        while True:
            found = shell.expect([PROMPT, pexpect.EOF])
            said += shell.before or ""
            if found == 1:
                return said.replace("\r\n", "\n")
            said += str(shell.after)
            self.prompts += 1
            shell.sendline(f"{self.prompts:06d}")  # each is good once

    @contextmanager
    def _aside(self, command: Command) -> Iterator[None]:
        """Run *command* in another terminal for as long as ``with`` lasts."""
        shell = pexpect.spawn(
            "bash",
            ["--norc", "--noprofile", "-c", command.text],
            env=self.environ,
            cwd=self.home,
            timeout=PAGE_SECONDS,
            encoding="utf-8",
            echo=False,
            dimensions=(50, 160),
        )
        try:
            shown = command.shown or ()
            shell.expect(".*?".join(map(re.escape, shown[-1].split("…"))))
            said = (shell.before + shell.after).replace("\r\n", "\n")
            wrong = differences(shown, said)
            assert not wrong, f"line {command.line}: $ {command.text}\n{wrong}"
            yield
            shell.sendintr()
            shell.expect(pexpect.EOF)
        finally:
            shell.close(force=True)
        # A server ends well when it is interrupted, and any other program of the interrupt.
        assert shell.exitstatus in (0, 130), f"line {command.line}: exit code {shell.exitstatus}"

    def step(self, script: str, environ: Mapping[str, str]) -> str:
        """Run one step of a workflow as GitHub's runner does; return what is wrong with it."""
        given = dict(environ)
        if given.pop(CONFIGURES, None):
            given |= self._keys_of_a_role()
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            env={**self.environ, **given},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PAGE_SECONDS,
            check=False,
        )
        return f"{script}\nexit code {done.returncode}\n{done.stdout}" if done.returncode else ""

    def _keys_of_a_role(self) -> dict[str, str]:
        sts = self.cloud.session().client("sts")
        arn = "arn:aws:iam::123456789012:role/Configured"
        keys = sts.assume_role(RoleArn=arn, RoleSessionName="fake")["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
            "AWS_SESSION_TOKEN": keys["SessionToken"],
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
        }

    def be_a_runner(self) -> None:
        """Be a machine that runs a job of GitHub's, which has a token for whoever asks rightly."""
        temporary = self.home.parent / "runner"
        temporary.mkdir()
        self.environ |= {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": "octo/hello",
            "GITHUB_RUN_ID": "1",
            "RUNNER_TEMP": str(temporary),
            "ACTIONS_ID_TOKEN_REQUEST_URL": "https://fake-runner.example.com/token?api-version=2",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "fake-request-token",
            "FAKE_GITHUB_TOKEN": self.cloud.web_identity_token(subject="repo:octo/hello"),
        }

    def strangers(self) -> list[str]:
        """Return each program that AWS knew as somebody else than the page has made it."""
        if not self._log.exists():
            return []
        # As it is by now: a page may have its reader write it.
        self._profiles.read(self.home / ".aws" / "config")
        roles = {one.rpartition("/")[2] for one in self._all("role_arn")}
        found = []
        for line in self._log.read_text(encoding="utf-8").splitlines():
            noted = json.loads(line)
            role, told = _role(noted["arn"]), noted["told"]
            if role not in ({self._role_told(told)} if told else roles):
                found.append(line)
        return found

    def _all(self, key: str) -> list[str]:
        return [self._profiles[name][key] for name in self._profiles if key in self._profiles[name]]

    def asked_aws(self) -> set[str]:
        """Return which stand-ins have asked AWS who they are."""
        lines = self._log.read_text("utf-8").splitlines() if self._log.exists() else []
        return {json.loads(line)["program"] for line in lines}

    def _role_told(self, told: str) -> str:
        """Return the role's name that a profile or an ARN leads to."""
        values = self._profiles[f"profile {told}"] if not told.startswith("arn:") else {}
        if "credential_process" in values:
            return self._role_told(shlex.split(values["credential_process"])[-1])
        return values.get("role_arn", told).rpartition("/")[2]


def _role(arn: str) -> str:
    """Return the role's name in the ARN of one of its sessions."""
    kind, _, rest = arn.split(":", 5)[5].partition("/")
    return rest.split("/")[0] if kind == "assumed-role" else arn


def _typed(command: Command) -> str:
    # `$?` is the command's again, for an `echo $?` behind it.
    return f"{command.text}\n__code=$?; printf '\\036%d\\036' $__code; (exit $__code)\n"


def _told(said: str, commands: tuple[Command, ...]) -> Iterator[Seen]:
    parts = said.split(MARK)
    assert len(parts) == 2 * len(commands) + 1, f"not all was run; only\n{said}"
    for command, out, code in zip(commands, parts[::2], parts[1::2], strict=False):
        yield Seen(command=command, code=int(code), out=out)
