"""Streams whose process is killed, that nobody reads, or that are as long as they may be: memory stays what it was."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from doors import environment_pids, kill_from_outside
from serving import Service
from ways import CODE, Way

import engine.sync
from engine import config
from engine.errors import ConnectionLostError
from engine.wire.streams import WINDOW_BYTES, Inflow

MB = 1_000_000
GROWTH_MAX_BYTES = 16 * MB  # a stream of 200 MiB passes through

CLIENT = """
import sys, resource, asyncio, engine
from pathlib import Path
how, address, length = sys.argv[1], sys.argv[2], int(sys.argv[3])
event = {"length": length, "piece": 1 << 20}
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
def blocking():
    import engine.sync
    with engine.sync.connect(address) as client:
        client.invoke("bulk", {"length": 10, "piece": 10})
        before, got = peak(), 0
        for chunk in client.invoke_stream("bulk", event):
            got += len(chunk)
        return got, peak() - before
async def loop():
    async with engine.connect(address) as client:
        await client.invoke("bulk", {"length": 10, "piece": 10})
        before, got = peak(), 0
        async for chunk in await client.invoke_stream("bulk", event):
            got += len(chunk)
            await client.ping()     # slower than what comes
        return got, peak() - before
print(*(blocking() if how == "blocking" else asyncio.run(loop())))
"""


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1_024


@pytest.mark.parametrize("how", ["blocking", "loop"])
def test_the_longest_stream_takes_no_memory_of_service_or_client(tmp_path: Path, how: str) -> None:
    service = Service(tmp_path).start()
    try:
        with engine.sync.connect(service.path) as client:
            client.create_function("bulk", code=CODE, handler="givers.bulk", memory_mb=1_769, timeout_s=120)
            client.invoke("bulk", {"length": 10, "piece": 10})
        before = peak_bytes(service.pid)
        command = [sys.executable, "-P", "-c", textwrap.dedent(CLIENT), how, str(service.path)]
        done = subprocess.run([*command, str(config.STREAM_MAX_BYTES)], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        got, grown = map(int, done.stdout.split())
        assert got == config.STREAM_MAX_BYTES
        assert grown < GROWTH_MAX_BYTES
        assert peak_bytes(service.pid) - before < GROWTH_MAX_BYTES
    finally:
        service.end_if_running()


def test_a_function_that_nobody_reads_takes_no_memory_either(embedded: Way) -> None:
    """Within 128 MB it gives 200 MiB, of which each piece is gone once it was taken."""
    name = embedded.deploy("bulk", memory_mb=128)
    stream = embedded.stream(name, {"length": config.STREAM_MAX_BYTES, "piece": 1 << 20})
    assert sum(map(len, stream)) == config.STREAM_MAX_BYTES
    assert (stream.result.outcome, stream.result.max_memory_mb < 64) == ("ok", True)


@pytest.mark.parametrize("handler", ["hangs", "closes"])
def test_an_environment_killed_in_the_middle_ends_its_stream_and_no_other(embedded: Way, handler: str) -> None:
    name, other = embedded.deploy(handler), embedded.deploy("bulk")
    beside = embedded.stream(other, {"length": 3_000_000, "piece": 1_000})
    stream = embedded.stream(name)
    first = stream.next()
    (pid,) = environment_pids(embedded.door, name)
    kill_from_outside(embedded.door, pid)
    got = first + stream.rest()
    assert got == b"first" or (set(got) == {ord("x")} and len(got) < config.STREAM_MAX_BYTES)
    assert (stream.result.outcome, stream.result.json()["errorType"]) == ("exit", "Runtime.ExitError")
    assert len(beside.rest()) == 3_000_000
    again = embedded.stream(name)
    assert again.next()[:5] in (b"first", b"xxxxx")
    again.close()


def test_a_stream_is_whole_however_many_before_it_were_killed(embedded: Way) -> None:
    name = embedded.deploy("bulk")
    event = {"length": 2_000_000, "piece": 7_000}
    whole = embedded.stream(name, event).rest()
    for number in range(12):
        stream = embedded.stream(name, {**event, "length": 20_000_000})
        for _ in range(number):
            stream.next()
        for pid in environment_pids(embedded.door, name):
            kill_from_outside(embedded.door, pid)
        stream.rest()
        assert stream.result.outcome == "exit"
        assert embedded.stream(name, event).rest() == whole


def test_a_stream_that_begins_from_a_snapshot_or_was_provisioned(embedded: Way) -> None:
    name = embedded.deploy("kinds", snap_start=True)
    version = embedded.publish_version(name).version
    streams = [embedded.stream(name, qualifier=version) for _ in range(2)]
    assert {stream.rest() for stream in streams} == {"Grüße, ".encode() + b"\x00\xff array view"}
    assert streams[0].result.start == "snapshot"


def test_more_than_was_granted_is_not_taken() -> None:
    inflow = Inflow("the server")
    for size in (WINDOW_BYTES - 1, 1):
        inflow.notices.append([2, "chunk", [1, b"x" * size]])
        inflow.came(inflow.notices[-1])
    assert len(inflow.take()) == WINDOW_BYTES - 1
    assert inflow.owed() == WINDOW_BYTES - 1
    assert inflow.owed() == 0
    inflow.notices.append([2, "chunk", [1, b"x" * WINDOW_BYTES]])
    with pytest.raises(ConnectionLostError, match="more of a stream than was granted"):
        inflow.came(inflow.notices[-1])
