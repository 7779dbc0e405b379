"""System calls by number, other ways into the kernel, and what a right would be worth."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER = 0x1000_0000


def calls(*, numbers: dict[str, list[int]]) -> dict[str, str]:
    """Each a number and arguments. What the kernel says: an errno, or "done"."""
    return {name: said(LIBC.syscall, *map(ctypes.c_long, call)) for name, call in numbers.items()}


def said(call: Callable[..., int], *arguments: Any) -> str:
    ctypes.set_errno(0)
    return "done" if call(*arguments) >= 0 else errno.errorcode[ctypes.get_errno()]


def told(step: Callable[[], Any]) -> str:
    """The errno with which a step fails, by name, or "done"."""
    try:
        step()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except ValueError as error:  # what resource.setrlimit makes of EPERM
        return f"ValueError: {error}"
    return "done"


def clones() -> dict[str, str]:
    """clone and clone3 into a new user namespace; and that threads and children work without clone3."""
    thread = threading.Thread(target=os.getpid)
    thread.start()
    thread.join()
    return {
        "clone NEWUSER": said(LIBC.syscall, _number("clone"), CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0),
        "clone3": said(LIBC.syscall, 435, 0, 0),
        "unshare NEWUSER": said(LIBC.unshare, CLONE_NEWUSER),
        "subprocess": subprocess.run(["/bin/echo", "works"], capture_output=True, text=True).stdout.strip(),
    }


def _number(name: str) -> int:
    return {"clone": {"x86_64": 56, "aarch64": 220}}[name][platform.machine()]


def enters_sideways() -> dict[str, str]:
    """getpid of x32 and by int 0x80, as machine code; each in a child, for it may be a signal that answers."""
    x32 = b"\xb8" + (0x4000_0000 | 39).to_bytes(4, "little") + b"\x0f\x05\xc3"
    int80 = b"\xb8" + (20).to_bytes(4, "little") + b"\xcd\x80\xc3"
    plain = b"\xb8" + (39).to_bytes(4, "little") + b"\x0f\x05\xc3"
    return {name: _runs(code) for name, code in (("plain", plain), ("x32", x32), ("int 0x80", int80))}


def _runs(code: bytes) -> str:
    read_fd, write_fd = os.pipe()
    child = os.fork()
    if child == 0:
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(code)
        function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
        answer = function()
        os.write(write_fd, (errno.errorcode[-answer] if answer < 0 else "done").encode())
        os._exit(0)
    os.close(write_fd)
    answered = os.read(read_fd, 100).decode()
    os.close(read_fd)
    status = os.waitpid(child, 0)[1]
    return answered or signal.Signals(os.WTERMSIG(status)).name


def raises_limits() -> dict[str, str]:
    """Descriptors, processes, core files, priority, the scheduler's classes."""
    return {
        "descriptors": told(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))),
        "core": told(lambda: resource.setrlimit(resource.RLIMIT_CORE, (1 << 30, 1 << 30))),
        "nice": told(lambda: os.setpriority(os.PRIO_PROCESS, 0, -5)),
        "real time": told(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))),
        "io real time": said(LIBC.syscall, 251 if platform.machine() == "x86_64" else 30, 1, 0, 1 << 13),
        "oom_score_adj": told(lambda: _writes("/proc/self/oom_score_adj", "-1000")),
        "oom_score_adj of init": told(lambda: _writes("/proc/1/oom_score_adj", "1000")),
        "limits of init": told(lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (10, 10))),
        "cgroup": told(lambda: _writes("/sys/fs/cgroup/cgroup.procs", "0")),
        "pid_max": told(lambda: _writes("/proc/sys/kernel/pid_max", "100000")),
        "sysrq": told(lambda: _writes("/proc/sysrq-trigger", "s")),
    }


