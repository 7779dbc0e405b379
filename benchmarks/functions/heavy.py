"""Imports numpy and boto3, and keeps its environment for as long as it is told."""

import time
from typing import Any

import boto3  # noqa: F401
import numpy  # noqa: F401


def handler(event: Any, context: Any) -> Any:
    """Answers with the event, after its `hold_s`."""
    time.sleep(event.get("hold_s", 0))
    return event
