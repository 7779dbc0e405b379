"""An environment whose function runs in another process: from its order to its end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

from ..._ext import confine
from ..._ext.relay import RETIRED_IDLE, RETIRED_TIMED_OUT, Relay
from .. import environment, surroundings
from . import extension_api, process
from .companions import Companions
from .extension import programs_in
from .invocation import Invocation
from .listener import Listener
from .loop import Loop
from .request import Request, Sink
from .runtime import RuntimeApi
from .shutdown import FAILURE, SPINDOWN, TIMED_OUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INVALID_ENTRYPOINT = "Runtime.InvalidEntrypoint"
PLACE = b"/engine/place"  # see hand_over.h
EXITS_WITHIN_S = 1.0  # a runtime that has told of a failed init
LAST_READS = 64  # of what a runtime said before it ended
PYTHON_ONLY = ("PYTHONPATH",)
NOT_PROVIDED = ("AWS_EXECUTION_ENV",)  # Lambda sets it for the runtimes that it manages


def run(_: environment.Worker, order: dict[str, Any], fds: list[int]) -> int:
    """Be the environment that `order` describes. Returns the exit status of the process.

    fds: the region, its eventfd, the log pipe's write end, the eventfd that says that there is work, the channel of a
    runtime that is primed, and what asks whose a connection is (see peers.py), where the order says so.
    """
    start_ns = time.monotonic_ns()
    environment.settle_in(fds, fds[2])
    return environment.to_its_end(lambda: Shim(order, fds, start_ns).live())


class Shim:
    """One environment's life. `_status` is its exit status, once that is known."""

    def __init__(self, order: dict[str, Any], fds: list[int], start_ns: int) -> None:
        self._order = order
        self._start_ns = start_ns
        self._begun_ns = start_ns  # of the init under way
        self._loop = Loop()
        self._status: Callable[[], int] | None = None
        self._failure: tuple[bytes, str] | None = None  # what a runtime said of an init that failed
        self._late: Invocation | None = None  # which init belongs to
        self._pid = 0
        self._companions: Companions | None = None
        self._is_leaving = False
        self._is_handed_over = False  # the runtime takes invocations itself
        self._beside: dict[str, Any] = {}
        self._place_fds = fds[:3]
        self._bell_fd = fds[3]
        self._channel_fd = fds[4] if "primed" in order else -1
        self._question_fd = fds[-1] if "question" in order else -1
        self._relay = self._open_relay(fds)
        self._api = RuntimeApi(
            on_ready=self._ready,
            on_init_error=self._init_error,
            on_next=self._take,
            take=self._take_at_once,
            after=self._loop.after,
        )
        self._listener = Listener(self._loop, self._serve, self._open_sink, self._api.serve_hot)

    def _open_relay(self, fds: list[int]) -> Relay:
        given = self._order["surroundings"]
        relay = Relay()
        relay.extras = self._keep_beside
        relay.variables = {}
        relay.open(fds[0], self._order["index"], fds[1], fds[2], self._order["timeout_ns"])
        relay.function_name, relay.function_version = given["function_name"], given["version"]
        relay.memory_limit_in_mb, relay.invoked_function_arn = str(given["memory_mb"]), self._order["arn"]
        relay.log_group_name, relay.log_stream_name = given["log_group"], given["log_stream"]
        return relay

    def _keep_beside(self, document: bytes) -> tuple[object, dict[str, str], str | None, str | None]:
        self._beside.update(json.loads(document))
        return None, {}, None, self._beside.get("tenant_id")

    # --- its course ---------------------------------------------------------------------------------------------------

    def live(self) -> int:
        """Init, serve, end."""
        confine.set_dumpable(False)  # the runtime is of the same user: this process's memory is not for it
        relay = self._relay
        if self._order["late"]:
            relay.init_ended(self._start_ns, False)
            if not relay.claim():
                return 0
            self._begun_ns = time.monotonic_ns()
            self._late = Invocation(relay, self._beside)
        self._loop.watch(self._bell_fd, self._rung)
        self._start()
        while self._status is None:
            self._loop.run_once()
        return self._status()

    def _start(self) -> None:
        shares_network = self._order["room"]["network"] == "host"
        address = self._listener.listen(
            shared_network_uid=os.geteuid() if shares_network else None, question_fd=self._question_fd
        )
        self._process_variables = self._variables(address)
        programs = programs_in(self._order["layers"])
        if programs:
            self._relay.want_farewell()
            self._company().start(programs, self._process_variables)
        else:
            self.start_runtime()

    def start_runtime(self) -> None:
        given, variables = self._order["surroundings"], self._process_variables
        os.chdir(given["task_root"])
        self._api.assignment = json.dumps(
            {
                "variables": variables,
                "handler": given["handler"],
                "task_root": given["task_root"],
                "layers": self._order["layers"],
            }
        ).encode()
        if self._channel_fd >= 0 and not process.has_ended(self._order["primed"]):
            self._listener.adopt_channel(self._channel_fd)
            self._watch_runtime(self._order["primed"])
        else:
            self._start_process(variables)

    def _start_process(self, variables: dict[str, str]) -> None:
        runtime = self._order["runtime"]
        channel = self._listener.open_channel() if runtime["channel"] else None
        output = None if self._companions is None else self._companions.runtime_output()
        try:
            command = process.command_of(runtime, self._places(), variables)
            pid = process.start(
                command,
                variables,
                None if channel is None else channel.fileno(),
                output_fd=None if output is None else output.write_fd,
            )
            self._watch_runtime(pid)
        except process.EntrypointError as error:
            self._cannot_start(str(error))
        finally:
            if channel is not None:
                channel.close()
            if output is not None:
                output.started()

    def _watch_runtime(self, pid: int) -> None:
        self._pid = self._relay.runtime_pid = pid
        process.on_end(self._loop, pid, self._runtime_ended)

    def _places(self) -> dict[str, str]:
        order = self._order
        layers = order["layers"]
        return {
            **order["runtime"]["places"],
            "task": order["surroundings"]["task_root"],
            "opt": layers[-1] if layers else "/opt",
        }

    def _variables(self, address: str) -> dict[str, str]:
        given, runtime = dict(self._order["surroundings"]), self._order["runtime"]
        variables = surroundings.environment_variables(
            **given, language_root=runtime["language_root"], runtime_api=address
        )
        own = {name: process.filled(value, self._places()) for name, value in runtime["variables"].items()}
        unset = (*PYTHON_ONLY, *(NOT_PROVIDED if runtime["command"] == [process.BOOTSTRAP] else ()))
        user = given["user"]
        kept = {name: value for name, value in variables.items() if name not in unset or name in user}
        return {**kept, **{name: value for name, value in own.items() if name not in user}}

    # --- requests -----------------------------------------------------------------------------------------------------

    def _serve(self, request: Request) -> None:
        if self._api.serves(request.path):
            self._api.serve(request)
        elif extension_api.serves(request.path):
            self._company(is_kept=not self._api.is_ready).serve(request)
            if self._companions is not None and self._companions.are_any:
                self._relay.want_farewell(begun=self._is_leaving)
        elif request.path == PLACE and request.connection.is_channel:
            self._hand_over(request)
        else:
            request.not_found()

    def _open_sink(self, request: Request) -> Sink | None:
        return self._api.open_sink(request)

    def _hand_over(self, request: Request) -> None:
        """Give the runtime this environment's place in the region: this process is there for its end alone then.

        Not where there are extensions, which are told of every invocation.
        """
        self._api.tell_failure()
        if not self._api.is_between or self._companions is not None or self._status is not None:
            request.refuse(403, "InvalidStateTransition", "the place is given between two invocations")
            return
        self._is_handed_over = True
        self._loop.forget(self._bell_fd)
        request.connection.attach(self._place_fds)
        about = f"{self._order['index']} {self._order['timeout_ns']} {self._relay.cpu_since_init_ns()}"
        request.reply(200, about.encode())

    # --- what happens -------------------------------------------------------------------------------------------------

    def _ready(self) -> None:
        if self._companions is not None:
            self._companions.runtime_ready()
        elif self._late is None:
            self._relay.init_ended(self._start_ns, False)

    def _take(self) -> None:
        """Give the runtime that waits an invocation, or wait for one."""
        if self._is_handed_over:  # it could not use its place
            self._is_handed_over = False
            self._loop.watch(self._bell_fd, self._rung)
        if self._pid == 0 or (self._companions is not None and not self._companions.may_take()):
            return
        if self._late is not None:
            late, self._late = self._late, None
            self._hand_out(late)
            return
        relay = self._relay
        while self._status is None and self._api.waits:
            taken = relay.take()
            if taken < 0:
                self.leave(SPINDOWN, lambda: 0)
                return
            if taken:
                relay.wake()
                self._hand_out(Invocation(relay, self._beside))
            elif relay.doze():
                return
        relay.wake()

    def _take_at_once(self) -> Invocation | None:
        """An invocation for a runtime that asks, where nobody else has a word in it and nothing is to be waited for."""
        if self._companions is not None or self._is_handed_over or self._pid == 0 or self._relay.take(waits=False) != 1:
            return None
        return Invocation(self._relay, self._beside)

    def _hand_out(self, invocation: Invocation) -> None:
        if self._companions is not None:
            self._companions.begin(invocation)
        self._api.hand_out(invocation)

    def _rung(self, _: int) -> None:
        """There may be work, or room for more of a stream, or this environment is to end."""
        try:
            os.eventfd_read(self._bell_fd)
        except BlockingIOError:
            pass
        if self._api.stream is not None:
            self._api.stream.go_on()
        if self._companions is not None:
            self._look_for_end()
        elif not self._api.is_ready and self._relay.is_retired():
            self._status = lambda: 0
        self.take()

    def _look_for_end(self) -> None:
        """With extensions there may be a word to end at once, whatever is under way."""
        word = self._relay.retire_word()
        if word > RETIRED_IDLE or (word and not self._api.is_ready):
            self.leave(TIMED_OUT if word == RETIRED_TIMED_OUT else SPINDOWN, lambda: 0)

    def take(self) -> None:
        if self._api.waits:
            self._relay.wake()
            self._take()

    def _runtime_ended(self, status: int) -> None:
        self._pid = self._relay.runtime_pid = 0  # nothing is claimed from here on
        reads = 0
        while reads < LAST_READS and self._loop.run_once(wait=False):
            reads += 1
        self._api.tell_failure()
        if self._companions is not None:
            self._companions.runtime_ended(self._failure[1] if self._failure else "Runtime.ExitError")
        if self._failure is not None:
            self._end_failed()
        elif self._is_handed_over and self._relay.is_retired():
            self.leave(SPINDOWN, lambda: 0)
        else:
            self.leave(FAILURE, lambda: process.end_as(status))

    def leave(self, reason: str, status: Callable[[], int]) -> None:
        """End with this status, once extensions have been told why, if there are any."""
        if self._is_leaving:
            return
        self._is_leaving = True
        self._relay.wake()
        if self._companions is None or not self._companions.are_any:
            self._status = status
            return
        self._relay.want_farewell(begun=True)
        self._companions.shut_down(reason, lambda: self._end_with(status))

    def _end_with(self, status: Callable[[], int]) -> None:
        self._status = status

    # --- for extensions: see `companions.Environment` -----------------------------------------------------------------

    def _company(self, *, is_kept: bool = True) -> Companions:
        """Who tells extensions of what happens; without any, and after init, somebody who refuses them."""
        if self._companions is not None:
            return self._companions
        phase = "init" if self._late is None else "invoke"
        made = Companions(self._loop, self._order, self, phase, self._begun_ns)
        if is_kept:
            self._companions = made
        else:
            made.refuse_registrations()
        return made

    def about_to_leave(self) -> None:
        """Before the last answer: an idle environment that does not say so is frozen."""
        self._relay.want_farewell(begun=True)

    def runtime_waits(self) -> bool:
        return self._api.waits

    def runtime_pid(self) -> int:
        return self._pid

    def init_over(self) -> None:
        if self._late is None:
            self._relay.init_ended(self._start_ns, False)
        self.take()

    def init_failed(self, body: bytes, error_type: str) -> None:
        self._failure = body, error_type
        self._end_failed()

    def request_id(self) -> str:
        """Of the invocation under way, if there is one."""
        if self._late is not None:
            return self._late.request_id
        current = self._api.current
        return current.request_id if current is not None else ""

    # --- an init that failed ------------------------------------------------------------------------------------------

    def _init_error(self, body: bytes, error_type: str) -> None:
        self._failure = body, error_type or "Runtime.Unknown"
        self._loop.after(EXITS_WITHIN_S, self._end_failed)

    def _cannot_start(self, message: str) -> None:
        request_id = self._late.request_id if self._late is not None else ""
        text = f"RequestId: {request_id} Error: {message}"
        print(f"{text}\n{INVALID_ENTRYPOINT}", flush=True)  # noqa: T201  # the function's log
        self._failure = (
            json.dumps({"errorType": INVALID_ENTRYPOINT, "errorMessage": text}).encode(),
            INVALID_ENTRYPOINT,
        )
        self._end_failed()

    def _end_failed(self) -> None:
        if self._failure is None or self._status is not None or self._is_leaving:
            return
        body, error_type = self._failure
        late, self._late = self._late, None
        if late is None:
            self._relay.init_ended(self._start_ns, True, error_type)
        elif late.is_open:
            environment.report_late_init(self._logs_json(), self._begun_ns, error_type)
            late.fail(body, error_type)
        self.leave(FAILURE, lambda: 1)

    def _logs_json(self) -> bool:
        return str(self._order["surroundings"]["log_format"]).upper() == "JSON"
