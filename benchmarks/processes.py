"""Peers that are one process from exec to exit, and the memory of the engine's own processes."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import psutil

INTERPRETER: Final = os.path.realpath(sys.executable)  # outside any virtual environment: its start is the shorter one
PASS: Final = (INTERPRETER, "-c", "pass")
HEAVY_PACKAGES: Final = ("numpy", "boto3")
HEAVY: Final = (INTERPRETER, "-c", f"import {', '.join(HEAVY_PACKAGES)}")
PLAIN: Final = {"PATH": os.defpath, "LANG": "C.UTF-8"}
ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1"}  # no thread lives through a fork: here and there numpy has none
_FIELD: Final = re.compile(r"^(\w+):\s+(\d+) kB$", re.MULTILINE)


def folder_of(package: str) -> Path:
    """The folder that holds a package's. Raises ModuleNotFoundError."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed: pip install '.[bench]'")
    return Path(spec.origin).parent.parent


def peer_environment() -> dict[str, str]:
    """For an interpreter that is to find numpy and boto3, and nothing more to do at its start."""
    folders = dict.fromkeys(str(folder_of(package)) for package in HEAVY_PACKAGES)
    return {**PLAIN, "PYTHONPATH": os.pathsep.join(folders), **ONE_THREAD}


def exec_to_exit_ns(argv: tuple[str, ...], environment: Mapping[str, str]) -> int:
    """From before the exec until it was reaped. Raises RuntimeError where it failed."""
    began_ns = time.perf_counter_ns()
    status = os.waitpid(os.posix_spawn(argv[0], argv, environment), 0)[1]
    took_ns = time.perf_counter_ns() - began_ns
    if status != 0:
        raise RuntimeError(f"{' '.join(argv)} ended with wait status {status}")
    return took_ns


def execs_per_s(argv: tuple[str, ...], environment: Mapping[str, str], count: int, window: int) -> float:
    """`count` processes one after the other, `window` of them at a time."""
    running, started = set[int](), 0
    began = time.perf_counter()
    while started < count or running:
        while started < count and len(running) < window:
            running.add(os.posix_spawn(argv[0], argv, environment))
            started += 1
        pid = min(running)
        status = os.waitpid(pid, 0)[1]
        running.remove(pid)
        if status != 0:
            raise RuntimeError(f"{' '.join(argv)} ended with wait status {status}")
    return count / (time.perf_counter() - began)


@dataclass(frozen=True, slots=True)
class Held:
    """Memory of some processes: `uss` is theirs alone, `pss` has their part of what they share too."""

    processes: int
    uss_bytes: int
    pss_bytes: int


def held_below(pid: int) -> Held:
    """By all descendants of a process. One that ends meanwhile does not count. Raises PermissionError."""
    looks = list(_looks(pid))
    return Held(len(looks), sum(uss for uss, _ in looks), sum(pss for _, pss in looks))


def _looks(pid: int) -> Iterator[tuple[int, int]]:
    for process in psutil.Process(pid).children(recursive=True):
        try:
            told = dict(_FIELD.findall(Path(f"/proc/{process.pid}/smaps_rollup").read_text()))
        except (FileNotFoundError, ProcessLookupError):
            continue
        if told:
            uss_kb = int(told["Private_Clean"]) + int(told["Private_Dirty"])
            yield uss_kb * 1_024, int(told["Pss"]) * 1_024
