"""Handlers that write to the log in every way there is."""

from __future__ import annotations

import ctypes
import logging
import os
import socket
import subprocess
import sys
import threading
from typing import Any

Event = Any
libc = ctypes.CDLL(None)
logger = logging.getLogger("mine")
flooder: list[subprocess.Popen[bytes]] = []
left: list[threading.Thread] = []


def every_way(event: Event, context: Any) -> str:
    print("1 print")
    sys.stderr.write("2 stderr\n")
    logger.warning("3 logging")
    os.write(1, b"4 os.write\n")
    libc.puts(b"5 puts")
    libc.fflush(None)
    libc.printf(b"6 printf\n")
    libc.fflush(None)
    subprocess.run(["echo", "7 child"], check=True)
    os.system("echo 8 os.system; echo 8b on stderr >&2")
    print("9", "print", "of three", flush=True)
    context.log("10 context.log")
    sys.__stdout__.write("11 sys.__stdout__\n")  # type: ignore[union-attr]
    return str(context.aws_request_id)


def every_level(event: Event, context: Any) -> None:
    logger.setLevel(logging.DEBUG)
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(logger, level)("said at %s", level)
    logger.setLevel(logging.NOTSET)
    logger.info("not shown: the root logger shows warnings and above")


def says_its_id(event: Event, context: Any) -> None:
    print(f"mine {context.aws_request_id}")


def says(event: Event, context: Any) -> None:
    print(event["text"], end=event.get("end", "\n"))


def writes_bytes(event: Event, context: Any) -> None:
    os.write(1, bytes(event["bytes"]))


def floods(event: Event, context: Any) -> None:
    line = "x" * 999 + "\n"
    block = line * 1_000
    for _ in range(event["megabytes"]):
        sys.stdout.write(block)
    print("the flood's last line")


def floods_through_a_child(event: Event, context: Any) -> None:
    """A child writes until its reader has had enough of it here: 20 MB."""
    subprocess.run(["sh", "-c", "yes child | head -c 20000000"], check=True)


def leaves_a_flooding_child(event: Event, context: Any) -> int:
    """The child writes on when the invocation is over, as fast as it is read."""
    flooder.append(subprocess.Popen(["yes", "left behind"]))
    return flooder[-1].pid


def stops_the_flooding_child(event: Event, context: Any) -> None:
    flooder[-1].kill()
    flooder.pop().wait()
    print("stopped")


def leaves_a_thread(event: Event, context: Any) -> None:
    """The thread writes once the gate says so, when the invocation may long be over, and says that it has."""

    def write_later() -> None:
        with socket.create_connection(event["gate"]) as gate:
            gate.recv(1)
            print("from the thread")
        socket.create_connection(event["gate"]).close()

    threading.Thread(target=write_later).start()
    print("from the handler")


def leaves_a_thread_and_joins_it(event: Event, context: Any) -> None:
    """The thread is at the gate when the first invocation ends, so that it writes after that or in the second one."""
    if "join" in event:
        left[0].join()
        print("joined")
        return
    entered = threading.Event()

    def write_later() -> None:
        with socket.create_connection(event["gate"]) as gate:
            entered.set()
            gate.recv(1)
        print("from the thread")

    left.append(threading.Thread(target=write_later))
    left[0].start()
    entered.wait()
    print("from the handler")


def waits_and_says_its_id(event: Event, context: Any) -> None:
    print(f"before {context.aws_request_id}")
    with socket.create_connection(event["gate"]) as gate:
        gate.recv(1)
    print(f"after {context.aws_request_id}")


def prints_then_dies(event: Event, context: Any) -> None:
    print("last words", end="")
    os.kill(os.getpid(), 9)


def replaces_stdout(event: Event, context: Any) -> None:
    """Holds text back in a buffer of its own, as a function with its own stream does."""
    import io

    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False), 1 << 20))
    print(f"held back {context.aws_request_id}")


def says_or_floods(event: Event, context: Any) -> None:
    floods(event, context) if "megabytes" in event else says_its_id(event, context)


def leaves_and_stops_a_flood(event: Event, context: Any) -> int | None:
    if event["do"] == "leave":
        return leaves_a_flooding_child(event, context)
    return stops_the_flooding_child(event, context) if event["do"] == "stop" else None
