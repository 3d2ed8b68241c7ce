"""The page of the documentation that says how it went."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence

from .table import Result, table

_HEAD = """\
# Benchmarks

`make bench` wrote this page; do not edit it. Everything was measured in one run on one machine,
each library in a process of its own, taking turns in another order each round. AWS is a
`rolecall.testing.StrictCloud` in a process of its own: its CPU and memory are in no number.
Counts are the worst of the rounds, anything else is the median. ×3 is three times what rolecall
needs, unless the text says of what else; trust the ratios more than the seconds. CPU is user and
system time of the process; memory is the growth of its proportional set size.

botocore is boto3 with `role_arn` in a profile. What a target says, rolecall has promised.
The newest aioboto3 allows one aiobotocore, and that one few botocores: what begins with *asyncio*
was measured in an environment of its own, with the same aiobotocore for each library.
"""


def page(
    results: Sequence[Result], versions: Mapping[str, str], aio_versions: Mapping[str, str]
) -> str:
    """Return the text of the page; *aio_versions*: in the environment of asyncio's libraries."""
    where = f"{platform.python_implementation()} {platform.python_version()}, {platform.system()}"
    parts = [
        _HEAD,
        f"Measured: {_listed(versions)}; {where}.\n",
        f"asyncio: {_listed(aio_versions)}.\n",
    ]
    for result in results:
        parts.append(f"## {result.benchmark.title}\n\n{result.benchmark.about}\n")
        parts.append("\n".join(table(result)) + "\n")
    return "\n".join(parts)


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())
