"""Role ARNs of every partition: parsed, printed, and put together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from numbers import Number

EXAMPLE = "arn:aws:iam::123456789012:role/Name"

#: Open-ended: AWS adds partitions (``aws-eusc`` in 2025), and a new one must not need a release.
PARTITION = re.compile(r"aws(?:-[a-z0-9]+)*")
ACCOUNT_ID = re.compile(r"[0-9]{12}")
_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")  # [IAM, CreateRole, RoleName]
_PATH = re.compile(r"/(?:[\x21-\x7e]+/)?")  # [IAM, CreateRole, Path]
_LONGEST_PATH = 512

#: What else IAM names with an ARN, in words for the message.
_OTHER_RESOURCES = {
    "user": "a user, and only roles can be assumed",
    "group": "a group, and only roles can be assumed",
    "policy": "a policy, and only roles can be assumed",
    "instance-profile": "an instance profile; the role in it has an ARN of its own",
    "mfa": "an MFA device: it goes into SerialNumber",
    "root": "an account's root user, and only roles can be assumed",
    "oidc-provider": "an OIDC provider, and only roles can be assumed",
    "saml-provider": "a SAML provider, and only roles can be assumed",
}


@dataclass(frozen=True, slots=True)
class RoleArn:
    """The ARN of an IAM role, taken apart; ``str()`` puts it together again.

    Attributes:
        partition: ``aws``, ``aws-cn``, ``aws-us-gov``, ``aws-iso…``, ``aws-eusc``, or a later one.
        account_id: Twelve digits.
        path: ``/``, or ``/…/`` with a slash at both ends.
        name: The role's name without its path.
    """

    partition: str
    account_id: str
    path: str
    name: str

    @classmethod
    def parse(cls, text: object) -> RoleArn:
        """Take a role ARN apart.

        Raises:
            ValueError: it is not the ARN of an IAM role; the message says what it is instead.
        """
        if not isinstance(text, str):
            raise ValueError(f"must be a string such as {EXAMPLE}, got {_a(type(text).__name__)}")
        if text != text.strip():
            raise ValueError(f"{shown(text)} has white space around it")
        if not text.startswith("arn:"):
            raise ValueError(f"{shown(text)} is not an ARN; a role's is like {EXAMPLE}")
        parts = text.split(":", 5)
        if len(parts) < 6:
            raise ValueError(
                f"{shown(text)} has {len(parts)} of an ARN's 6 parts; a role's is like {EXAMPLE}"
            )
        _, partition, service, region, account_id, resource = parts
        if not PARTITION.fullmatch(partition):
            raise ValueError(
                f"{shown(text)} has the partition {shown(partition)}, which is none of AWS's "
                "(aws, aws-cn, aws-us-gov, …)"
            )
        _refuse_other_resources(text, service, resource)
        if region:
            raise ValueError(f"{shown(text)} names a region, and IAM has none: leave it empty")
        if not ACCOUNT_ID.fullmatch(account_id):
            raise ValueError(
                f"{shown(text)} has the account {shown(account_id)}, which must be 12 digits"
            )
        path, name = _path_and_name(text, resource)
        return cls(partition, account_id, path, name)

    def __str__(self) -> str:
        return f"arn:{self.partition}:iam::{self.account_id}:role{self.path}{self.name}"


def _refuse_other_resources(text: str, service: str, resource: str) -> None:
    kind = resource.partition("/")[0]
    if service == "sts" and kind == "assumed-role":
        raise ValueError(
            f"{shown(text)} is a session of a role; give the role itself, with its path if it has "
            f"one, such as {EXAMPLE}"
        )
    if service != "iam":
        raise ValueError(f"{shown(text)} belongs to {shown(service)}; a role's is like {EXAMPLE}")
    if kind != "role" or "/" not in resource:
        what = _OTHER_RESOURCES.get(kind, f"no role; a role's is like {EXAMPLE}")
        raise ValueError(f"{shown(text)} is {what}")


def _path_and_name(text: str, resource: str) -> tuple[str, str]:
    path, _, name = resource[len("role") :].rpartition("/")
    path += "/"
    if not name:
        raise ValueError(f"{shown(text)} lacks the role's name after the last slash")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{shown(text)} has the role name {shown(name)}, which must be 1 to 64 of letters, "
            "digits and _+=,.@-"
        )
    if not _PATH.fullmatch(path) or len(path) > _LONGEST_PATH:
        raise ValueError(
            f"{shown(text)} has the path {shown(path)}, which must be at most {_LONGEST_PATH} "
            "printable ASCII characters without a space"
        )
    return path, name


def shown(text: str) -> str:
    """Return *text* quoted for a message, its middle left out where it is long."""
    if len(text) > 100:
        text = f"{text[:60]}…{text[-30:]}"
    return ascii(text).replace("\\u2026", "…")


def _a(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _padded(account_id: str | int) -> str:
    # 12 digits; numbers lose their leading zeros in spreadsheets, YAML and JSON.
    if isinstance(account_id, Number):
        account_id = int(account_id)
    return str(account_id).rjust(12, "0")


def get_role_arn(
    account_id: str | int, role_name: str, path: str = "", partition: str = "aws"
) -> str:
    """Return the ARN of a role; its path may be given in *role_name* or as *path*.

    Account ids that are numbers or too short are padded with zeros to 12 digits.

    Raises:
        ValueError: there is a path in both.
    """
    if "/" in role_name:
        if path:
            raise ValueError(
                f"the path is given twice: in role_name {role_name!r} and as path {path!r}"
            )
        path, _, role_name = role_name.rpartition("/")
    path = path.removeprefix("/")
    if path and not path.endswith("/"):
        path += "/"
    return f"arn:{partition}:iam::{_padded(account_id)}:role/{path}{role_name}"


def get_assumed_role_session_arn(
    account_id: str | int, role_name: str, role_session_name: str, partition: str = "aws"
) -> str:
    """Return the ARN that a session of a role has; such ARNs leave out the role's path."""
    name = role_name.rpartition("/")[2]
    return f"arn:{partition}:sts::{_padded(account_id)}:assumed-role/{name}/{role_session_name}"


#: Region → partition, first match wins. The first four families need no release for a new region;
#: commercial regions are told by their compass point. [botocore's partitions.json, regionRegex]
_REGIONS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"cn-[a-z]+-\d+"), "aws-cn"),
    (re.compile(r"us-gov-[a-z]+-\d+"), "aws-us-gov"),
    (re.compile(r"eusc-[a-z]+-[a-z]+-\d+"), "aws-eusc"),
    (re.compile(r"[a-z]{2}-iso([a-z]?)-[a-z]+-\d+"), "aws-iso"),
    (re.compile(r"(aws(?:-[a-z0-9]+)*)-global"), ""),
    (re.compile(r"[a-z]{2}-(?:central|(?:north|south)?(?:east|west)|north|south)-\d+"), "aws"),
)


def partition_of_region(region: str | None) -> str | None:
    """Return the partition that *region* is in; None where its name does not tell."""
    for pattern, partition in _REGIONS:
        found = pattern.fullmatch(region or "")
        if not found:
            continue
        if not partition:
            return found[1]
        if partition == "aws-iso" and found[1]:
            return f"aws-iso-{found[1]}"
        return partition
    return None
