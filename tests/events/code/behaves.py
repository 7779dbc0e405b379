"""What functions of these tests do with an event. They tell what they saw in their logs."""

import json
import os
import socket
from collections import Counter

tries: Counter[str] = Counter()


def says(event, context):
    print("event " + json.dumps(event))
    return {"said": event}


def fails(event, context):
    """As often as the event says."""
    tries[context.aws_request_id] += 1
    if tries[context.aws_request_id] <= event["times"]:
        raise ValueError(f"try {tries[context.aws_request_id]}")
    return "at last"


def waits(event, context):
    with socket.create_connection(event) as gate:
        gate.recv(1)


def traced(event, context):
    print("trace " + os.environ["_X_AMZN_TRACE_ID"])
    return os.environ["_X_AMZN_TRACE_ID"]


owners: list[str] = []


def belongs(event, context):
    """Tells whose it is, and whose came before it; waits or fails where the event says so."""
    owners.append(context.tenant_id)
    print("event " + json.dumps({"tenant": context.tenant_id, "for": event["for"], "owners": sorted(set(owners))}))
    if "wait_at" in event:
        waits(event["wait_at"], context)
    if "times" in event:
        return fails(event, context)
    return context.tenant_id
