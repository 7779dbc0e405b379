"""The engine's zygote, with a clock at the steps of a start. `breakdown.py` has it run in place of the plain one.

Every process that it forks writes into a row of shared memory of its own: for each step the time, its own CPU time, and
how many pages it had to be given. Nothing else differs.
"""

from __future__ import annotations

import mmap
import os
import resource
import sys
import time
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

STAMPS_FD = "COLD_START_STAMPS_FD"
ROWS = 4_096  # later forks write into the last one
NUMBER = 0  # of the function: the digits at the end of its name, plus one
# What has happened by then, the function that tells, and whether when it begins or is done.
BLANK = "engine.worker.blank"  # the last to be imported: it keeps functions of the others
STEPS = (
    ("forked", BLANK, "_live", "begins"),
    ("blank, waits", "engine.worker.environment", "Worker.rehearse", "done"),
    ("order received", BLANK, "_move_in", "begins"),
    ("files mounted", "engine.sandbox.jail", "Jail.furnish", "done"),
    ("network entered", "engine.sandbox.jail", "Jail.connect", "done"),
    ("confined", "engine.sandbox.jail", "Jail.confine", "done"),
    ("limits set, init begins", "engine.worker.environment", "run", "begins"),
    ("descriptors moved", "engine.worker.environment", "settle_in", "done"),
    ("variables set", "engine.runtimes.bootstraps.python.import_path", "apply", "done"),
    ("queue opened", "engine.worker.environment", "open_port", "done"),
    ("path files run", "engine.runtimes.bootstraps.python.import_path", "run_path_files", "done"),
    ("function loaded", "engine.runtimes.bootstraps.python.handler", "load", "done"),
)
CLOCKS = 3  # numbers for each step
WIDTH = 1 + CLOCKS * len(STEPS)


class Clock:
    """Whose row it is changes in the zygote with each fork, and so is a new one's from its beginning."""

    def __init__(self, fd: int) -> None:
        self.stamps = memoryview(mmap.mmap(fd, ROWS * WIDTH * 8)).cast("Q")
        self.row = -1

    def note(self, place: int, value: int) -> None:
        self.stamps[self.row * WIDTH + place] = value

    def next_row(self) -> None:
        self.row = min(self.row + 1, ROWS - 1)


def wrap(
    module: str, path: str, before: Callable[[tuple[Any, ...]], None] | None, after: Callable[[], None] | None
) -> None:
    """Put calls around a function or method. Raises AttributeError where there is none of that name."""
    owner: Any = import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    plain = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if before is not None:
            before(arguments)
        result = plain(*arguments, **named)
        if after is not None:
            after()
        return result

    setattr(owner, name, wrapped)


def stamp(clock: Clock, place: int, module: str, path: str, when: str) -> None:
    def now(*_: object) -> None:
        clock.note(place, time.monotonic_ns())
        clock.note(place + 1, time.process_time_ns())
        clock.note(place + 2, resource.getrusage(resource.RUSAGE_SELF).ru_minflt)

    if when == "begins":
        wrap(module, path, now, None)
    else:
        wrap(module, path, None, now)


def name_row(clock: Clock, arguments: tuple[Any, ...]) -> None:
    """Whose start it was is known once it has its order."""
    order = next(argument for argument in arguments if isinstance(argument, dict))
    digits = order["surroundings"]["function_name"].rpartition("-")[2]
    clock.note(NUMBER, int(digits) + 1 if digits.isdecimal() else 0)


def main() -> None:
    fd = int(os.environ.pop(STAMPS_FD))
    clock = Clock(fd)
    os.close(fd)
    package_parent, _, _, *library_folders = sys.argv[1:]
    plain = list(sys.path)
    sys.path[:0] = [package_parent, *library_folders]
    wrap("engine.worker.environment", "run", lambda arguments: name_row(clock, arguments), None)
    for number, (_, module, path, when) in sorted(enumerate(STEPS), key=lambda step: step[1][1] == BLANK):
        stamp(clock, 1 + CLOCKS * number, module, path, when)
    wrap("engine.worker.zygote", "Zygote.fork", lambda _: clock.next_row(), None)
    zygote = import_module("engine.worker.zygote")
    sys.path[:] = plain
    zygote.main()


if __name__ == "__main__":
    main()
