"""What a forked environment does: settle in, run the function's init code, then serve its lane until told to end.

Everything here runs in the worker process and nowhere else. No import of this module may be lazy: the engine is hidden
from the function before its first line runs.
"""

from __future__ import annotations

import atexit
import fcntl
import importlib
import io
import json
import os
import resource
import socket
import sys
import time
import traceback
from itertools import pairwise
from types import ModuleType

from .._ext import linux, port
from ..records import platform_events, report
from ..runtimes.bootstraps.python import context, faults, handler, import_path, logging_setup, marshal, output
from . import snapshot, surroundings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

OPEN_FILES_MAX = 1_024
HIDDEN = "engine"  # simplejson stays: Lambda's runtime has it too, and finds it before the function's own
REHEARSED = "def handler(event, context):\n    return {**event, 'at': [1.5, None, f'{context}']}\n"
REHEARSED_IMPORT = "colorsys"  # small, plain, and hardly anybody's


class Worker:
    """All that is the same for every function: made once, in the zygote, and shared by what is forked from it."""

    def __init__(self, fork_hooks: list[dict[str, Any]]) -> None:
        self.fork_hooks = fork_hooks  # of the modules that the zygote imported
        self.place = port.Port()
        self.place.flush = output.install()
        self.place.extras = _extras
        self.place.to_chunk = marshal.chunk
        self.place.make_identity = context.cognito_identity
        self.place.variables = os.environ._data  # type: ignore[attr-defined]  # set without putenv, per invocation
        self.logs = logging_setup.configure(self.place.request_id, tenant_id=self.place.tenant_id)
        self.place.log_sink = self.logs.log_sink.log
        self.codecs = {ascii_only: marshal.codec(ascii_only) for ascii_only in (True, False)}
        self.logs_json = False
        _hide_engine()

    def settle_after_fork(self) -> None:
        """Once, in what was forked from the zygote: random numbers of its own, and hooks for forks of its own."""
        for hooks in self.fork_hooks:
            os.register_at_fork(**hooks)
        if "random" in sys.modules:
            sys.modules["random"].seed()

    def rehearse(self) -> None:
        """Do once, with made-up values, what a start will do: the pages that it touches are this process's then."""
        names = ("function_name", "version", "log_group", "log_stream", "region", "task_root", "runtime_dir")
        given: dict[str, Any] = {name: f"rehearsal of {name}" for name in names}
        given |= {
            "memory_mb": 128,
            "handler": "rehearsal.handler",
            "runtime": "python3.11",
            "user": {},
            "credentials": {},
        }
        order = json.loads(json.dumps({"surroundings": given, "layers": [], "stdlib": list(sys.path), "arn": "x"}))
        variables = surround(order)
        self._rehearse_a_place(order, variables)
        space: dict[str, Any] = {}
        exec(compile(REHEARSED, "rehearsal.py", "exec"), space)
        for unmarshal, to_json in self.codecs.values():
            to_json(space["handler"](unmarshal(b'{"rehearsal": [1, 2.5, "x"]}'), None))
        importlib.import_module(REHEARSED_IMPORT)
        del sys.modules[REHEARSED_IMPORT]

    def _rehearse_a_place(self, order: dict[str, Any], variables: dict[str, str]) -> None:
        """Orders come with descriptors; a place is in a region."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        region = linux.create_region("rehearsal")
        os.write(region, linux.HEAD)
        socket.send_fds(ours, [json.dumps(order).encode()], [region, region, region])
        _, fds, _, _ = socket.recv_fds(theirs, 65_536, len(order))
        open_port(self, {**order, "index": 0, "timeout_ns": 0}, fds, variables)
        self.place.leave()
        for fd in (region, *fds):
            os.close(fd)
        ours.close()
        theirs.close()


def run(worker: Worker, order: dict[str, Any], fds: list[int]) -> int:
    """Be the environment that `order` describes. Returns the exit status of the process.

    `fds`: the region, its eventfd, the log pipe's write end.
    """
    start_ns = time.monotonic_ns()
    settle_in(fds, fds[2])
    return to_its_end(lambda: _live(worker, order, fds, start_ns))


def to_its_end(life: Callable[[], int]) -> int:
    """The exit status of a process that lives so, if need be with what ends a Python process early."""
    try:
        return life()
    except SystemExit as leaving:
        return _exit_status(leaving)
    except BaseException:  # noqa: BLE001  # what ends a Python process with a traceback
        traceback.print_exc()
        return 1
    finally:
        atexit._run_exitfuncs()


def settle_in(fds: list[int], log_fd: int) -> None:
    """Output to the log; the environment's own descriptors above the function's limit, so that it cannot close them."""
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most >= OPEN_FILES_MAX + len(fds):
        fds[:] = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, OPEN_FILES_MAX) for fd in fds]
    for low, high in pairwise([2, *sorted(fds), most]):
        os.closerange(low + 1, high)
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES_MAX, OPEN_FILES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def enter(order: dict[str, Any]) -> dict[str, str]:
    """Go to the function's code, surrounded with what it finds there; its variables."""
    variables = surround(order)
    os.chdir(order["surroundings"]["task_root"])
    sys.argv = ["/var/runtime/bootstrap.py", order["surroundings"]["handler"]]
    return variables


def surround(order: dict[str, Any]) -> dict[str, str]:
    """Variables, time zone and import path; the variables."""
    given, layers = order["surroundings"], order["layers"]
    variables = surroundings.environment_variables(**given)
    path = import_path.search_path(
        given["task_root"], layers, [given["runtime_dir"]], order["stdlib"], given["user"].get("PYTHONPATH")
    )
    import_path.apply(variables, path)
    return variables


