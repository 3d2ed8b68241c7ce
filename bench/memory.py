"""How much memory this process has to itself."""

from __future__ import annotations

import gc
import resource
import sys
from pathlib import Path

_ROLLUP = Path("/proc/self/smaps_rollup")


def memory_mb() -> float:
    """Return megabytes: the proportional set size on Linux, elsewhere the peak of the resident."""
    gc.collect()
    try:
        lines = _ROLLUP.read_text().splitlines()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1e3
