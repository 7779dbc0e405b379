"""What a function shares with the engine: it can spoil that for itself, for one invocation, and for nobody else.

Forged, doubled and foreign words in the region are tests/faults' and tests/queue's; here is the rest of the channel.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest
from standing import CODE, Hostile

import engine.sync

Deploy = Callable[..., Hostile]
KILLED = "Runtime exited with error: signal: killed"
CRASHED = "Runtime exited with error: exit status 3"


def region_mb(door: engine.sync.Engine, name: str) -> int:
    """What a function's region holds of the host's memory."""
    (fd,) = (pool.lane.region_fd for pool in door._engine._supervisor.pools if pool.lane.name == name)
    return os.fstat(fd).st_blocks * 512 >> 20


def test_a_function_that_closes_its_channel_is_answered_or_ended(hostile: Hostile) -> None:
    """An open file limit keeps plain loops away from it; closing by number does not."""
    result = hostile.attack("closes_its_channel", then="answer")
    assert result.function_error is None or result.json()["errorType"] == "Runtime.ExitError"
    for _ in range(2):
        assert hostile.attack("closes_its_channel", then="answer").status_code == 200
    hostile.ends("closes_its_channel", CRASHED, then="exit")


def test_a_bell_that_is_full_and_blocks_holds_up_nobody(hostile: Hostile) -> None:
    """The engine must never wait in a write to what a function can fill."""
    hostile.invoke()
    for _ in range(2):
        hostile.ends("blocks_the_bell", CRASHED, then="exit")
        assert hostile.door.invoke("victim").start == "warm"


def test_a_function_that_cannot_ring_its_own_bell_is_answered_or_timed_out(hasty: Hostile) -> None:
    result = hasty.attack("blocks_the_bell", then="answer")
    assert result.json() == "answer" or result.json()["errorType"] == "Sandbox.Timedout"


def test_a_bell_that_blocks_and_a_function_that_hangs_end_at_the_time_limit(hasty: Hostile) -> None:
    hasty.invoke()
    hasty.times_out("blocks_the_bell", then="hang")


def test_an_engine_closes_over_a_bell_that_blocks(deploy: Deploy) -> None:
    """Whoever waits then hears that the engine was closed."""
    with engine.sync.Engine() as other:
        deploy()  # so that the module's engine lives beside it
        other.create_function("hostile", code=CODE, handler="attacks.handler", memory_mb=1_769, timeout_s=30)
        other.invoke("hostile")
        heard: list[BaseException] = []
        caller = threading.Thread(target=_calls, args=(other, heard))
        caller.start()
        (pool,) = other._engine._supervisor.pools
        while not _is_full(pool.lane.event_fd):
            os.sched_yield()
    caller.join(20)
    assert not caller.is_alive()
    assert [type(error).__name__ for error in heard] == ["EngineClosedError"]


def _is_full(fd: int) -> bool:
    """What the kernel tells of the bell, in hexadecimal."""
    with open(f"/proc/self/fdinfo/{fd}") as told:
        count = next(line.split(":")[1] for line in told if line.startswith("eventfd-count"))
    return int(count, 16) >= 1 << 63


def _calls(other: engine.sync.Engine, heard: list[BaseException]) -> None:
    try:
        other.invoke("hostile", {"attack": "blocks_the_bell", "how": {"then": "hang"}})
    except BaseException as error:  # noqa: BLE001  # handed to the test
        heard.append(error)


def test_a_region_keeps_its_size_and_seals(hostile: Hostile) -> None:
    """Opening it anew is its right, as with its log's pipe: there is nothing in them but its own."""
    told = hostile.told("changes_its_region")
    assert {told["shrink"], told["grow"], told["seal"]} == {"EPERM"}
    assert hostile.invoke().start == "warm"


def test_memory_that_is_put_into_the_region_counts_and_is_given_back(deploy: Deploy, enforced: frozenset[str]) -> None:
    """The engine's end keeps a region alive, so what a dead process wrote there would stay with the host."""
    hostile = deploy(memory_mb=128)
    hostile.invoke()
    before = region_mb(hostile.door, hostile.name)
    for _ in range(3):
        if "pids" in enforced:
            hostile.ends("fills_its_region", KILLED, verdict="Status: error\tError Type: Runtime.OutOfMemory", mb=400)
        else:
            hostile.ends("fills_its_region", CRASHED, mb=100, then="exit")
        hostile.invoke()
        assert region_mb(hostile.door, hostile.name) <= before + 2


def test_holes_in_the_region_end_the_call_at_most(hostile: Hostile) -> None:
    """Unless it is answered: what lies in the holes is written anew where it is needed."""
    result = hostile.attack("punches_its_region")
    assert result.function_error is None or result.json()["errorType"] == "Runtime.ExitError"
    after = hostile.invoke()  # of an environment that is still there it may be the end
    assert after.function_error is None or after.json()["errorType"] == "Runtime.ExitError"


@pytest.mark.parametrize("fill", [0x00, 0xFF, 0x5A])
def test_garbage_over_the_whole_region_ends_the_call_and_nothing_else(hostile: Hostile, fill: int) -> None:
    result = hostile.attack("writes_over_its_region", fill=fill)
    assert (result.function_error, result.json()["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert result.billed_ms > 0
