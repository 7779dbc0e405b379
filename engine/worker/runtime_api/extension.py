"""One extension: its life as a literal table, and what it is subscribed to.

An external one is a program of a layer's, of a process of its own; an internal one lives in the runtime's process.
"""

from __future__ import annotations

import os
from types import MappingProxyType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from .request import Request

STARTED, REGISTERED, READY, RUNNING = "Started", "Registered", "Ready", "Running"
INIT_ERROR, EXIT_ERROR, LAUNCH_ERROR, EXITED = "InitError", "ExitError", "LaunchError", "Exited"
INVOKE, SHUTDOWN = "INVOKE", "SHUTDOWN"
EVENTS: Final = (INVOKE, SHUTDOWN)
NOT_ALLOWED = "State transition is not allowed"

TRANSITIONS: Final = MappingProxyType(
    {
        (STARTED, REGISTERED): "it registers",
        (REGISTERED, READY): "it asks for its first event",
        (READY, RUNNING): "it is given an event",
        (RUNNING, READY): "it is done, and asks for the next",
        (REGISTERED, INIT_ERROR): "it cannot do its work",
        (REGISTERED, EXIT_ERROR): "it gives up",
        (READY, EXIT_ERROR): "it gives up",
        (RUNNING, EXIT_ERROR): "it gives up",
        (STARTED, LAUNCH_ERROR): "it could not be started",
    }
)


class Extension:
    """`pid` is 0 of one without a process of its own, and of one whose process has ended."""

    __slots__ = ("error_type", "events", "identifier", "is_external", "name", "parked", "pid", "state")

    def __init__(self, name: str, *, is_external: bool) -> None:
        self.name = name
        self.is_external = is_external
        self.identifier = _uuid()
        self.state = STARTED
        self.events: tuple[str, ...] = ()
        self.error_type = ""
        self.parked: Request | None = None  # its question for the next event
        self.pid = 0

    def step(self, state: str) -> bool:
        """Go to that state. False where that is not allowed now: nothing has changed then."""
        if (self.state, state) not in TRANSITIONS:
            return False
        self.state = state
        return True

    @property
    def holds_invocation(self) -> bool:
        """Whether an invocation is not over for it."""
        return self.state == RUNNING and INVOKE in self.events

    @property
    def waits(self) -> bool:
        """Whether it waits for an event."""
        return self.parked is not None and self.parked.connection.is_open

    def give(self, event: bytes) -> None:
        """Answer its question for the next event."""
        request, self.parked = self.parked, None
        if request is not None:
            self.step(RUNNING)
            request.reply(200, event, b"Lambda-Extension-Event-Identifier: %b\r\n" % _uuid().encode())


def programs_in(layers: Sequence[str]) -> dict[str, str]:
    """The files that are extensions, by name, in the order in which they are started. A later layer's replaces one."""
    found: dict[str, str] = {}
    for layer in layers:
        folder = f"{layer}/extensions"
        try:
            names = os.listdir(folder)
        except OSError:  # most layers have none
            continue
        found |= {name: f"{folder}/{name}" for name in names if not os.path.isdir(f"{folder}/{name}")}
    return dict(sorted(found.items()))


def _uuid() -> str:
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
