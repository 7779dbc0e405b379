"""What the engine makes of lies about a stream: the real lane and flow, and an environment that is played."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from kits import SLOTS, field, forge
from lanes import Rig

from engine._ext import streaming
from engine._ext.flow import BYTES, RING_BYTES, STREAM_MAX_BYTES, Flow

U32, U64 = (1 << 32) - 1, (1 << 64) - 1
SPAN = 8 << 20
RING_OFFSET = SPAN + SPAN - RING_BYTES  # of slot 0, in the region's file
HEAD = bytes([len(BYTES)]) + BYTES.encode()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


def begin(rig: Rig) -> Flow:
    flow = Flow()
    streaming.begin(rig.scheduler, rig.lane, b"{}", b"", False, flow)
    return flow


def give(rig: Rig, slot: int, data: bytes, at: int = 0) -> None:
    """As an honest environment writes, where the ring does not end."""
    os.pwrite(rig.lane.region_fd, data, RING_OFFSET + slot * SPAN + at)
    forge(rig.lane.mapping, "flow_given", at + len(data), slot)


def test_an_honest_stream_is_read_as_it_comes(rig: Rig) -> None:
    worker, flow, told = rig.start(), begin(rig), []
    flow.listener = lambda: told.append(flow.ended)
    worker.claim()
    give(rig, worker.slot, HEAD + b"abc")
    forge(rig.lane.mapping, "flow_slot", worker.slot + 1, worker.env.index)
    worker.end.flag_finished()
    assert (rig.lane.drain_now(), told) == (1, [False])
    assert (flow.is_readable, flow.take(2), flow.content_type) == (True, b"ab", BYTES)
    assert field(rig.lane.mapping, "flow_taken", worker.slot) == len(HEAD) + 2
    worker.write(b"")
    worker.finish()
    rig.lane.drain_now()
    assert (flow.ended, flow.at_end, flow.take(10), flow.at_end) == (True, False, b"c", True)
    assert flow.result is not None and flow.result.payload == b""
    rig.finish()


@pytest.mark.parametrize("given", [RING_BYTES + 1, STREAM_MAX_BYTES + 257, U32, U64, 1 << 63])
@pytest.mark.parametrize("looks", ["reader", "end"])
def test_counts_that_no_stream_has_end_the_environment(rig: Rig, given: int, looks: str) -> None:
    worker, flow = rig.start(), begin(rig)
    worker.claim()
    forge(rig.lane.mapping, "flow_given", given, worker.slot)
    if looks == "reader":
        assert flow.take(100) == b""
    else:
        worker.write(b"")
        worker.finish()
    rig.tick()
    assert rig.seen["illegal"] == 1
    assert flow.ended and flow.result is not None and flow.result.outcome == "exit"
    assert (flow.take(100), flow.at_end) == (b"", True)
    rig.finish()


def test_a_head_that_is_not_there_ends_the_environment(rig: Rig) -> None:
    worker, flow = rig.start(), begin(rig)
    worker.claim()
    give(rig, worker.slot, b"\xffshort")
    assert flow.take(100) == b""
    rig.tick()
    assert (rig.seen["illegal"], flow.content_type) == (1, None)
    rig.finish()


@pytest.mark.parametrize("kind", [b"", b"   ", b"text/html\r\nX-Evil: 1", b"\xe4", b"\x00"])
def test_a_content_type_that_is_no_header_is_that_of_bytes(rig: Rig, kind: bytes) -> None:
    worker, flow = rig.start(), begin(rig)
    worker.claim()
    give(rig, worker.slot, bytes([len(kind)]) + kind + b"body")
    assert (flow.take(100), flow.content_type) == (b"body", BYTES)
    rig.finish()


@pytest.mark.parametrize("slot", [0, 1, SLOTS, SLOTS + 1, U32])
def test_an_environment_that_names_a_slot_that_is_not_its_own_rouses_nobody(rig: Rig, slot: int) -> None:
    told: list[int] = []
    owner, liar = rig.start(), rig.start()
    flow = begin(rig)
    flow.listener = lambda: told.append(1)
    owner.claim()
    forge(rig.lane.mapping, "flow_slot", slot, liar.env.index)
    liar.end.flag_finished()
    rig.lane.drain_now()
    assert told == []
    rig.finish()


def test_bytes_taken_back_end_the_environment(rig: Rig) -> None:
    worker, flow = rig.start(), begin(rig)
    worker.claim()
    give(rig, worker.slot, HEAD + b"abc")
    assert flow.take(3) == b"abc"
    forge(rig.lane.mapping, "flow_given", len(HEAD), worker.slot)
    assert flow.take(3) == b""
    rig.tick()
    assert rig.seen["illegal"] == 1
    rig.finish()


def test_what_was_written_after_the_end_reaches_nobody(rig: Rig) -> None:
    worker, flow = rig.start(), begin(rig)
    worker.claim()
    slot = worker.slot
    give(rig, slot, HEAD + b"mine")
    worker.write(b"")
    worker.finish()
    rig.lane.drain_now()
    give(rig, slot, HEAD + b"mine, and more")
    assert flow.take(100) == b"mine"
    after = begin(rig)
    assert field(rig.lane.mapping, "flow_given", slot) == 0
    assert (after.take(100), after.is_readable) == (b"", False)
    assert worker.serve() == 1
    rig.lane.drain_now()
    assert (after.take(100), after.at_end) == (b"[]", True)
    rig.finish()


def test_a_stream_that_is_discarded_before_it_has_a_slot_is_not_written(rig: Rig) -> None:
    flows = [begin(rig) for _ in range(SLOTS + 1)]
    flows[-1].discard()
    worker = rig.start()
    assert worker.serve() == SLOTS
    rig.lane.drain_now()
    assert worker.claim()
    assert field(rig.lane.mapping, "flow_dropped", worker.slot) == 1
    worker.write(b"[]")
    worker.finish()
    rig.lane.drain_now()
    assert (flows[-1].ended, flows[-1].take(10), flows[0].take(10)) == (True, b"", b"[]")
    rig.finish()
