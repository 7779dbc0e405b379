"""F3: the engine's end of a zygote: starting it, sending it orders, hearing what became of them. And of its blanks."""

from __future__ import annotations

import array
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import WorkerStartError
from ..wire.peer import UCRED

START_TIMEOUT_S = 30.0
END_TIMEOUT_S = 10.0
REPLY_BYTES = 65_536
FDS_MAX = 4

Reply = Callable[[dict[str, Any], list[int]], None]


class Facts(NamedTuple):
    """What a zygote puts around environments: by what each part is enforced, or why it is not."""

    enforced: dict[str, str]
    missing: dict[str, str]
    memory_kb: int = 0  # resident in the zygote, shared by all environments


class ZygoteLink:
    """One zygote process. Descriptors that come with a reply belong to whoever `on_reply` is."""

    def __init__(self, on_reply: Reply) -> None:
        self._on_reply = on_reply
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = _spawn(theirs)
        except OSError as error:
            ours.close()
            raise WorkerStartError(f"cannot start {sys.executable}: {error}") from error
        finally:
            theirs.close()
        ours.setblocking(False)
        self._socket = ours
        self._pidfd = os.pidfd_open(self._process.pid)

    def plan(self, plan: dict[str, Any], frozen: Path | None) -> None:
        """Tell it what to put around environments: its first order. OSError when it has ended already.

        frozen: where the frozen must be thawed should this process be killed, for they do not die before.
        """
        fds = [] if frozen is None else [os.open(frozen, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
        try:
            socket.send_fds(self._socket, [json.dumps(plan).encode()], fds)
        finally:
            for fd in fds:
                os.close(fd)

    def wait_ready(self) -> Facts:
        """Block until it can fork. Raises WorkerStartError with what it said on stderr."""
        if readable(self._socket.fileno(), START_TIMEOUT_S) and (said := self._first_word()):
            ready = json.loads(said)
            return Facts(ready["enforced"], ready["missing"], ready["memory_kb"])
        self._process.kill()
        _, said = self._process.communicate()
        self.close()
        raise WorkerStartError(f"the worker interpreter {sys.executable} did not start: {said.decode().strip()}")

    def _first_word(self) -> bytes:
        try:
            return self._socket.recv(REPLY_BYTES)
        except ConnectionError:  # it ended with its plan unread
            return b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        """Readable when there is a reply."""
        return self._socket.fileno()

    def order(self, order: dict[str, Any], fds: Sequence[int]) -> None:
        """Send an order. OSError when the zygote is gone or its queue of orders is full (EAGAIN)."""
        socket.send_fds(self._socket, [json.dumps(order).encode()], fds)

    def take_replies(self) -> bool:
        """Hand every reply there is to `on_reply`. False when the zygote is gone."""
        while True:
            try:
                said = receive(self._socket, REPLY_BYTES)
            except BlockingIOError:
                return True
            except ConnectionError:
                return False
            if not said.message:
                return False
            self._on_reply(json.loads(said.message), said.fds)

    def close(self) -> None:
        """End it and everything it forked, and wait until that is done."""
        if self._socket.fileno() < 0:
            return
        self._socket.close()
        if not readable(self._pidfd, END_TIMEOUT_S):
            self._process.kill()
        try:
            self._process.wait()
        finally:
            os.close(self._pidfd)
            if self._process.stderr is not None:
                self._process.stderr.close()


class Received(NamedTuple):
    """A message, its descriptors, and who sent it, −1 where that was not asked for (SO_PASSCRED)."""

    message: bytes
    fds: list[int]
    sender: int


def receive(ours: socket.socket, most: int) -> Received:
    """One message. Its descriptors are closed on exec from the start: `socket.recv_fds` does not pass its flags on."""
    fds, sender = array.array("i"), -1
    room = socket.CMSG_SPACE(FDS_MAX * fds.itemsize) + socket.CMSG_SPACE(UCRED.size)
    message, ancillary, _, _ = ours.recvmsg(most, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            sender = UCRED.unpack(data[: UCRED.size])[0]
    return Received(message, list(fds), sender)


def readable(fd: int, within_s: float) -> bool:
    """Wait for a descriptor of any number: select(2) takes none above 1,023."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(within_s * 1_000))


def _spawn(theirs: socket.socket) -> subprocess.Popen[bytes]:
    package = Path(__file__).resolve().parent.parent
    arguments = [str(package.parent), str(theirs.fileno()), str(os.getpid()), *library_folders()]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "utf8", str(package / "worker" / "zygote.py"), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"},
        pass_fds=(theirs.fileno(),),
        start_new_session=True,
    )


def library_folders() -> list[str]:
    """Where the one library is that the worker itself uses."""
    spec = find_spec("simplejson")
    if spec is None or spec.origin is None:
        raise WorkerStartError("simplejson is not installed: install invocation-engine with its dependencies")
    return [str(Path(spec.origin).parent.parent)]
