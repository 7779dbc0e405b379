"""A function that keeps its tenants apart and tells what its environment has seen; settings to deploy it with."""

from __future__ import annotations

from typing import Any, Final

from doors import ONE_VCPU_MB, Function

SOURCE: Final = """
import logging, os, socket, uuid

seen, me = [], uuid.uuid4().hex

def handler(event, context):
    kept = sorted(os.listdir("/tmp"))
    seen.append(context.tenant_id)
    open(f"/tmp/{len(seen)}-{context.tenant_id.replace('/', '_')}", "w").close()
    if isinstance(event, dict) and "wait_at" in event:  # until the test lets go: see doors.Gate
        with socket.create_connection(event["wait_at"]) as gate:
            gate.recv(1)
    if event == "die":
        os._exit(1)
    if event == "fail":
        raise ValueError(f"asked to, by {context.tenant_id}")
    logging.getLogger().warning("tenant said so")
    return {"tenant": context.tenant_id, "seen": seen, "kept": kept, "me": me, "uid": os.getuid(),
            "version": context.function_version, "stream": context.log_stream_name,
            "network": os.readlink("/proc/self/ns/net")}

def streams(event, context):
    seen.append(context.tenant_id)
    for name in seen:
        yield name + " "
"""
APART: Final[dict[str, Any]] = {
    "tenant_isolation": "PER_TENANT",
    "handler": "app.handler",
    "memory_mb": ONE_VCPU_MB,
    "timeout_s": 60,
}


def of(function: Function, tenant_id: str, payload: object = None, **options: Any) -> Any:
    """What it answers to one tenant."""
    return function(payload, tenant_id=tenant_id, **options).json()
