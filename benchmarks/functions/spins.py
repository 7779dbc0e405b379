"""Uses all the CPU it gets, in as many processes as it is told."""

import os
import time
from typing import Any


def handler(event: Any, context: Any) -> Any:
    """Spins for `seconds` in each of `processes`; the CPU seconds of all of them, and how long it took."""
    began, before = time.monotonic(), os.times()
    for _ in range(event["processes"] - 1):
        if os.fork() == 0:
            spin(began + event["seconds"])
            os._exit(0)
    spin(began + event["seconds"])
    for _ in range(event["processes"] - 1):
        os.wait()
    took_s, after = time.monotonic() - began, os.times()
    return {"cpu_s": sum(after[:4]) - sum(before[:4]), "took_s": took_s}


def spin(until: float) -> None:
    while time.monotonic() < until:
        for _ in range(1_000):
            pass