def run_init(worker: Worker, order: dict[str, Any]) -> None:
    """Import the function. Raises whatever its code does, or Fault."""
    given = order["surroundings"]
    import_path.run_path_files([given["task_root"], *import_path.layer_folders(order["layers"])])
    worker.place.handler = handler.load(given["handler"])
    if order.get("hooks"):  # of a version that was to start from snapshots, and of which none could be made
        snapshot.run_before_snapshot()
        snapshot.run_after_restore()


def _live(worker: Worker, order: dict[str, Any], fds: list[int], start_ns: int) -> int:
    """Init and serve. With `late` set the init belongs to the first invocation, as Lambda does after a failed one."""
    place = open_port(worker, order, fds, enter(order))
    late = order["late"]
    if late:
        place.init_ended(start_ns, False)
        if not place.claim():
            return 0
        start_ns = time.monotonic_ns()
        place.begin()
    try:
        run_init(worker, order)
    except snapshot.HookError as failed:
        return _init_failed(worker, failed.error, start_ns, late, failed.error_type)
    except Exception as error:  # noqa: BLE001  # init runs the user's code, which may raise anything
        return _init_failed(worker, error, start_ns, late)
    if not late:
        place.init_ended(start_ns, False)
    place.serve()
    return 0


def open_port(worker: Worker, order: dict[str, Any], fds: list[int], variables: dict[str, str]) -> port.Port:
    """Take the environment's place in its function's region."""
    region_fd, event_fd, log_fd = fds
    place = worker.place
    place.open(region_fd, order["index"], event_fd, log_fd, order["timeout_ns"])
    place.function_name = variables["AWS_LAMBDA_FUNCTION_NAME"]
    place.function_version = variables["AWS_LAMBDA_FUNCTION_VERSION"]
    place.memory_limit_in_mb = variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
    place.invoked_function_arn = order["arn"]
    place.log_group_name = variables["AWS_LAMBDA_LOG_GROUP_NAME"]
    place.log_stream_name = variables["AWS_LAMBDA_LOG_STREAM_NAME"]
    use_codec(worker, variables)
    return place


def use_codec(worker: Worker, variables: dict[str, str]) -> None:
    """JSON and error texts as this runtime has them, in the log format that is asked for."""
    place = worker.place
    ascii_only = variables["AWS_EXECUTION_ENV"].removeprefix("AWS_Lambda_") in marshal.ASCII_ONLY_RUNTIMES
    place.unmarshal, place.marshal = worker.codecs[ascii_only]
    as_json = worker.logs_json = logging_setup.is_json(variables.get("AWS_LAMBDA_LOG_FORMAT"))
    if as_json or "AWS_LAMBDA_LOG_LEVEL" in variables:
        logging_setup.choose(worker.logs, as_json=as_json, level=variables.get("AWS_LAMBDA_LOG_LEVEL"))
    place.fault = _fault_teller(place.marshal, as_json)


def _fault_teller(
    to_json: Callable[[object], bytes], as_json: bool
) -> Callable[[BaseException, str], tuple[bytes, str]]:
    """Turns an exception into the answer for the caller, and prints it to the log."""
    ours = {function.__code__.co_filename for function in (run_init, snapshot.run_before_snapshot)}
    own_files = (*ours, port.SOURCE, "<frozen runpy>")

    def tell(error: BaseException, request_id: str) -> tuple[bytes, str]:
        told = faults.describe(type(error), error, error.__traceback__, request_id=request_id, own_files=own_files)
        print_text = faults.log_json(told, to_json) if as_json else faults.log_text(told)
        _print(print_text)
        return to_json(told), told["errorType"]

    return tell


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
    except Exception:  # noqa: BLE001  # the function put something else in its place, or closed it
        os.write(1, text.encode("utf-8", "backslashreplace"))


def _extras(document: bytes) -> tuple[object, dict[str, str], str | None, str | None]:
    """What came beside the event: the client's context and its trace context, identity, tenant.

    The trace header of whoever called takes the place of the one that each invocation has.
    """
    sent = json.loads(document)
    if "trace_id" in sent:
        os.environ["_X_AMZN_TRACE_ID"] = sent["trace_id"]
    client, trace = context.client_context(sent.get("client_context"))
    return client, trace, sent.get("identity"), sent.get("tenant_id")


def _init_failed(worker: Worker, error: BaseException, start_ns: int, late: bool, error_type: str = "") -> int:
    place = worker.place
    answer, own_type = place.fault(error, "")
    error_type = error_type or own_type
    place.flush()
    if late:
        report_late_init(worker.logs_json, start_ns, error_type)
        place.refuse(answer, error_type)
    else:
        place.init_ended(start_ns, True, error_type)
    return 1


def report_late_init(as_json: bool, start_ns: int, error_type: str) -> None:
    """Log that an init within an invocation, begun then, failed."""
    took_ns, wall_ms = time.monotonic_ns() - start_ns, time.time_ns() // 1_000_000
    if as_json:
        line = platform_events.init_report(wall_ms, took_ns, "on-demand", "invoke", "error", error_type)
    else:
        line = report.init_report_line(took_ns, "invoke", "error", error_type)
    _print(line + "\n")


def _hide_engine() -> None:
    """From here on there is the standard library, and for a function its own code and the runtime's packages."""
    for name in list(sys.modules):
        if name.partition(".")[0] == HIDDEN:
            del sys.modules[name]
    sys.modules["__main__"] = ModuleType("__main__")
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.FileIO(0, closefd=False))  # type: ignore[misc]


def _exit_status(leaving: SystemExit) -> int:
    if leaving.code is None:
        return 0
    if isinstance(leaving.code, int):
        return leaving.code & 0xFF
    print(leaving.code, file=sys.stderr)  # noqa: T201  # as the interpreter does
    return 1
