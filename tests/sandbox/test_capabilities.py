"""Capabilities, new privileges and dumpability, given up for real in forked children."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from confined import become_nobody, call, has_every_capability, in_child, name_call, status_field

from engine._ext import confine

SETS = ("CapInh", "CapPrm", "CapEff", "CapAmb")
ADMIN = 21  # CAP_SYS_ADMIN
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2


def held() -> dict[str, int]:
    return {name: int(status_field(name), 16) for name in SETS}


def refusal(action: object) -> str:
    try:
        assert callable(action)
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def test_every_set_is_empty_afterwards_for_any_user() -> None:
    for user in (lambda: None, become_nobody):
        assert in_child(held, user, confine.clear_capabilities) == dict.fromkeys(SETS, 0)


def test_what_root_may_do_ends_with_its_capabilities() -> None:
    def ask() -> str:
        return refusal(lambda: socket.sethostname(socket.gethostname()))

    assert in_child(ask, confine.clear_capabilities) == "EPERM"
    if has_every_capability():
        assert in_child(ask) == "done"


def test_execve_as_root_gives_nothing_back_once_the_bounding_set_is_empty() -> None:
    def ask() -> str:
        command = ["sh", "-c", "grep -E 'CapEff|CapBnd' /proc/self/status"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    if has_every_capability():
        assert set(in_child(ask, confine.drop_bounding_set, confine.clear_capabilities).split()[1::2]) == {"0" * 16}
        assert set(in_child(ask, confine.clear_capabilities).split()[1::2]) != {"0" * 16}


def test_the_bounding_set_takes_a_capability_to_empty() -> None:
    assert in_child(lambda: refusal(confine.drop_bounding_set), confine.clear_capabilities) == "EPERM"


def test_dropping_the_bounding_set_leaves_the_dropper_what_it_has() -> None:
    if has_every_capability():
        before = in_child(held)
        assert in_child(held, confine.drop_bounding_set) == before


def test_ambient_capabilities_go_too() -> None:
    def raise_ambient() -> None:
        header, sets = (0x20080522).to_bytes(4, "little") + b"\0" * 4, (1 << ADMIN).to_bytes(4, "little") * 3
        capset = {"x86_64": 126, "aarch64": 91}[os.uname().machine]
        assert call(capset, header, sets + b"\0" * 12) == "done"
        assert name_call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, ADMIN, 0, 0) == "done"
        assert held()["CapAmb"] == 1 << ADMIN

    if has_every_capability():
        assert in_child(held, raise_ambient, confine.clear_capabilities) == dict.fromkeys(SETS, 0)


def test_a_setuid_program_gives_its_caller_nothing() -> None:
    if not has_every_capability():
        return  # only root can make a program that is setuid root
    places = [place for place in ("/var/tmp", "/tmp", "/dev/shm") if not os.statvfs(place).f_flag & os.ST_NOSUID]
    folder = Path(tempfile.mkdtemp(dir=places[0]))
    folder.chmod(0o755)
    program = folder / "id"
    try:
        shutil.copy("/usr/bin/id", program)
        program.chmod(0o4755)

        def ask() -> str:
            return subprocess.run([program, "-u"], capture_output=True, text=True, check=True).stdout.strip()

        assert in_child(ask, become_nobody) == "0"
        assert in_child(ask, become_nobody, confine.no_new_privileges) == "65534"
    finally:
        shutil.rmtree(folder)


def test_who_is_not_dumpable_is_not_looked_into_by_the_same_user() -> None:
    def ask() -> list[str]:
        answers = []
        for value in (True, False):
            confine.set_dumpable(value)
            owner = os.getpid()
            answers.append(in_child(lambda owner=owner: refusal(lambda: os.listdir(f"/proc/{owner}/fd"))))  # type: ignore[misc]
        return answers

    assert in_child(ask, become_nobody) == ["done", "EACCES"]
