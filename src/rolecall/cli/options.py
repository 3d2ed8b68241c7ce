"""How a role is named on the command line, the same in every command.

A profile of ``~/.aws/config``, or an ARN with ``--profile`` for the source and ``--via`` for the
hops between; and how the last role is assumed. The words are kept here as data: click's commands
and `credential_process`, which does without click, both take them from `OPTIONS`.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option that says which role, and how it is assumed.

    Attributes:
        many: Whether it may be given more than once.
    """

    flag: str
    field: str
    metavar: str
    help: str
    many: bool = False


OPTIONS = (
    Option(
        flag="--profile",
        field="profile",
        metavar="NAME",
        help="with an ARN: the profile that assumes it (default: what the AWS CLI would use)",
    ),
    Option(
        flag="--via",
        field="via",
        metavar="ARN",
        help="with an ARN: a role to assume on the way; may be given again, in order",
        many=True,
    ),
    Option(
        flag="--session-name",
        field="session_name",
        metavar="NAME",
        help="role session name, which CloudTrail shows (default: says where this runs)",
    ),
    Option(
        flag="--duration",
        field="duration",
        metavar="TIME",
        help="how long one session lives: 15m to 12h, or seconds; it is renewed all the same",
    ),
    Option(
        flag="--policy",
        field="policy",
        metavar="JSON",
        help="session policy: JSON, or file://policy.json",
    ),
    Option(
        flag="--policy-arn",
        field="policy_arns",
        metavar="ARN",
        help="managed session policy; may be given again",
        many=True,
    ),
    Option(
        flag="--tag",
        field="tags",
        metavar="KEY=VALUE",
        help="session tag; may be given again",
        many=True,
    ),
    Option(
        flag="--transitive",
        field="transitive",
        metavar="KEY",
        help="key of a tag that later roles of a chain inherit; may be given again",
        many=True,
    ),
    Option(
        flag="--external-id",
        field="external_id",
        metavar="ID",
        help="what the role's trust policy asks for",
    ),
    Option(
        flag="--source-identity",
        field="source_identity",
        metavar="NAME",
        help="who is behind the session, for CloudTrail",
    ),
    Option(
        flag="--mfa-serial",
        field="mfa_serial",
        metavar="SERIAL",
        help="your MFA device; its code is asked for at the terminal",
    ),
    Option(
        flag="--mfa-command",
        field="mfa_command",
        metavar="COMMAND",
        help="a command that prints the code instead",
    ),
    Option(
        flag="--mfa-session",
        field="mfa_session",
        metavar="TIME",
        help="for how long one code serves all roles: 15m to 36h (default: 12h), and nobody is "
        "asked again meanwhile; 0: a code for each session",
    ),
    Option(
        flag="--region",
        field="region",
        metavar="REGION",
        help="region of the session (default: the profile's)",
    ),
    Option(
        flag="--sts-region",
        field="sts_region",
        metavar="REGION",
        help="region of the STS endpoint that is asked",
    ),
    Option(
        flag="--sts-endpoint",
        field="sts_endpoint",
        metavar="URL",
        help="the STS endpoint itself, as for a VPC endpoint",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The words that name a role, as they were given; fields as in `OPTIONS`.

    Attributes:
        role: A profile or an ARN. None: whatever AWS tools find here.
    """

    role: str | None
    profile: str | None = None
    via: Sequence[str] = ()
    session_name: str | None = None
    duration: str | None = None
    policy: str | None = field(default=None, repr=False)
    policy_arns: Sequence[str] = ()
    tags: Sequence[str] = ()
    transitive: Sequence[str] = ()
    external_id: str | None = field(default=None, repr=False)
    source_identity: str | None = None
    mfa_serial: str | None = None
    mfa_command: str | None = field(default=None, repr=False)
    mfa_session: str | None = None
    region: str | None = None
    sts_region: str | None = None
    sts_endpoint: str | None = None


def take_region(environ: MutableMapping[str, str]) -> None:
    """Let botocore see ``AWS_REGION``, which all other SDKs know, and which wins in the AWS CLI."""
    if environ.get("AWS_REGION"):
        environ["AWS_DEFAULT_REGION"] = environ["AWS_REGION"]
