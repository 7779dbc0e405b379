"""The suite's header, and its last word: nothing that it started is left, and a crash of it cannot pass as green.

Only what appeared during the session counts, and only if it descends from this process or carries the engine's name.
Nothing is killed or removed here: what is left is shown, and the run fails.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from doors import Gate

NAMES = ("engine-", "engine_", "engine.", "invocation-engine")  # how what the engine makes is called on the host
SESSION = "ENGINE_TEST_SESSION"  # inherited by every process of the suite, orphans too
ORPHAN = re.compile(r"engine[./]worker|engine serve|engine\.cli")  # command lines of the engine's own processes
OWNER = re.compile(r"invocation-engine-(\d+)-")
SETTLE_S = 10.0

# Reads one line. Where the pipe closes without it, pytest died: say so below everything that it had printed.
BANNER = "!!!!!! PYTEST DIED BEFORE ITS END (segmentation fault, abort or kill). THIS RUN HAS FAILED. !!!!!!"
WATCH = f"read -r word || printf '\\n%s\\n' '{BANNER}' >&2"
WATCHER = pytest.StashKey[subprocess.Popen[str]]()


def pytest_configure(config: pytest.Config) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell has its background jobs ignore
    if not faulthandler.is_enabled():
        faulthandler.enable(sys.__stderr__ or 2)
    watcher = subprocess.Popen(["sh", "-c", WATCH], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    config.stash[WATCHER] = watcher
    config.add_cleanup(partial(_call_off, watcher))


def _call_off(watcher: subprocess.Popen[str]) -> None:
    watcher.communicate("done\n", timeout=10)


def pytest_report_header() -> list[str]:
    where = Path(_imported("engine").__file__ or "").parent
    compiled = [_described(name) for name in sorted(file.name.split(".")[0] for file in where.glob("_ext/*.so"))]
    if not compiled:
        raise pytest.UsageError(
            f"{where} has no compiled modules: run plain `pytest` (not `python -m pytest`) after "
            "`pip install '.[test]'`, or build in place with `python setup.py build_ext --inplace`"
        )
    version = next((found.version for found in metadata.distributions(name="invocation-engine")), "not installed")
    return [f"engine: {version}, from {where}", f"compiled: {', '.join(compiled)}"]


def _described(name: str) -> str:
    """A compiled module with its ABI number, where it has one."""
    abi = getattr(_imported(f"engine._ext.{name}"), "ABI", None)
    return name if abi is None else f"{name} (ABI {abi})"


def _imported(name: str) -> ModuleType:
    """What cannot be imported ends the run here, by name."""
    try:
        return import_module(name)
    except ImportError as broken:
        raise pytest.UsageError(f"{name} cannot be imported: {broken}") from broken


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Where functions wait until the test lets them go."""
    from doors import Gate  # not before the header could say what is wrong with the engine

    made = Gate()
    yield made
    made.close()


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left(pytestconfig: pytest.Config) -> Iterator[None]:
    """Set up before every other session fixture, so torn down after all of them; fails the run by an error."""
    os.environ[SESSION] = uuid.uuid4().hex
    ours, started = {pytestconfig.stash[WATCHER].pid}, time.time()
    before = {kind: look() for kind, look in LOOKS.items()}
    yield
    deadline = time.monotonic() + SETTLE_S
    while (left := _left(before, ours, started)) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.05)
    if left:
        pytest.fail("LEFT BEHIND BY THIS RUN:\n" + "\n".join(left), pytrace=False)


def _left(before: dict[str, set[str]], ours: set[int], started: float) -> list[str]:
    new = [(kind, name) for kind, look in LOOKS.items() for name in sorted(look() - before[kind])]
    things = [f"{kind}: {name}" for kind, name in new if not _of_another_engine(name)]
    return things + [f"process: {line}" for line in _processes(ours, started)]


def _processes(ours: set[int], started: float) -> list[str]:
    below = {child.pid for child in psutil.Process().children(recursive=True)}
    found = []
    for process in psutil.process_iter(["pid", "ppid", "name", "create_time", "cmdline", "environ", "status"]):
        about = process.info
        command = " ".join(about["cmdline"] or [about["name"]])
        orphan = about["ppid"] == 1 and about["create_time"] >= started and ORPHAN.search(command)
        marked = (about["environ"] or {}).get(SESSION) == os.environ[SESSION]
        if (about["pid"] in below or marked or orphan) and about["pid"] not in {*ours, os.getpid()}:
            found.append(f"{about['pid']} {about['status']} {command}")
    return [line for line in found if "multiprocessing.resource_tracker" not in line]  # lives as long as its parent


def _of_another_engine(path: str) -> bool:
    """Whether the name says that it belongs to a process that lives and is not of this run."""
    owner = OWNER.search(path)
    if owner is None or not psutil.pid_exists(int(owner[1])):
        return False
    process = psutil.Process(int(owner[1]))
    family = {process.pid, *(parent.pid for parent in process.parents())}
    return os.getpid() not in family and _environ(process).get(SESSION) != os.environ[SESSION]


def _environ(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def _named(path: str) -> bool:
    return any(part.startswith(NAMES) or part == "engine" for part in path.split("/"))


def _mounts() -> set[str]:
    points = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return {point for point in points if _named(point)}


def _cgroups() -> set[str]:
    return {path for path, folders, _ in os.walk("/sys/fs/cgroup") if _named(os.path.basename(path))}


def _shared_memory() -> set[str]:
    links = {f"descriptor {fd} → {_link(fd)}" for fd in os.listdir("/proc/self/fd") if "memfd:" in _link(fd)}
    return links | {str(file) for file in Path("/dev/shm").glob("*") if _named(file.name)}


def _link(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def _sockets() -> set[str]:
    bound = (line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()[1:])
    return {path for path in bound if path.startswith("/") and _named(path) and os.path.exists(path)}


def _folders() -> set[str]:
    return {str(path) for path in Path(tempfile.gettempdir()).glob("*") if _named(path.name)}


LOOKS: dict[str, Callable[[], set[str]]] = {
    "mount": _mounts,
    "cgroup": _cgroups,
    "shared region": _shared_memory,
    "socket": _sockets,
    "temporary folder": _folders,
}
