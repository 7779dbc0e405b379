"""Uses all the CPU it gets, in as many processes as it is told."""

import os
import resource
import time
from typing import Any


def handler(event: Any, context: Any) -> Any:
    """Spins for `seconds` in each of `processes`; the CPU seconds of all of them, and how long it took."""
    began, before_s = time.monotonic(), cpu_s()
    for _ in range(event["processes"] - 1):
        if os.fork() == 0:
            spin(began + event["seconds"])
            os._exit(0)
    spin(began + event["seconds"])
    for _ in range(event["processes"] - 1):
        os.wait()
    return {"took_s": time.monotonic() - began, "cpu_s": cpu_s() - before_s}


def cpu_s() -> float:
    """This process's, and that of children which have been waited for."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def spin(until: float) -> None:
    while time.monotonic() < until:
        for _ in range(1_000):
            pass
