"""The zygote: a bare, single-threaded interpreter that environments are forked from. Started by path, not imported.

It takes one order per message on a socketpair, with the descriptors that the new environment needs, and reports each
fork (with a pidfd) and each end (with the wait status, after everything the environment left behind is gone too). It
ends, and takes all its children with it, when the engine's socket closes or the engine's process is gone.

Environments adopt their own orphans (PR_SET_CHILD_SUBREAPER), and so does the zygote: when an environment ends,
whatever it started becomes the zygote's child, is unknown here, and is killed.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import time
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ORDER_BYTES = 131_072  # an order holds 4 KB of variables and a few paths
ORDER_FDS = 16
LAST_WORDS_S = 5.0
# What the worker itself needs, and what nearly every function imports.
PRELOADED = (
    "base64", "collections.abc", "datetime", "decimal", "logging", "re", "traceback", "engine.worker.environment",
)  # fmt: skip


def _preload(package_parent: str, library_folders: list[str]) -> None:
    """Import what every environment needs, then take the engine's folders off the path again."""
    plain = list(sys.path)
    sys.path[:0] = [package_parent, *library_folders]
    for module in PRELOADED:
        import_module(module)
    sys.path[:] = plain
    sys.path_importer_cache.clear()


class Zygote:
    """`children` maps a pid to (the order's key, or None for an orphan; its pidfd)."""

    def __init__(self, control: socket.socket, host_pid: int) -> None:
        self.control = control
        self.host_pidfd = os.pidfd_open(host_pid)
        self.children: dict[int, tuple[int | None, int]] = {}
        self.by_pidfd: dict[int, int] = {}
        self.poll = select.epoll()
        self.poll.register(control, select.EPOLLIN)
        self.poll.register(self.host_pidfd, select.EPOLLIN)

    def serve(self) -> None:
        """Work until the engine is gone."""
        while True:
            for fd, _ in self.poll.poll():
                if fd == self.host_pidfd:
                    return
                if fd == self.control.fileno():
                    if not self.take_order():
                        return
                elif fd in self.by_pidfd:
                    self.child_ended(self.by_pidfd[fd])

    def take_order(self) -> bool:
        """Obey one order. False when the engine has closed its end."""
        message, fds, _, _ = socket.recv_fds(self.control, ORDER_BYTES, ORDER_FDS)
        if not message:
            return False
        order = json.loads(message)
        try:
            self.fork(order, fds)
        except OSError as error:
            self.tell({"failed": order["key"], "error": str(error)})
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def fork(self, order: dict[str, Any], fds: list[int]) -> None:
        zygote_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = _run_environment(order, fds, zygote_pid)
            finally:
                os._exit(code)
        pidfd = self.adopt(pid, order["key"])
        self.tell({"forked": order["key"], "pid": pid}, [pidfd])

    def adopt(self, pid: int, key: int | None) -> int:
        pidfd = os.pidfd_open(pid)
        self.children[pid] = (key, pidfd)
        self.by_pidfd[pidfd] = pid
        self.poll.register(pidfd, select.EPOLLIN)
        return pidfd

    def child_ended(self, pid: int) -> None:
        key, pidfd = self.children.pop(pid)
        del self.by_pidfd[pidfd]
        self.poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        self.kill_orphans()
        if key is not None:
            self.tell({"ended": key, "status": status})

    def kill_orphans(self) -> None:
        """Children nobody ordered were left behind by an environment that has ended."""
        for pid in _children_of_self():
            if pid not in self.children:
                self.adopt(pid, None)
                os.kill(pid, signal.SIGKILL)

    def tell(self, reply: dict[str, Any], fds: list[int] | None = None) -> None:
        try:
            socket.send_fds(self.control, [json.dumps(reply).encode()], fds or [])
        except OSError:
            pass  # the engine is gone: the loop sees its socket closed

    def end_all(self) -> None:
        """Kill every child and whatever they leave behind, for `LAST_WORDS_S` at most."""
        deadline = time.monotonic() + LAST_WORDS_S
        for pid in self.children:
            os.kill(pid, signal.SIGKILL)
        while self.children and time.monotonic() < deadline:
            for fd, _ in self.poll.poll(0.1):
                if fd in self.by_pidfd:
                    self.child_ended(self.by_pidfd[fd])
            self.kill_orphans()


def _children_of_self() -> list[int]:
    pid = os.getpid()
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as listing:
            return [int(word) for word in listing.read().split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and _parent_of(name) == pid]


def _parent_of(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return int(stat.read().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return -1


def _run_environment(order: dict[str, Any], fds: list[int], zygote_pid: int) -> int:
    from engine.worker.environment import run

    return run(order, fds, zygote_pid)


def main() -> None:
    package_parent, control_fd, host_pid, *library_folders = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _preload(package_parent, library_folders)
    from engine._ext.linux import adopt_orphans

    adopt_orphans()
    zygote = Zygote(socket.socket(fileno=int(control_fd)), int(host_pid))
    sys.argv[1:] = []
    gc.collect()
    gc.freeze()
    zygote.tell({"ready": os.getpid()})
    zygote.serve()
    zygote.end_all()


if __name__ == "__main__":
    main()
