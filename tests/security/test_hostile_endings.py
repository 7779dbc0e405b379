"""However a hostile function ends, and whatever it leaves behind: its caller's answer, and nothing else."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from standing import Hostile

KILLED = "Runtime exited with error: signal: killed"
CRASHED = "Runtime exited with error: signal: segmentation fault"
SILENT = "Runtime exited without providing a reason"

ENDINGS: dict[str, tuple[str, dict[str, Any], str]] = {
    "os._exit(0)": ("exits", {"status": 0}, SILENT),
    "os._exit(3)": ("exits", {"status": 3}, "Runtime exited with error: exit status 3"),
    "os._exit(255)": ("exits", {"status": 255}, "Runtime exited with error: exit status 255"),
    "sys.exit(0)": ("leaves_python", {"status": 0}, SILENT),
    "sys.exit(4)": ("leaves_python", {"status": 4}, "Runtime exited with error: exit status 4"),
    "SIGKILL": ("signals_itself", {"number": signal.SIGKILL}, KILLED),
    "SIGTERM": ("signals_itself", {"number": signal.SIGTERM}, "Runtime exited with error: signal: terminated"),
    "SIGQUIT": ("signals_itself", {"number": signal.SIGQUIT}, "Runtime exited with error: signal: quit"),
    "SIGXCPU": (
        "signals_itself",
        {"number": signal.SIGXCPU},
        "Runtime exited with error: signal: CPU time limit exceeded",
    ),
    "a real-time signal": ("signals_itself", {"number": 40}, "Runtime exited with error: signal: signal 40"),
    "abort": ("aborts", {}, "Runtime exited with error: signal: aborted"),
    "a null pointer": ("reads_nowhere", {}, CRASHED),
    "the C stack": ("recurses_in_c", {}, CRASHED),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_process_that_ends_is_told_as_lambda_tells_it(hostile: Hostile, ending: str) -> None:
    attack, how, reason = ENDINGS[ending]
    hostile.invoke()
    result = hostile.ends(attack, reason, **how)
    assert result.start == "warm"
    assert "attacking" in hostile.log(result)
    assert hostile.invoke().start == "cold"


def test_a_process_that_stops_itself_is_ended_at_its_time_limit(hasty: Hostile) -> None:
    hasty.times_out("signals_itself", number=signal.SIGSTOP)


def test_a_c_loop_that_holds_the_interpreter_lock_is_ended_at_its_time_limit(hasty: Hostile) -> None:
    hasty.times_out("spins_in_c")


def test_children_that_are_stopped_deaf_orphaned_or_inside_vfork_go_with_a_process_that_exits(hostile: Hostile) -> None:
    hostile.ends("leaves_a_crowd", "Runtime exited with error: exit status 3", then="exit")


def test_children_that_are_stopped_deaf_orphaned_or_inside_vfork_go_with_one_that_times_out(hasty: Hostile) -> None:
    hasty.times_out("leaves_a_crowd", then="hang")


def test_children_that_outlive_their_invocation_go_with_their_environment(hostile: Hostile) -> None:
    """The fixture deletes the function, and counts."""
    assert hostile.told("leaves_a_crowd", then="answer") >= 24
    assert hostile.invoke().start == "warm"
