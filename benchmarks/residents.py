"""What a service holds at one moment: memory and descriptors of its processes by role, and its ledger on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

ROLES: Final = ("service", "zygote", "environments")


@dataclass(frozen=True, slots=True)
class Residents:
    """By role: resident bytes and open descriptors, added over its processes.

    An environment is counted once, with its init and what it started; so are the blanks in stock.
    """

    rss_bytes: dict[str, int]
    descriptors: dict[str, int]
    environments: int
    ledger_bytes: int


def residents(pid: int, ledger: Path) -> Residents:
    """Of the service with this pid. Raises psutil.NoSuchProcess where it has ended."""
    rss_bytes, descriptors, environments = dict.fromkeys(ROLES, 0), dict.fromkeys(ROLES, 0), 0
    for role, process, is_first in _processes(psutil.Process(pid)):
        try:
            rss, fds = process.memory_info().rss, process.num_fds()
        except psutil.NoSuchProcess:
            if role == ROLES[0]:
                raise
            continue  # an environment that ended meanwhile
        rss_bytes[role] += rss
        descriptors[role] += fds
        environments += role == "environments" and is_first
    return Residents(rss_bytes, descriptors, environments, _bytes_in(ledger))


def _processes(service: psutil.Process) -> Iterator[tuple[str, psutil.Process, bool]]:
    """Each with its role, and whether it is the first of what it belongs to."""
    yield "service", service, True
    for zygote in service.children():
        yield "zygote", zygote, True
        inits = {init.pid for init in zygote.children()}
        for process in zygote.children(recursive=True):
            yield "environments", process, process.pid in inits


def _bytes_in(folder: Path) -> int:
    total = 0
    for file in folder.glob("*.*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue  # the oldest segment went
    return total
