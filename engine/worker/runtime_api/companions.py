"""The extensions of one environment: started before the runtime, part of every invocation, told of the end.

Init is over when the runtime and every extension wait for their first event; an invocation is over when the runtime
waits again, and with it every extension that was told of it.
"""

from __future__ import annotations

import json
import os
import signal
from functools import partial

from . import process
from .chronicle import ERROR, TIMEOUT, Chronicle, tracing
from .extension import EXITED, INIT_ERROR, INVOKE, LAUNCH_ERROR, READY, STARTED, Extension
from .extension_api import EXTENSIONS_MAX, ExtensionApi
from .loop import Loop
from .output import Output, write_log
from .shutdown import FAILURE, TIMED_OUT, Shutdown
from .telemetry import Telemetry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Final, Protocol

    from .invocation import Invocation
    from .request import Request

    class Environment(Protocol):
        """What the shim does for its extensions."""

        def runtime_waits(self) -> bool: ...
        def runtime_pid(self) -> int: ...
        def start_runtime(self) -> None: ...
        def init_over(self) -> None: ...
        def init_failed(self, body: bytes, error_type: str) -> None: ...
        def take(self) -> None: ...
        def request_id(self) -> str: ...
        def about_to_leave(self) -> None: ...
        def leave(self, reason: str, status: Callable[[], int]) -> None: ...


