"""What a process prints, on its way to the function's log and to who has subscribed to it: line by line.

The log gets whole lines alone: the other processes of the environment write there too.
"""

from __future__ import annotations

import os

from .loop import Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ_BYTES = 65_536
DRAIN_BYTES = 1_048_576  # a pipe holds no more: who prints on and on is not waited for
LINE_MAX_BYTES = 262_144  # a longer line comes in pieces
LOG_FD = 1


class Output:
    """A pipe that one process has as its stdout and stderr. `on_line(text)` gets each line without its end."""

    def __init__(self, loop: Loop, on_line: Callable[[str], object]) -> None:
        self._loop, self._on_line = loop, on_line
        self._fd, self.write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._fd, False)
        self._rest = b""
        loop.watch(self._fd, lambda _: self._read())

    def started(self) -> None:
        """The process has its end, and this one no more."""
        os.close(self.write_fd)

    def drain(self) -> None:
        """Hand on all that was written before now, the beginning of a line too."""
        taken = 0
        while self._fd >= 0 and taken < DRAIN_BYTES and (read := self._read()):
            taken += read
        self._end_line()

    def _read(self) -> int:
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            self._close()
            return 0
        self._split(data)
        return len(data)

    def _split(self, data: bytes) -> None:
        whole, end, rest = data.rpartition(b"\n")
        if not end:
            self._rest += rest
        else:
            lines, self._rest = self._rest + whole, rest
            write_log(lines + end)
            self._tell(lines)
        if len(self._rest) > LINE_MAX_BYTES:
            self._end_line()

    def _tell(self, lines: bytes) -> None:
        for line in lines.split(b"\n"):
            self._on_line(line.decode("utf-8", "replace"))

    def _end_line(self) -> None:
        rest, self._rest = self._rest, b""
        if rest:
            write_log(rest + b"\n")
            self._tell(rest)

    def _close(self) -> None:
        """Nobody has the other end any more."""
        self._end_line()
        self._loop.forget(self._fd)
        os.close(self._fd)
        self._fd = -1


def write_log(data: bytes) -> None:
    """To the function's log, all of it."""
    while data:
        data = data[os.write(LOG_FD, data) :]
