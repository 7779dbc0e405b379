"""Handlers for tests of who runs when: they wait, spin, echo, or grow."""

from __future__ import annotations

import socket
import time
from typing import Any

Event = Any


def waits(event: Event, context: Any) -> str:
    """Says at the gate that it is running, and goes on when it is let go."""
    with socket.create_connection(event["gate"]) as gate:
        gate.recv(1)
    return str(context.log_stream_name)


def echoes(event: Event, context: Any) -> Any:
    return event


def tells_its_stream(event: Event, context: Any) -> str:
    """Each environment has its own."""
    return str(context.log_stream_name)


def spins(event: Event, context: Any) -> str:
    """Burns `us` microseconds of its own CPU time."""
    until = time.process_time_ns() + event["us"] * 1_000
    while time.process_time_ns() < until:
        pass
    return str(context.log_stream_name)


def spins_or_waits(event: Event, context: Any) -> str:
    return spins(event, context) if "us" in event else waits(event, context)