NOT_FOR_EXTENSIONS: Final = (
    *("AWS_EXECUTION_ENV", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_XRAY_CONTEXT_MISSING"),
    *("AWS_XRAY_DAEMON_ADDRESS", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT", "_AWS_XRAY_DAEMON_ADDRESS"),
    *("_AWS_XRAY_DAEMON_PORT", "_HANDLER"),
)
FLUSH_TURNS, FLUSH_TURN_S = 20, 0.005
EXITS_WITHIN_S = 1.0  # an extension that has told of an error


class Companions:
    """Made when there is one extension at least, or somebody asks to be one."""

    def __init__(
        self, loop: Loop, order: Mapping[str, Any], environment: Environment, phase: str, start_ns: int
    ) -> None:
        """`phase`, `start_ns`: of the init under way; see Chronicle."""
        given = order["surroundings"]
        self._loop, self._environment, self._arn = loop, environment, order["arn"]
        self._as_json = str(given["log_format"]).upper() == "JSON"
        self._extensions: dict[str, Extension] = {}
        self._outputs: list[Output] = []
        self._telemetry = Telemetry(loop, as_json=self._as_json)
        self._chronicle = Chronicle(self._telemetry, given, phase, start_ns)
        self._runtime_started = True  # unless there are external extensions, which come first
        self._runtime_ready = self._is_ready = self._has_failed = False
        self._invocation: Invocation | None = None
        self._finish: Callable[[], object] | None = None  # puts the answer that is held
        self._produced_bytes = 0
        self._shutdown: Shutdown | None = None
        about = {
            "functionName": given["function_name"],
            "functionVersion": given["version"],
            "handler": given["handler"],
            "accountId": order["arn"].split(":")[4],
        }
        self._api = ExtensionApi(
            self._extensions,
            self._telemetry,
            about,
            on_registered=self._look_at_registrations,
            on_asked=self._asked,
            on_error=self._gave_up,
        )

    def serve(self, request: Request) -> None:
        self._api.serve(request)

    def refuse_registrations(self) -> None:
        """Nobody registers any more."""
        self._api.is_closed = True

    @property
    def are_any(self) -> bool:
        """Whether there is an extension."""
        return bool(self._extensions)

    # --- starting -----------------------------------------------------------------------------------------------------

    def start(self, programs: Mapping[str, str], variables: Mapping[str, str]) -> None:
        """Start every external extension; the runtime follows when all have registered."""
        self._runtime_started = False
        kept = {name: value for name, value in variables.items() if name not in NOT_FOR_EXTENSIONS}
        for name, path in programs.items():
            extension = self._extensions[name] = Extension(name, is_external=True)
            if len(self._extensions) > EXTENSIONS_MAX:
                said = f"there are {len(programs)} extensions in /opt/extensions, and at most {EXTENSIONS_MAX} may be"
                self._not_launched(extension, "TooManyExtensions", said)
                return
            output = Output(self._loop, partial(self._telemetry.line, "extension"))
            try:
                extension.pid = process.start([path], kept, output_fd=output.write_fd, leads_group=True)
            except process.EntrypointError as error:
                denied = isinstance(error.__cause__, PermissionError)
                self._not_launched(extension, "PermissionDenied" if denied else "UnknownError", str(error))
                return
            finally:
                output.started()
            self._outputs.append(output)
            process.on_end(self._loop, extension.pid, partial(self._ended, extension))

    def _not_launched(self, extension: Extension, error_type: str, said: str) -> None:
        extension.step(LAUNCH_ERROR)
        extension.error_type = error_type
        self._fail("Extension.LaunchError", said)

    def runtime_output(self) -> Output:
        """What the runtime prints goes this way."""
        output = Output(self._loop, partial(self._telemetry.line, "function"))
        self._outputs.append(output)
        return output

    def _look_at_registrations(self) -> None:
        if not self._runtime_started and not any(each.state == STARTED for each in self._extensions.values()):
            self._runtime_started = True
            self._environment.start_runtime()

    # --- init ---------------------------------------------------------------------------------------------------------

    def runtime_ready(self) -> None:
        """The runtime asks for its first invocation: nobody registers any more."""
        self.refuse_registrations()
        self._runtime_ready = True
        self._chronicle.runtime_initialised()
        self._look_at_init()

    def _look_at_init(self) -> None:
        if self._is_ready or self._has_failed or not self._runtime_ready:
            return
        if all(each.state == READY for each in self._extensions.values()):
            self._is_ready = True
            self._drain()
            self._tell_states()
            self._chronicle.init_ended()
            self._telemetry.close()
            self._environment.init_over()

    def _tell_states(self) -> None:
        """A line of the log for each extension."""
        for each in self._extensions.values():
            record = {"name": each.name, "state": each.state, "events": list(each.events)}
            if each.error_type:
                record["errorType"] = each.error_type
            self._telemetry.platform("platform.extension", record)
            if self._as_json:
                line = json.dumps({"type": "platform.extension", "record": record})
            else:
                line = f"EXTENSION\tName: {each.name}\tState: {each.state}\tEvents: [{', '.join(each.events)}]"
                line += f"\tError Type: {each.error_type}" if each.error_type else ""
            write_log(line.encode() + b"\n")

    # --- invocations --------------------------------------------------------------------------------------------------

    def begin(self, invocation: Invocation) -> None:
        """Tell extensions of it; what it is answered is held until all are done."""
        self._invocation, invocation.hold = invocation, self._hold
        self._chronicle.began(invocation)
        event = {
            "eventType": INVOKE,
            "deadlineMs": invocation.deadline_ms,
            "requestId": invocation.request_id,
            "invokedFunctionArn": self._arn,
            "tracing": tracing(invocation),
        }
        for each in self._extensions.values():
            if INVOKE in each.events:
                each.give(json.dumps(event).encode())

    def _hold(self, error_type: str, produced_bytes: int, finish: Callable[[], object]) -> None:
        if self._shutdown is not None:  # too late
            return
        self._finish, self._produced_bytes = finish, produced_bytes
        self._chronicle.answered(error_type)

    def may_take(self) -> bool:
        """Whether the runtime, which waits, may be given an invocation."""
        if self._finish is not None:
            self._chronicle.runtime_done(self._produced_bytes)
        self._settle()
        return self._is_ready and not self._has_failed and self._shutdown is None and self._invocation is None

    def _settle(self) -> None:
        """End the invocation under way, if all are done with it."""
        if self._finish is None or not self._environment.runtime_waits():
            return
        if not any(each.holds_invocation for each in self._extensions.values()):
            self._conclude()

    def _conclude(self) -> None:
        finish, self._finish, self._invocation = self._finish, None, None
        self._drain()
        if finish is not None:
            finish()
        self._chronicle.ended(self._pids())

    def _pids(self) -> list[int]:
        pids = [self._environment.runtime_pid(), *(each.pid for each in self._extensions.values())]
        return [pid for pid in pids if pid]

    def _drain(self) -> None:
        for output in self._outputs:
            output.drain()

    def _asked(self, extension: Extension) -> None:
        if self._shutdown is not None:
            self._shutdown.asked(extension)
        elif not self._is_ready:
            self._look_at_init()
        else:
            self._environment.take()

    # --- failures -----------------------------------------------------------------------------------------------------

    def _gave_up(self, extension: Extension) -> None:
        """It has said so: with it this environment ends, in its process's words."""
        self._loop.after(EXITS_WITHIN_S, partial(self._fail_for, extension, "exit code 0"))

    def _fail_for(self, extension: Extension, said: str) -> None:
        kinds = {INIT_ERROR: "Extension.InitError", "ExitError": "Extension.ExitError"}
        self._fail(kinds.get(extension.state, "Extension.Crash"), said)

    def _ended(self, extension: Extension, status: int) -> None:
        extension.pid = 0
        self._drain()
        if self._shutdown is not None:
            extension.state = EXITED
            self._shutdown.extension_ended()
        else:
            self._fail_for(extension, exit_words(status))

    def _fail(self, error_type: str, said: str) -> None:
        """The environment ends for it, and so does the invocation that it has."""
        if self._has_failed or self._shutdown is not None:
            return
        self._has_failed = True
        self._drain()
        request_id = self._environment.request_id()
        text = f"RequestId: {request_id} Error: {said}"
        if not self._is_ready:
            self._tell_states()
            self._chronicle.init_ended(error_type)
        write_log(f"{text}\n{error_type}\n".encode())
        body = json.dumps({"errorType": error_type, "errorMessage": text}).encode()
        if not self._is_ready:
            self._environment.init_failed(body, error_type)
            return
        self._environment.about_to_leave()
        if self._finish is not None:
            self._conclude()
        elif self._invocation is not None:
            self._chronicle.cut_short(ERROR, error_type)
            self._invocation.refuse(body, error_type)
            self._conclude()
        self._environment.leave(FAILURE, lambda: 1)

    def runtime_ended(self, error_type: str) -> None:
        """By itself, or as it was told to. An answer that it has given holds."""
        self._drain()
        if self._shutdown is not None:
            self._shutdown.runtime_ended()
        elif self._finish is not None:
            self._environment.about_to_leave()
            self._conclude()
        elif self._is_ready:
            self._chronicle.cut_short(ERROR, error_type)
        elif not self._has_failed:
            self._tell_states()
            self._chronicle.runtime_initialised(error_type)
            self._chronicle.init_ended(error_type)

    # --- the end ------------------------------------------------------------------------------------------------------

    def shut_down(self, reason: str, on_over: Callable[[], object]) -> None:
        """Have all end, in the time that there is; then `on_over`."""
        if reason == TIMED_OUT:
            self._chronicle.cut_short(TIMEOUT, "")
            self._finish = None
            self._chronicle.ended(self._pids())
        self._shutdown = Shutdown(
            self._loop,
            list(self._extensions.values()),
            self._environment.runtime_pid(),
            reason,
            self._before_events,
            partial(self._over, on_over),
        )

    def _before_events(self, then: Callable[[], object]) -> None:
        """What was last told is to be there before the word that it was the last."""
        self._drain()
        self._telemetry.flush()
        self._wait_for_delivery(FLUSH_TURNS, then)

    def _wait_for_delivery(self, turns: int, then: Callable[[], object]) -> None:
        if turns == 0 or self._telemetry.is_delivered:
            then()
        else:
            self._loop.after(FLUSH_TURN_S, partial(self._wait_for_delivery, turns - 1, then))

    def _over(self, on_over: Callable[[], object]) -> None:
        self._drain()
        on_over()


def exit_words(status: int) -> str:
    """How a process ended, as Lambda tells it of an extension."""
    if os.WIFSIGNALED(status):
        return f"signal: {(signal.strsignal(os.WTERMSIG(status)) or 'unknown').lower()}"
    code = os.waitstatus_to_exitcode(status)
    return f"exit status {code}" if code else "exit code 0"
