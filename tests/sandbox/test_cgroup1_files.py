"""What only cgroup v1 needs: its order of writes, its refusals, and cells used again. Against the real filesystem."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tenants import LIMITS, MECHANISMS, Tenant, leftovers

from engine.errors import EngineError
from engine.sandbox.cgroup1 import Cgroup1
from engine.sandbox.contract import MB, Cell, Limits
from engine.sandbox.control import ControlFiles, own_cgroups

pytestmark = pytest.mark.parametrize("here", [name for name in MECHANISMS if name == "cgroup1"])


class Recorder(ControlFiles):
    """The real filesystem, and the names of the files written."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str]] = []

    def write(self, file: Path, value: str) -> None:
        self.written.append((file.name, value))
        super().write(file, value)

    def rewrite(self, descriptor: int, file: Path, value: str) -> None:
        self.written.append((file.name, value))
        super().rewrite(descriptor, file, value)

    def memory_limits(self) -> list[str]:
        names = [name for name, _ in self.written if name.endswith("limit_in_bytes")]
        self.written.clear()
        return names


@pytest.fixture
def files() -> Recorder:
    return Recorder()


@pytest.fixture
def mechanism(files: Recorder) -> Iterator[Cgroup1]:
    opened = Cgroup1(files)
    yield opened
    opened.close()


def directory(controller: str) -> Path:
    return own_cgroups().v1[controller] / f"invocation-engine-{os.getpid()}-0"


def test_memory_and_swap_are_written_in_the_order_the_kernel_accepts(
    here: str, files: Recorder, mechanism: Cgroup1
) -> None:
    memory, both = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
    cell = mechanism.open_cell(Limits(512, None, 64))
    assert files.memory_limits() == [memory, both]
    cell.set_limits(Limits(1_024, None, 64))
    assert files.memory_limits() == [both, memory]
    cell.set_limits(Limits(128, None, 64))
    assert files.memory_limits() == [memory, both]
    inside = directory("memory") / "cell-0"
    assert {int((inside / name).read_text()) for name in (memory, both)} == {128 * MB}
    assert (inside / "memory.swappiness").read_text().strip() == "0"


def test_a_cell_is_used_again_without_limits_counts_or_charges_of_its_last_tenant(
    here: str, mechanism: Cgroup1, tenant: Callable[[Cell, str], Tenant]
) -> None:
    first = mechanism.open_cell(Limits(64, 0.1, 8))
    tenant(first, "held = b'x' * (32 << 20); wait()").poke(b"!")
    first.release()
    memory = directory("memory") / "cell-0"
    assert int((memory / "memory.usage_in_bytes").read_text()) < 4 * MB
    assert int((memory / "memory.max_usage_in_bytes").read_text()) < 4 * MB
    assert int((memory / "memory.limit_in_bytes").read_text()) >= 1 << 62
    assert (directory("pids") / "cell-0" / "pids.max").read_text().strip() == "max"
    assert (directory("cpu") / "cell-0" / "cpu.cfs_quota_us").read_text().strip() == "-1"
    second = mechanism.open_cell(LIMITS)
    assert second is first
    assert mechanism.statistics().reused == 1


def test_a_share_larger_than_the_parents_leaves_the_parents_in_force(here: str, mechanism: Cgroup1) -> None:
    cell = mechanism.open_cell(Limits(64, 0.5, 8))
    cpu = directory("cpu")
    (cpu / "cpu.cfs_period_us").write_text("20000")
    (cpu / "cpu.cfs_quota_us").write_text("12000")
    cell.set_cpu(2.0)
    assert (cpu / "cell-0" / "cpu.cfs_quota_us").read_text().strip() == "-1"
    cell.set_cpu(0.25)
    assert (cpu / "cell-0" / "cpu.cfs_quota_us").read_text().strip() == "5000"


def test_one_empty_cgroup_stays_frozen_as_long_as_the_engine_lives(here: str) -> None:
    opened = Cgroup1()
    anchor = directory("freezer") / "frozen"
    assert (anchor / "freezer.state").read_text().strip() == "FROZEN"
    opened.close()
    assert not anchor.exists()


def test_limits_are_written_to_open_files_once_and_by_name_later(here: str, mechanism: Cgroup1) -> None:
    cell = mechanism.open_cell()
    open_then = len(os.listdir("/proc/self/fd"))
    cell.set_limits(Limits(64, 0.5, 8))
    assert len(os.listdir("/proc/self/fd")) < open_then
    cell.set_limits(Limits(32, 0.25, 4))
    assert (directory("cpu") / "cell-0" / "cpu.cfs_quota_us").read_text().strip() == "5000"
    assert (directory("pids") / "cell-0" / "pids.max").read_text().strip() == "4"
    assert int((directory("memory") / "cell-0" / "memory.limit_in_bytes").read_text()) == 32 * MB


def test_less_memory_than_is_held_is_refused(
    here: str, mechanism: Cgroup1, tenant: Callable[[Cell, str], Tenant]
) -> None:
    cell = mechanism.open_cell(LIMITS)
    held = tenant(cell, "held = b'x' * (32 << 20); say('held'); wait()")
    assert held.line() == "held"
    with pytest.raises(OSError, match=os.strerror(errno.EBUSY)):
        cell.set_limits(Limits(8, None, 64))
    cell.release()


def test_a_cell_whose_directory_was_removed_from_outside_does_not_pass_for_limited(
    here: str, mechanism: Cgroup1
) -> None:
    cell = mechanism.open_cell(LIMITS)
    (directory("pids") / "cell-0").rmdir()
    with pytest.raises(FileNotFoundError):
        cell.set_limits(LIMITS)
    cell.release()
    assert mechanism.statistics().stuck == 0


def test_something_that_cannot_be_removed_is_named_and_goes_with_the_next_close(here: str, files: Recorder) -> None:
    mechanism = Cgroup1(files)
    foreign = directory("memory") / "foreign"
    foreign.mkdir()
    with pytest.raises(EngineError, match=f"invocation-engine-{os.getpid()}-0"):
        mechanism.close()
    foreign.rmdir()
    mechanism.close()
    assert leftovers() == []
