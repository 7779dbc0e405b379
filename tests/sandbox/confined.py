"""Forked children that give something up for real, then answer a question; and raw system calls for them."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine._ext import confine
from engine.sandbox import seccomp

NOBODY = 65534
EVERYTHING = -1  # an argument that no call takes for a good pointer, descriptor or flag
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long


def in_child(question: Callable[[], Any], *steps: Callable[[], object]) -> Any:
    """What `question` answers in a forked child, as JSON gives it back, after these steps. Its failure is ours."""
    answer, status = outcome(question, *steps)
    assert status == 0, f"{answer or 'no answer'} (wait status {status})"
    return json.loads(answer)


def outcome(question: Callable[[], Any], *steps: Callable[[], object]) -> tuple[str, int]:
    """The JSON that the child wrote, or its traceback, and its wait status."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _answer(question, steps, writer)
    os.close(writer)
    with open(reader) as pipe:
        text = pipe.read()
    return text, os.waitpid(pid, 0)[1]


def _answer(question: Callable[[], Any], steps: tuple[Callable[[], object], ...], writer: int) -> None:
    code = 1
    try:
        os.setsid()
        for step in steps:
            step()
        text = json.dumps(question())
        code = 0
    except BaseException:  # noqa: BLE001  # told to the parent, which fails by it
        text = traceback.format_exc()
    finally:
        os.write(writer, text.encode())
        os._exit(code)


def become_nobody() -> None:
    """As any other user this stays that user: there is nothing more to give up."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def filtered() -> None:
    confine.no_new_privileges()
    confine.install_filter(seccomp.program())


def call(number: int, *arguments: Any) -> str:
    """A system call by its number: the name of its error, or "done"."""
    ctypes.set_errno(0)
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = LIBC.syscall(ctypes.c_long(number), *wide)
    return "done" if result >= 0 else errno.errorcode[ctypes.get_errno()]


def name_call(name: str, *arguments: Any) -> str:
    return call(numbers()[name], *arguments)


def numbers() -> dict[str, int]:
    """The numbers of the calls that the filter names, on this machine."""
    column = seccomp.MACHINES[os.uname().machine].column
    found = {name: both[column] for name, both in seccomp.NUMBERS.items()}
    return found | (seccomp.NUMBERS_X86_64_ONLY if column == 0 else {})


def has_every_capability() -> bool:
    """Whether nothing but a filter stands between this process and the host."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    return int(status_field("CapEff"), 16).bit_count() >= last  # a container host may lack one


def status_field(name: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))
