"""The zygote: a bare, single-threaded interpreter that environments are forked from. Started by path, not imported.

It takes one message at a time on a socketpair: first the plan of the jail to put around environments, then orders to
fork one, each with the descriptors that the new process needs. It reports each fork, with a pidfd; what becomes of
that process is between it and the engine. It ends when the engine's socket closes or the engine's process is gone, and
the kernel ends everything it forked with it.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from engine.sandbox.jail import Jail

ORDER_BYTES = 65_536
ORDER_FDS = 16
AS_PYTHON_HAS_THEM = {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}
# What the worker itself needs, and what nearly every function imports.
PRELOADED = (
    "base64", "collections.abc", "datetime", "decimal", "logging", "re", "traceback", "engine.sandbox.available",
    "engine.worker.blank",
)  # fmt: skip


def _preload(package_parent: str, library_folders: list[str]) -> list[dict[str, Any]]:
    """Import what every environment needs, then take the engine's folders off the path again.

    Returns what is to be registered for forks in an environment. Between zygote and environment there is nothing for it
    to do, as the zygote has one thread: it would touch 200 pages, each of which would be a copy in every environment.
    """
    kept_back: list[dict[str, Any]] = []
    register, os.register_at_fork = os.register_at_fork, lambda **hooks: kept_back.append(hooks)
    plain = list(sys.path)
    sys.path[:0] = [package_parent, *library_folders]
    for module in PRELOADED:
        import_module(module)
    sys.path[:] = plain
    sys.path_importer_cache.clear()
    os.register_at_fork = register
    return kept_back


class Zygote:
    """One process that forks others."""

    def __init__(self, control: socket.socket, host_pid: int, fork_hooks: list[dict[str, Any]]) -> None:
        from engine._ext import linux
        from engine.worker import blank, environment

        self.bear, self.make_worker, self.trim_heap = blank.bear, environment.Worker, linux.trim_heap
        self.fork_hooks = fork_hooks
        self.control = control
        self.host_pidfd = os.pidfd_open(host_pid)
        self.own_pidfd = os.pidfd_open(os.getpid())

    def serve(self, jail: Jail) -> None:
        """Fork to order until the engine is gone. From here on nothing of the engine can be imported."""
        self.worker = self.make_worker(self.fork_hooks)
        sys.argv[1:] = []
        gc.collect()
        self.trim_heap()  # else each environment settles malloc's lists for itself, in copies of their pages
        gc.freeze()
        self.tell({"enforced": jail.enforced, "missing": jail.missing, "memory_kb": _resident_kb()})
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(self.host_pidfd, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self.host_pidfd in ready or not self.take_order(jail):
                return

    def take_order(self, jail: Jail) -> bool:
        """Obey one order. False when the engine has closed its end."""
        message, fds, _, _ = socket.recv_fds(self.control, ORDER_BYTES, ORDER_FDS)
        if not message:
            return False
        order = json.loads(message)
        try:
            self.fork(jail, order, fds)
        except OSError as error:
            self.tell({"failed": order["key"], "error": str(error)})
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def fork(self, jail: Jail, order: dict[str, Any], fds: list[int]) -> None:
        pid, pidfd = self.bear(jail, self.worker, order, fds, self.own_pidfd)
        self.tell({"forked": order["key"], "pid": pid}, [pidfd])
        os.close(pidfd)

    def tell(self, reply: dict[str, Any], fds: list[int] | None = None) -> None:
        try:
            socket.send_fds(self.control, [json.dumps(reply).encode()], fds or [])
        except OSError:
            pass  # the engine is gone: the loop sees its socket closed


def _resident_kb() -> int:
    with open("/proc/self/statm") as counts:
        return int(counts.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1_024


def main() -> None:
    package_parent, control_fd, host_pid, *library_folders = sys.argv[1:]
    for number in signal.valid_signals() - AS_PYTHON_HAS_THEM:  # whoever started the engine may ignore some
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    fork_hooks = _preload(package_parent, library_folders)
    from engine.sandbox.available import build_jail
    from engine.sandbox.jail import Plan
    from engine.sandbox.thaw import thaw_below

    zygote = Zygote(socket.socket(fileno=int(control_fd)), int(host_pid), fork_hooks)
    plan, frozen, _, _ = socket.recv_fds(zygote.control, ORDER_BYTES, 1)
    if not plan:
        return
    jail = build_jail(Plan(**json.loads(plan)))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for what ends here: the kernel reaps it
    zygote.serve(jail)
    for folder in frozen:  # the engine may have been killed
        thaw_below(folder)


if __name__ == "__main__":
    main()
