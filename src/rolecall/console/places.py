"""Where each partition's console is, and what of the arguments that lead there is wrong."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ..chain import RoleArn, partition_of_region
from ..errors import ConfigError

#: [IAM guide, enable custom identity broker access to the AWS console, SessionDuration]
SHORTEST_SECONDS = 900
LONGEST_SECONDS = 43200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Partition:
    """The hosts of one partition.

    Attributes:
        sign_in: Of the federation endpoint, before a region is put in front.
        console: The console's domain.
        home: The region of the global services.
        bare: The region whose sign-in host has no region in front, if there is one.
        regional: Whether all hosts have one, so that *home* goes in where none is known.
    """

    sign_in: str
    console: str
    home: str
    bare: str | None = None
    regional: bool = False


#: The sign-in hosts of all four, and that a region goes in front: [botocore's model of the service
#: signin, endpoint-rule-set-1]; that us-east-1 has none in front: [AWS General Reference, AWS
#: Sign-In endpoints]. The console's: [AWS General Reference, AWS Management Console endpoints; AWS
#: GovCloud guide; Getting Started with AWS in China]. aws-eusc has hosts with a region only: [AWS
#: European Sovereign Cloud, endpoints]. The homes are where botocore finds IAM: [endpoints.json].
_PARTITIONS: Mapping[str, _Partition] = {
    "aws": _Partition(
        sign_in="signin.aws.amazon.com",
        console="console.aws.amazon.com",
        home="us-east-1",
        bare="us-east-1",
    ),
    "aws-cn": _Partition(
        sign_in="signin.amazonaws.cn",
        console="console.amazonaws.cn",
        home="cn-north-1",
    ),
    "aws-us-gov": _Partition(
        sign_in="signin.amazonaws-us-gov.com",
        console="console.amazonaws-us-gov.com",
        home="us-gov-west-1",
    ),
    "aws-eusc": _Partition(
        sign_in="signin.amazonaws-eusc.eu",
        console="console.amazonaws-eusc.eu",
        home="eusc-de-east-1",
        regional=True,
    ),
}

#: Services whose console is in one region of the partition.
_GLOBAL = frozenset({"billing", "cloudfront", "iam", "organizations", "route53"})

#: A service's path in the console, where it is not the name by which the AWS CLI calls it.
_PATHS: Mapping[str, str] = {
    "cloudfront": "cloudfront/v4",
    "dynamodb": "dynamodbv2",
    "logs": "cloudwatch",
    "organizations": "organizations/v2",
    "route53": "route53/v2",
    "ssm": "systems-manager",
    "stepfunctions": "states",
    "vpc": "vpcconsole",
}

# These go into a host or a path: only what is surely part of one is let through.
_REGION = re.compile(r"[a-z]{2,8}(?:-[a-z]+)+-[0-9]{1,2}")
_SERVICE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where somebody signs in.

    Attributes:
        name: Of the partition.
        region: None: none is known.
    """

    name: str
    partition: _Partition
    region: str | None

    @property
    def sign_in_host(self) -> str:
        """Where the federation endpoint is. Who got a token there has to sign in there."""
        host = self.partition.sign_in
        return host if self.region in (None, self.partition.bare) else f"{self.region}.{host}"

    @property
    def domain(self) -> str:
        """What every host of the console is, or ends with."""
        return self.partition.console

    def console(self, region: str | None) -> str:
        """Return the console of *region*, without a trailing slash; None: of no region."""
        return f"https://{region}.{self.domain}" if region else f"https://{self.domain}"


def place_of(arn: RoleArn | None, given: Any, configured: Any) -> Place:
    """Return where a session of the role *arn* signs in.

    Args:
        arn: None: the role is not known, and the partition is that of the region.
        given: A region the caller asks for. None: *configured*, if that is of the partition.
        configured: The session's region, if it has one.

    Raises:
        ConfigError: no console of the partition is known.
    """
    known = [region for region in (given, configured) if isinstance(region, str)]
    partitions = [arn.partition if arn else None, *map(partition_of_region, known)]
    name = next((found for found in partitions if found), "aws")
    partition = _PARTITIONS.get(name)
    if partition is None:
        raise ConfigError(
            f"no console of the partition {name} is known",
            hint=f"those of {', '.join(_PARTITIONS)} are",
        )
    # A session's region may be of another partition than its role: a machine's default, say.
    fitting = (region for region in known if _is_region(region) and _is_in(region, name))
    usual = partition.home if partition.regional else None
    return Place(name=name, partition=partition, region=next(fitting, usual))


def _is_region(text: str) -> bool:
    return _REGION.fullmatch(text) is not None


