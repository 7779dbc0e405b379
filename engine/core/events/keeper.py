"""F3: the engine's end of what keeps its events: a process with a database, or memory. All but `open` and `close` is
called on the loop's thread, and answers come there.

A keeper that dies is started again, and told everything again that it had not answered: its steps may be repeated.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgpack

from ...clock import Timing
from ...errors import DataFolderError, ServiceException
from ...store.event_memory import EventMemory
from ...store.event_store import Opening, QueueRow, Step

Answer = Callable[[str | None, Any], object]
OPEN_TIMEOUT_S: Final = 60.0  # reading through a large file
END_TIMEOUT_S: Final = 10.0
SEND_BYTES: Final = 1 << 20
READ_BYTES: Final = 1 << 20
RESTART_FIRST_S, RESTART_MOST_S = 0.05, 5.0
STEPS_BYTES: Final = 8 << 20  # of one message, so that reads between writes have their turn

log = logging.getLogger("engine.events")


class Watcher(Protocol):
    """The part of an event loop that tells when descriptors are ready."""

    def add_reader(self, fd: int, call: Callable[[], object], /) -> object: ...

    def remove_reader(self, fd: int, /) -> object: ...

    def add_writer(self, fd: int, call: Callable[[], object], /) -> object: ...

    def remove_writer(self, fd: int, /) -> object: ...


class Keeper(Protocol):
    """Where events are kept. `waiting_bytes`: handed over and not yet answered."""

    waiting_bytes: int

    def open(self) -> Opening:
        """What there is; blocks. Raises DataFolderError."""

    def attach(self) -> None:
        """Go on on the loop."""

    def write(self, steps: Sequence[Step], size: int, answer: Answer) -> None:
        """Have it written; the answer has an error's text where it was not. `size` is about its bytes."""

    def ask(self, method: str, arguments: Sequence[Any], answer: Answer) -> None:
        """A reading method of `EventStore`; rows are lists."""

    def detach(self) -> None:
        """Leave the loop: no answers come any more. `close` comes next."""

    def close(self) -> None:
        """All that was handed over is written when this returns; blocks."""


class MemoryKeeper:
    """Keeps events in this process, for as long as it lasts."""

    def __init__(self, later: Callable[..., object]) -> None:
        self._store = EventMemory()
        self._later = later
        self._detached = False
        self.waiting_bytes = 0

    def open(self) -> Opening:
        return self._store.opening()

    def attach(self) -> None:
        """It is here already."""

    def write(self, steps: Sequence[Step], size: int, answer: Answer) -> None:
        self._store.write(steps)
        self._later(self._told, answer, None)

    def ask(self, method: str, arguments: Sequence[Any], answer: Answer) -> None:
        self._later(self._told, answer, getattr(self._store, method)(*arguments))

    def _told(self, answer: Answer, result: Any) -> None:
        if not self._detached:
            answer(None, result)

    def detach(self) -> None:
        self._detached = True

    def close(self) -> None:
        self._store.close()


