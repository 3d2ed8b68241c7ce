"""What is installed: ``python -m bench.versions NAME…`` asks another interpreter."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from .benchmark import ROLECALL


def installed(names: Sequence[str]) -> dict[str, str]:
    """Return the versions of those of *names* that are installed here."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            if name == ROLECALL:  # run from its source, not installed
                import rolecall

                found[name] = rolecall.__version__
    return found


if __name__ == "__main__":
    print(json.dumps(installed(sys.argv[1:])))