def _is_in(region: str, partition: str) -> bool:
    return partition_of_region(region) in (None, partition)  # None: one that is newer than this


def destination_of(place: Place, destination: str | None, service: str | None) -> str:
    """Return the URL at which the console opens; the arguments have no `problems`."""
    if destination is not None:
        root = place.console(place.region) if destination.startswith("/") else ""
        return root + destination
    region = place.partition.home if service in _GLOBAL else place.region
    path = "console" if service is None else _PATHS.get(service, service)
    return f"{place.console(region)}/{path}/home" + (f"?region={region}" if region else "")


def with_path(endpoint_url: str) -> str:
    """Return *endpoint_url*, with the path of AWS's own endpoint if it has none."""
    parts = urlsplit(endpoint_url)
    return endpoint_url if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}/federation"


def seconds_of(duration: timedelta | int) -> int:
    """Return *duration* in whole seconds."""
    return int(duration.total_seconds()) if isinstance(duration, timedelta) else duration


# ── what may be wrong with the arguments ─────────────────────────────────────────────────


def problems(place: Place, *, duration: object, **texts: object) -> list[str]:
    """Return all that is wrong with the arguments of `sign_in_url`, in words.

    Args:
        texts: ``destination``, ``service``, ``region``, ``issuer`` and ``endpoint_url``.
    """
    found: list[str] = []
    sound: dict[str, str] = {}
    for name, value in texts.items():
        if isinstance(value, str):
            # A browser takes a backslash for a slash, and leaves out what cannot be printed. An
            # issuer is only shown.
            if value.isprintable() and (name == "issuer" or not {" ", "\\"} & set(value)):
                sound[name] = value
            else:
                found.append(f"{name} has a blank, a backslash or a control character in it")
        elif value is not None:
            found.append(f"{name} must be a string, got {type(value).__name__}")
    if "destination" in sound:
        found += _of_destination(sound["destination"], place)
    if texts.get("destination") is not None and texts.get("service") is not None:
        found.append("destination and service are two words for one thing: give one")
    if "service" in sound and not _SERVICE.fullmatch(sound["service"]):
        found.append(f"service must be a name such as s3, ec2 or lambda, got {sound['service']!r}")
    if "region" in sound:
        found += _of_region(sound["region"], place)
    if duration is not None:
        found += _of_duration(duration)
    if "endpoint_url" in sound:
        found += _of_endpoint(sound["endpoint_url"])
    return found


def _of_region(region: str, place: Place) -> Iterator[str]:
    if not _is_region(region):
        yield f"region must be one of AWS's, such as {place.partition.home}, got {region!r}"
    elif not _is_in(region, place.name):
        yield f"region {region} is in {partition_of_region(region)}, the role in {place.name}"


def _of_duration(duration: object) -> Iterator[str]:
    if not isinstance(duration, (int, timedelta)) or isinstance(duration, bool):
        yield f"duration must be a timedelta or seconds, got {type(duration).__name__}"
    elif not SHORTEST_SECONDS <= seconds_of(duration) <= LONGEST_SECONDS:
        yield f"duration must be {SHORTEST_SECONDS} s to {LONGEST_SECONDS} s, got {duration}"


def _of_destination(destination: str, place: Place) -> Iterator[str]:
    if destination.startswith("/") and not destination.startswith("//"):
        return
    parts = _split(destination)
    if (
        parts is None
        or parts.scheme != "https"
        or parts.port not in (None, 443)
        # Else AWS's own sign-in page would lead to somebody else's.
        or not f".{parts.hostname}".endswith(f".{place.domain}")
    ):
        yield (
            f"destination must be a path that begins with one slash, or https://{place.domain}/… "
            f"or a subdomain of that, got {_shown(destination)}"
        )


def _of_endpoint(endpoint_url: str) -> Iterator[str]:
    parts = _split(endpoint_url)
    if (
        parts is None
        or parts.query
        or parts.fragment
        or not (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts)))
    ):
        yield (
            "endpoint_url must be https://…, or http:// and a loopback address such as 127.0.0.1, "
            f"for keys are sent there; and no query, got {_shown(endpoint_url)}"
        )


def _split(url: str) -> SplitResult | None:
    """Return the parts of *url*; None: it is none, or of a host that others may read otherwise."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return parts if _HOST.fullmatch(parts.netloc) and port != 0 else None


def _is_loopback(parts: SplitResult) -> bool:
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False  # localhost is none either: a file or a server decides what that is


def _shown(url: str) -> str:
    return "one with a user in it" if "@" in url else repr(url)