class ProcessKeeper:
    """Keeps events in `database`, by a process of its own."""

    def __init__(self, database: Path, loop: Watcher, timing: Timing) -> None:
        self._database = database
        self._loop = loop
        self._timing = timing
        self._packer = msgpack.Packer()
        self._number = 0
        self._unanswered: dict[int, tuple[bytes, int, Answer]] = {}
        self._out: deque[memoryview] = deque()
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = self._attached = self._writing = False
        self._deaths = 0
        self.waiting_bytes = 0

    def open(self) -> Opening:
        if not self._database.exists():
            return Opening(0, [], 0, [])  # and no process either, before there is an event
        self._start()
        self._socket.settimeout(OPEN_TIMEOUT_S)
        try:
            self._socket.sendall(self._packer.pack([0, "opening", []]))
            answer = self._first_answer()
        except OSError as error:
            self._end()
            raise DataFolderError(f"{self._database} could not be opened: its keeper ended ({error})") from error
        if answer[1] is not None:
            self._end()
            raise DataFolderError(answer[1])
        last, queues, parcels, schedules = answer[2]
        return Opening(last, [QueueRow(*row) for row in queues], parcels, [tuple(row) for row in schedules])

    def _first_answer(self) -> Any:
        while True:
            data = self._socket.recv(READ_BYTES)
            if not data:
                raise ConnectionError("it closed its socket")
            self._unpacker.feed(data)
            for message in self._unpacker:
                return message

    @property
    def pid(self) -> int | None:
        """Of the process, where there is one."""
        return None if self._process is None else self._process.pid

    def attach(self) -> None:
        if self._process is None:
            return
        self._attached = True
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def write(self, steps: Sequence[Step], size: int, answer: Answer) -> None:
        self._request("write", steps, size, answer)

    def ask(self, method: str, arguments: Sequence[Any], answer: Answer) -> None:
        self._request(method, arguments, 0, answer)

    def close(self) -> None:
        self._closing = True
        if self._process is None:
            return
        try:
            self._socket.setblocking(True)
            self._socket.settimeout(END_TIMEOUT_S)
            for part in self._out:
                self._socket.sendall(part)
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            log.error("events that were done may be run again when %s is opened next: %s", self._database, error)
        self._end()

    def detach(self) -> None:
        self._closing = True
        if self._attached:
            self._attached = False
            self._loop.remove_reader(self._socket.fileno())
            self._stop_writing()

    def _request(self, method: str, arguments: Sequence[Any], size: int, answer: Answer) -> None:
        if self._closing:
            return
        self._number += 1
        packed: bytes = self._packer.pack([self._number, method, arguments])
        self._unanswered[self._number] = packed, size, answer
        self.waiting_bytes += size
        if self._process is None:
            self._again()
        else:
            self._send(packed)

    def _send(self, packed: bytes) -> None:
        if not self._attached:
            return
        if self._out:
            self._out.append(memoryview(packed))
            return
        try:
            sent = self._socket.send(packed)
        except BlockingIOError:
            sent = 0
        except OSError:  # it is gone: the reader is told as well, and starts another
            return
        if sent < len(packed):
            self._out.append(memoryview(packed)[sent:])
            self._writing = True
            self._loop.add_writer(self._socket.fileno(), self._writable)

    def _writable(self) -> None:
        try:
            while self._out:
                part = self._out[0]
                sent = self._socket.send(part[:SEND_BYTES])
                if sent == len(part):
                    self._out.popleft()
                else:
                    self._out[0] = part[sent:]
        except BlockingIOError:
            return
        except OSError:
            self._out.clear()
        self._stop_writing()

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._socket.fileno())

    def _readable(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        self._unpacker.feed(data)
        for number, error, result in self._unpacker:
            if number == 0 and error is not None:
                self._refuse_all(error)
            known = self._unanswered.pop(number, None)
            if known is not None:
                self._deaths = 0
                self.waiting_bytes -= known[1]
                known[2](error, result)

    def _refuse_all(self, error: str) -> None:
        """The file cannot be opened."""
        log.error("%s", error)
        unanswered, self._unanswered, self.waiting_bytes = self._unanswered, {}, 0
        for _, _, answer in unanswered.values():
            answer(error, None)

    def _lost(self) -> None:
        """It died: start another, and tell that one what had no answer."""
        self._loop.remove_reader(self._socket.fileno())
        self._stop_writing()
        self._attached = False
        self._out.clear()
        self._end()
        if not self._closing:
            self._deaths += 1
            log.error("the keeper of events (process %s) ended: another is started", self.pid)
            wait_s = min(RESTART_MOST_S, RESTART_FIRST_S * 2 ** min(self._deaths - 1, 10))
            self._timing.after(0.0 if self._deaths == 1 else wait_s, self._again)

    def _again(self) -> None:
        if self._closing:
            return
        try:
            self._start()
        except ServiceException as error:
            log.error("%s", error)
            self._deaths += 1
            self._timing.after(RESTART_MOST_S, self._again)
            return
        self.attach()
        for packed, _, _ in list(self._unanswered.values()):
            self._send(packed)

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        _close_in_children(ours, theirs)
        program = Path(__file__).resolve().parents[2] / "store" / "event_keeper.py"
        arguments = [str(program.parents[2]), str(theirs.fileno()), str(self._database)]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-X", "utf8", str(program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise ServiceException(f"the keeper of {self._database} cannot be started: {error}") from error
        finally:
            theirs.close()
        self._socket = ours
        self._unpacker = msgpack.Unpacker(raw=False, max_buffer_size=0, strict_map_key=False)

    def _end(self) -> None:
        """Wait for the process; where it does not end, end it."""
        assert self._process is not None
        try:
            self._process.wait(END_TIMEOUT_S if self._closing else 0.2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._socket.close()


def _close_in_children(*ends: socket.socket) -> None:
    """Have processes that are forked from this one close their copies: a keeper ends once nobody has the other end."""
    known = [weakref.ref(end) for end in ends]

    def close() -> None:
        for end in known:
            if (held := end()) is not None:
                held.close()

    os.register_at_fork(after_in_child=close)
