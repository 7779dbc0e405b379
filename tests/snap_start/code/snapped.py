"""Functions whose init leaves something behind, to be found in every environment that begins from its snapshot."""

from __future__ import annotations

import os
import random
import socket
import threading
import uuid
from typing import Any

from snapshot_restore_py import register_after_restore, register_before_snapshot

MADE = {"id": str(uuid.uuid4()), "before": 0, "after": 0}
LEFT = open("/tmp/left", "w+")  # noqa: SIM115
LEFT.write("left by init")
LEFT.flush()
print("init runs")

if os.environ.get("FAILS") == "init":
    raise ValueError("init fails")
if os.environ.get("FAILS") == "thread":
    threading.Thread(target=threading.Event().wait, name="straggler", daemon=True).start()
if os.environ.get("FAILS") == "socket":
    LISTENER = socket.create_server(("127.0.0.1", 0))


@register_before_snapshot
def before() -> None:
    MADE["before"] += 1
    if os.environ.get("FAILS") == "before":
        raise RuntimeError("not to be kept")


@register_after_restore
def after() -> None:
    MADE["after"] += 1
    if os.environ.get("FAILS") == "after":
        raise RuntimeError("not to be restored")


def tells(event: Any, context: Any) -> dict[str, Any]:
    if event.get("gate"):
        with socket.create_connection(tuple(event["gate"])) as gate:
            gate.recv(1)
    LEFT.seek(0)
    return {
        **MADE,
        "left": LEFT.read(),
        "random": random.random(),
        "stream": context.log_stream_name,
        "variable": os.environ["AWS_LAMBDA_LOG_STREAM_NAME"],
        "kind": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
        "pid": os.getpid(),
    }
