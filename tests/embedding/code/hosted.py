"""Handlers for engines that a host embeds."""

from __future__ import annotations

import os
import socket
from typing import Any


def echoes(event: Any, context: Any) -> Any:
    return event


def tells_its_pid(event: Any, context: Any) -> int:
    return os.getpid()


def waits(event: str, context: Any) -> int:
    with socket.create_connection(event) as at_gate:
        at_gate.recv(1)
    return os.getpid()
