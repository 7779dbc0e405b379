"""The filter, installed for real: what it refuses by raw numbers, and how it answers a foreign architecture."""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import signal
import socket
import stat
import struct
from collections.abc import Callable
from typing import Any

import pytest
from confined import (
    EVERYTHING,
    LIBC,
    become_nobody,
    call,
    filtered,
    has_every_capability,
    in_child,
    name_call,
    numbers,
    outcome,
    status_field,
)

from engine._ext import confine
from engine.sandbox import seccomp
from engine.sandbox.contract import MechanismUnavailableError

USERS: dict[str, Callable[[], object]] = {"root": lambda: None, "nobody": become_nobody}
NEW = {
    "CLONE_NEWNS": 0x20000,
    "CLONE_NEWCGROUP": 0x2000000,
    "CLONE_NEWUTS": 0x4000000,
    "CLONE_NEWIPC": 0x8000000,
    "CLONE_NEWUSER": 0x10000000,
    "CLONE_NEWPID": 0x20000000,
    "CLONE_NEWNET": 0x40000000,
}
# What any user may ask, so that its answer without the filter is known whoever runs the tests.
OPEN_TO_ALL = {"ptrace", "process_vm_readv", "unshare", "setns", "mbind", "name_to_handle_at", "mount_setattr"}


@pytest.fixture(params=USERS)
def user(request: pytest.FixtureRequest) -> Callable[[], object]:
    return USERS[request.param]


def every(names: list[str]) -> dict[str, str]:
    return {name: call(numbers()[name], *[EVERYTHING] * 6) for name in names}


def test_every_refused_call_fails_with_eperm_and_only_because_of_the_filter(user: Callable[[], object]) -> None:
    names = [name for group in seccomp.REFUSED.values() for name in group if name in numbers()]
    assert in_child(lambda: every(names), user, filtered) == dict.fromkeys(names, "EPERM")
    without = in_child(lambda: every(names))
    expected = names if has_every_capability() else OPEN_TO_ALL
    assert {name for name in expected if without[name] == "EPERM"} == set()


def test_calls_that_have_an_older_way_are_unknown(user: Callable[[], object]) -> None:
    assert in_child(lambda: every(list(seccomp.UNKNOWN)), user, filtered) == dict.fromkeys(seccomp.UNKNOWN, "ENOSYS")
    assert in_child(lambda: every(["clone3"])) == {"clone3": "E2BIG"}


def test_a_call_newer_than_the_table_is_unknown_and_the_newest_is_not() -> None:
    def ask() -> list[str]:
        return [call(seccomp.NEWEST + step, *[EVERYTHING] * 6) for step in (1, 2, 1_000)]

    assert in_child(ask, filtered) == ["ENOSYS"] * 3
    newest = in_child(lambda: call(seccomp.NEWEST, *[EVERYTHING] * 6))
    assert in_child(lambda: call(seccomp.NEWEST, *[EVERYTHING] * 6), filtered) == newest


def forked_with(flags: int) -> str:
    """A raw clone that, without a stack of its own, returns twice, as fork does."""
    ctypes.set_errno(0)
    pid = LIBC.syscall(ctypes.c_long(numbers()["clone"]), *map(ctypes.c_long, (flags | signal.SIGCHLD, 0, 0, 0, 0)))
    if pid == 0:
        os._exit(0)
    if pid < 0:
        return errno.errorcode[ctypes.get_errno()]
    os.waitpid(pid, 0)
    return "forked"


def test_clone_makes_no_namespace_of_any_kind_alone_or_among_other_flags(user: Callable[[], object]) -> None:
    def ask() -> dict[str, list[str]]:
        return {name: [forked_with(flag), forked_with(flag | 0x80000000)] for name, flag in NEW.items()}

    assert in_child(ask, user, filtered) == {name: ["EPERM", "EPERM"] for name in NEW}
    assert in_child(lambda: forked_with(0), user, filtered) == "forked"
    if has_every_capability():
        assert in_child(lambda: {name: forked_with(flag) for name, flag in NEW.items()}) == dict.fromkeys(NEW, "forked")


def test_the_high_half_of_a_clone_flag_hides_nothing() -> None:
    assert in_child(lambda: forked_with(NEW["CLONE_NEWUSER"] | 1 << 40), filtered) == "EPERM"


