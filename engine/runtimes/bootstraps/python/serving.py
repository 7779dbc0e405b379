"""A function's whole life on a Python other than the engine's: become that function, run its init, serve, end."""

from __future__ import annotations

import json
import os
import sys
import traceback
from types import ModuleType

from . import faults, handler, import_path, logging_setup, marshal, output, place
from .channel import Channel
from .lambda_context import LambdaContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Union

    from .channel import Buffer, Headers

    Way = Union[Channel, place.Place]

FUNCTION = "AWS_LAMBDA_FUNCTION_NAME"
WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"
BYTES = b"application/octet-stream"
HTTP_RESPONSE = b"application/vnd.awslambda.http-integration-response"  # a JSON prelude, this, then the body
PRELUDE_END = bytes(8)
STDLIB = os.path.dirname(os.__file__)


class Worker:
    """What is the same for every function is made before anybody knows for which."""

    def __init__(self, channel_fd: int) -> None:
        self.channel = Channel(channel_fd)
        self.context: LambdaContext | None = None
        self.flush = output.install()
        self.logs = logging_setup.configure(self.request_id, tenant_id=self.tenant_id)
        make = marshal.codec if marshal.has_compiled_parts() else marshal.plain_codec
        self.codecs = {ascii_only: make(ascii_only) for ascii_only in (True, False)}

    def request_id(self) -> str:
        return "" if self.context is None else self.context.aws_request_id or ""

    def tenant_id(self) -> str | None:
        return None if self.context is None else self.context.tenant_id

    def become(self) -> str:
        """Wait for the assignment and go to the function's code. The handler's name."""
        assignment = json.loads(self.channel.assignment())
        variables: dict[str, str] = assignment["variables"]
        if WRAPPER in variables:  # it was started with all of these, and what the wrapper has made of them holds
            variables = dict(os.environ)
        task_root, runtime_dir = assignment["task_root"], variables["LAMBDA_RUNTIME_DIR"]
        layers, stdlib = assignment["layers"], [STDLIB, f"{STDLIB}/lib-dynload"]
        path = import_path.search_path(task_root, layers, [runtime_dir], stdlib, variables.get("PYTHONPATH"))
        import_path.apply({"PYTHONPATH": runtime_dir, **variables}, path)
        os.chdir(task_root)
        sys.argv = ["/var/runtime/bootstrap.py", assignment["handler"]]
        self._use_settings(variables)
        self._folders = [task_root, *import_path.layer_folders(layers)]
        return str(assignment["handler"])

    def _use_settings(self, variables: dict[str, str]) -> None:
        runtime = variables["AWS_EXECUTION_ENV"][len("AWS_Lambda_") :]
        self.unmarshal, self.marshal = self.codecs[runtime in marshal.ASCII_ONLY_RUNTIMES]
        self.logs_json = logging_setup.is_json(variables.get("AWS_LAMBDA_LOG_FORMAT"))
        if self.logs_json or "AWS_LAMBDA_LOG_LEVEL" in variables:
            logging_setup.choose(self.logs, as_json=self.logs_json, level=variables.get("AWS_LAMBDA_LOG_LEVEL"))

    def load(self, name: str) -> None:
        """The function's init. Where it fails, that is told and the process ends."""
        try:
            import_path.run_path_files(self._folders)
            self.handler = handler.load(name)
        except Exception as error:  # noqa: BLE001  # init runs the user's code, which may raise anything
            answer, error_type = self._told(error, "")
            self.flush()
            self.channel.fail_init(answer, error_type)
            raise SystemExit(1) from None

    def serve(self) -> None:
        """Take invocations for as long as the engine has this process."""
        headers, event = self.channel.next()
        self._invoke(self.channel, headers, event)
        way = place.take_over(self.channel, headers[b"lambda-runtime-invoked-function-arn"])
        while True:
            self._invoke(way, *way.next())

    def _invoke(self, way: Way, headers: Headers, event: Buffer) -> None:
        """Run one invocation and end it."""
        request_id = headers[b"lambda-runtime-aws-request-id"]
        os.environ["_X_AMZN_TRACE_ID"] = headers.get(b"lambda-runtime-trace-id", b"").decode()
        poured: tuple[bytes, str] | None = None
        failed = ""
        try:
            self.context = LambdaContext(headers, self.logs.log_sink.log)
            answer: Any = self.handler(self.unmarshal(bytes(event)), self.context)
            if hasattr(type(answer), "__next__"):
                poured = self._pour(way, answer, request_id)
            else:
                answer = self.marshal(answer)
        except Exception as error:  # noqa: BLE001  # the user's code may raise anything
            answer, failed = self._told(error, request_id.decode())
        self.flush()
        if poured is not None:
            way.end_stream(*poured)
        elif failed:
            way.fail(request_id, answer, failed)
        else:
            way.answer(request_id, answer)

    def _pour(self, way: Way, chunks: Iterator[object], request_id: bytes) -> tuple[bytes, str]:
        """Send each chunk as the handler gives it. What ended it early; what fails before the first chunk is raised."""
        begun = False
        try:
            for chunk in chunks:
                is_prelude = not begun and isinstance(chunk, dict)
                piece = self.marshal(chunk) + PRELUDE_END if is_prelude else marshal.chunk(chunk)
                if not begun:
                    way.begin_stream(request_id, HTTP_RESPONSE if is_prelude else BYTES)
                    begun = True
                way.send(piece)
        except Exception as error:
            if not begun:
                raise
            return self._told(error, request_id.decode())
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        if not begun:
            way.begin_stream(request_id, BYTES)
        return b"", ""

    def _told(self, error: Exception, request_id: str) -> tuple[bytes, str]:
        """The answer for the caller; the log has it too."""
        told = faults.describe(
            type(error), error, error.__traceback__, request_id=request_id, own_files=("<frozen runpy>",)
        )
        text = faults.log_json(told, self.marshal) if self.logs_json else faults.log_text(told)
        try:
            sys.stdout.write(text)
        except Exception:  # noqa: BLE001  # the function put something else in its place, or closed it
            os.write(1, text.encode("utf-8", "backslashreplace"))
        return self.marshal(told), told["errorType"]


def live(channel_fd: int, hidden: str) -> None:
    """Be an environment's runtime. `hidden`: this package, by the name that it was imported by."""
    worker = Worker(channel_fd)
    if FUNCTION not in os.environ:  # started ahead: it has time
        place.preload()
    name = worker.become()
    for module in list(sys.modules):
        if module.partition(".")[0] == hidden:
            del sys.modules[module]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        worker.load(name)
        worker.serve()
    except KeyboardInterrupt:  # as on the engine's own Python, rather than by a signal to itself
        traceback.print_exc()
        raise SystemExit(1) from None
