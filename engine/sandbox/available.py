"""F1: finds out, by doing it, what this host allows a zygote to put around environments. Runs once in each zygote.

Whatever could leave this process half changed is tried in a child first: a host that forbids one part (a container's
system call filter, a kernel without user namespaces) costs that part and no other.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Final

from .._ext import confine, namespaces
from . import interpreter, landlock, root, seccomp
from .contract import MechanismUnavailableError
from .jail import NAMESPACES, Jail, Plan

_BY_NAMESPACE: Final = {
    "files": "mount namespace: a read-only root with its own /tmp, Lambda's paths",
    "processes": "PID namespace: its own processes and no others",
    "ipc": "IPC namespace",
    "hostname": "UTS namespace",
    "network": 'network namespace of the function, for network="loopback" and "none"',
}
_TOLD_BYTES: Final = 4_096


def build_jail(plan: Plan) -> Jail:
    """Do what the host allows, and remember what it does not."""
    jail = Jail()
    jail.stdlib = plan.stdlib
    if plan.wanted == "off":
        parts = (*NAMESPACES, "users", "capabilities", "system calls", "file access")
        jail.missing = dict.fromkeys(parts, 'switched off by sandbox="off"')
        return jail
    is_root = os.geteuid() == 0
    below = None if is_root else _refused(_become_root_of_a_namespace)
    if not is_root and below is None:
        _become_root_of_a_namespace()
    for name, kind in NAMESPACES.items():
        named = [partial(namespaces.set_hostname, root.HOSTNAME)] if name == "hostname" else []
        why = below or _refused(partial(namespaces.unshare, kind), *named)
        _note(jail, name, _BY_NAMESPACE[name], why)
        if why is None and name != "network":
            jail.flags |= kind
    _build_root(jail, plan)
    _prepare_identity(jail, plan, is_root)
    _prepare_filters(jail)
    return jail


def _build_root(jail: Jail, plan: Plan) -> None:
    """With PID namespaces only: without, /proc would show the host's processes."""
    if "files" not in jail.enforced:
        return

    def build() -> None:
        namespaces.unshare(namespaces.NEWNS)
        uids = range(plan.uids[0], plan.uids[0] + plan.uids[1])
        root.build(
            store=plan.store,
            packages=plan.packages,
            prefix=plan.prefix,
            uids=uids,
            bootstraps=plan.bootstraps,
            cache=plan.cache,
            homes=plan.homes,
        )

    why = _refused(build, partial(_bear_one, jail)) if "processes" in jail.enforced else "no PID namespace"
    if why is None:
        build()
        _use_own_interpreter(jail, plan)
    else:
        del jail.enforced["files"]
        jail.flags &= ~namespaces.NEWNS
        jail.missing["files"] = why


def _use_own_interpreter(jail: Jail, plan: Plan) -> None:
    """Python is at Lambda's place now, for this process and all that come from it."""
    jail.stdlib = [root.LANGUAGE + folder.removeprefix(plan.prefix) for folder in plan.stdlib]
    sys.path[:] = jail.stdlib
    loaded = {folder: f"{root.RUNTIME}/{name}" for name, folder in plan.packages.items() if name in sys.modules}
    as_reached = {sys.base_prefix: root.LANGUAGE}  # perhaps through links
    interpreter.move(root.LANGUAGE, plan.executable, {**loaded, plan.prefix: root.LANGUAGE, **as_reached})


def _bear_one(jail: Jail) -> None:
    """An environment that ends at once. Raises OSError with what its init could not do."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid, _ = jail.bear(-1, theirs.fileno(), (), os.pidfd_open(os.getpid()))
    if pid == 0:
        os._exit(0)
    theirs.close()
    said = ours.recv(_TOLD_BYTES)
    os.waitpid(pid, 0)
    if said[:1] != b"S":
        raise OSError(said[1:].decode("utf-8", "replace") or "an environment's init ended without a word")


def _prepare_identity(jail: Jail, plan: Plan, is_root: bool) -> None:
    """Users, and what no process forked from here can ever gain."""
    why = None if is_root else "changing the user takes root: functions run as the engine's own"
    _note(jail, "users", f"a user of its own per function version, from uid {plan.uids[0]} on", why)
    why = _refused(confine.drop_bounding_set, confine.clear_capabilities)
    _note(jail, "capabilities", "none, and none to gain", why)
    if why is None:
        confine.drop_bounding_set()


def _prepare_filters(jail: Jail) -> None:
    program, why = _program()
    if program is not None:
        why = _refused(confine.no_new_privileges, partial(confine.install_filter, program))
    _note(jail, "system calls", "seccomp filter", why)
    abi = confine.landlock_abi()
    _note(jail, "file access", f"Landlock, {landlock.describe()}", None if abi else "this kernel has no Landlock")
    jail.use_filters(program if why is None else None, landlock=abi > 0)


def _program() -> tuple[bytes | None, str | None]:
    """The system call filter; else why there is none for this machine."""
    try:
        return seccomp.program(), None
    except MechanismUnavailableError as error:
        return None, str(error)


def _become_root_of_a_namespace() -> None:
    """All rights over namespaces made from here on, none over anything else."""
    uid, gid = os.geteuid(), os.getegid()
    namespaces.unshare(namespaces.NEWUSER)
    for file, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{file}", "w") as target:
            target.write(text)


def _note(jail: Jail, name: str, by: str, why_not: str | None) -> None:
    if why_not is None:
        jail.enforced[name] = by
    else:
        jail.missing[name] = why_not


def _refused(*steps: Callable[[], object]) -> str | None:
    """Why the host refuses these steps, tried in a child; None when it does not."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        told = b""
        try:
            for step in steps:
                step()
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is told
            told = (str(error) or repr(error)).encode()[:_TOLD_BYTES]
        os.write(write_fd, told)
        os._exit(0)
    os.close(write_fd)
    told = os.read(read_fd, _TOLD_BYTES)
    os.close(read_fd)
    _, status = os.waitpid(pid, 0)
    if status != 0:
        return f"the attempt ended with wait status {status}"
    return told.decode() or None
