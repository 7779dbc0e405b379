"""Handlers that stream."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterator
from typing import Any

Event = Any


def pieces(event: Event, context: Any) -> Iterator[object]:
    """What the event lists, as text."""
    yield from event


def kinds(event: Event, context: Any) -> Iterator[object]:
    yield "Grüße, "
    yield b""
    yield b"\x00\xff"
    yield bytearray(b" array")
    yield memoryview(b" view")


def nothing(event: Event, context: Any) -> Iterator[bytes]:
    yield from ()


def prelude(event: Event, context: Any) -> Iterator[object]:
    yield {"statusCode": 201, "headers": {"x-a": "ä"}, "cookies": ["c=1"]}
    yield "body"


def number(event: Event, context: Any) -> Iterator[object]:
    yield b"so far"
    yield 7


def plain(event: Event, context: Any) -> object:
    return event


def file(event: Event, context: Any) -> Iterator[bytes]:
    return io.BytesIO(b"one\ntwo\n")


def bulk(event: Event, context: Any) -> Iterator[bytes]:
    """So many bytes, in pieces, the nth of which begins with n; then, where the event has a gate, there."""
    length, size = event["length"], event["piece"]
    for at in range(0, length, size):
        yield at.to_bytes(8, "big").ljust(size, b".")[: length - at]
    if "gate" in event:
        at_gate(event["gate"])


def fails(event: Event, context: Any) -> Iterator[bytes]:
    yield b"before"
    raise ValueError("in the middle")


def fails_first(event: Event, context: Any) -> Iterator[bytes]:
    raise ValueError("at once")
    yield b"never"


def waits(event: Event, context: Any) -> Iterator[bytes]:
    """A chunk, and one more when the gate opens."""
    yield b"first"
    at_gate(event)
    yield b"last"


def hangs(event: Event, context: Any) -> Iterator[bytes]:
    yield b"first"
    time.sleep(600)


def grows(event: Event, context: Any) -> Iterator[bytes]:
    yield b"first"
    held = []
    while True:
        held.append(bytearray(16 << 20))
    yield b"never"


def exits(event: Event, context: Any) -> Iterator[bytes]:
    yield b"first"
    raise SystemExit(3)


def closes(event: Event, context: Any) -> Iterator[bytes]:
    """Says when its generator is closed: before its invocation has ended, however much was wanted of it."""
    try:
        while True:
            yield b"x" * (1 << 20)
    finally:
        print("closed")


def at_gate(address: Any) -> None:
    with socket.create_connection(address) as gate:
        gate.recv(1)
