"""Handlers for engines that a host embeds."""

from __future__ import annotations

import socket
from typing import Any


def echoes(event: Any, context: Any) -> Any:
    return event


def tells_its_stream(event: Any, context: Any) -> str:
    return str(context.log_stream_name)


def waits(event: list[Any], context: Any) -> str:
    with socket.create_connection(event) as at_gate:
        at_gate.recv(1)
    return str(context.log_stream_name)
