"""What a killed engine left behind goes at the next start, and nothing else does."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tenants import LIMITS, MECHANISMS, Tenant, cell_directories

from engine.sandbox.claim import Claim, gone, remove_stale
from engine.sandbox.contract import Cell, Mechanism
from engine.sandbox.control import ControlFiles

FILES = ControlFiles()
in_cgroups = pytest.mark.parametrize("mechanism", [name for name in MECHANISMS if name != "polling"], indirect=True)


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    process.wait()
    return process.pid


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


def test_only_unlocked_directories_of_the_dead_are_removed(tmp_path: Path, dead_pid: int) -> None:
    stale = tmp_path / f"invocation-engine-{dead_pid}-0"
    kept = [
        tmp_path / f"invocation-engine-{dead_pid}-1",  # locked: alive in another PID namespace
        tmp_path / f"invocation-engine-{os.getpid()}-7",
        tmp_path / f"invocation-engine-{dead_pid}",
        tmp_path / f"other-{dead_pid}-0",
    ]
    for directory in (stale, *kept):
        directory.mkdir()
    lock = os.open(kept[0], os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    remove_stale(FILES, tmp_path)
    os.close(lock)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


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
