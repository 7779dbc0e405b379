"""What polling alone must cope with: processes come, go and are orphaned between two looks."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import psutil
from tenants import LIMITS, Tenant

from engine.sandbox.contract import Cell
from engine.sandbox.polling import Polling

ORPHAN = """
ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)
if os.fork() == 0:
    os.setsid()
    say(os.getpid())
    os.read(0, 1)
    signal.pause()
wait()
"""


def test_an_orphan_that_was_seen_once_is_still_killed(tenant: Callable[[Cell, str], Tenant]) -> None:
    polling = Polling()
    cell = polling.open_cell(LIMITS)
    parent = tenant(cell, ORPHAN)
    orphan = psutil.Process(int(parent.line()))
    assert not cell.overdrawn()  # the look that sees it
    os.kill(parent.pid, signal.SIGKILL)
    assert parent.wait() == -signal.SIGKILL
    assert orphan.is_running()
    assert cell.kill()
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
    polling.close()


def test_memory_is_that_of_the_whole_tree(tenant: Callable[[Cell, str], Tenant]) -> None:
    polling = Polling()
    cell = polling.open_cell(LIMITS)
    both = tenant(cell, "os.fork(); held = b'x' * (40 << 20); say('held'); signal.pause()")
    assert (both.line(), both.line()) == ("held", "held")
    assert cell.overdrawn()
    assert cell.overdrawn()
    assert cell.oom_kills() == 1
    assert (cell.memory_peak_mb() or 0) >= 80
    polling.close()
    assert both.wait() == -signal.SIGKILL


def test_a_process_that_has_ended_already_is_an_empty_cell() -> None:
    polling = Polling()
    cell = polling.open_cell(LIMITS)
    cell.attach(2**22 + 1)  # above the kernel's largest pid
    assert not cell.overdrawn()
    assert cell.memory_peak_mb() is None
    assert cell.kill()
    polling.close()
