"""What only a real cgroup v2 can show, of cells and of the engine. Runs inside the machine (`-m guest`)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.sandbox.cgroup2 import Cgroup2
from engine.sandbox.contract import Limits
from engine.sandbox.control import own_cgroups
from engine.sync import Engine

pytestmark = pytest.mark.guest

# clone3 as glibc does not offer it: a child that is born inside the cgroup of a descriptor.
BORN_INSIDE = """
import ctypes, os, signal, sys
CLONE3, CLONE_INTO_CGROUP = 435, 0x2_0000_0000
arguments = (ctypes.c_uint64 * 11)(CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, int(sys.argv[1]))
pid = ctypes.CDLL(None, use_errno=True).syscall(CLONE3, arguments, ctypes.sizeof(arguments))
if pid == 0:
    os.write(1, open("/proc/self/cgroup", "rb").read())
    os.read(0, 1)
    os._exit(0)
if pid < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
os.waitpid(pid, 0)
"""

FUNCTIONS = """
import os
import time

def answers(event, context):
    return {"heard": event}

def hoards(event, context):
    if event == "in a child":
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            time.sleep(60)
    held = b"x" * (512 << 20)
    return len(held)

def burns(event, context):
    began, worked = time.perf_counter(), time.process_time()
    while time.process_time() - worked < 0.1:
        pass
    return (time.perf_counter() - began) / (time.process_time() - worked)
"""


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Engine]:
    code = tmp_path / "app.py"
    code.write_text(FUNCTIONS)
    with Engine() as engine:
        for name in ("answers", "hoards", "burns"):
            engine.create_function(name, code=str(code), handler=f"app.{name}", memory_mb=256, timeout_s=60)
        yield engine


def cells(file: str) -> list[str]:
    """What this file says in each cell of an environment: those of blanks have no limits yet."""
    home = own_cgroups().v2
    assert home is not None
    inhabited = (place.parent for place in home.parent.rglob("cell-*/cgroup.procs") if place.read_text())
    places = [place for place in inhabited if (place / "memory.max").read_text().strip() != "max"]
    return [(place / file).read_text().strip() for place in places]


def test_every_limit_is_enforced_by_v2(opened: Engine) -> None:
    lines = {line["limit"]: line for line in opened.stats()["limits"]}
    assert {lines[limit]["mechanism"] for limit in ("memory", "cpu", "pids", "freeze")} == {"cgroup2"}


def test_a_function_answers_from_a_limited_cell(opened: Engine) -> None:
    for word in ("first", "second"):
        assert opened.invoke("answers", word).json() == {"heard": word}
    assert cells("memory.max") == [str(256 << 20)]
    assert cells("memory.swap.max") in (["0"], [])
    assert cells("pids.max") == ["1024"]
    quota, period = cells("cpu.max")[0].split()
    assert int(quota) == round(256 / 1_769 * int(period))


@pytest.mark.parametrize("where", ["itself", "in a child"])
def test_a_memory_kill_is_told_as_out_of_memory_and_the_function_goes_on(opened: Engine, where: str) -> None:
    starved = opened.invoke("hoards", where)
    assert starved.json()["errorType"] == "Runtime.ExitError"
    assert starved.outcome == "oom"
    assert "Runtime.OutOfMemory" in opened.logs("hoards", request_id=starved.request_id)[-1].message
    assert opened.invoke("answers", 1).json() == {"heard": 1}


def test_the_cpu_quota_stretches_what_a_function_computes(opened: Engine) -> None:
    assert opened.invoke("burns").json() > 2  # its share is a seventh; a loaded machine stretches it further


@pytest.mark.parametrize("first_leaves", [0, 1])
def test_two_engines_of_one_process_share_its_leaf_and_the_last_puts_it_back(first_leaves: int) -> None:
    home = own_cgroups().v2
    assert home is not None
    before = (home / "cgroup.subtree_control").read_text()
    engines = [Cgroup2(), Cgroup2()]
    for engine in engines:
        engine.open_cell(Limits(64, 0.5, 8))
    engines.pop(first_leaves).close()
    engines[0].open_cell(Limits(64, 0.5, 8))
    engines[0].close()
    assert own_cgroups().v2 == home
    assert (home / "cgroup.subtree_control").read_text() == before


def test_a_child_is_born_inside_a_cell_and_is_killed_with_it() -> None:
    mechanism = Cgroup2()
    cell = mechanism.open_cell(Limits(64, None, 8))
    descriptor = cell.directory_fd()
    assert descriptor is not None
    argv = [sys.executable, "-I", "-S", "-c", BORN_INSIDE, str(descriptor)]
    with subprocess.Popen(argv, pass_fds=[descriptor], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        where = parent.stdout.readline().decode().strip()
        assert where.endswith("/cell-0")
        assert cell.tasks() == 1
        cell.freeze()
        assert cell.kill()
        assert parent.wait() == 0
    cell.release()
    mechanism.close()


def test_a_frozen_process_dies_of_a_kill_from_outside_without_being_thawed() -> None:
    mechanism = Cgroup2()
    cell = mechanism.open_cell(Limits(64, None, 8))
    with subprocess.Popen(["sleep", "1000"]) as sleeper:
        Path(f"/sys/fs/cgroup/{where_is(cell.entry_fds()[0])}").write_text(str(sleeper.pid))
        cell.freeze()
        os.kill(sleeper.pid, signal.SIGKILL)
        assert sleeper.wait() == -signal.SIGKILL
    cell.release()
    mechanism.close()


def where_is(descriptor: int) -> str:
    return os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), "/sys/fs/cgroup")
