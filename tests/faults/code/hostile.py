"""Functions that die at any moment, and one that writes over the memory it shares with the engine."""

from __future__ import annotations

import ctypes
import random
import socket
import time
from functools import cache
from typing import Any


@cache
def notes(host: str, port: int) -> socket.socket:
    """This environment's line to the test."""
    return socket.create_connection((host, port))


def echoes(event: dict[str, Any], context: Any) -> Any:
    """Notes that this token runs, in one write that no kill can cut, then answers it after a while."""
    token = event["token"]
    notes(*event["notes"]).sendall(b"%d\n" % token)
    time.sleep(event["ms"] / 1000)
    return token


def waits(event: list[Any], context: Any) -> None:
    with socket.create_connection(event) as at_gate:
        at_gate.recv(1)


def writes(event: Any, context: Any) -> Any:
    """Writes to its own region what the event asks for; behaves when it asks for nothing."""
    if isinstance(event, dict) and "gate" in event:
        waits(event["gate"], context)
    if isinstance(event, dict) and "fill" in event:
        start, length = own_region()
        ctypes.memset(start, event["fill"], length)
    if isinstance(event, dict) and "seed" in event:
        scatter(random.Random(event["seed"]), event["words"])
    return event


def own_region() -> tuple[int, int]:
    with open("/proc/self/maps") as maps:
        (line,) = (line for line in maps if "memfd:engine-" in line)
    start, end = (int(edge, 16) for edge in line.split()[0].split("-"))
    return start, end - start


# Head and ready ring, environment records, completion rings, slots: (offset, bytes) of what an honest one may touch.
PLACES = ((64, 512), (4096, 4096), (36_864, 3_072), (430_080, 8_192), (2_527_232, 65_536))


def scatter(chance: random.Random, words: int) -> None:
    """Words of its own choice, where the protocol keeps its words: some wild, some such as it writes itself."""
    start, length = own_region()
    for _ in range(words):
        offset, size = chance.choice(PLACES)
        at = offset + 8 * chance.randrange(size // 8)
        if offset == PLACES[-1][0]:
            at = offset + 4096 * chance.randrange(16) + 8 * chance.randrange(16)
        slot_word = chance.randrange(5) << 56 | chance.randrange(4) << 40 | chance.randrange(64)
        value = chance.choice((0, 1, chance.randrange(1 << 16), chance.getrandbits(64), (1 << 64) - 1, slot_word))
        assert at + 8 <= length
        ctypes.c_uint64.from_address(start + at).value = value
