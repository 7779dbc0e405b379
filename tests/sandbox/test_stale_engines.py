"""What a killed engine left behind goes at the next start, and nothing else does."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tenants import LIMITS, MECHANISMS, Tenant, cell_directories

from engine.sandbox.claim import Claim, gone, remove_stale
from engine.sandbox.contract import Cell, Mechanism
from engine.sandbox.control import ControlFiles


class LaidFiles(ControlFiles):
    """A plain folder as a cgroup: the file that is locked comes with the directory."""

    def make(self, directory: Path) -> None:
        super().make(directory)
        (directory / "cgroup.procs").touch()

    def remove(self, directory: Path) -> None:
        (directory / "cgroup.procs").unlink(missing_ok=True)
        super().remove(directory)


FILES = LaidFiles()
LOCK = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(descriptor, fcntl.LOCK_EX)
if os.fork() == 0:
    print(os.getpid(), flush=True)  # locked by my parent
    os.read(0, 1)
    os._exit(0)
os.read(0, 1)
"""
in_cgroups = pytest.mark.parametrize("mechanism", [name for name in MECHANISMS if name != "polling"], indirect=True)


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    process.wait()
    return process.pid


@contextmanager
def locked_elsewhere(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """By a process that has forked a child since. Both end with the context."""
    argv = [sys.executable, "-I", "-S", "-c", LOCK, str(directory / "cgroup.procs")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        child = os.pidfd_open(int(process.stdout.readline()))
        yield process
        process.stdin.close()
        select.select([child], [], [])
        os.close(child)


@in_cgroups
def test_a_dead_engines_cells_are_emptied_and_removed(
    mechanism: Mechanism, tenant: Callable[[Cell, str], Tenant], dead_pid: int
) -> None:
    orphan = tenant(mechanism.open_cell(LIMITS), "wait()")
    places = {cell.parent.parent for cell in cell_directories(orphan.pid)}
    stale = [place / f"invocation-engine-{dead_pid}-0" for place in places]
    for directory in stale:
        directory.mkdir()
        (directory / "cell-0").mkdir()
        (directory / "cell-0" / "cgroup.procs").write_text(str(orphan.pid))
    MECHANISMS[mechanism.name]().close()
    assert orphan.wait() == -signal.SIGKILL
    assert not any(directory.exists() for directory in stale)


@in_cgroups
def test_what_a_dead_engine_left_frozen_dies_too(
    mechanism: Mechanism, tenant: Callable[[Cell, str], Tenant], dead_pid: int
) -> None:
    cell = mechanism.open_cell(LIMITS)
    orphan = tenant(cell, "wait()")
    stale = [
        place.parent.parent / f"invocation-engine-{dead_pid}-0" / "cell-0" for place in cell_directories(orphan.pid)
    ]
    for directory in stale:
        directory.parent.mkdir()
        directory.mkdir()
        (directory / "cgroup.procs").write_text(str(orphan.pid))
    for name, word in (("freezer.state", "FROZEN"), ("cgroup.freeze", "1")):
        for directory in stale:
            if (directory / name).exists():
                (directory / name).write_text(word)
    began = os.pidfd_open(orphan.pid)
    MECHANISMS[mechanism.name]().close()
    assert select.select([began], [], [], 0)[0]
    os.close(began)
    assert orphan.wait() == -signal.SIGKILL
    assert not any(directory.parent.exists() for directory in stale)


def test_only_unlocked_directories_of_the_dead_are_removed(tmp_path: Path, dead_pid: int) -> None:
    stale = tmp_path / f"invocation-engine-{dead_pid}-0"
    kept = [
        tmp_path / f"invocation-engine-{dead_pid}-1",  # locked: alive in another PID namespace
        tmp_path / f"invocation-engine-{os.getpid()}-7",
        tmp_path / f"invocation-engine-{dead_pid}",
        tmp_path / f"other-{dead_pid}-0",
    ]
    for directory in (stale, *kept):
        FILES.make(directory)
    with locked_elsewhere(kept[0]):
        remove_stale(FILES, tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_a_dead_engines_lock_goes_with_it_though_its_forked_child_lives_on(tmp_path: Path, dead_pid: int) -> None:
    stale = tmp_path / f"invocation-engine-{dead_pid}-0"
    FILES.make(stale)
    with locked_elsewhere(stale) as owner:
        owner.kill()
        owner.wait()
        remove_stale(FILES, tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_two_engines_of_one_process_have_directories_of_their_own(tmp_path: Path) -> None:
    first, second = Claim(FILES, {"memory": tmp_path}), Claim(FILES, {"memory": tmp_path})
    names = sorted(directory.name for directory in tmp_path.iterdir())
    assert names == [f"invocation-engine-{os.getpid()}-{number}" for number in (0, 1)]
    assert first.release() == second.release() == []
    assert list(tmp_path.iterdir()) == []


def test_a_claim_that_cannot_be_completed_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="cannot make a directory under"):
        Claim(FILES, {"memory": tmp_path, "cpu": tmp_path / "absent"})
    assert list(tmp_path.iterdir()) == []


def test_a_directory_in_use_is_told_and_can_be_released_later(tmp_path: Path) -> None:
    claim = Claim(FILES, {"memory": tmp_path})
    inside = claim.directories["memory"] / "cell-0"
    inside.mkdir()
    assert claim.release() == [inside.parent]
    inside.rmdir()
    assert claim.release() == []
    assert gone(FILES, inside)
