"""Handlers that end in every way there is. Each does what its event or its name says."""

from __future__ import annotations

import ctypes
import decimal
import json
import os
import random
import re
import signal
import socket
import sys
import threading
import traceback
from importlib import import_module
from typing import Any

Event = Any
served = 0


def tells_its_stream(event: Event, context: Any) -> str:
    """Each environment has its own, and knows no other name of itself that the engine knows too."""
    return str(context.log_stream_name)


def echoes(event: Event, context: Any) -> Any:
    return event


def raises(event: Event, context: Any) -> None:
    deeper(event)


def deeper(event: Event) -> None:
    print("own line")
    raise ValueError(event["say"])


def ends(event: Event, context: Any) -> str:
    """Answers its log stream, unless the event names a way to end."""
    print("own line")
    if event:
        WAYS[event["way"]]()
    return str(context.log_stream_name)


def calls_itself() -> None:
    """In C, where no recursion limit holds: until the stack is used up."""
    sys.setrecursionlimit(1 << 30)
    again = type("Again", (), {"__repr__": lambda self: repr(self)})()
    repr(again)


def holds_memory() -> None:
    held = []
    while True:
        held.append(b"x" * (4 << 20))


def holds_memory_in_a_child() -> None:
    if os.fork() == 0:
        holds_memory()
    signal.pause()


def raises_interrupt() -> None:
    raise KeyboardInterrupt


def stops() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


WAYS = {
    "os._exit(0)": lambda: os._exit(0),
    "os._exit(3)": lambda: os._exit(3),
    "sys.exit()": lambda: sys.exit(),
    "sys.exit(4)": lambda: sys.exit(4),
    "sys.exit(text)": lambda: sys.exit("last words"),
    "KeyboardInterrupt": raises_interrupt,
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "SIGTERM": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "SIGSEGV": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "C stack": calls_itself,
    "memory": holds_memory,
    "memory of a child": holds_memory_in_a_child,
    "sleeps": signal.pause,
    "C loop": lambda: sum(range(10**15)),
    "regex": lambda: re.match(r"(a+)+$", "a" * 64 + "b"),
    "stops": stops,
}


def closes_descriptors(event: Event, context: Any) -> str:
    print("own line")
    os.closerange(3, 1024)
    return str(context.log_stream_name)


def opens_files(event: Event, context: Any) -> list[int]:
    """Every descriptor there is; what fails says how many there were."""
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as full:
        for descriptor in held:
            os.close(descriptor)
        return [len(held), full.errno or 0]


def leaves_threads(event: Event, context: Any) -> list[Any]:
    threading.Thread(target=signal.pause if event is None else threading.Event().wait).start()
    return [context.log_stream_name, threading.active_count()]


def leaves_a_daemon(event: Event, context: Any) -> list[Any]:
    """The log stream of this environment, and the pid of a process that left its session and its parent."""
    told, tell = os.pipe()
    if os.fork() == 0:
        os.setsid()
        between = os.getpid()
        if os.fork() == 0:
            while os.getppid() == between and event["waits for its orphanage"]:
                os.sched_yield()
            os.write(tell, str(os.getpid()).encode())
            signal.pause()
        os._exit(0)
    os.wait()
    return [context.log_stream_name, int(os.read(told, 20))]


def answers_bytes(event: Event, context: Any) -> str:
    """An answer of so many bytes, quotes included."""
    return "x" * (event - 2)


def answers_a_set(event: Event, context: Any) -> set[int]:
    return {1}


def answers_nan(event: Event, context: Any) -> list[float]:
    return [float("nan"), float("inf")]


def answers_deep(event: Event, context: Any) -> list[Any]:
    answer: list[Any] = []
    for _ in range(event):
        answer = [answer]
    return answer


def answers_decimal(event: Event, context: Any) -> dict[str, decimal.Decimal]:
    return {"price": decimal.Decimal("1.10")}


def tells_variables(event: Event, context: Any) -> dict[str, str]:
    return dict(os.environ)


def lists_its_code(event: Event, context: Any) -> tuple[str, list[str]]:
    return os.environ["LAMBDA_TASK_ROOT"], os.listdir()


def imports(event: Event, context: Any) -> dict[str, str]:
    """What becomes of each import."""
    told = {}
    for name in event:
        try:
            __import__(name)
            told[name] = "imported"
        except ImportError as error:
            told[name] = f"{type(error).__name__}: {error}"
    return told


def imports_more_of_what_is_loaded(event: Event, context: Any) -> dict[str, Any]:
    try:
        socket.create_connection(("127.0.0.1", 0))
    except OSError:
        told = traceback.format_exc()
    files = [str(import_module(name).__file__) for name in ("encodings.idna", "logging.handlers", "simplejson.tool")]
    return {
        "file": socket.__file__,
        "executable": sys.executable,
        "traceback": told,
        "elsewhere": [file for file in files if not file.startswith(("/var/lang/", "/var/runtime/"))],
    }


def tells_context(event: Event, context: Any) -> dict[str, Any]:
    client = context.client_context
    return {
        "function_name": context.function_name,
        "function_version": context.function_version,
        "invoked_function_arn": context.invoked_function_arn,
        "memory_limit_in_mb": context.memory_limit_in_mb,
        "aws_request_id": context.aws_request_id,
        "log_group_name": context.log_group_name,
        "log_stream_name": context.log_stream_name,
        "identity": [context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id],
        "tenant_id": context.tenant_id,
        "client": None if client is None else [client.custom, client.env, client.client.app_title],
        "remaining": context.get_remaining_time_in_millis(),
        "trace": os.environ["_X_AMZN_TRACE_ID"],
    }


def counts(event: Event, context: Any) -> int:
    global served
    served += 1
    return served


def waits(event: Event, context: Any) -> str:
    """Says that it is running, then waits to be let go. The answer is its code's name."""
    with socket.create_connection(event) as at_gate:
        at_gate.recv(1)
    return "old code"


def prints_much(event: Event, context: Any) -> None:
    for number in range(event):
        print(f"line {number}")


def tells_its_signals(event: Event, context: Any) -> list[Any]:
    """How signals are handled, and what a write to a pipe that nobody reads comes to."""
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    try:
        os.write(write_fd, b"x")
        broken = "written"
    except BrokenPipeError:
        broken = "BrokenPipeError"
    finally:
        os.close(write_fd)
    return [
        broken,
        {number.name: str(signal.getsignal(number)) for number in signal.valid_signals() if number in SIGNALS},
    ]


SIGNALS = frozenset({signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM, signal.SIGXFSZ})


def forks(event: Event, context: Any) -> dict[str, Any]:
    """What a child made by fork(2) sees of its parent's thread and random numbers."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, json.dumps([threading.active_count(), random.random()]).encode())
        os._exit(0)
    os.wait()
    stop.set()
    thread.join()
    threads, number = json.loads(os.read(reader, 100))
    return {"threads": threads, "same_number": number == random.random()}