def test_a_process_cannot_read_memory_by_pid_not_even_its_own() -> None:
    secret = ctypes.create_string_buffer(b"secret")
    into = ctypes.create_string_buffer(6)
    spans = [(ctypes.c_ulong * 2)(ctypes.addressof(one), 6) for one in (into, secret)]

    def ask() -> tuple[str, str]:
        said = name_call("process_vm_readv", os.getpid(), ctypes.byref(spans[0]), 1, ctypes.byref(spans[1]), 1, 0)
        return said, into.raw.decode()

    assert in_child(ask) == ["done", "secret"]
    assert in_child(ask, filtered) == ["EPERM", "\0" * 6]


def opened(family: int, kind: int, protocol: int = 0) -> str:
    try:
        socket.socket(family, kind, protocol).close()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "opened"


def test_only_unix_internet_and_route_sockets_open(user: Callable[[], object]) -> None:
    def ask() -> dict[int, str]:
        return {family: opened(family, socket.SOCK_DGRAM) for family in range(64)}

    answers = in_child(ask, user, filtered)
    allowed = {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}
    refused = {family: answer for family, answer in answers.items() if int(family) not in allowed}
    assert set(refused.values()) == {"EAFNOSUPPORT"}
    assert answers[str(int(socket.AF_UNIX))] == answers[str(int(socket.AF_INET))] == "opened"
    assert answers[str(int(socket.AF_NETLINK))] == "opened"
    if has_every_capability():
        assert in_child(lambda: opened(socket.AF_PACKET, socket.SOCK_DGRAM)) == "opened"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_internet_sockets_are_tcp_or_udp(family: int) -> None:
    packet, sctp, icmp = 10, socket.IPPROTO_SCTP, socket.IPPROTO_ICMP

    def ask() -> list[str]:
        asked = [(socket.SOCK_RAW, icmp), (packet, 0), (socket.SOCK_SEQPACKET, sctp), (socket.SOCK_STREAM, sctp)]
        return [opened(family, kind | socket.SOCK_CLOEXEC, protocol) for kind, protocol in asked]

    assert in_child(ask, filtered) == ["EPERM", "EPERM", "EPERM", "EPROTONOSUPPORT"]
    if has_every_capability():
        assert in_child(lambda: opened(socket.AF_INET, socket.SOCK_RAW, icmp)) == "opened"


def test_netlink_is_for_routes_only() -> None:
    def ask() -> list[str]:
        return [opened(socket.AF_NETLINK, socket.SOCK_RAW, protocol) for protocol in range(23)]

    assert in_child(ask, filtered) == ["opened"] + ["EPROTONOSUPPORT"] * 22
    assert "opened" in in_child(ask)[1:]


def test_only_unix_sockets_come_in_pairs() -> None:
    two = (ctypes.c_int * 2)()

    def ask() -> list[str]:
        families = (socket.AF_UNIX, socket.AF_INET, 30)  # 30 is AF_TIPC
        return [name_call("socketpair", family, socket.SOCK_STREAM, 0, ctypes.byref(two)) for family in families]

    assert in_child(ask, filtered) == ["done", "EAFNOSUPPORT", "EAFNOSUPPORT"]


def test_device_nodes_are_refused_and_pipes_are_not(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("nodes")
    here = -100  # AT_FDCWD

    def ask() -> list[str]:
        modes = {"null": stat.S_IFCHR, "disk": stat.S_IFBLK, "pipe": stat.S_IFIFO, "file": stat.S_IFREG}
        made = [(str(place / name).encode(), mode | 0o600) for name, mode in modes.items()]
        return [name_call("mknodat", here, path, mode, os.makedev(1, 3)) for path, mode in made]

    assert in_child(ask, filtered) == ["EPERM", "EPERM", "done", "done"]
    for made in place.iterdir():
        made.unlink()
    if has_every_capability():
        assert in_child(ask) == ["done"] * 4


def test_nothing_is_typed_into_a_terminal_and_other_requests_pass() -> None:
    leader, follower = os.openpty()
    size = struct.pack("4H", 24, 80, 0, 0)

    def ask() -> list[str]:
        requests = {0x5412: b"x", 0x541C: b"\2", 0x5423: struct.pack("i", 0), 0x5414: size}  # the last is TIOCSWINSZ
        return [name_call("ioctl", follower, request, given) for request, given in requests.items()]

    try:
        assert in_child(ask, filtered) == ["EPERM", "EPERM", "EPERM", "done"]
        assert "EPERM" not in in_child(ask)[2:]
    finally:
        os.close(leader)
        os.close(follower)


def test_personality_can_be_asked_and_not_changed() -> None:
    def ask() -> list[str]:
        return [name_call("personality", value) for value in (0xFFFFFFFF, 0, 0x0040000, 0x0400000)]

    assert in_child(ask, filtered) == ["done", "done", "EPERM", "EPERM"]  # ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC
    assert in_child(ask) == ["done"] * 4


def test_the_memory_map_cannot_be_rewritten_by_prctl() -> None:
    def ask() -> list[str]:
        return [name_call("prctl", option, EVERYTHING, 0, 0, 0) for option in (seccomp.PR_SET_MM, 3)]

    assert in_child(ask, filtered)[0] == "EPERM"
    assert in_child(ask, filtered)[1] == "done"  # PR_GET_DUMPABLE


def test_a_function_may_filter_itself_further_but_not_ask_to_be_told() -> None:
    allow_all = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)

    def ask() -> tuple[str, str]:
        confine.install_filter(allow_all)
        return status_field("Seccomp_filters"), name_call("seccomp", 1, seccomp.SECCOMP_FILTER_FLAG_NEW_LISTENER, 0)

    assert in_child(ask, filtered) == ["2", "EPERM"]
    assert in_child(lambda: name_call("seccomp", 1, seccomp.SECCOMP_FILTER_FLAG_NEW_LISTENER, 0)) == "EFAULT"


