"""A small zygote: forks one process per order, which becomes a template or is restored. Started by path, bare."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import traceback

PATHS, IMAGE_FD = json.loads(sys.argv[1]), int(sys.argv[2])
sys.path[:0] = PATHS
from engine._ext import image  # noqa: E402
from engine.worker import snapshot  # noqa: E402

NEW_USER, NEW_PID = 0x10000000, 0x20000000


def say(value: object) -> None:
    """One answer of the process under test."""
    os.write(1, json.dumps(value).encode() + b"\n")


def open_now() -> set[int]:
    """The descriptors of this process, without the one that lists them."""
    listed = os.listdir("/proc/self/fd")
    return {int(name) for name in listed if os.path.lexists(f"/proc/self/fd/{name}")}


def be_template(order: dict[str, str]) -> None:
    own = {"say": say, "open_now": open_now, "image": image, "snapshot": snapshot, "IMAGE_FD": IMAGE_FD}
    exec(compile(order["init"], "init", "exec"), own)
    message = image.capture(IMAGE_FD, order["own_folder"])
    if message is None:
        say("captured")
        os._exit(0)
    own["message"] = message
    exec(compile(order["after"], "after", "exec"), own)


def be_blank(order: dict[str, str]) -> None:
    exec(compile(order["before"], "before", "exec"), {"say": say})
    try:
        image.restore(IMAGE_FD, order["message"].encode())
    except OSError as error:
        say([error.errno, error.strerror])


def in_pid_namespace() -> None:
    """Go on as the first process of a namespace, so that every process of a test has the pid 1."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_PID) and libc.unshare(NEW_USER | NEW_PID):
        raise OSError(ctypes.get_errno(), "no PID namespace can be made here")
    pid = os.fork()
    if pid:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)


def be_child(order: dict[str, str], out: int, err: int) -> None:
    code = 1
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        if order["namespace"]:
            in_pid_namespace()
        {"template": be_template, "blank": be_blank}[order["be"]](order)
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 0
    except BaseException:  # noqa: BLE001  # told as Python tells it
        traceback.print_exc()
    finally:
        import atexit

        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(code)


def obey(order: dict[str, str]) -> dict[str, object]:
    reading, writing = os.pipe()
    err = os.memfd_create("errors")
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        be_child(order, writing, err)
    os.close(writing)
    said, deadline = b"", time.monotonic() + float(order["limit_s"])
    while True:
        ready, _, _ = select.select([reading], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            os.kill(pid, signal.SIGKILL)
        part = os.read(reading, 65_536)
        if not part:
            break
        said += part
    _, status = os.waitpid(pid, 0)
    errors = os.pread(err, 1 << 20, 0).decode(errors="replace")
    os.close(reading)
    os.close(err)
    return {"said": said.decode(errors="replace"), "errors": errors, "status": os.waitstatus_to_exitcode(status)}


for line in sys.stdin:
    print(json.dumps(obey(json.loads(line))), flush=True)
