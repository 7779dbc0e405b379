"""What a supervisor takes back of a lane that its function can fill, and that outlives the function's processes."""

from libc.stdint cimport uint64_t
from engine._ext.lane cimport Lane
from engine._ext.layout cimport *

import os

from engine._ext.linux import punch


def trim(Lane lane) -> None:
    """Give spill space back that a quiet lane no longer needs."""
    if lane.outstanding == 0:
        reclaim(lane)


def reclaim(Lane lane) -> None:
    """Take back what a function can fill and what outlives its processes: spill space of no invocation, and the bell.

    The space is charged to its cell, but lives as long as the region. In a full bell the next environment would wait.
    """
    cdef int index
    cdef uint64_t held
    os.set_blocking(lane.event_fd, False)
    try:
        os.preadv(lane.event_fd, [bytearray(8)], -1, os.RWF_NOWAIT)
    except OSError:
        pass    # empty already: a function cannot have us wait here, whatever it sets
    held = os.fstat(lane.region_fd).st_blocks * 512
    if held <= MAP_BYTES or (lane.outstanding and held <= MAP_BYTES + lane.spilled_bytes):
        return
    for index in range(SLOTS):
        if not lane.entries[index].outstanding and not lane.entries[index].held:
            punch(lane.region_fd, SPILL_OFFSET + <uint64_t>index * SPAN, SPAN)
    if lane.outstanding == 0:
        lane.spilled_bytes = 0
