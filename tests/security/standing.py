"""What an engine holds on its host, to compare before and after; and a hostile function as its caller sees it."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

import engine.sync
from engine import InvokeResult
from engine.core.blanks import STOCK_LEAST

PATIENCE_S = 20.0  # for what must happen; it never decides how long something may take
ONE_VCPU_MB = 1_769  # so that no CPU quota slows a test
SECRET = "sesame-fedcba9876543210fedcba9876543210"
CODE = Path(__file__).parent / "code"
REPORT = re.compile(
    r"REPORT RequestId: (?P<id>\S+)\tDuration: \S+ ms\tBilled Duration: (?P<billed>\d+) ms\t"
    r"Memory Size: (?P<memory>\d+) MB\tMax Memory Used: (?P<most>\d+) MB\t(?:Init Duration: \S+ ms\t)?(?P<status>.*)"
)
OK = ""
EXITED = "Status: error\tError Type: Runtime.ExitError"
OUT_OF_MEMORY = "Status: error\tError Type: Runtime.OutOfMemory"
TIMED_OUT = "Status: timeout"


@dataclass
class Hostile:
    """A deployed `attacks.handler`. Every result is kept: log, counts and bill must tell of each."""

    door: engine.sync.Engine
    name: str
    results: list[InvokeResult] = field(default_factory=list)

    def invoke(self, payload: object = None) -> InvokeResult:
        self.results.append(self.door.invoke(self.name, payload))
        return self.results[-1]

    def attack(self, name: str, **how: Any) -> InvokeResult:
        return self.invoke({"attack": name, "how": how})

    def told(self, name: str, **how: Any) -> Any:
        """What an attack answers that ends like any invocation."""
        result = self.attack(name, **how)
        assert result.function_error is None, result.payload
        assert self.report(result)["status"] == OK
        return result.json()

    def ends(self, name: str, reason: str, verdict: str = EXITED, **how: Any) -> InvokeResult:
        """An attack that ends its process, for this reason."""
        result = self.attack(name, **how)
        message = f"RequestId: {result.request_id} Error: {reason}"
        assert result.json() == {"errorType": "Runtime.ExitError", "errorMessage": message}
        self._check_failure(result, verdict)
        return result

    def times_out(self, name: str, **how: Any) -> InvokeResult:
        """An attack that never answers, of a function whose limit is one second."""
        result = self.attack(name, **how)
        message = f"RequestId: {result.request_id} Error: Task timed out after 1.00 seconds"
        assert result.json() == {"errorType": "Sandbox.Timedout", "errorMessage": message}
        self._check_failure(result, TIMED_OUT)
        init_ns = 0 if result.init_ms is None else round(result.init_ms * 1e6)
        assert result.billed_ms == 1000 - (-init_ns // 1_000_000)
        return result

    def _check_failure(self, result: InvokeResult, verdict: str) -> None:
        assert (result.function_error, result.status_code) == ("Unhandled", 200)
        assert self.report(result)["status"] == verdict

    def log(self, result: InvokeResult) -> list[str]:
        return [event.message for event in self.door.logs(self.name, request_id=result.request_id)]

    def report(self, result: InvokeResult) -> dict[str, str]:
        """The fields of its REPORT line, which is the last of its log and agrees with the result."""
        found = REPORT.fullmatch(self.log(result)[-1])
        assert found is not None, self.log(result)
        assert (found["id"], int(found["billed"])) == (result.request_id, result.billed_ms)
        assert result.billed_ms > 0
        return found.groupdict()

    def check_books(self) -> None:
        """Each invocation is in the counts and on the bill, once."""
        counts = self.door.stats(self.name)["functions"][self.name]["versions"]["$LATEST"]
        asked = len(self.results), sum(result.function_error is not None for result in self.results)
        assert (counts["invocations"], counts["errors"]) == asked
        assert counts["billed_ms"] == sum(result.billed_ms for result in self.results)
        assert counts["concurrency"] == 0
        (line,) = (line for line in self.door.bill().lines if line.function == self.name)
        assert (line.requests, line.errors) == asked
        assert (line.billed_ms, line.cold_starts) == (counts["billed_ms"], counts["cold_starts"])


@dataclass(frozen=True)
class Holdings:
    """What belongs to an engine, and what its host has for everybody. Two of them are equal, or something was left."""

    descriptors: Counter[str]
    strangers: frozenset[str]  # processes below the engine or in its cgroups that no environment accounts for
    mounts: frozenset[str]
    ipc: frozenset[str]


def holdings(door: engine.sync.Engine) -> Holdings:
    """As it is now. Something may still be on its way out: see `wait_for`."""
    return Holdings(_descriptors(), _strangers(door), _lines("/proc/self/mountinfo"), _ipc())


def settled(door: engine.sync.Engine) -> Holdings:
    """Once every blank that is to be kept ready is ready, and nobody is left of what went before."""
    deadline = time.monotonic() + PATIENCE_S
    while len(births(door)._stock) != STOCK_LEAST or (now := holdings(door)).strangers:
        assert time.monotonic() < deadline, f"{len(births(door)._stock)} in stock, {_strangers(door)}"
        time.sleep(0.002)
    return now


def wait_for(door: engine.sync.Engine, before: Holdings) -> None:
    """Until the engine holds what it held."""
    deadline = time.monotonic() + PATIENCE_S
    while (now := settled(door)) != before:
        assert time.monotonic() < deadline, [
            (part, getattr(before, part), getattr(now, part))
            for part in before.__dataclass_fields__
            if getattr(before, part) != getattr(now, part)
        ]
        time.sleep(0.002)


def births(door: engine.sync.Engine) -> Any:
    return door._engine._supervisor.births


def environment_pid(door: engine.sync.Engine, name: str) -> int:
    """Of the only environment of a function."""
    (pid,) = (home.own_pid for lane, home in homes(door) if lane == name)
    return int(pid)


def homes(door: engine.sync.Engine) -> list[tuple[str, Any]]:
    return [(blank.pool.lane.name, blank) for blank in list(births(door)._homes.values())]


def _strangers(door: engine.sync.Engine) -> frozenset[str]:
    """Those of blanks in the making are strangers too, until they are made."""
    born = births(door)
    blanks = [*list(born._homes.values()), *list(born._stock)]
    known = {pid for blank in blanks for pid in (blank.pid, blank.own_pid)}
    inside = _cgroup_members() | {child.pid for child in _children(born.zygote.pid)}
    return frozenset({f"{pid} {_name(pid)}" for pid in inside - known} | {f"missing {pid}" for pid in known - inside})


def _children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "gone"


def _cgroup_members() -> set[int]:
    """Processes in this process's engines' cgroups, in every hierarchy."""
    members: set[int] = set()
    for folder, folders, files in os.walk("/sys/fs/cgroup"):
        depth = folder.count("/")
        if f"invocation-engine-{os.getpid()}-" in folder:
            if "cgroup.procs" in files:
                members |= _pids(f"{folder}/cgroup.procs")
        elif depth > 8:
            folders.clear()
    return members


def _pids(file: str) -> set[int]:
    try:
        return {int(pid) for pid in Path(file).read_text().split()}
    except OSError:
        return set()


def _descriptors() -> Counter[str]:
    """By what they lead to, without numbers. Cells that are kept for reuse have their own, and so has the stock of
    folders for /tmp: detached mounts ("/"), and an image of each size that was ever asked for."""
    kinds: Counter[str] = Counter()
    for fd in os.listdir("/proc/self/fd"):
        try:
            kinds[re.sub(r"\d+", "", os.readlink(f"/proc/self/fd/{fd}"))] += 1
        except OSError:
            continue
    return Counter(
        {
            kind: number
            for kind, number in kinds.items()
            if not kind.startswith(("/sys/fs/cgroup", "/proc/", "/dev/loop"))
            and kind != "/"
            and "/scratch/#" not in kind
        }
    )


def _lines(file: str) -> frozenset[str]:
    return frozenset(Path(file).read_text().splitlines())


def _ipc() -> frozenset[str]:
    """System V objects of the host, and its shared memory files."""
    objects = {f"{kind} {line}" for kind in ("shm", "sem", "msg") for line in _lines(f"/proc/sysvipc/{kind}")}
    return frozenset(objects | set(os.listdir("/dev/shm")))
