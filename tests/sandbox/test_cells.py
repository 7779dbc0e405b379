"""What every mechanism promises, against each that works on this host, with real processes."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tenants import (
    BURN,
    COUNT,
    COUNT_IN_A_CHILD,
    COUNT_IN_A_THREAD,
    CROWD,
    DAEMON,
    FORK_LOOP,
    HOG,
    LIMITS,
    MECHANISMS,
    Tenant,
    leftovers,
)

from engine.errors import EngineError
from engine.sandbox.contract import Cell, Limits, Mechanism
from engine.sandbox.null import Null
from engine.sandbox.polling import Polling
from engine.sandbox.thaw import thaw_below

Start = Callable[[Cell, str], Tenant]
kernel_enforced = pytest.mark.parametrize(
    "mechanism", [name for name in MECHANISMS if name != "polling"], indirect=True
)


def number(file: Path) -> int:
    return int.from_bytes(file.read_bytes(), "little")


def changes(file: Path, value: int, within_s: float) -> bool:
    """Whether it counts on. A late look finds a stopped count too, so a loaded machine cannot fail this."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if number(file) != value:
            return True
        time.sleep(0.005)
    return False


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def ended(pidfd: int) -> bool:
    """Whether the process has ended, waiting a while for it. A zombie has."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(10_000))


def test_a_hog_is_killed_and_counted(mechanism: Mechanism, tenant: Start) -> None:
    cell = mechanism.open_cell(LIMITS)
    assert not cell.overdrawn()
    hog = tenant(cell, HOG)
    hog.line()  # "held", or nothing once the kernel has killed it
    if cell.overdrawn():
        assert cell.kill()
    assert hog.wait() == -signal.SIGKILL
    assert cell.oom_kills() == 1
    assert (cell.memory_peak_mb() or 0) >= LIMITS.memory_mb
    cell.release()


def test_a_modest_tenant_is_left_alone_and_measured(mechanism: Mechanism, tenant: Start) -> None:
    cell = mechanism.open_cell(LIMITS)
    modest = tenant(cell, "held = b'x' * (24 << 20); say('held'); wait()")
    assert modest.line() == "held"
    assert not cell.overdrawn()
    assert cell.oom_kills() == 0
    assert 24 <= (cell.memory_peak_mb() or 0) < LIMITS.memory_mb
    cell.release()
    assert modest.wait() == -signal.SIGKILL


def test_killing_ends_the_whole_tree_with_a_daemon_that_forked_twice(mechanism: Mechanism, tenant: Start) -> None:
    cell = mechanism.open_cell(LIMITS)
    parent = tenant(cell, DAEMON)
    daemon_pidfd = os.pidfd_open(int(parent.line()))
    assert cell.kill()
    assert parent.wait() == -signal.SIGKILL
    assert ended(daemon_pidfd)
    os.close(daemon_pidfd)
    cell.release()


def test_releasing_a_cell_ends_its_tenants_and_is_idempotent(mechanism: Mechanism, tenant: Start) -> None:
    cell = mechanism.open_cell(LIMITS)
    idle = tenant(cell, "wait()")
    cell.release()
    cell.release()
    assert idle.wait() == -signal.SIGKILL


def test_closing_ends_tenants_and_leaves_no_directory(mechanism: Mechanism, tenant: Start) -> None:
    for cell in [mechanism.open_cell(LIMITS) for _ in range(3)]:
        cell.release()
    idle = tenant(mechanism.open_cell(LIMITS), "wait()")
    mechanism.close()
    mechanism.close()
    assert idle.wait() == -signal.SIGKILL
    assert leftovers() == []
    with pytest.raises(EngineError, match="closed"):
        mechanism.open_cell(LIMITS)


def test_a_released_cell_has_no_memory_of_its_tenant(mechanism: Mechanism, tenant: Start) -> None:
    first = mechanism.open_cell(LIMITS)
    hog = tenant(first, HOG)
    hog.line()
    first.overdrawn()
    first.release()
    hog.wait()
    second = mechanism.open_cell(Limits(memory_mb=256, cpu_share=None, pids_max=64))
    assert second.oom_kills() == 0
    assert (second.memory_peak_mb() or 0) <= 4
    roomy = tenant(second, HOG)
    assert roomy.line() == "held"
    assert not second.overdrawn()
    second.release()


def test_limits_can_be_written_anew_into_a_cell_in_use(mechanism: Mechanism, tenant: Start) -> None:
    cell = mechanism.open_cell(LIMITS)
    for memory_mb in (256, 128, 512):
        cell.set_limits(Limits(memory_mb=memory_mb, cpu_share=0.5, pids_max=64))
    roomy = tenant(cell, HOG)
    assert roomy.line() == "held"
    cell.release()


def test_every_limit_is_told_by_what_it_is_enforced_or_why_not(mechanism: Mechanism) -> None:
    assert set(mechanism.why) == {"memory", "cpu", "pids", "freeze"}
    assert "memory" in mechanism.enforces <= set(mechanism.why)


@kernel_enforced
def test_a_cpu_quota_stops_a_busy_loop_and_lifting_it_does_not(mechanism: Mechanism, tenant: Start) -> None:
    cell = mechanism.open_cell(LIMITS)
    burner = tenant(cell, BURN)
    burner.poke(b"b")
    assert burner.line() == "burnt"
    assert cell.throttled() == 0
    cell.set_cpu(0.25)
    burner.poke(b"b")
    assert burner.line() == "burnt"
    assert cell.throttled() > 0
    cell.release()


@kernel_enforced
def test_a_fork_loop_stops_at_the_limit(mechanism: Mechanism, tenant: Start) -> None:
    cell = mechanism.open_cell(Limits(memory_mb=64, cpu_share=None, pids_max=16))
    forker = tenant(cell, FORK_LOOP)
    assert forker.line() == "15"
    assert cell.kill()
    cell.release()


@kernel_enforced
def test_a_fork_bomb_is_killed_under_its_quota(mechanism: Mechanism, tenant: Start) -> None:
    cell = mechanism.open_cell(Limits(memory_mb=64, cpu_share=0.1, pids_max=48))
    bomb = tenant(
        cell,
        "say('lit')\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
    )
    assert bomb.line() == "lit"
    assert cell.kill()
    assert bomb.wait() == -signal.SIGKILL
    cell.release()


@kernel_enforced
def test_sealing_closes_the_entry(mechanism: Mechanism) -> None:
    cell = mechanism.open_cell(LIMITS)
    descriptors = cell.entry_fds()
    assert descriptors
    cell.seal()
    assert cell.entry_fds() == ()
    for descriptor in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    cell.release()


@pytest.mark.parametrize("body", [COUNT, COUNT_IN_A_THREAD, COUNT_IN_A_CHILD])
@kernel_enforced
def test_nothing_in_a_frozen_cell_runs_and_all_of_it_does_when_thawed(
    mechanism: Mechanism, tenant: Start, tmp_path: Path, body: str
) -> None:
    counted = tmp_path / "counted"
    counted.write_bytes(bytes(8))
    cell = mechanism.open_cell(LIMITS)
    tenant(cell, body.replace("FILE", repr(str(counted))))
    until(lambda: number(counted) > 100)
    cell.freeze()
    until(cell.frozen)
    stopped_at = number(counted)
    assert not changes(counted, stopped_at, 0.1)
    cell.thaw()
    until(lambda: number(counted) > stopped_at)
    assert not cell.frozen()
    cell.release()


@kernel_enforced
def test_a_frozen_cell_is_killed_whole(mechanism: Mechanism, tenant: Start) -> None:
    cell = mechanism.open_cell(LIMITS)
    parent = tenant(cell, DAEMON)
    daemon_pidfd = os.pidfd_open(int(parent.line()))
    cell.freeze()
    until(cell.frozen)
    assert cell.kill()
    assert parent.wait() == -signal.SIGKILL
    assert ended(daemon_pidfd)
    os.close(daemon_pidfd)
    cell.release()


@kernel_enforced
def test_releasing_a_frozen_cell_leaves_none_frozen_for_the_next(mechanism: Mechanism, tenant: Start) -> None:
    first, empty = mechanism.open_cell(LIMITS), mechanism.open_cell(LIMITS)
    idle = tenant(first, "wait()")
    for cell in (first, empty):
        cell.freeze()
        cell.release()
    assert idle.wait() == -signal.SIGKILL
    for _ in range(2):
        cell = mechanism.open_cell(LIMITS)
        assert not cell.frozen()
        assert tenant(cell, "say('runs'); wait()").line() == "runs"
        cell.release()


@kernel_enforced
def test_closing_a_mechanism_ends_what_is_frozen(mechanism: Mechanism, tenant: Start) -> None:
    cell = mechanism.open_cell(LIMITS)
    idle = tenant(cell, "wait()")
    cell.freeze()
    mechanism.close()
    assert idle.wait() == -signal.SIGKILL


@kernel_enforced
def test_a_kill_from_outside_holds_once_a_frozen_cell_is_thawed(mechanism: Mechanism, tenant: Start) -> None:
    cell = mechanism.open_cell(LIMITS)
    idle = tenant(cell, "wait()")
    cell.freeze()
    until(cell.frozen)
    os.kill(idle.pid, signal.SIGKILL)
    cell.thaw()
    assert idle.wait() == -signal.SIGKILL
    cell.release()


@kernel_enforced
def test_a_survivor_of_the_engine_can_let_the_frozen_die(mechanism: Mechanism, tenant: Start) -> None:
    cell = mechanism.open_cell(LIMITS)
    idle = tenant(cell, "wait()")
    cell.freeze()
    until(cell.frozen)
    os.kill(idle.pid, signal.SIGKILL)
    if mechanism.thaw_after_death is not None:
        folder = os.open(mechanism.thaw_after_death, os.O_RDONLY)
        thaw_below(folder)
        os.close(folder)
    assert idle.wait() == -signal.SIGKILL
    cell.release()


@kernel_enforced
def test_freezing_twice_and_thawing_what_runs_changes_nothing(mechanism: Mechanism, tenant: Start) -> None:
    cell = mechanism.open_cell(LIMITS)
    cell.thaw()
    cell.freeze()
    cell.freeze()
    cell.thaw()
    cell.thaw()
    assert tenant(cell, "say('runs'); wait()").line() == "runs"
    cell.release()


@kernel_enforced
def test_a_cells_tasks_are_counted_threads_and_children_too(mechanism: Mechanism, tenant: Start) -> None:
    cell = mechanism.open_cell(LIMITS)
    assert cell.tasks() == 0
    crowd = tenant(cell, CROWD)
    assert crowd.line() == "all here"
    assert cell.tasks() == 4
    assert cell.kill()
    cell.release()


@kernel_enforced
def test_the_peak_can_be_read_from_its_descriptor(mechanism: Mechanism, tenant: Start) -> None:
    cell = mechanism.open_cell(LIMITS)
    modest = tenant(cell, "held = b'x' * (24 << 20); say('held'); wait()")
    assert modest.line() == "held"
    peak_bytes = int(os.pread(cell.gauges().peak_fd, 32, 0))
    assert 24 << 20 <= peak_bytes < LIMITS.memory_mb << 20
    assert cell.memory_peak_mb() == -(-peak_bytes // (1 << 20))
    cell.release()


@kernel_enforced
def test_who_enters_before_its_limits_are_known_is_held_to_them_later(mechanism: Mechanism, tenant: Start) -> None:
    cell = mechanism.open_cell()
    blank = tenant(cell, "os.read(0, 1)\n" + HOG)
    cell.seal()
    cell.set_limits(LIMITS)
    blank.poke(b"!")
    assert blank.wait() == -signal.SIGKILL
    assert cell.oom_kills() == 1
    cell.release()


def test_a_cell_without_limits_kills_nobody(mechanism: Mechanism, tenant: Start) -> None:
    cell = mechanism.open_cell()
    roomy = tenant(cell, HOG)
    assert roomy.line() == "held"
    assert not cell.overdrawn()
    assert cell.oom_kills() == 0
    cell.release()


def test_every_descriptor_of_a_cell_is_closed_with_its_mechanism(mechanism: Mechanism, tenant: Start) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    used, blank, sealed = (mechanism.open_cell() for _ in range(3))
    tenant(used, "wait()")
    used.release()
    sealed.set_limits(LIMITS)
    sealed.seal()
    blank.release()
    mechanism.close()
    assert len(os.listdir("/proc/self/fd")) <= len(before) + 2  # the tenant's pipes


def test_freezing_where_it_is_not_enforced_stops_nothing_and_says_so(tenant: Start) -> None:
    for mechanism in (Polling(), Null()):
        assert "freeze" not in mechanism.enforces
        assert mechanism.why["freeze"]
        cell = mechanism.open_cell(LIMITS)
        cell.freeze()
        assert tenant(cell, "say('runs'); wait()").line() == "runs"
        assert (cell.frozen(), cell.tasks(), cell.gauges().peak_fd, cell.directory_fd()) == (False, None, -1, None)
        mechanism.close()


def test_no_mechanism_kills_a_hog_when_limits_are_off(tenant: Start) -> None:
    off = Null()
    cell = off.open_cell(LIMITS)
    hog = tenant(cell, HOG)
    assert hog.line() == "held"
    assert not cell.overdrawn()
    assert (off.name, off.enforces) == ("off", frozenset())
    off.close()
    assert hog.wait() == -signal.SIGKILL


@pytest.mark.parametrize("field", [{"memory_mb": 0}, {"cpu_share": 0.0}, {"pids_max": 0}])
def test_limits_that_nothing_can_run_under_are_refused(field: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(field))):
        Limits(**({"memory_mb": 128, "cpu_share": None, "pids_max": 64} | field))  # type: ignore[arg-type]
