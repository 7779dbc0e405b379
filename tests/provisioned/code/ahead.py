"""Handlers whose init says what it does: it prints, waits at a gate, or fails, as its environment variables tell."""

from __future__ import annotations

import os
import socket
from typing import Any

print("initialising")
if "INIT_GATE" in os.environ:
    with socket.socket(socket.AF_UNIX) as gate:
        gate.connect(os.environ["INIT_GATE"])
        gate.recv(1)
if "NEEDS" in os.environ and not os.path.exists(os.environ["NEEDS"]):
    raise RuntimeError("what it needs is not there")


def tells(event: Any, context: Any) -> list[object]:
    """Its process and how that was initialised; with a path, once the gate there opens."""
    if event:
        with socket.socket(socket.AF_UNIX) as gate:
            gate.connect(event)
            gate.recv(1)
    return [os.getpid(), os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]]