def _writes(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def sets_host() -> dict[str, str]:
    """Clock, names, root, mounts."""
    return {
        "hostname": told(lambda: socket.sethostname("mine")),
        "clock": told(lambda: __import__("time").clock_settime(0, 0)),
        "chroot": told(lambda: os.chroot("/tmp")),
        "mount": said(LIBC.mount, b"none", b"/tmp", b"tmpfs", 0, None),
        "bind": said(LIBC.mount, b"/proc", b"/tmp", None, 4096, None),
        "remount": said(LIBC.mount, b"none", b"/", None, 32 | 4096, None),
        "umount": said(LIBC.umount2, b"/run/store", 2),
        "umount proc": said(LIBC.umount2, b"/proc", 2),
        "pivot_root": said(LIBC.syscall, 155 if platform.machine() == "x86_64" else 41, b"/tmp", b"/tmp"),
        "setuid": told(lambda: os.setuid(0)),
        "setgid": told(lambda: os.setgid(0)),
        "setgroups": told(lambda: os.setgroups([0])),
    }


def makes_devices() -> dict[str, str]:
    """The disk, the memory, a pipe (which is anybody's right)."""
    return {
        "block": told(lambda: os.mknod("/tmp/disk", stat.S_IFBLK | 0o666, os.makedev(254, 0))),
        "character": told(lambda: os.mknod("/tmp/mem", stat.S_IFCHR | 0o666, os.makedev(1, 1))),
        "fifo": told(lambda: os.mkfifo("/tmp/fifo")),
        "open memory": told(lambda: os.open("/dev/mem", os.O_RDONLY)),
        "open kernel log": told(lambda: os.open("/dev/kmsg", os.O_RDWR)),
        "open disk": told(lambda: os.open("/dev/vda", os.O_RDONLY)),
        "open terminal": told(lambda: os.open("/dev/tty", os.O_RDWR)),
        "push into terminal": told(lambda: fcntl.ioctl(0, 0x5412, b"x")),
    }


def runs_setuid() -> dict[str, Any]:
    """Programs with the bit, and one that gives itself the bit: as whom do they run?"""
    found = [f"/usr/bin/{name}" for name in os.listdir("/usr/bin") if _is_setuid(f"/usr/bin/{name}")]
    mine = "/tmp/mine"
    with open("/usr/bin/id", "rb") as original, open(mine, "wb") as copy:
        copy.write(original.read())
    os.chmod(mine, 0o6755)
    su = subprocess.run(["su", "-c", "id -u"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    own = subprocess.run([mine, "-u"], capture_output=True, text=True)
    return {
        "bits": len(found),
        "su": [su.returncode != 0, su.stdout],
        "own copy": own.stdout.strip() == str(os.getuid()),
        "no new privileges": _status("NoNewPrivs") == "1",
        "capabilities": [_status(name) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
        "nosuid": sorted({path for path in ("/", "/usr", "/tmp", "/var/task", "/proc") if not _is_nosuid(path)}),
        "ids": [os.getresuid() == (os.getuid(),) * 3, os.getresgid() == (os.getgid(),) * 3],
    }


def _is_setuid(path: str) -> bool:
    return os.path.isfile(path) and bool(os.stat(path).st_mode & stat.S_ISUID)


def _is_nosuid(path: str) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_NOSUID)


def _status(name: str) -> str:
    with open("/proc/self/status") as status:
        return next(line.split()[1] for line in status if line.startswith(f"{name}:"))


def hides_itself() -> int:
    """No core, no look from its own user's other processes: the engine must still measure and end it."""
    return int(LIBC.prctl(4, 0, 0, 0, 0))


def watches_files() -> dict[str, str]:
    """inotify on what is its own works; fanotify, which sees whole mounts, does not."""
    fd = LIBC.inotify_init1(0)
    fanotify = 300 if platform.machine() == "x86_64" else 262
    return {
        "own": said(LIBC.inotify_add_watch, fd, b"/tmp", 0x100),
        "all code": said(LIBC.inotify_add_watch, fd, b"/run/store/code", 0x100),
        "mounts": said(LIBC.syscall, fanotify, 0, 0),
    }


def interpreter() -> str:
    return sys.executable
