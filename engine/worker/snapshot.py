"""What a snapshot of a function's init keeps besides memory, what it cannot keep, and what must differ in each copy.

Runs in the worker process, around `engine._ext.image`: `obstacles`, the hooks and `Kept` before the capture, the rest
after the restoration. The engine is hidden from the function there, so no import of the engine is lazy.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Container, Iterator
from dataclasses import dataclass

from .._ext import image

TYPE_CHECKING = False
if TYPE_CHECKING:
    import tarfile
    from collections.abc import Callable, Mapping
    from typing import Any

ENTROPY_BYTES = 48
THREADS_END_S = 1.0  # how long a library's threads are waited for once they were told to end
PLAIN_DEVICES = frozenset({"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"})
NOT_AGAIN = os.O_CREAT | os.O_EXCL | os.O_TRUNC  # meant for the first opening only
DELETED = " (deleted)"
BEFORE, AFTER = ("Runtime.BeforeSnapshotError", 64), ("Runtime.AfterRestoreError", 65)


class HookError(Exception):
    """A hook of `snapshot_restore_py` raised `error`. As in AWS's runtime client 4.2.2, the answer and the log describe
    that error, `error_type` is what the service is told, and the process ends with `exit_status`."""

    def __init__(self, kind: tuple[str, int], error: BaseException) -> None:
        super().__init__(f"{kind[0]}: {type(error).__name__}: {error}")
        self.error_type, self.exit_status = kind
        self.error = error


def run_before_snapshot() -> None:
    """Call what init registered, last first, each once. Raises `HookError`."""
    registry = _registry("get_before_snapshot")
    try:
        while registry:
            call, args, kwargs = registry.pop()
            call(*args, **kwargs)
    except BaseException as error:  # AWS's client reports SystemExit here like any other
        raise HookError(BEFORE, error) from error


def run_after_restore() -> None:
    """Call what init registered, first first. Raises `HookError`."""
    try:
        for call, args, kwargs in _registry("get_after_restore"):
            call(*args, **kwargs)
    except BaseException as error:  # AWS's client reports SystemExit here like any other
        raise HookError(AFTER, error) from error


def _registry(getter: str) -> list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]]:
    """Empty for a function that never imported the package: nothing is imported for it."""
    package = sys.modules.get("snapshot_restore_py")
    return getattr(package, getter)() if package else []


def end_library_threads() -> None:
    """Have C libraries end threads of their own that they start again when needed, as OpenBLAS does around a fork."""
    if len(os.listdir("/proc/self/task")) == 1:
        return
    image.prepare_libraries()
    deadline = time.monotonic() + THREADS_END_S
    while any(True for _ in _foreign_tasks()) and time.monotonic() < deadline:
        time.sleep(0.001)


def obstacles(own_fds: Container[int] = ()) -> list[str]:
    """What init left that a snapshot cannot keep, each a sentence with its reason; empty when it can be taken.

    `own_fds` are the worker's own; 0, 1 and 2 always are. Not found: semaphores of System V, and that two descriptors
    share one offset (they no longer do after a restoration).
    """
    return [*_threads(), *_children(), *_timers(), *_shared_memory(), *_descriptors(own_fds)]


def _foreign_tasks() -> Iterator[str]:
    """Threads that Python did not start. The main thread's `native_id` is the zygote's: fork leaves it as it was."""
    known = {str(thread.native_id) for thread in threading.enumerate()}
    known.add(os.path.basename(os.readlink("/proc/thread-self")))
    return (task for task in os.listdir("/proc/self/task") if task not in known)


def _threads() -> Iterator[str]:
    why = "a snapshot holds the main thread only: start threads in the handler or in an after-restore hook"
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            yield f"init left the thread {thread.name!r} running, and {why}"
    for task in _foreign_tasks():
        yield f"init left a thread of a C library running ({_text(f'/proc/self/task/{task}/comm')}), and {why}"


def _text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:  # it ended meanwhile, or the kernel has no such file
        return "unnamed"


def _children() -> Iterator[str]:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return
    pid = os.getpid()
    pids = _text(f"/proc/self/task/{pid}/children")
    yield f"init left child processes (pid {pids}) running or not waited for, and they are not in its memory"


def _timers() -> Iterator[str]:
    for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF"):
        if any(signal.getitimer(getattr(signal, name))):
            yield f"init left the timer {name} running, and timers belong to one process"


def _shared_memory() -> Iterator[str]:
    """Mappings that are shared and writable: two environments would write to the same memory."""
    with open("/proc/self/maps") as maps:
        for fields in (line.split(maxsplit=5) for line in maps):
            if fields[1].startswith("rw") and fields[1].endswith("s"):
                name = fields[5].strip() if len(fields) > 5 else "anonymous"
                yield f"init left shared memory mapped ({name}), and environments share nothing with each other"


def _descriptors(own_fds: Container[int]) -> Iterator[str]:
    for fd, target in _foreign_descriptors(own_fds):
        about = os.fstat(fd)
        if stat.S_ISSOCK(about.st_mode):
            yield f"init left {_socket(fd)} open (descriptor {fd}), and its other end knows one process only"
        elif stat.S_ISFIFO(about.st_mode):
            yield f"init left a pipe open (descriptor {fd}, {target}), and its other end knows one process only"
        elif not target.startswith("/") or (stat.S_ISCHR(about.st_mode) and target not in PLAIN_DEVICES):
            yield f"init left {target} open (descriptor {fd}), which cannot be opened again by a name"
        elif target.endswith(DELETED) and about.st_nlink == 0:
            yield f"init left a deleted file open (descriptor {fd}, {target}), which cannot be opened again by a name"
        elif "\nlock:" in _text(f"/proc/self/fdinfo/{fd}"):
            yield f"init left {target} locked (descriptor {fd}), and a lock has one holder"


def _foreign_descriptors(own_fds: Container[int]) -> Iterator[tuple[int, str]]:
    for fd in sorted(int(name) for name in os.listdir("/proc/self/fd")):
        if fd > 2 and fd not in own_fds:
            try:
                yield fd, os.readlink(f"/proc/self/fd/{fd}")
            except FileNotFoundError:
                pass  # the one that listed this folder


def _socket(fd: int) -> str:
    with socket.socket(fileno=os.dup(fd)) as copy:
        try:
            return f"a connection to {_address(copy.getpeername())}"
        except OSError:  # not connected
            return f"a socket at {_address(copy.getsockname())}"


def _address(address: object) -> str:
    if isinstance(address, tuple):
        return ":".join(str(part) for part in address[:2])
    if isinstance(address, bytes):
        return os.fsdecode(address)
    return str(address) or "an unnamed socket"


@dataclass(frozen=True)
class OpenFile:
    """A file that init left open, by which it is opened again."""

    fd: int
    path: str
    flags: int
    offset: int

    def open_again(self) -> None:
        """At the same number. Raises OSError when the file is gone or the number is taken."""
        try:
            os.fstat(self.fd)
        except OSError:
            fd = os.open(self.path, self.flags & ~NOT_AGAIN)
        else:
            raise FileExistsError(f"descriptor {self.fd}, which init had for {self.path}, is in use")
        if fd != self.fd:
            os.dup2(fd, self.fd, inheritable=not self.flags & os.O_CLOEXEC)
            os.close(fd)
        os.set_inheritable(self.fd, not self.flags & os.O_CLOEXEC)
        if stat.S_ISREG(os.fstat(self.fd).st_mode) and not self.flags & os.O_PATH:
            os.lseek(self.fd, self.offset, os.SEEK_SET)


@dataclass(frozen=True)
class Kept:
    """What the kernel holds for the process, beside its memory: open files, working folder, umask."""

    files: tuple[OpenFile, ...]
    folder: str
    umask: int

    @classmethod
    def of_this_process(cls, own_fds: Container[int] = ()) -> Kept:
        """To be made before the capture, when `obstacles` are none."""
        umask = os.umask(0o077)
        os.umask(umask)
        files = tuple(_open_file(fd, path) for fd, path in _foreign_descriptors(own_fds))
        return cls(files, os.getcwd(), umask)

    def put_back(self) -> None:
        """In the restored process, when its /tmp is unpacked. Raises OSError for a file that is not there any more."""
        os.chdir(self.folder)
        os.umask(self.umask)
        for file in self.files:
            file.open_again()


def _open_file(fd: int, path: str) -> OpenFile:
    fields = dict(line.split(":", 1) for line in _text(f"/proc/self/fdinfo/{fd}").splitlines())
    return OpenFile(fd, path, int(fields["flags"], 8), int(fields["pos"]))


def pack_tmp(folder: str, fd: int, bound_bytes: int) -> int:
    """Write the tree below `folder` into the file `fd`; how many bytes that took, 0 for an empty folder.

    Raises ValueError when its files have more than `bound_bytes`, which is the function's /tmp. Sockets are left out.
    """
    if not os.listdir(folder):
        return 0
    import tarfile  # of the standard library, and hardly ever needed

    total = sum(os.lstat(os.path.join(top, name)).st_size for top, _, names in os.walk(folder) for name in names)
    if total > bound_bytes:
        raise ValueError(f"{folder} holds {total} bytes, of at most {bound_bytes}")

    with (
        os.fdopen(os.dup(fd), "wb") as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in sorted(os.listdir(folder)):
            archive.add(os.path.join(folder, name), arcname=name)
    return os.fstat(fd).st_size


def unpack_tmp(fd: int, folder: str) -> None:
    """Put what `pack_tmp` wrote below `folder`. Descriptors of one file may unpack it at the same time."""
    import tarfile

    with open(f"/proc/self/fd/{fd}", "rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
        archive.extractall(folder, filter=_into_tmp)


def _into_tmp(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Nothing lands outside; a link may point there, as the function's own did."""
    import tarfile

    if member.issym() or member.isfifo():
        return tarfile.tar_filter(member, folder)
    return tarfile.data_filter(member, folder).replace(mode=member.mode, deep=False)


