"""A runtime's process that is started before anybody knows for which function: the blank's half of it.

What is started is a bootstrap of the engine's own, which loads what costs time and then asks for its assignment. It is
confined for good before it starts. Its blank keeps its rights until there is a function: the two share their mounts, so
that the function's code appears before both. The blank gives its rights up before the assignment is answered.
"""

from __future__ import annotations

import os
import resource
import socket
from typing import NamedTuple

from ..sandbox import root
from ..sandbox.jail import Jail
from . import environment, surroundings
from .runtime_api import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FDS_MOST = 1 << 20
CANNOT_RUN = 127


class Primed(NamedTuple):
    """`channel_fd`: the shim's end of it. `log_fd`: where the process's output goes."""

    pid: int
    channel_fd: int
    log_fd: int


def start(jail: Jail, order: dict[str, Any], places: dict[str, str], log_fd: int) -> Primed:
    """Start what `order` says. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    pid = os.fork()
    if pid == 0:
        try:
            _become(jail, order, places, theirs.fileno(), log_fd)
        finally:
            os._exit(CANNOT_RUN)
    theirs.close()
    return Primed(pid, ours.detach(), log_fd)


def _become(jail: Jail, order: dict[str, Any], places: dict[str, str], channel_fd: int, log_fd: int) -> None:
    """In the new process: its place, no rights, its program. Its control socket and all else is closed on the way."""
    runtime = order["runtime"]
    command = [process.filled(part, places) for part in runtime["command"]]
    own = {name: process.filled(value, places) for name, value in runtime["variables"].items()}
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    jail.confine(order["room"]["uid"], readable=[])
    os.dup2(channel_fd, process.CHANNEL_FD)
    os.closerange(process.CHANNEL_FD + 1, FDS_MOST)
    resource.setrlimit(resource.RLIMIT_NOFILE, (environment.OPEN_FILES_MAX, environment.OPEN_FILES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    process.restore_signals()
    os.chdir("/")
    basics = surroundings.replaceable(root.TASK, root.RUNTIME, runtime["language_root"], root.LAYERS)
    os.execve(command[0], command, {**basics, **own})
