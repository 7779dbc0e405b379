"""Imports next to nothing, and keeps its environment for as long as it is told."""

import time
from typing import Any


def handler(event: Any, context: Any) -> Any:
    """Answers with the event, after its `hold_s`."""
    time.sleep(event.get("hold_s", 0))
    return event
