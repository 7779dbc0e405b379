"""Looks for what is not its own: files, variables, processes, memory, descriptors."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import signal
from typing import Any

from attempts import said

SECRET = re.compile(rb"sesame-[0-9a-f]{32}")
LARGEST = 4 << 20
OF_THE_HOST = ("/usr", "/var/lang", "/var/runtime", "/proc", "/etc/ssl", "/etc/alternatives", "/etc/ca-certificates")
LIBC = ctypes.CDLL(None, use_errno=True)


def reads(*, paths: list[str]) -> dict[str, str]:
    return {path: said(lambda path=path: _look_at(path)) for path in paths}


def _look_at(path: str) -> None:
    if os.path.isdir(path):
        os.listdir(path)
    else:
        with open(path, "rb") as file:
            file.read(1)


def writes(*, paths: list[str]) -> dict[str, list[str]]:
    """Opening to write, changing the mode, removing."""
    ways = (lambda path: os.close(os.open(path, os.O_WRONLY)), lambda path: os.chmod(path, 0o777), os.unlink)
    return {path: [said(lambda path=path, way=way: way(path)) for way in ways] for path in paths}


def makes(*, folders: list[str]) -> dict[str, str]:
    return {folder: said(lambda folder=folder: open(f"{folder}/new", "w").close()) for folder in folders}


def finds_secrets(*, mine: str) -> dict[str, Any]:
    """Every secret in any file that it can read, in any process's variables, and in its own memory."""
    found = {where: sorted(look()) for where, look in SEARCHES.items()}
    return {"found": found, "mine": mine}


def _in_files() -> set[str]:
    secrets: set[str] = set()
    for folder, folders, files in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in OF_THE_HOST]
        for name in files:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and os.path.getsize(path) <= LARGEST:
                secrets |= _in_file(path)
    return secrets


def _in_processes() -> set[str]:
    pids = [name for name in os.listdir("/proc") if name.isdigit()]
    return set().union(*(_in_file(f"/proc/{pid}/{file}") for pid in (*pids, "1") for file in ("environ", "cmdline")))


def _in_file(path: str) -> set[str]:
    try:
        with open(path, "rb") as file:
            return {secret.decode() for secret in SECRET.findall(file.read(LARGEST))}
    except OSError:
        return set()


def _in_own_memory() -> set[str]:
    """What the process it was forked from knew would be here."""
    secrets: set[str] = set()
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in maps.readlines():
            edges, rights, *_ = line.split()
            start, end = (int(edge, 16) for edge in edges.split("-"))
            if "r" in rights and "memfd" not in line and "[v" not in line and end - start <= 1 << 28:
                try:
                    memory.seek(start)
                    secrets |= {secret.decode() for secret in SECRET.findall(memory.read(end - start))}
                except OSError:
                    continue
    return secrets


SEARCHES = {"files": _in_files, "processes": _in_processes, "own memory": _in_own_memory}


def signals(*, pids: dict[str, int]) -> dict[str, str]:
    """SIGKILL to each; -1 is everybody."""
    return {name: said(lambda pid=pid: os.kill(pid, signal.SIGKILL)) for name, pid in pids.items()}


def looks_into(*, pids: dict[str, int]) -> dict[str, list[str]]:
    """Attach, read memory by call and by file, take a descriptor, open its folder of descriptors."""
    return {name: _ways_into(pid) for name, pid in pids.items()}


def _ways_into(pid: int) -> list[str]:
    space = ctypes.create_string_buffer(8)
    local = (ctypes.c_size_t * 2)(ctypes.addressof(space), 8)
    return [
        _errno(LIBC.ptrace(16, pid, 0, 0)),
        _errno(LIBC.process_vm_readv(pid, local, 1, local, 1, 0)),
        _errno(LIBC.process_vm_writev(pid, local, 1, local, 1, 0)),
        said(lambda: open(f"/proc/{pid}/mem", "rb").close()),
        said(lambda: os.listdir(f"/proc/{pid}/fd")),
        said(lambda: open(f"/proc/{pid}/environ", "rb").close()),
    ]


def _errno(result: int) -> str:
    return "done" if result >= 0 else errno.errorcode[ctypes.get_errno()]


def descriptors() -> dict[str, Any]:
    """Its own, and those that a child of its inherits."""
    read_fd, write_fd = os.pipe()
    if os.fork() == 0:
        os.dup2(write_fd, 1)
        os.execv("/bin/ls", ["ls", "/proc/self/fd"])
    os.close(write_fd)
    with os.fdopen(read_fd) as told:
        child = [int(number) for number in told.read().split()]
    os.wait()
    return {"own": {number: _link(number) for number in os.listdir("/proc/self/fd")}, "child": child}


def _link(number: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except FileNotFoundError:
        return "gone"


def sees() -> dict[str, Any]:
    """What /proc shows: processes, mounts, users."""
    import pwd

    with open("/proc/self/mountinfo") as mounts, open("/etc/passwd") as users:
        return {
            "pids": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
            "mounts": [line.split()[4] for line in mounts],
            "root": sorted(os.listdir("/")),
            "dev": sorted(os.listdir("/dev")),
            "homes": sorted({line.split(":")[5] for line in users}),
            "own name": pwd.getpwuid(os.getuid()).pw_name,
            "hostname": os.uname().nodename,
            "cwd": os.getcwd(),
            "own pid": os.getpid(),
        }


def parent_pid() -> int:
    """Of who started it; /proc need not show it."""
    return os.getppid()


def imports_late() -> dict[str, str]:
    """Parts of packages that the interpreter had loaded before it came here."""
    import encodings.idna
    import importlib.metadata
    import json.tool
    import logging.handlers

    late = (encodings.idna, importlib.metadata, json.tool, logging.handlers)
    return {one.__name__: str(one.__file__) for one in (*late, logging, os)}
