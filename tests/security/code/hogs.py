"""Takes all of something that there is: processes, threads, memory, descriptors, disk, log, CPU."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

PIECE = 4 << 20


def forks(*, hang: bool = False) -> list[Any]:
    """Children until the host says no: how many, and its word. `hang`: they fork too, and nobody ever answers."""
    made = 0
    try:
        while True:
            if os.fork() == 0:
                if not hang:
                    signal.pause()
            else:
                made += 1
    except OSError as refused:
        if not hang:
            return [made, errno.errorcode[refused.errno or 0]]
    while True:
        try:
            os.fork()
        except OSError:
            os.sched_yield()


def starts_threads() -> list[Any]:
    """Small stacks, so that it is their number that ends it. They end with the answer."""
    threading.stack_size(64 << 10)
    over = threading.Event()
    threads: list[threading.Thread] = []
    refusal = ""
    try:
        while True:
            thread = threading.Thread(target=over.wait)
            thread.start()
            threads.append(thread)
    except RuntimeError as refused:
        refusal = str(refused)
    over.set()
    for thread in threads:
        thread.join()
    return [len(threads), refusal]


def takes_memory(*, way: str = "heap") -> None:
    held: list[Any] = []
    if way == "child" and os.fork():
        signal.pause()
    if way == "grandchildren":
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                break
        else:
            signal.pause()
    while True:
        held.append(bytearray(os.urandom(16)) * (PIECE // 16))


def takes_memory_in_files() -> None:
    """A memfd nobody asked for: memory without an address."""
    fd = os.memfd_create("hoard")
    while True:
        os.write(fd, b"x" * PIECE)


def opens_files() -> list[Any]:
    held: list[int] = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as full:
        for fd in held:
            os.close(fd)
        return [len(held), errno.errorcode[full.errno or 0]]


def opens_files_in_children() -> list[Any]:
    """Each process has its own 1,024: what a child takes is not missing here."""
    script = "import os\ntry:\n while 1: os.dup(0)\nexcept OSError as e: print(e.errno)"
    told = [subprocess.run([sys.executable, "-c", script], capture_output=True, text=True) for _ in range(3)]
    return [sorted({one.stdout.strip() for one in told}), opens_files()]


def fills_tmp() -> list[Any]:
    """Megabytes that went into /tmp, and what ended it. All of it is removed again."""
    written, folder = 0, "/tmp/much"
    os.mkdir(folder)
    refusal = 0
    with open(f"{folder}/0", "wb", buffering=0) as file:
        try:
            while True:
                os.posix_fallocate(file.fileno(), written, 1 << 20)
                written += 1 << 20
        except OSError as full:
            refusal = full.errno or 0
    os.unlink(f"{folder}/0")
    os.rmdir(folder)
    return [written >> 20, errno.errorcode[refusal]]


def fills_tmp_with_names() -> str:
    """Empty files and folders: what they take is bounded too, by the size or by the memory."""
    number = 0
    try:
        while True:
            os.close(os.open(f"/tmp/{number}", os.O_CREAT | os.O_WRONLY))
            number += 1
    except OSError as full:
        return errno.errorcode[full.errno or 0]


def floods(*, lines: int, way: str = "print") -> int:
    text = "y" * 99 + "\n"
    if way == "child":
        return subprocess.run(["/bin/sh", "-c", f"yes {text.strip()} | head -n {lines}"]).returncode
    for _ in range(lines // 100):
        os.write(1, text.encode() * 100)
    return 0


def floods_for_ever() -> None:
    while True:
        os.write(2, b"z" * 65_536)


def spins_in_c() -> None:
    sum(range(10**15))


def leaves_a_thread(*, at_its_work: bool) -> dict[str, int]:
    """A thread that counts on after the answer. What it has counted is asked for later."""
    if not at_its_work:
        return {"counted": counted[0], "now_ns": time.monotonic_ns()}
    threading.Thread(target=_counts, daemon=True).start()
    while counted[0] == 0:
        os.sched_yield()
    return {"counted": counted[0], "now_ns": time.monotonic_ns()}


counted = [0]


def _counts() -> None:
    while True:
        counted[0] += 1
        time.sleep(0.0001)
