"""The machine and the versions that a run's figures belong to."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

from engine.load.stamp import machine

from .source_tree import ROOT


def stamp() -> dict[str, str | float | list[float]]:
    """A flat, JSON-ready record."""
    return {
        **machine(),
        "commit": _commit(),
        "engine": _version("invocation-engine"),
        **{name: _version(name) for name in ("cython", "uvloop", "orjson", "loky", "uvicorn", "awslambdaric", "ray")},
        "redis": _redis(),
        "command": " ".join(sys.orig_argv[1:]),
    }


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _redis() -> str:
    """The version in `Redis server v=7.0.15 sha=…`."""
    try:
        told = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "not installed"
    return told.stdout.partition("v=")[2].partition(" ")[0]


def _commit() -> str:
    """The commit of this tree, marked where the tree differs from it; empty outside a repository."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(git, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
