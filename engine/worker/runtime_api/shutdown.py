"""The end of an environment with extensions: the runtime is asked to end, then they are told, then all are ended.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html#runtimes-lifecycle-shutdown
"""

from __future__ import annotations

import json
import os
import signal
import time

from .extension import SHUTDOWN
from .loop import Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from .extension import Extension

EXTERNAL_S: Final = 2.0  # in all, with an external extension
INTERNAL_S: Final = 0.5  # in all, with internal ones only
RUNTIME_S: Final = 0.3  # of that, the runtime's: from SIGTERM to SIGKILL; INTERNAL_S with an internal extension
SPINDOWN, TIMED_OUT, FAILURE = "spindown", "timeout", "failure"


class Shutdown:
    """Under way from the start. `before_events(then)` is called when the runtime has ended; `on_over()` at the end."""

    def __init__(
        self,
        loop: Loop,
        extensions: Sequence[Extension],
        runtime_pid: int,
        reason: str,
        before_events: Callable[[Callable[[], object]], object],
        on_over: Callable[[], object],
    ) -> None:
        self._loop, self._extensions, self._runtime_pid = loop, extensions, runtime_pid
        self._reason, self._before_events, self._on_over = reason, before_events, on_over
        external = any(each.is_external for each in extensions)
        internal = any(not each.is_external for each in extensions)
        within_s = EXTERNAL_S if external else INTERNAL_S
        self._deadline_ms = time.time_ns() // 1_000_000 + int(within_s * 1_000)
        self._telling = self._told = self._over = False
        self._heard: set[str] = set()
        loop.after(within_s, self._finish)
        if runtime_pid:
            send(runtime_pid, signal.SIGTERM)
            loop.after(INTERNAL_S if internal else RUNTIME_S, self._end_runtime)
        else:
            loop.after(0, self._tell)

    def _end_runtime(self) -> None:
        if self._runtime_pid:
            send(self._runtime_pid, signal.SIGKILL)

    def runtime_ended(self) -> None:
        self._runtime_pid = 0
        self._tell()

    def _tell(self) -> None:
        if self._telling:
            return
        self._telling = True
        self._before_events(self._tell_each)

    def _tell_each(self) -> None:
        self._told = True
        for extension in self._extensions:
            if not extension.pid:
                continue
            if SHUTDOWN not in extension.events:
                send_group(extension.pid, signal.SIGKILL)
            elif extension.waits:
                self._tell_one(extension)
        self._look()

    def _event(self) -> bytes:
        told = {"eventType": SHUTDOWN, "shutdownReason": self._reason, "deadlineMs": self._deadline_ms}
        return json.dumps(told).encode()

    def asked(self, extension: Extension) -> None:
        """It asks for its next event: this is its last. Who asks once more (AWS's client in Rust) waits for its end."""
        if self._told and SHUTDOWN in extension.events and extension.is_external:
            self._tell_one(extension)

    def _tell_one(self, extension: Extension) -> None:
        if extension.name not in self._heard:
            self._heard.add(extension.name)
            extension.give(self._event())

    def extension_ended(self) -> None:
        self._look()

    def _look(self) -> None:
        if self._told and not any(extension.pid for extension in self._extensions):
            self._finish()

    def _finish(self) -> None:
        """Time is over, or all have ended."""
        if self._over:
            return
        self._over = True
        self._end_runtime()
        for extension in self._extensions:
            if extension.pid:
                send_group(extension.pid, signal.SIGKILL)
        self._on_over()


def send(pid: int, number: int) -> None:
    """A signal to a child, or to none: it may have been reaped in this turn."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # word of its end is on its way


def send_group(pid: int, number: int) -> None:
    """A signal to a child that leads a process group, and to all in that."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass  # as above
