"""Engines whose wall clock a test moves by hand, with a function that says what it got. It runs in real time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from doors import DOORS, ONE_VCPU_MB, PATIENCE_S, Door, on_loop
from timetables import START

from engine.clock import VirtualClock

SOURCE = """
import json

def handler(event, context):
    print("seen", json.dumps(event))
"""


class Timed:
    """An engine in a door, and its clock."""

    def __init__(self, door: Door, clock: VirtualClock) -> None:
        self.door = door
        self.clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self.door, name)

    def deploy(self, name: str, folder: Path) -> None:
        code = folder / "app.py"
        code.write_text(SOURCE)
        self.door.create_function(name, code=code, handler="app.handler", memory_mb=ONE_VCPU_MB)

    def advance_ms(self, step_ms: int) -> None:
        """Let time pass; what is due meanwhile is called on the loop."""
        on_loop(self.door.inside, self.clock.advance_ms, step_ms)

    def seen(self, name: str, count: int) -> list[Any]:
        """The events that a function got, once there are so many and no event is left."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            lines = [event.message for event in self.door.logs(name)]
            events = [json.loads(line.removeprefix("seen ")) for line in lines if line.startswith("seen ")]
            if len(events) >= count and self.is_done():
                return events
            assert time.monotonic() < deadline, events

    def is_done(self) -> bool:
        """Whether every tick that was fired is an event that is done."""
        inside = self.door.inside
        return bool(on_loop(inside, lambda: not inside.schedules.unwritten and not inside.events.traffic.events))

    def told(self, name: str) -> dict[str, Any]:
        """Of one schedule."""
        told: dict[str, Any] = self.door.stats()["schedules"][name]
        return told


@contextmanager
def timed(clock: VirtualClock | None = None, door: str = "uvloop", **settings: Any) -> Iterator[Timed]:
    """An engine at `START`, or wherever the clock is."""
    clock = clock or VirtualClock(START)
    made = DOORS[door](**settings)
    made.inside._timing = clock
    with made:
        yield Timed(made, clock)