def reseed() -> None:
    """Make the random numbers of this copy its own. Only modules that init imported are touched.

    Process ids repeat across PID namespaces, so nobody's own look at the pid suffices. Out of reach are generators
    that the function made itself (`numpy.random.default_rng()`, `random.Random()`): an after-restore hook must make
    them anew.
    """
    image.stir_openssl(os.urandom(ENTROPY_BYTES))
    modules = sys.modules
    if "random" in modules:
        modules["random"].seed()
    if "numpy.random" in modules:
        modules["numpy.random"].seed()
    if "ssl" in modules:
        modules["ssl"].RAND_add(os.urandom(ENTROPY_BYTES), float(ENTROPY_BYTES))
    if "tempfile" in modules:
        modules["tempfile"]._name_sequence = None  # type: ignore[attr-defined]
    if "uuid" in modules:
        _reseed_uuid1()


def _reseed_uuid1() -> None:
    """libuuid keeps its clock sequence for itself: without it uuid1 draws a fresh one each time."""
    import uuid

    uuid._generate_time_safe = None  # type: ignore[attr-defined]
    uuid._last_timestamp = None  # type: ignore[attr-defined]
    node = uuid._node  # type: ignore[attr-defined]
    if node is not None and node >> 40 & 1:  # drawn, for want of a network card
        uuid._node = None  # type: ignore[attr-defined]


def refresh(variables: Mapping[str, str]) -> None:
    """Give this copy what differs between environments: the log stream's name and its like, and the time zone."""
    changed = {name: value for name, value in variables.items() if os.environ.get(name) != value}
    os.environ.update(changed)  # to set one is to copy pages
    if "TZ" in changed:
        time.tzset()
