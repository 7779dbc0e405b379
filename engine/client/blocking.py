"""F2: `engine.sync.connect`: an engine that serves on a socket, with the names of `engine.Engine`, for threads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, TypeVar

from .. import config, errors
from .._ext.result import InvokeResult
from ..model import (
    Alias,
    Code,
    EventInvokeConfig,
    FunctionConfiguration,
    FunctionState,
    LogEvent,
    LogPage,
    Network,
    ProvisionedConcurrencyConfig,
    TenantIsolation,
)
from ..records.statistics import BillTable
from ..store.build import Progress
from ..wire.messages import given, invoke_params, own_trace
from ..wire.values import error_from_map
from . import answers, bundles
from .layers import BlockingLayers
from .opening import BACK_OFF_S, CONNECT_TIMEOUT_S, ClientStatistics, InvocationType, Tls, destination
from .records import BlockingRecords
from .resources import BlockingResources
from .schedules import BlockingSchedules
from .shared import SharedLink
from .streams import BlockingStreams

T = TypeVar("T")


class Client(BlockingSchedules, BlockingResources, BlockingLayers, BlockingRecords, BlockingStreams):
    """An engine at the other end of a socket. Made by `connect`.

    Any number of threads may call at once; their calls share one connection and answers come in any order. There is no
    helper thread. When the connection is lost, calls under way raise ConnectionLostError (what they asked for may have
    been done: nothing is sent twice) and the next call connects again. Where `timeout_s` passes, only the wait ends,
    with WaitTimeoutError. A signal's exception, such as KeyboardInterrupt, ends the call it strikes and no other.
    """

    def __init__(
        self,
        address: str | os.PathLike[str] | None,
        *,
        token: str | None,
        tls: Tls,
        timeout_s: float | None,
        reconnect: bool,
        progress: Progress | None,
    ) -> None:
        self._to = destination(address, token, tls, reconnect)
        self._own_trace = own_trace()
        self._timeout_s = timeout_s
        self._progress = progress
        self._pid = os.getpid()
        self._connecting = threading.Lock()
        self._closed = False
        self._counted = (0, 0, 0)
        self._connections = 0
        self._link = self._connect((0.0,))

    # --- closing ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connection. Calls under way get EngineClosedError. Idempotent.

        In a process forked from the client's own it only lets go of the descriptor: the connection goes on.
        """
        if self._closed:
            return
        self._closed = True
        if self._pid == os.getpid():
            self._link.end(errors.EngineClosedError("the client was closed while this call was under way"))
        else:
            self._link.let_go()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def statistics(self) -> ClientStatistics:
        """Counts of this client."""
        link = self._link
        now = link.calls, link.answers, link.passed_over
        calls, taken, passed_over = (old + new for old, new in zip(self._counted, now, strict=True))
        return ClientStatistics(calls, taken, passed_over, self._connections, len(link.waiting))

    # --- invoking -----------------------------------------------------------------------------------------------------

    def ping(self) -> str:
        """`pong`, from the other end."""
        return self._ask_with("ping", answers.pong, [])

    def invoke(
        self,
        name: str,
        payload: object = None,
        *,
        qualifier: str | None = None,
        invocation_type: InvocationType = "RequestResponse",
        client_context: Mapping[str, object] | str | None = None,
        log_tail: bool = False,
        trace_header: str | None = None,
        tenant_id: str | None = None,
        timeout_s: float | None = None,
    ) -> InvokeResult:
        """Run a function and wait for its answer; see `engine.Engine.invoke`. timeout_s: how long to wait."""
        params = invoke_params(
            name,
            payload,
            qualifier,
            invocation_type,
            client_context,
            log_tail,
            trace_header or self._own_trace(),
            tenant_id,
        )
        return self._ask_with("invoke", answers.result, params, timeout_s)

    # --- functions ----------------------------------------------------------------------------------------------------

    def create_function(
        self,
        name: str,
        *,
        code: Code,
        handler: str,
        runtime: str | None = None,
        memory_mb: int = config.MEMORY_DEFAULT_MB,
        timeout_s: int = config.TIMEOUT_DEFAULT_S,
        environment: Mapping[str, str] | None = None,
        layers: Sequence[Code] = (),
        description: str = "",
        role: str | None = None,
        ephemeral_storage_mb: int = config.EPHEMERAL_MIN_MB,
        network: Network | None = None,
        snap_start: bool = False,
        dead_letter_target_arn: str | None = None,
        architecture: str | None = None,
        log_format: Literal["Text", "JSON"] = "Text",
        application_log_level: str | None = None,
        system_log_level: str | None = None,
        log_group: str | None = None,
        tenant_isolation: TenantIsolation | None = None,
        kept: Mapping[str, object] | None = None,
    ) -> FunctionConfiguration:
        """Deploy a function; see `engine.Engine.create_function`. A folder is built and zipped on this host."""
        arguments = given(
            {
                "name": name,
                "handler": handler,
                "runtime": runtime,
                "memory_mb": memory_mb,
                "timeout_s": timeout_s,
                "environment": None if environment is None else dict(environment),
                "description": description,
                "role": role,
                "ephemeral_storage_mb": ephemeral_storage_mb,
                "network": network,
                "snap_start": snap_start or None,
                "dead_letter_target_arn": dead_letter_target_arn,
                "architecture": architecture,
                "log_format": log_format,
                "application_log_level": application_log_level,
                "system_log_level": system_log_level,
                "log_group": log_group,
                "tenant_isolation": tenant_isolation,
                "kept": None if kept is None else dict(kept),
            }
        )
        return self._deploy("create_function", arguments, code, layers or None)

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
        arguments = given(
            {
                "name": name,
                "architecture": architecture,
                "revision_id": revision_id,
                "dry_run": dry_run or None,
            }
        )
        return self._deploy("update_function_code", arguments, code, None)

    def update_function_configuration(
        self, name: str, *, revision_id: str | None = None, layers: Sequence[Code] | None = None, **changes: Any
    ) -> FunctionConfiguration:
        """Change settings of `$LATEST`; what is not given stays."""
        arguments = {**given({"name": name, "revision_id": revision_id}), **changes}
        return self._deploy("update_function_configuration", arguments, None, layers)

    def delete_function(self, name: str, *, qualifier: str | None = None) -> None:
        """Delete a function, or one published version of it."""
        self._ask("delete_function", answers.nothing, name=name, qualifier=qualifier)

    def get_function(self, name: str, *, qualifier: str | None = None) -> FunctionConfiguration:
        """The configuration that a name leads to."""
        return self._ask("get_function", answers.configuration, name=name, qualifier=qualifier)

    def get_function_state(self, name: str, *, qualifier: str | None = None) -> FunctionState:
        """Whether a version can be invoked as it is meant to be; see `engine.Engine.get_function_state`."""
        return self._ask("get_function_state", answers.state, name=name, qualifier=qualifier)

    def list_functions(self) -> list[FunctionConfiguration]:
        """`$LATEST` of every function, by name."""
        return self._ask("list_functions", answers.configurations)

    def list_versions(self, name: str) -> list[FunctionConfiguration]:
        """`$LATEST` and every published version of a function."""
        return self._ask("list_versions", answers.versions, name=name)

    def publish_version(
        self,
        name: str,
        *,
        description: str | None = None,
        code_sha256: str | None = None,
        revision_id: str | None = None,
    ) -> FunctionConfiguration:
        """Freeze `$LATEST` under the next number; see `engine.Engine.publish_version`."""
        arguments = {
            "name": name,
            "description": description,
            "code_sha256": code_sha256,
            "revision_id": revision_id,
        }
        return self._ask("publish_version", answers.configuration, **arguments)

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
        arguments = {
            "name": name,
            "alias": alias,
            "function_version": function_version,
            "description": description,
            "routing": None if routing is None else dict(routing),
        }
        return self._ask("create_alias", answers.alias, **arguments)

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
        arguments = {
            "name": name,
            "alias": alias,
            "function_version": function_version,
            "description": description,
            "routing": None if routing is None else dict(routing),
            "revision_id": revision_id,
        }
        return self._ask("update_alias", answers.alias, **arguments)

    def get_alias(self, name: str, alias: str) -> Alias:
        """One alias. Raises ResourceNotFoundException."""
        return self._ask("get_alias", answers.alias, name=name, alias=alias)

    def list_aliases(self, name: str, *, function_version: str | None = None) -> list[Alias]:
        """By name; only those of `function_version` if it is given."""
        return self._ask("list_aliases", answers.aliases, name=name, function_version=function_version)

    def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias; what it named stays."""
        self._ask("delete_alias", answers.nothing, name=name, alias=alias)

    def put_function_concurrency(self, name: str, reserved: int) -> None:
        """Reserve concurrency for one function; 0 stops it."""
        self._ask("put_function_concurrency", answers.nothing, name=name, reserved=reserved)

    def get_function_concurrency(self, name: str) -> int | None:
        """What is reserved for a function, or None."""
        return self._ask("get_function_concurrency", answers.reserved, name=name)

    def delete_function_concurrency(self, name: str) -> None:
        """Give a function's reservation back."""
        self._ask("delete_function_concurrency", answers.nothing, name=name)

    def put_provisioned_concurrency_config(
        self, name: str, qualifier: str, provisioned: int
    ) -> ProvisionedConcurrencyConfig:
        """Keep environments ready; see `engine.Engine.put_provisioned_concurrency_config`."""
        arguments = {"name": name, "qualifier": qualifier, "provisioned": provisioned}
        return self._ask("put_provisioned_concurrency_config", answers.provisioned, **arguments)

    def get_provisioned_concurrency_config(self, name: str, qualifier: str) -> ProvisionedConcurrencyConfig:
        """Raises ProvisionedConcurrencyConfigNotFoundException where nothing was asked for."""
        arguments = {"name": name, "qualifier": qualifier}
        return self._ask("get_provisioned_concurrency_config", answers.provisioned, **arguments)

    def list_provisioned_concurrency_configs(self, name: str) -> list[ProvisionedConcurrencyConfig]:
        """Of every version and alias of a function that has one."""
        return self._ask("list_provisioned_concurrency_configs", answers.all_provisioned, name=name)

    def delete_provisioned_concurrency_config(self, name: str, qualifier: str) -> None:
        """Keep none ready any more."""
        self._ask("delete_provisioned_concurrency_config", answers.nothing, name=name, qualifier=qualifier)

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
        arguments = {
            "name": name,
            "qualifier": qualifier,
            "maximum_retry_attempts": maximum_retry_attempts,
            "maximum_event_age_s": maximum_event_age_s,
            "on_success": on_success,
            "on_failure": on_failure,
        }
        return self._ask("put_function_event_invoke_config", answers.event_invoke, **arguments)

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
        arguments = {
            "name": name,
            "qualifier": qualifier,
            "maximum_retry_attempts": maximum_retry_attempts,
            "maximum_event_age_s": maximum_event_age_s,
            "on_success": on_success,
            "on_failure": on_failure,
        }
        return self._ask("update_function_event_invoke_config", answers.event_invoke, **arguments)

    def get_function_event_invoke_config(self, name: str, *, qualifier: str | None = None) -> EventInvokeConfig:
        """What was said of a version, an alias or (None) `$LATEST`. Raises ResourceNotFoundException."""
        return self._ask("get_function_event_invoke_config", answers.event_invoke, name=name, qualifier=qualifier)

    def list_function_event_invoke_configs(self, name: str) -> list[EventInvokeConfig]:
        """Of `$LATEST`, every version and every alias of a function that has one."""
        return self._ask("list_function_event_invoke_configs", answers.all_event_invoke, name=name)

    def delete_function_event_invoke_config(self, name: str, *, qualifier: str | None = None) -> None:
        """Have the defaults again. Raises ResourceNotFoundException, also where there is none."""
        self._ask("delete_function_event_invoke_config", answers.nothing, name=name, qualifier=qualifier)

    # --- what happened ------------------------------------------------------------------------------------------------

    def logs(
        self, name: str, *, qualifier: str | None = None, request_id: str | None = None, limit: int | None = None
    ) -> list[LogEvent]:
        """The log of a function, oldest first."""
        arguments = {"name": name, "qualifier": qualifier, "request_id": request_id, "limit": limit}
        return self._ask("logs", answers.log_events, **arguments)

    def logs_after(
        self, name: str, cursor: str = "", *, qualifier: str | None = None, limit: int | None = None
    ) -> LogPage:
        """What the log gained since the page that gave `cursor`; see `engine.Engine.logs_after`."""
        arguments = {"name": name, "qualifier": qualifier, "limit": limit, "after": cursor}
        return self._ask("logs", answers.log_page, **arguments)

    def stats(self, name: str | None = None) -> dict[str, Any]:
        """Counts, durations and environments per function and version."""
        return self._ask("stats", answers.counts, name=name)

    def bill(
        self,
        *,
        by: Literal["function", "version", "day"] = "function",
        month: str | None = None,
        free_tier: bool | None = None,
    ) -> BillTable:
        """What AWS would charge; month: `YYYY-MM`, or all. free_tier: take each month's off."""
        return self._ask("bill", answers.bill, by=by, month=month, free_tier=free_tier or None)

    def doctor(self) -> dict[str, list[dict[str, Any]]]:
        """`limits`: which the serving host enforces, and by what. `runtimes`: which languages it has."""
        return self._ask("doctor", answers.doctor)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _ask(self, method: str, reader: Callable[[Any], T], **arguments: Any) -> T:
        return self._ask_with(method, reader, [given(arguments)])

    def _ask_with(
        self, method: str, reader: Callable[[Any], T], params: list[Any], timeout_s: float | None = None
    ) -> T:
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        if wait_s is None:
            return answers.read(reader, self._call(self._live(), method, params))
        try:
            deadline = time.monotonic() + wait_s
            return answers.read(reader, self._call(self._live(), method, params, deadline))
        except errors.WaitTimeoutError as ended:
            raise errors.WaitTimeoutError(
                f"{method} had no answer within {wait_s:g} s; it may still be done"
            ) from ended

    def _call(self, link: SharedLink, method: str, params: list[Any], deadline: float | None = None) -> Any:
        _, error, result = link.call(method, params, deadline)
        if error is not None:
            raise error_from_map(error)
        return result

    def _deploy(
        self, method: str, arguments: dict[str, Any], code: Code | None, layers: Sequence[Code] | None
    ) -> FunctionConfiguration:
        return self._send_code(method, answers.configuration, arguments, code, layers)

    def _send_code(
        self,
        method: str,
        reader: Callable[[Any], T],
        arguments: dict[str, Any],
        code: Code | None,
        layers: Sequence[Code] | None = None,
    ) -> T:
        link = self._live()
        with ExitStack() as held:
            made = [
                held.enter_context(bundles.zipped(each, self._progress)) for each in bundles.all_codes(code, layers)
            ]
            sent = [self._upload(link, each) for each in made]
        if code is not None:
            arguments["code"] = sent.pop(0)
        if layers is not None:
            arguments["layers"] = bundles.told_layers(layers, sent)
        return answers.read(reader, self._call(link, method, [arguments]))

    def _upload(self, link: SharedLink, made: bytes | Path) -> bytes | dict[str, int]:
        """What stands for a zip in a message: itself, or its upload, which belongs to this one connection."""
        whole = bundles.inline(made)
        if whole is not None:
            return whole
        upload_id: int | None = None
        for part in bundles.parts(made):
            upload_id = self._call(link, "upload", [upload_id, part])["upload_id"]
        return {"upload_id": upload_id or 0}

    def _live(self) -> SharedLink:
        """The connection; after a lost one a new one, made by one thread for all."""
        link = self._link
        if link.lost is None and self._pid == os.getpid():
            return link
        if self._pid != os.getpid():
            raise errors.ForeignProcessError(
                f"this client belongs to process {self._pid}; connect again in {os.getpid()}"
            )
        with self._connecting:
            if self._closed:
                raise errors.EngineClosedError("the client was closed: connect again")
            if self._link.lost is None:
                return self._link
            if not self._to.reconnect:
                raise self._to.not_again()
            old, self._link = self._link, self._connect(BACK_OFF_S)
            counted = old.calls, old.answers, old.passed_over
            self._counted = self._counted[0] + counted[0], self._counted[1] + counted[1], self._counted[2] + counted[2]
            return self._link

    def _connect(self, waits_s: Sequence[float]) -> SharedLink:
        for attempt, wait_s in enumerate(waits_s, 1):
            time.sleep(wait_s)
            try:
                link = SharedLink(self._to)
                if self._to.token is not None:
                    self._authenticate(link, self._to.token)
            except (OSError, errors.ConnectionLostError) as error:
                if attempt == len(waits_s):
                    raise self._to.unreachable(attempt, error) from error
            else:
                self._connections += 1
                return link
        raise AssertionError("there is always one attempt")

    def _authenticate(self, link: SharedLink, token: str) -> None:
        try:
            self._call(link, "authenticate", [token], time.monotonic() + CONNECT_TIMEOUT_S)
        except BaseException:
            link.end(errors.ConnectionLostError("it did not take the token"))
            raise


def connect(
    address: str | os.PathLike[str] | None = None,
    *,
    token: str | None = None,
    tls: Tls = None,
    timeout_s: float | None = None,
    reconnect: bool = True,
    progress: Progress | None = None,
) -> Client:
    """A client of the engine that serves at `address`; arguments as for `engine.connect`. Use it in `with`.

        with engine.sync.connect() as client:
            result = client.invoke("hello", {"name": "Ada"})

    Raises ConnectionLostError when nobody serves there.
    """
    return Client(address, token=token, tls=tls, timeout_s=timeout_s, reconnect=reconnect, progress=progress)
