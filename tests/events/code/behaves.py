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
