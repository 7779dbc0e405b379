"""F5: the machine, the versions and the command that figures belong to; the benchmarks' too."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from .. import __version__


def stamp() -> dict[str, str | float | list[float]]:
    """Of a run, as a flat, JSON-ready record."""
    memory_gb = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    return {
        **machine(),
        "host": platform.node(),
        "memory_gb": memory_gb,
        "engine": __version__,
        **{name: metadata.version(name) for name in ("uvloop", "hdrhistogram", "numpy")},
    }


def machine() -> dict[str, str | float | list[float]]:
    """When, on what, by which Python, and how busy it was beside."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def command() -> str:
    """The command line as a shell takes it."""
    return shlex.join(["engine", *sys.argv[1:]])


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
