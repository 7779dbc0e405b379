"""F3: the engine's end of a courier, the process that sends parcels: starting it, feeding it, hearing what came of it.

boto3 is slow to import and large, and holds the interpreter's lock while it works: all of that is in the courier.
Everything here runs on the loop's thread and never waits, but for `close`. A courier is started for the first parcel,
ended once it has had nothing to do for a while, and started again for the parcel after a crash. Parcels that it had in
hand when it ended are answered with an error, though they may have arrived: who sends them again sends at least once.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

import msgpack

from ...clock import Timer
from ...errors import WorkerStartError
from .parcels import Parcel

IN_HAND_MAX: Final = 64
WAITING_MAX: Final = 10_000
WAITING_BYTES: Final = 268_435_456
PARCEL_BYTES: Final = 16_777_216
IDLE_S: Final = 60.0
END_TIMEOUT_S: Final = 10.0
READ_BYTES: Final = 65_536
ANSWERS_BYTES: Final = 1_048_576
LIBRARIES: Final = ("boto3", "msgpack")
# Credentials that are given stand alone: with another's session token they would be worth nothing.
CREDENTIAL_VARIABLES: Final = frozenset(
    f"AWS_{name}"
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "SECURITY_TOKEN", "PROFILE", "DEFAULT_PROFILE")
)
CLOSING: Final = "the engine is closing"

Done = Callable[[str | None], object]


class Loop(Protocol):
    """What of an asyncio or uvloop loop is used here."""

    def add_reader(self, fd: int, callback: Callable[..., Any], /) -> Any: ...
    def remove_reader(self, fd: int, /) -> Any: ...
    def add_writer(self, fd: int, callback: Callable[..., Any], /) -> Any: ...
    def remove_writer(self, fd: int, /) -> Any: ...
    def call_soon(self, callback: Callable[..., Any], /) -> Any: ...
    def call_later(self, delay: float, callback: Callable[..., Any], /) -> Timer: ...


class Courier:
    """Sends parcels. Its `done`s are called on the loop's thread, each once, never before `send` returns.

    endpoint_url: of all services; None leaves it to AWS_ENDPOINT_URL and its like. credentials: AWS_ACCESS_KEY_ID and
    so on; where there are none, boto3 looks where it always does.
    """

    def __init__(
        self, loop: Loop, *, endpoint_url: str | None, credentials: Mapping[str, str], idle_s: float = IDLE_S
    ) -> None:
        self._loop = loop
        self._endpoint_url = endpoint_url
        self._credentials = dict(credentials)
        self._idle_s = idle_s
        self._waiting: deque[tuple[Parcel, Done]] = deque()
        self._waiting_bytes = 0
        self._outcomes: deque[tuple[Done, str | None]] = deque()
        self._process: _Process | None = None
        self._ending: set[_Process] = set()
        self._idle: Timer | None = None
        self._stopped = False

    @property
    def pid(self) -> int | None:
        """Of the process that takes parcels now."""
        return None if self._process is None else self._process.pid

    def send(self, parcel: Parcel, done: Done) -> None:
        """Have it sent. `done` is told None, or what went wrong, which begins with the target's ARN."""
        refusal = self._refusal(parcel)
        if refusal is not None:
            self._tell(done, f"{parcel.target_arn}: {refusal}")
            return
        self._waiting.append((parcel, done))
        self._waiting_bytes += len(parcel.body)
        self._hand_over()

    def stop(self) -> None:
        """End the courier and answer everything with an error, now. `close` then waits for its end. Idempotent."""
        self._stopped = True
        self._stay()
        for process in {*self._ending, *filter(None, [self._process])}:
            self._ending.add(process)
            self._fail(process.abandon(), CLOSING)
        self._process = None
        self._refuse_waiting(CLOSING)
        while self._outcomes:
            self._tell_outcomes()

    def close(self) -> None:
        """Wait until no courier is left. From any thread, and on the loop's before `stop` it stops as well."""
        if not self._stopped:
            self.stop()
        while self._ending:
            self._ending.pop().wait()

    def _refusal(self, parcel: Parcel) -> str | None:
        size = len(parcel.body)
        if self._stopped:
            return CLOSING
        if size > PARCEL_BYTES:
            return f"the record has {size:,} bytes, and {PARCEL_BYTES:,} can be sent"
        if len(self._waiting) >= WAITING_MAX or self._waiting_bytes + size > WAITING_BYTES:
            return f"the queue of what is to be sent is full, with {len(self._waiting):,} parcels"
        return None

    def _hand_over(self) -> None:
        """Give the courier as much as it takes; where there is none, start it."""
        self._stay()
        while self._waiting:
            if self._process is None and not self._start():
                return
            if self._process is None or not self._process.has_room:
                return
            parcel, done = self._waiting.popleft()
            self._waiting_bytes -= len(parcel.body)
            self._process.take(parcel, done)

    def _start(self) -> bool:
        try:
            command, environment = _command(self._endpoint_url), _environment(self._credentials)
            self._process = _Process(self._loop, command, environment, self._tell, self._on_room, self._on_end)
        except (OSError, WorkerStartError) as error:
            self._refuse_waiting(f"the courier could not be started: {error}")
            return False
        return True

    def _on_room(self) -> None:
        self._hand_over()
        if self._process is not None and not self._process.in_hand and not self._waiting:
            self._idle = self._loop.call_later(self._idle_s, self._rest)

    def _on_end(self, process: _Process, how: str) -> None:
        if process in self._ending:  # it was told to
            self._ending.remove(process)
            return
        self._process = None
        self._fail(list(process.in_hand.values()), f"the courier ended ({how}) while it had this in hand")
        process.in_hand.clear()
        self._hand_over()

    def _rest(self) -> None:
        self._idle = None
        if self._process is not None:
            self._ending.add(self._process)
            self._process.cut()
            self._process = None

    def _stay(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _refuse_waiting(self, why: str) -> None:
        held = [(parcel.target_arn, done) for parcel, done in self._waiting]
        self._waiting.clear()
        self._waiting_bytes = 0
        self._fail(held, why)

    def _fail(self, held: list[tuple[str, Done]], why: str) -> None:
        for target_arn, done in held:
            self._tell(done, f"{target_arn}: {why}")

    def _tell(self, done: Done, error: str | None) -> None:
        self._outcomes.append((done, error))
        if len(self._outcomes) == 1:
            self._loop.call_soon(self._tell_outcomes)

    def _tell_outcomes(self) -> None:
        try:
            while self._outcomes:
                done, error = self._outcomes.popleft()
                done(error)
        finally:
            if self._outcomes:  # one of them raised
                self._loop.call_soon(self._tell_outcomes)


class _Process:
    """One courier process, and what it has in hand, by number."""

    def __init__(
        self,
        loop: Loop,
        command: list[str],
        environment: dict[str, str],
        tell: Callable[[Done, str | None], None],
        on_room: Callable[[], None],
        on_end: Callable[[_Process, str], None],
    ) -> None:
        self._loop, self._tell, self._on_room, self._on_end = loop, tell, on_room, on_end
        self._process, self._pidfd, self._socket = _spawn(command, environment)
        self._unpacker = msgpack.Unpacker(max_buffer_size=ANSWERS_BYTES)
        self._unsent = memoryview(b"")
        self._number = 0
        self.in_hand: dict[int, tuple[str, Done]] = {}
        loop.add_reader(self._socket.fileno(), self._read)
        loop.add_reader(self._pidfd, self._ended)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_room(self) -> bool:
        """One parcel is on its way through the socket at a time, so that no other is held twice."""
        return len(self.in_hand) < IN_HAND_MAX and not self._unsent and self._socket.fileno() >= 0

    def take(self, parcel: Parcel, done: Done) -> None:
        self._number += 1
        self.in_hand[self._number] = (parcel.target_arn, done)
        self._unsent = memoryview(msgpack.packb([self._number, parcel.to_map()]))
        if not self._write():
            self._loop.add_writer(self._socket.fileno(), self._on_writable)

    def cut(self) -> None:
        """Close this end, upon which the process ends."""
        fd = self._socket.fileno()
        if fd >= 0:
            self._loop.remove_reader(fd)
            self._loop.remove_writer(fd)
            self._socket.close()
            self._unsent = memoryview(b"")

    def abandon(self) -> list[tuple[str, Done]]:
        """Close this end and stop listening; gives back what was in hand. Only `wait` is left to do."""
        self.cut()
        self._loop.remove_reader(self._pidfd)
        held = list(self.in_hand.values())
        self.in_hand.clear()
        return held

    def wait(self) -> int:
        """Block until it has ended. Gives its return code."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if not poll.poll(END_TIMEOUT_S * 1_000):
            self._process.kill()
        os.close(self._pidfd)
        return self._process.wait()

    def _on_writable(self) -> None:
        if self._write():
            self._loop.remove_writer(self._socket.fileno())
            self._on_room()

    def _write(self) -> bool:
        """Whether everything is written that there was to write."""
        try:
            sent = self._socket.send(self._unsent, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        except OSError:  # it has ended, of which its pidfd tells
            sent = len(self._unsent)
        self._unsent = self._unsent[sent:]
        return not self._unsent

    def _read(self) -> None:
        if self._receive():
            self._on_room()
        elif self._socket.fileno() < 0:
            self._process.kill()  # it has ended, or is about to

    def _receive(self) -> bool:
        """Take in what it says. False where it says nothing now; at the end of it this end is closed, too."""
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.cut()
            return False
        self._unpacker.feed(data)
        for number, error in self._unpacker:
            self._tell(self.in_hand.pop(number)[1], error)
        return True

    def _ended(self) -> None:
        self._loop.remove_reader(self._pidfd)
        while self._receive():  # what it said before
            pass
        self.cut()
        code = self.wait()
        self._on_end(self, signal.Signals(-code).name if code < 0 else f"exit status {code}")


def _spawn(command: list[str], environment: dict[str, str]) -> tuple[subprocess.Popen[bytes], int, socket.socket]:
    """The process, its pidfd, and this end of its socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.setblocking(False)
    program, *arguments = command
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", program, str(theirs.fileno()), str(os.getpid()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    try:
        return process, os.pidfd_open(process.pid), ours
    except OSError:  # too many open files
        ours.close()
        process.kill()
        process.wait()
        raise


def _command(endpoint_url: str | None) -> list[str]:
    package = Path(__file__).resolve().parent.parent.parent
    return [str(package / "worker" / "courier.py"), endpoint_url or "", *_library_folders()]


def _library_folders() -> list[str]:
    """Where the courier's libraries are, should they lie where only this process looks."""
    folders: dict[str, None] = {}
    for name in LIBRARIES:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise WorkerStartError(f"{name} is not installed: install invocation-engine with its dependencies")
        folders[str(Path(spec.origin).parent.parent)] = None
    return list(folders)


def _environment(credentials: Mapping[str, str]) -> dict[str, str]:
    """As this process's own: boto3 finds regions, endpoints, profiles and proxies in many variables."""
    withheld = CREDENTIAL_VARIABLES if credentials else frozenset()
    return {name: value for name, value in os.environ.items() if name not in withheld} | dict(credentials)