def getpid_by_int_0x80() -> int:
    """mov eax, 20 · int 0x80 · movsxd rax, eax · ret: getpid in the numbers of the 32-bit kernel interface."""
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\x48\x63\xc0\xc3")
    start = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return int(ctypes.CFUNCTYPE(ctypes.c_long)(start)())


def x32_getpid() -> int:
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(0x40000000 | 39))
    return result if result >= 0 else -ctypes.get_errno()


# aarch64 cannot call its 32-bit interface from 64-bit code.
FOREIGN: dict[str, list[Callable[[], int]]] = {"x86_64": [getpid_by_int_0x80, x32_getpid]}


def test_a_foreign_architecture_is_refused(user: Callable[[], object]) -> None:
    for ask in FOREIGN.get(os.uname().machine, []):
        answers: list[Any] = []
        for steps in ((user, filtered), (user,)):
            text, status = outcome(lambda ask=ask: [ask(), os.getpid()], *steps)  # type: ignore[misc]
            answers.append(json.loads(text) if status == 0 else os.WTERMSIG(status))
        refused, without = answers
        if without == signal.SIGSEGV:  # a kernel without 32-bit programs
            assert refused == signal.SIGSEGV
        else:
            assert refused[0] == -errno.EPERM
            assert without[0] in (without[1], -errno.ENOSYS)


def test_speculation_is_not_slowed_down_for_the_filter() -> None:
    def ask() -> str:
        return status_field("Speculation_Store_Bypass")

    assert in_child(ask, filtered) == in_child(ask)


def test_a_filter_needs_no_new_privileges_first() -> None:
    def ask() -> str:
        try:
            confine.install_filter(seccomp.program())
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        return "installed"

    assert in_child(ask, become_nobody) == "EACCES"
    assert in_child(ask, become_nobody, confine.no_new_privileges) == "installed"


def test_a_filter_outlives_execve_and_reaches_every_descendant() -> None:
    def ask() -> str:
        reader, writer = os.pipe()
        sh = "exec 3<&-; sh -c 'grep Seccomp: /proc/self/status'"
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", sh], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1)])
        os.close(writer)
        with open(reader) as pipe:
            text = pipe.read()
        os.waitpid(pid, 0)
        return text.split()[1]

    assert in_child(ask, filtered) == "2"


@pytest.mark.parametrize("program", [b"", b"\x06" * 7, b"\x06\0\0\0\0\0\xff\x7f" * 4_097])
def test_bytes_that_are_no_program_are_refused_by_their_length(program: bytes) -> None:
    with pytest.raises(ValueError, match=f"{len(program)} bytes are no filter"):
        confine.install_filter(program)


def test_a_program_that_the_kernel_refuses_is_an_os_error() -> None:
    def ask() -> int | None:
        try:
            confine.install_filter(b"\xff" * 8)
        except OSError as error:
            return error.errno
        return None

    assert in_child(ask, confine.no_new_privileges) == errno.EINVAL


def test_a_machine_without_a_table_is_refused_by_name() -> None:
    with pytest.raises(MechanismUnavailableError, match="no system call table for riscv64"):
        seccomp.program("riscv64")
