"""What this process holds: compared before an engine is opened in it and after it was closed."""

from __future__ import annotations

import gc
import os
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Holdings:
    """Descriptors by kind, child processes, threads, and the engine's temporary folders."""

    descriptors: Counter[str]
    processes: frozenset[int]
    threads: frozenset[str]
    folders: frozenset[str]


def holdings() -> Holdings:
    gc.collect()
    descriptors: Counter[str] = Counter()
    for fd in os.listdir("/proc/self/fd"):
        try:
            descriptors[os.readlink(f"/proc/self/fd/{fd}").split(":")[0]] += 1
        except FileNotFoundError:
            continue  # the listing's own
    processes = frozenset(child.pid for child in psutil.Process().children(recursive=True))
    folders = frozenset(str(path) for path in Path(tempfile.gettempdir()).glob(f"invocation-engine-{os.getpid()}-*"))
    # How many threads its executor has is the loop's affair.
    threads = frozenset(thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_"))
    return Holdings(descriptors, processes, threads, folders)
