"""How much memory this process has to itself, and the most it ever had."""

from __future__ import annotations

import gc
import resource
import sys
from pathlib import Path

_ROLLUP = Path("/proc/self/smaps_rollup")
_STATUS = Path("/proc/self/status")


def memory_mb() -> float:
    """Return megabytes: the proportional set size on Linux, elsewhere the peak of the resident."""
    gc.collect()
    try:
        lines = _ROLLUP.read_text().splitlines()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1e3


def peak_mb() -> float:
    """Return the most megabytes that this process ever had resident."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
    # Not ru_maxrss: there it is at least that of the process that started this one.
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1e3
