"""What functions do every day works under the filter: processes, threads, sockets, files, signals, native code."""

from __future__ import annotations

import asyncio
import ctypes
import encodings.idna
import errno
import faulthandler
import multiprocessing
import multiprocessing.popen_fork
import os
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.sharedctypes import Value
from pathlib import Path
from typing import Any

import numpy
import psutil
import pytest
from confined import LIBC, become_nobody, filtered, in_child, name_call

# Imported above because nobody may not be able to read the folder that the packages are in.
assert encodings.idna.__name__
assert multiprocessing.popen_fork.__name__

CAPTURE = {"stdout": subprocess.PIPE, "text": True, "check": True}


def threads() -> int:
    with ThreadPoolExecutor(4) as pool:
        return sum(pool.map(int, range(100)))


def processes() -> list[str]:
    one = subprocess.run(["sh", "-c", "echo $((6*7)) | cat"], **CAPTURE)  # type: ignore[call-overload]
    reader, writer = os.pipe()
    spawned = os.posix_spawn("/bin/echo", ["echo", "spawned"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1)])
    os.close(writer)
    with open(reader) as pipe:
        said = pipe.read()
    os.waitpid(spawned, 0)
    return [one.stdout.strip(), said.strip()]


def forks() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(9)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _raise(shared: Any) -> None:
    shared.value = 5


def multiprocess() -> int:
    context = multiprocessing.get_context("fork")
    shared = Value("i", 0, lock=False)
    process = context.Process(target=_raise, args=(shared,))
    process.start()
    process.join()
    return int(shared.value)


def asynchronous() -> str:
    async def ask() -> str:
        process = await asyncio.create_subprocess_exec("echo", "async", stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        return out.decode().strip()

    return asyncio.run(ask())


def numbers_in_arrays() -> float:
    matrix = numpy.eye(300) * 2
    return float((matrix @ matrix).sum())


def database() -> int:
    folder = tempfile.mkdtemp()
    try:
        opened = sqlite3.connect(Path(folder, "rows.db"))
        opened.execute("PRAGMA journal_mode=WAL")
        opened.execute("CREATE TABLE rows (one INTEGER)")
        opened.executemany("INSERT INTO rows VALUES (?)", [(number,) for number in range(10)])
        opened.commit()
        (total,) = opened.execute("SELECT sum(one) FROM rows").fetchone()
        opened.close()
        return int(total)
    finally:
        shutil.rmtree(folder)


def streams() -> list[str]:
    heard = []
    for family, address in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, f"\0leaves-{os.getpid()}")):
        with socket.socket(family) as server, socket.socket(family) as client:
            server.bind(address)
            server.listen()
            client.connect(server.getsockname())
            with server.accept()[0] as accepted:
                client.sendall(b"stream")
                heard.append(accepted.recv(10).decode())
    return heard


def datagrams() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"datagram", server.getsockname())
        return server.recv(10).decode()


def addresses() -> list[bool]:
    found = socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    return [bool(found), "lo" in psutil.net_if_addrs(), "lo" in dict(socket.if_nameindex()).values()]


def callbacks() -> list[int]:
    values = (ctypes.c_int * 4)(3, 1, 4, 1)
    compare = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.POINTER(ctypes.c_int)] * 2)(lambda a, b: a[0] - b[0])
    LIBC.qsort(values, 4, ctypes.sizeof(ctypes.c_int), compare)
    return list(values)


def faults() -> bool:
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file=file)
        file.seek(0)
        return b"faults" in file.read()


def signals_and_timers() -> list[str]:
    caught: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: caught.append(number))
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    caught.append(signal.sigwait({signal.SIGALRM}))
    return [signal.Signals(number).name for number in caught]


def waiting() -> list[int]:
    poll, event = select.epoll(), os.eventfd(0)
    poll.register(event, select.EPOLLIN)
    os.eventfd_write(event, 3)
    ready = poll.poll()
    return [len(ready), os.eventfd_read(event)]


def watching() -> bool:
    descriptor = LIBC.inotify_init()
    folder = tempfile.mkdtemp()
    assert LIBC.inotify_add_watch(descriptor, folder.encode(), 0x100) >= 0
    Path(folder, "made").touch()
    event = os.read(descriptor, 4_096)
    shutil.rmtree(folder)
    return b"made" in event


def memory() -> list[int]:
    descriptor = os.memfd_create("leaves")
    written = os.write(descriptor, b"12345")
    segment = LIBC.shmget(0, 4_096, 0o1600)
    removed = LIBC.shmctl(segment, 0, None)
    return [written, int(segment >= 0), removed]


def pipes_and_terminals() -> list[bool]:
    folder = tempfile.mkdtemp()
    os.mkfifo(Path(folder, "pipe"))
    made = Path(folder, "pipe").is_fifo()
    shutil.rmtree(folder)
    return [made, os.isatty(os.openpty()[1])]


def process_options() -> list[str]:
    parent_death, name = 1, 15
    return [name_call("prctl", parent_death, signal.SIGKILL, 0, 0, 0), name_call("prctl", name, b"leaf", 0, 0, 0)]


def clocks() -> bool:
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    time.sleep(0.001)
    return time.clock_gettime(time.CLOCK_MONOTONIC) > before


def limits() -> list[int]:
    return [os.nice(1) - os.nice(0), len(os.sched_getaffinity(0)) - len(psutil.Process().cpu_affinity() or [])]


def stacks() -> int:
    made = []
    for size in (0, 1 << 20, 64 << 20):
        threading.stack_size(size)
        thread = threading.Thread(target=made.append, args=(size,))
        thread.start()
        thread.join()
    return len(made)


LEAVES: dict[Callable[[], Any], Any] = {
    threads: 4_950,
    processes: ["42", "spawned"],
    forks: 9,
    multiprocess: 5,
    asynchronous: "async",
    stacks: 3,
    numbers_in_arrays: 1_200.0,
    database: 45,
    streams: ["stream"] * 2,
    datagrams: "datagram",
    addresses: [True] * 3,
    callbacks: [1, 1, 3, 4],
    faults: True,
    signals_and_timers: ["SIGUSR1", "SIGALRM"],
    waiting: [1, 3],
    watching: True,
    memory: [5, 1, 0],
    pipes_and_terminals: [True, True],
    process_options: ["done"] * 2,
    clocks: True,
    limits: [0, 0],
}


@pytest.mark.parametrize("user", [lambda: None, become_nobody], ids=["as it is", "nobody"])
@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_it_still_works(leaf: Callable[[], Any], user: Callable[[], object]) -> None:
    assert in_child(leaf, user, filtered) == LEAVES[leaf]


def test_a_refused_call_is_an_ordinary_exception_in_python() -> None:
    def ask() -> int | None:
        try:
            os.chroot("/")
        except PermissionError as refused:
            return refused.errno
        return None

    assert in_child(ask, filtered) == errno.EPERM
