"""The runtime's process: what is run, how it is started, and how the shim ends as it ended."""

from __future__ import annotations

import os
import resource
import signal
import stat
from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .loop import Loop

CHANNEL_FD = 3
WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"
BOOTSTRAP = "{bootstrap}"
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)


class EntrypointError(Exception):
    """There is nothing to run; the message is Lambda's."""


def command_of(runtime: Mapping[str, Any], places: Mapping[str, str], variables: Mapping[str, str]) -> list[str]:
    """What is to be run. Raises EntrypointError where that is not there.

    runtime: the order's. places: where each placeholder's folder is.
    """
    template = list(runtime["command"])
    if template == [BOOTSTRAP]:
        return [_bootstrap(places)]
    command = [filled(part, places) for part in template]
    wrapper = variables.get(WRAPPER)
    return [wrapper, *command] if wrapper else command


def filled(text: str, places: Mapping[str, str]) -> str:
    """With folders in place of their names in braces."""
    for name, folder in places.items():
        text = text.replace(f"{{{name}}}", folder)
    return text


def _bootstrap(places: Mapping[str, str]) -> str:
    candidates = [f"{places[where]}/bootstrap" for where in ("task", "opt")]
    for path in candidates:
        if os.path.isfile(path):
            return path
    raise EntrypointError(f"Couldn't find valid bootstrap(s): [{' '.join(candidates)}]")


def start(
    command: list[str],
    variables: Mapping[str, str],
    channel_fd: int | None = None,
    *,
    output_fd: int | None = None,
    leads_group: bool = False,
) -> int:
    """The pid of the process that runs it. EntrypointError where it cannot be run.

    output_fd: its stdout and stderr, the shim's own without it. leads_group: all that it starts can be ended with it.
    """
    actions = [] if channel_fd is None else [(os.POSIX_SPAWN_DUP2, channel_fd, CHANNEL_FD)]
    if output_fd is not None:
        actions += [(os.POSIX_SPAWN_DUP2, output_fd, number) for number in (1, 2)]
    group: dict[str, Any] = {"setpgroup": 0} if leads_group else {}
    try:
        return os.posix_spawnp(
            command[0], command, variables, file_actions=actions, setsigdef=IGNORED_BY_PYTHON, setsigmask=(), **group
        )
    except OSError as error:
        raise EntrypointError(f"fork/exec {command[0]}: {_reason(command[0], error)}") from error


def has_ended(pid: int) -> bool:
    """Whether a child has ended already; it is reaped then."""
    return os.waitpid(pid, os.WNOHANG)[0] == pid


def restore_signals() -> None:
    """Before an execve: what Python ignores, other programs are not to."""
    for number in IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)


def on_end(loop: Loop, pid: int, call: Callable[[int], object]) -> None:
    """Reap a child when it has ended, and hand on its wait status."""
    pidfd = os.pidfd_open(pid)

    def ended(_: int) -> None:
        loop.forget(pidfd)
        os.close(pidfd)
        call(os.waitpid(pid, 0)[1])

    loop.watch(pidfd, ended)


def _reason(path: str, error: OSError) -> str:
    """In Go's words, as Lambda tells it. A script without its interpreter looks like a file that is not there."""
    if isinstance(error, FileNotFoundError) and os.path.isfile(path):
        return (
            f"no such file or directory: what its first line names, or the loader that it needs, is not here ({path})"
        )
    if isinstance(error, PermissionError) and not os.stat(path).st_mode & stat.S_IXUSR:
        return "permission denied: the file is not executable; chmod +x it before it is put into the zip"
    return (error.strerror or str(error)).lower()


def end_as(status: int) -> int:
    """End this process as the one that left this wait status did: the exit status, or its signal here and now."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    return os.waitstatus_to_exitcode(status) & 0xFF
