"""F5: the engine for blocking programs: the same names as `engine.Engine`, called from any thread; and `connect`.

A helper thread with an event loop of its own looks after environments, deadlines and the control plane. It is not on
the path of an invocation: the calling thread publishes it, waits for it and takes the answer itself.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, TypeVar

import uvloop

from . import app, config, errors
from ._ext.result import InvokeResult
from .client.blocking import connect
from .client.records import BlockingRecords
from .model import (
    AccountSettings,
    Alias,
    Code,
    EventInvokeConfig,
    FunctionConfiguration,
    FunctionState,
    LayerVersion,
    LogEvent,
    LogPage,
    ProvisionedConcurrencyConfig,
    RecursiveLoop,
    Resource,
    Schedule,
)
from .records.export import Format, Target
from .records.rollups import By
from .records.statistics import BillTable
from .wire.messages import given
from .wire.streams import BlockingResponseStream

__all__ = ["Engine", "connect"]
T = TypeVar("T")


class _LoopEngine(app.Engine):
    """The engine that the helper thread runs: answers are drained by the threads that wait for them."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._drains_on_loop = False


class Engine(BlockingRecords):
    """AWS Lambda on this host, for programs that block.

        with Engine() as engine:
            engine.create_function("hello", code="src/", handler="app.handler", runtime="python3.11")
            result = engine.invoke("hello", {"name": "Ada"})

    Arguments as for `engine.Engine`. Any number of threads may call at once.
    """

    def __init__(self, data_dir: str | os.PathLike[str] | None = None, **settings: Any) -> None:
        self._engine = _LoopEngine(data_dir, **settings)
        self._thread: threading.Thread | None = None
        self._invoke: app.BlockingInvoke | None = None

    def __enter__(self) -> Engine:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Start the helper thread and the engine; see `engine.Engine.open`."""
        if self._thread is not None:
            raise errors.EngineError("this engine is open already")
        self._pid = os.getpid()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run_loop, args=(started,), name="engine", daemon=True)
        self._thread.start()
        started.wait()
        try:
            self._wait(self._engine.open())
        except BaseException:
            self._stop_loop()
            raise
        self._invoke = self._engine.blocking_invoke()

    def close(self) -> None:
        """End every environment. Threads that still wait get EngineClosedError. Idempotent.

        In a process forked from the engine's own it only forgets the engine, which goes on.
        """
        if self._thread is None:
            return
        self._invoke = None
        if self._pid != os.getpid():
            self._thread = None
            return
        try:
            self._wait(self._engine.close())
        finally:
            self._stop_loop()

    def drain(self, within_s: float) -> bool:
        """Begin no more events, and wait for those under way; see `engine.Engine.drain`."""
        return self._wait(self._engine.drain(within_s))

    def invoke(
        self,
        name: str,
        payload: object = None,
        *,
        qualifier: str | None = None,
        invocation_type: Literal["RequestResponse", "DryRun", "Event"] = "RequestResponse",
        client_context: Mapping[str, object] | str | None = None,
        log_tail: bool = False,
        trace_header: str | None = None,
        tenant_id: str | None = None,
    ) -> InvokeResult:
        """Run a function and wait for its answer; see `engine.Engine.invoke`."""
        invoke = self._invoke
        if invoke is None:
            raise errors.EngineClosedError("the engine is not open: use `with Engine() as engine`")
        if invocation_type == "Event":
            return self._wait(
                self._engine.invoke(
                    name,
                    payload,
                    qualifier=qualifier,
                    invocation_type="Event",
                    client_context=client_context,
                    trace_header=trace_header,
                    tenant_id=tenant_id,
                )
            )
        return invoke(name, payload, qualifier, invocation_type, client_context, log_tail, trace_header, tenant_id)

    def invoke_stream(
        self,
        name: str,
        payload: object = None,
        *,
        qualifier: str | None = None,
        client_context: Mapping[str, object] | str | None = None,
        log_tail: bool = False,
        trace_header: str | None = None,
        tenant_id: str | None = None,
    ) -> BlockingResponseStream:
        """Run a function and take its answer as it gives it: an iterator of bytes; see `engine.Engine.invoke_stream`.

        The thread that iterates waits and takes the bytes itself.
        """
        if self._invoke is None:
            raise errors.EngineClosedError("the engine is not open: use `with Engine() as engine`")
        return self._engine.blocking_stream(name, payload, qualifier, client_context, log_tail, trace_header, tenant_id)

    def create_function(
        self, name: str, *, code: Code, handler: str, layers: Sequence[Code] = (), **settings: Any
    ) -> FunctionConfiguration:
        """Deploy a function; see `engine.Engine.create_function`."""
        return self._wait(self._engine.create_function(name, code=code, handler=handler, layers=layers, **settings))

    def update_function_code(
        self,
        name: str,
        *,
        code: Code,
        architecture: str | None = None,
        revision_id: str | None = None,
        dry_run: bool = False,
    ) -> FunctionConfiguration:
        """Give `$LATEST` new code; see `engine.Engine.update_function_code`."""
        return self._wait(
            self._engine.update_function_code(
                name, code=code, architecture=architecture, revision_id=revision_id, dry_run=dry_run
            )
        )

    def update_function_configuration(self, name: str, **changes: Any) -> FunctionConfiguration:
        """Change settings of `$LATEST`; see `engine.Engine.update_function_configuration`."""
        return self._wait(self._engine.update_function_configuration(name, **changes))

    def delete_function(self, name: str, *, qualifier: str | None = None) -> None:
        """Delete a function, or one published version of it."""
        self._wait(self._engine.delete_function(name, qualifier=qualifier))

    def get_function(self, name: str, *, qualifier: str | None = None) -> FunctionConfiguration:
        """The configuration that a name leads to."""
        return self._wait(self._engine.get_function(name, qualifier=qualifier))

    def get_function_state(self, name: str, *, qualifier: str | None = None) -> FunctionState:
        """Whether a version can be invoked as it is meant to be; see `engine.Engine.get_function_state`."""
        return self._wait(self._engine.get_function_state(name, qualifier=qualifier))

    def list_functions(self) -> list[FunctionConfiguration]:
        """`$LATEST` of every function, by name."""
        return self._wait(self._engine.list_functions())

    def list_versions(self, name: str) -> list[FunctionConfiguration]:
        """`$LATEST`, then the published versions in order."""
        return self._wait(self._engine.list_versions(name))

    def publish_version(
        self,
        name: str,
        *,
        description: str | None = None,
        code_sha256: str | None = None,
        revision_id: str | None = None,
    ) -> FunctionConfiguration:
        """Freeze `$LATEST` under the next number; see `engine.Engine.publish_version`."""
        return self._wait(
            self._engine.publish_version(
                name, description=description, code_sha256=code_sha256, revision_id=revision_id
            )
        )

    def create_alias(
        self,
        name: str,
        alias: str,
        function_version: str,
        *,
        description: str = "",
        routing: Mapping[str, float] | None = None,
    ) -> Alias:
        """Name a version; see `engine.Engine.create_alias`."""
        return self._wait(
            self._engine.create_alias(name, alias, function_version, description=description, routing=routing)
        )

    def update_alias(
        self,
        name: str,
        alias: str,
        *,
        function_version: str | None = None,
        description: str | None = None,
        routing: Mapping[str, float] | None = None,
        revision_id: str | None = None,
    ) -> Alias:
        """Have an alias name another version; see `engine.Engine.update_alias`."""
        return self._wait(
            self._engine.update_alias(
                name,
                alias,
                function_version=function_version,
                description=description,
                routing=routing,
                revision_id=revision_id,
            )
        )

    def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias; that it is not there is no error."""
        self._wait(self._engine.delete_alias(name, alias))

    def get_alias(self, name: str, alias: str) -> Alias:
        """Raises ResourceNotFoundException."""
        return self._wait(self._engine.get_alias(name, alias))

    def list_aliases(self, name: str, *, function_version: str | None = None) -> list[Alias]:
        """By name; only those of `function_version` if it is given."""
        return self._wait(self._engine.list_aliases(name, function_version=function_version))

    def put_function_concurrency(self, name: str, reserved: int) -> None:
        """Reserve concurrency for one function; 0 stops it."""
        self._wait(self._engine.put_function_concurrency(name, reserved))

    def get_function_concurrency(self, name: str) -> int | None:
        """What is reserved for a function; None when it shares the unreserved."""
        return self._wait(self._engine.get_function_concurrency(name))

    def delete_function_concurrency(self, name: str) -> None:
        """Give a function's reservation back."""
        self._wait(self._engine.delete_function_concurrency(name))

    def put_provisioned_concurrency_config(
        self, name: str, qualifier: str, provisioned: int
    ) -> ProvisionedConcurrencyConfig:
        """Keep environments ready; see `engine.Engine.put_provisioned_concurrency_config`."""
        return self._wait(self._engine.put_provisioned_concurrency_config(name, qualifier, provisioned))

    def get_provisioned_concurrency_config(self, name: str, qualifier: str) -> ProvisionedConcurrencyConfig:
        """Raises ProvisionedConcurrencyConfigNotFoundException where nothing was asked for."""
        return self._wait(self._engine.get_provisioned_concurrency_config(name, qualifier))

    def list_provisioned_concurrency_configs(self, name: str) -> list[ProvisionedConcurrencyConfig]:
        """Of every version and alias of a function that has one."""
        return self._wait(self._engine.list_provisioned_concurrency_configs(name))

    def delete_provisioned_concurrency_config(self, name: str, qualifier: str) -> None:
        """Keep none ready any more."""
        self._wait(self._engine.delete_provisioned_concurrency_config(name, qualifier))

    def put_function_event_invoke_config(
        self,
        name: str,
        *,
        qualifier: str | None = None,
        maximum_retry_attempts: int | None = None,
        maximum_event_age_s: int | None = None,
        on_success: str | None = None,
        on_failure: str | None = None,
    ) -> EventInvokeConfig:
        """Say what happens to events; see `engine.Engine.put_function_event_invoke_config`."""
        return self._wait(
            self._engine.put_function_event_invoke_config(
                name,
                qualifier=qualifier,
                maximum_retry_attempts=maximum_retry_attempts,
                maximum_event_age_s=maximum_event_age_s,
                on_success=on_success,
                on_failure=on_failure,
            )
        )

    def update_function_event_invoke_config(
        self,
        name: str,
        *,
        qualifier: str | None = None,
        maximum_retry_attempts: int | None = None,
        maximum_event_age_s: int | None = None,
        on_success: str | None = None,
        on_failure: str | None = None,
    ) -> EventInvokeConfig:
        """Change some of it; what is not given stays, and a destination of "" is none any more."""
        return self._wait(
            self._engine.update_function_event_invoke_config(
                name,
                qualifier=qualifier,
                maximum_retry_attempts=maximum_retry_attempts,
                maximum_event_age_s=maximum_event_age_s,
                on_success=on_success,
                on_failure=on_failure,
            )
        )

    def get_function_event_invoke_config(self, name: str, *, qualifier: str | None = None) -> EventInvokeConfig:
        """What was said of a version, an alias or (None) `$LATEST`. Raises ResourceNotFoundException."""
        return self._wait(self._engine.get_function_event_invoke_config(name, qualifier=qualifier))

    def list_function_event_invoke_configs(self, name: str) -> list[EventInvokeConfig]:
        """Of `$LATEST`, every version and every alias of a function that has one."""
        return self._wait(self._engine.list_function_event_invoke_configs(name))

    def delete_function_event_invoke_config(self, name: str, *, qualifier: str | None = None) -> None:
        """Have the defaults again. Raises ResourceNotFoundException, also where there is none."""
        self._wait(self._engine.delete_function_event_invoke_config(name, qualifier=qualifier))

    def create_schedule(
        self,
        name: str,
        expression: str,
        function: str,
        *,
        timezone: str = "UTC",
        payload: object = None,
        state: Literal["ENABLED", "DISABLED"] = "ENABLED",
        flexible_window_minutes: int = 0,
        start_ms: int | None = None,
        end_ms: int | None = None,
        maximum_retry_attempts: int | None = None,
        maximum_event_age_s: int | None = None,
        dead_letter_arn: str | None = None,
        action_after_completion: Literal["NONE", "DELETE"] = "NONE",
        description: str = "",
    ) -> Schedule:
        """Have a function invoked at the times that an expression names; see `engine.Engine.create_schedule`."""
        return self._wait(
            self._engine.create_schedule(
                name,
                expression,
                function,
                timezone=timezone,
                payload=payload,
                state=state,
                flexible_window_minutes=flexible_window_minutes,
                start_ms=start_ms,
                end_ms=end_ms,
                maximum_retry_attempts=maximum_retry_attempts,
                maximum_event_age_s=maximum_event_age_s,
                dead_letter_arn=dead_letter_arn,
                action_after_completion=action_after_completion,
                description=description,
            )
        )

    def update_schedule(
        self,
        name: str,
        expression: str,
        function: str,
        *,
        timezone: str = "UTC",
        payload: object = None,
        state: Literal["ENABLED", "DISABLED"] = "ENABLED",
        flexible_window_minutes: int = 0,
        start_ms: int | None = None,
        end_ms: int | None = None,
        maximum_retry_attempts: int | None = None,
        maximum_event_age_s: int | None = None,
        dead_letter_arn: str | None = None,
        action_after_completion: Literal["NONE", "DELETE"] = "NONE",
        description: str = "",
    ) -> Schedule:
        """Put this in the place of a schedule; what is not given has its default again."""
        return self._wait(
            self._engine.update_schedule(
                name,
                expression,
                function,
                timezone=timezone,
                payload=payload,
                state=state,
                flexible_window_minutes=flexible_window_minutes,
                start_ms=start_ms,
                end_ms=end_ms,
                maximum_retry_attempts=maximum_retry_attempts,
                maximum_event_age_s=maximum_event_age_s,
                dead_letter_arn=dead_letter_arn,
                action_after_completion=action_after_completion,
                description=description,
            )
        )

    def get_schedule(self, name: str) -> Schedule:
        """Raises ResourceNotFoundException."""
        return self._wait(self._engine.get_schedule(name))

    def list_schedules(self) -> list[Schedule]:
        """All of them, by name."""
        return self._wait(self._engine.list_schedules())

    def delete_schedule(self, name: str) -> None:
        """What it has invoked already runs on."""
        self._wait(self._engine.delete_schedule(name))

    def put_resource(
        self,
        kind: str,
        key: str,
        document: Mapping[str, Any],
        *,
        function: str | None = None,
        revision_id: str | None = None,
        create: bool = False,
    ) -> Resource:
        """Keep a document; see `engine.Engine.put_resource`."""
        return self._wait(
            self._engine.put_resource(kind, key, document, function=function, revision_id=revision_id, create=create)
        )

    def get_resource(self, kind: str, key: str) -> Resource:
        """Raises ResourceNotFoundException."""
        return self._wait(self._engine.get_resource(kind, key))

    def list_resources(self, kind: str, *, function: str | None = None) -> list[Resource]:
        """All of a kind by key; only a function's if one is named."""
        return self._wait(self._engine.list_resources(kind, function=function))

    def delete_resource(self, kind: str, key: str, *, revision_id: str | None = None) -> None:
        """Raises ResourceNotFoundException, PreconditionFailedException."""
        self._wait(self._engine.delete_resource(kind, key, revision_id=revision_id))

    def publish_layer_version(self, name: str, *, code: Code, **settings: Any) -> LayerVersion:
        """Publish the next version of a layer; see `engine.Engine.publish_layer_version`."""
        return self._wait(self._engine.publish_layer_version(name, code=code, **settings))

    def get_layer_version(self, name: str, version: int) -> LayerVersion:
        """Raises ResourceNotFoundException."""
        return self._wait(self._engine.get_layer_version(name, version))

    def list_layers(self, **compatible: str | None) -> list[LayerVersion]:
        """The latest version of each layer; see `engine.Engine.list_layers`."""
        return self._wait(self._engine.list_layers(**compatible))

    def list_layer_versions(self, name: str, **compatible: str | None) -> list[LayerVersion]:
        """All versions of a layer, the newest first; see `engine.Engine.list_layer_versions`."""
        return self._wait(self._engine.list_layer_versions(name, **compatible))

    def delete_layer_version(self, name: str, version: int) -> None:
        """Functions that use it keep it."""
        self._wait(self._engine.delete_layer_version(name, version))

    def read_code(self, sha256: str, offset: int = 0, size: int = config.CODE_PART_BYTES) -> bytes:
        """A part of a function's or a layer's zip; see `engine.Engine.read_code`."""
        return self._wait(self._engine.read_code(sha256, offset, size))

    def account_settings(self) -> AccountSettings:
        """What the account may have and has."""
        return self._wait(self._engine.account_settings())

    def put_function_recursion_config(self, name: str, recursive_loop: RecursiveLoop) -> RecursiveLoop:
        """Whether a function that is called by itself is stopped."""
        return self._wait(self._engine.put_function_recursion_config(name, recursive_loop))

    def get_function_recursion_config(self, name: str) -> RecursiveLoop:
        """What was put, else "Terminate"."""
        return self._wait(self._engine.get_function_recursion_config(name))

    def logs(
        self, name: str, *, qualifier: str | None = None, request_id: str | None = None, limit: int | None = None
    ) -> list[LogEvent]:
        """The log of a function, oldest first."""
        return self._wait(self._engine.logs(name, qualifier=qualifier, request_id=request_id, limit=limit))

    def logs_after(
        self, name: str, cursor: str = "", *, qualifier: str | None = None, limit: int | None = None
    ) -> LogPage:
        """What the log gained since the page that gave `cursor`."""
        return self._wait(self._engine.logs_after(name, cursor, qualifier=qualifier, limit=limit))

    def stats(self, name: str | None = None) -> dict[str, Any]:
        """Counts, durations and environments per function and version."""
        return self._wait(self._engine.stats(name))

    def bill(self, *, by: By = "function", month: str | None = None, free_tier: bool = False) -> BillTable:
        """What AWS would charge; see `engine.Engine.bill`."""
        return self._wait(self._engine.bill(by=by, month=month, free_tier=free_tier))

    def export_ledger(self, path_or_file: Target, format: Format = "csv", month: str | None = None) -> int:
        """Write the ledger's records as CSV or Parquet; see `engine.Engine.export_ledger`."""
        return self._wait(self._engine.export_ledger(path_or_file, format, month))

    def _ask(self, method: str, reader: Callable[[Any], T], **arguments: Any) -> T:
        answer: T = self._wait(getattr(self._engine, method)(**given(arguments)))
        return answer

    def _run_loop(self, started: threading.Event) -> None:
        loop = self._loop = uvloop.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.call_soon(started.set)
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    def _stop_loop(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        if self._thread is None:
            work.close()
            raise errors.EngineClosedError("the engine is not open: use `with Engine() as engine`")
        if self._pid != os.getpid():
            work.close()
            raise errors.ForeignProcessError(
                f"this engine belongs to process {self._pid}; open another one in {os.getpid()}"
            )
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
