"""F1: which system calls an environment may make, as data. Compiling that is bpf.py's; installing it, confine's.

Arbitrary native code must run, so what this version of the kernel's table knows is allowed unless it is named here
with its reason. What it does not know fails with ENOSYS, as on the older kernel that programs must cope with anyway:
a call that is new tomorrow is not reachable before somebody has looked at it. Calls of a foreign architecture (int
0x80, x32) always fail with EPERM. Nothing kills: an errno tells a program more than a signal does.

The reasons follow what Docker's and systemd's default filters refuse; capabilities and namespaces, where they are had,
refuse most of it a second time.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import Final, NamedTuple

from .bpf import ALLOW, Decision, When, compile_filter
from .contract import MechanismUnavailableError

# Calls that fail with EPERM, by what they would reach.
REFUSED: Final[dict[str, tuple[str, ...]]] = {
    "other processes": ("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd"),
    "mounts and roots": (
        *("mount", "umount2", "pivot_root", "chroot", "open_tree", "open_tree_attr", "move_mount", "mount_setattr"),
        *("fsopen", "fsconfig", "fsmount", "fspick"),
    ),
    "namespaces": ("unshare", "setns"),
    "files by handle, past every path": ("name_to_handle_at", "open_by_handle_at"),
    "wide and often broken parts of the kernel": (
        *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"),
        *("add_key", "request_key", "keyctl", "fanotify_init", "fanotify_mark", "lookup_dcookie", "modify_ldt"),
        "uselib",
    ),
    "the kernel itself": (
        *("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot", "syslog"),
        *("swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "nfsservctl", "ioperm", "iopl", "vhangup"),
    ),
    "the host's clock": ("settimeofday", "clock_settime", "clock_adjtime", "adjtimex"),
    "the host's name": ("sethostname", "setdomainname"),
    "where memory lies": ("move_pages", "mbind", "set_mempolicy", "set_mempolicy_home_node", "migrate_pages"),
}
# Calls that fail with ENOSYS. clone3 has its flags in memory, where a filter cannot look: the C library then uses
# clone. The others are so new that every program has an older way.
UNKNOWN: Final = ("clone3", "statmount", "listmount", "lsm_get_self_attr", "lsm_set_self_attr", "lsm_list_modules")

# NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; clone takes no NEWTIME, that bit is the exit signal's.
CLONE_NEW: Final = 0x7E02_0000
SOCK_TYPE_MASK: Final = 0xF
PR_SET_MM: Final = 35
SECCOMP_FILTER_FLAG_NEW_LISTENER: Final = 8
TTY_INJECTIONS: Final = (0x5412, 0x541C, 0x5423)  # TIOCSTI, TIOCLINUX; TIOCSETD loads line disciplines
# SOCK_RAW goes with the families; SOCK_PACKET is an older name of AF_PACKET.
_INTERNET: Final = When(
    1,
    (socket.SOCK_STREAM, socket.SOCK_DGRAM),
    When(2, (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP), ALLOW, errno.EPROTONOSUPPORT),
    errno.EPERM,
    SOCK_TYPE_MASK,
)
# What getaddrinfo, getifaddrs and psutil ask for the machine's addresses.
_NETLINK: Final = When(2, (socket.NETLINK_ROUTE,), ALLOW, errno.EPROTONOSUPPORT)
_DEVICES: Final = (stat.S_IFCHR, stat.S_IFBLK)

# Calls of which some uses are allowed. Every argument named is of 32 bits or fewer in the kernel.
TESTED: Final[dict[str, Decision]] = {
    "clone": When(0, (0,), ALLOW, errno.EPERM, CLONE_NEW),
    "ioctl": When(1, TTY_INJECTIONS, errno.EPERM, ALLOW),
    "mknod": When(1, _DEVICES, errno.EPERM, ALLOW, 0xF000),
    "mknodat": When(2, _DEVICES, errno.EPERM, ALLOW, 0xF000),
    "personality": When(0, (0, 0xFFFFFFFF), ALLOW, errno.EPERM),  # the second one only asks
    "prctl": When(0, (PR_SET_MM,), errno.EPERM, ALLOW),
    "seccomp": When(1, (0,), ALLOW, errno.EPERM, SECCOMP_FILTER_FLAG_NEW_LISTENER),
    "socket": When(
        0,
        (socket.AF_UNIX,),
        ALLOW,
        When(
            0,
            (socket.AF_INET, socket.AF_INET6),
            _INTERNET,
            When(0, (socket.AF_NETLINK,), _NETLINK, errno.EAFNOSUPPORT),
        ),
    ),
    "socketpair": When(0, (socket.AF_UNIX,), ALLOW, errno.EAFNOSUPPORT),
}
# Decided early where the kernel has no bitmap (before 5.11). Waking by eventfd is a write.
HOT: Final = ("read", "write", "futex", "clock_gettime", "sendto", "recvfrom")
HOT_WEIGHT: Final = 128


class Machine(NamedTuple):
    """How a kernel names its system calls: AUDIT_ARCH, and the ranges past the newest call known here (Linux 6.17)."""

    audit_arch: int
    column: int
    beyond: dict[int, int]


NEWEST: Final = 469
MACHINES: Final = {
    "x86_64": Machine(0xC000_003E, 0, {NEWEST + 1: errno.ENOSYS, 0x4000_0000: errno.EPERM}),  # the second is x32
    "aarch64": Machine(0xC000_00B7, 1, {NEWEST + 1: errno.ENOSYS}),
}

# x86-64 (arch/x86/entry/syscalls/syscall_64.tbl), then aarch64 (include/uapi/asm-generic/unistd.h).
# fmt: off
NUMBERS: Final[dict[str, tuple[int, int]]] = {
    "acct": (163, 89), "add_key": (248, 217), "adjtimex": (159, 171), "bpf": (321, 280), "chroot": (161, 51),
    "clock_adjtime": (305, 266), "clock_gettime": (228, 113), "clock_settime": (227, 112), "clone": (56, 220),
    "clone3": (435, 435), "delete_module": (176, 106), "fanotify_init": (300, 262), "fanotify_mark": (301, 263),
    "finit_module": (313, 273), "fsconfig": (431, 431), "fsmount": (432, 432), "fsopen": (430, 430),
    "fspick": (433, 433), "futex": (202, 98), "init_module": (175, 105), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "io_uring_setup": (425, 425), "ioctl": (16, 29), "kcmp": (312, 272),
    "kexec_file_load": (320, 294), "kexec_load": (246, 104), "keyctl": (250, 219), "listmount": (458, 458),
    "lookup_dcookie": (212, 18), "lsm_get_self_attr": (459, 459), "lsm_list_modules": (461, 461),
    "lsm_set_self_attr": (460, 460), "mbind": (237, 235), "migrate_pages": (256, 238), "mknodat": (259, 33),
    "mount": (165, 40), "mount_setattr": (442, 442), "move_mount": (429, 429), "move_pages": (279, 239),
    "name_to_handle_at": (303, 264), "nfsservctl": (180, 42), "open_by_handle_at": (304, 265),
    "open_tree": (428, 428), "open_tree_attr": (467, 467), "perf_event_open": (298, 241), "personality": (135, 92),
    "pidfd_getfd": (438, 438), "pivot_root": (155, 41), "prctl": (157, 167), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "ptrace": (101, 117), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "read": (0, 63), "reboot": (169, 142), "recvfrom": (45, 207), "request_key": (249, 218), "seccomp": (317, 277),
    "sendto": (44, 206), "set_mempolicy": (238, 237), "set_mempolicy_home_node": (450, 450),
    "setdomainname": (171, 162), "sethostname": (170, 161), "setns": (308, 268), "settimeofday": (164, 170),
    "socket": (41, 198), "socketpair": (53, 199), "statmount": (457, 457), "swapoff": (168, 225),
    "swapon": (167, 224), "syslog": (103, 116), "umount2": (166, 39), "unshare": (272, 97),
    "userfaultfd": (323, 282), "vhangup": (153, 58), "write": (1, 64),
}
# fmt: on
# The aarch64 table never had these.
NUMBERS_X86_64_ONLY: Final = {"ioperm": 173, "iopl": 172, "mknod": 133, "modify_ldt": 154, "uselib": 134}


def program(machine: str | None = None) -> bytes:
    """The filter for a machine (`uname -m`; this one when None), for `confine.install_filter`.

    MechanismUnavailableError where no table of system calls for that machine is here.
    """
    known = _machine(machine or os.uname().machine)
    return compile_filter(
        known.audit_arch,
        errno.EPERM,
        {number: decision for name, decision in decisions().items() if (number := _number(name, known)) is not None},
        known.beyond,
        {number: HOT_WEIGHT for name in HOT if (number := _number(name, known)) is not None},
    )


def decisions() -> dict[str, Decision]:
    """Every call that is not simply allowed, by name."""
    refused = {name: errno.EPERM for names in REFUSED.values() for name in names}
    return {**refused, **dict.fromkeys(UNKNOWN, errno.ENOSYS), **TESTED}


def _machine(name: str) -> Machine:
    if name not in MACHINES:
        raise MechanismUnavailableError(
            f"no system call table for {name}: a filter can be had on {' and '.join(MACHINES)}"
        )
    return MACHINES[name]


def _number(name: str, machine: Machine) -> int | None:
    if name in NUMBERS_X86_64_ONLY:
        return NUMBERS_X86_64_ONLY[name] if machine.column == 0 else None
    return NUMBERS[name][machine.column]
