"""What every mechanism promises, against each that works on this host, with real processes."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable

import pytest
from tenants import BURN, DAEMON, FORK_LOOP, HOG, LIMITS, MECHANISMS, Tenant, leftovers

from engine.errors import EngineError
from engine.sandbox.contract import Cell, Limits, Mechanism
from engine.sandbox.null import Null

Start = Callable[[Cell, str], Tenant]
kernel_enforced = pytest.mark.parametrize(
    "mechanism", [name for name in MECHANISMS if name != "polling"], indirect=True
)


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
    mechanism.prepare(3)
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
    assert set(mechanism.why) == {"memory", "cpu", "pids"}
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
