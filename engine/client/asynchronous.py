"""F2: `engine.connect`: an engine that serves on a socket, with the names of `engine.Engine`, for event loops."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator, Mapping, Sequence
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
from . import answers, bundles
from .layers import AsynchronousLayers
from .link import Link
from .opening import BACK_OFF_S, CONNECT_TIMEOUT_S, ClientStatistics, InvocationType, Tls, destination
from .records import AsynchronousRecords
from .resources import AsynchronousResources
from .schedules import AsynchronousSchedules
from .streams import AsynchronousStreams

T = TypeVar("T")


class Client(
    AsynchronousSchedules, AsynchronousResources, AsynchronousLayers, AsynchronousRecords, AsynchronousStreams
):
    """An engine at the other end of a socket. Made by `connect`.

    Any number of calls may be under way at once on its one connection; answers come in any order. When the connection
    is lost, calls under way raise ConnectionLostError (what they asked for may have been done: nothing is sent twice)
    and the next call connects again. Where `timeout_s` passes, only the wait ends, with WaitTimeoutError.
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
        self._link: Link | None = None
        self._connecting: asyncio.Task[Link] | None = None
        self._connections = 0
        self._counted = (0, 0, 0)
        self._closed = True

    # --- opening and closing ------------------------------------------------------------------------------------------

    async def open(self) -> Client:
        """Connect, once. Raises ConnectionLostError when nobody serves there."""
        self._pid = os.getpid()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        try:
            self._link = await self._connect((0.0,))
        except BaseException:
            self._closed = True
            raise
        return self

    async def close(self) -> None:
        """Close the connection. Calls under way get EngineClosedError. Idempotent."""
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._link is not None:
            self._link.end(errors.EngineClosedError("the client was closed while this call was under way"))
            await self._link.closed

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def statistics(self) -> ClientStatistics:
        """Counts of this client."""
        link = self._link
        now = (0, 0, 0) if link is None else (link.calls, link.answers, link.passed_over)
        calls, taken, passed_over = (old + new for old, new in zip(self._counted, now, strict=True))
        return ClientStatistics(calls, taken, passed_over, self._connections, len(link.waiting) if link else 0)

    # --- invoking -----------------------------------------------------------------------------------------------------

    async def ping(self) -> str:
        """`pong`, from the other end."""
        return await self._ask_with("ping", answers.pong, [])

    async def invoke(
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
        return await self._ask_with("invoke", answers.result, params, timeout_s)

    # --- functions ----------------------------------------------------------------------------------------------------

    async def create_function(
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
        return await self._deploy("create_function", arguments, code, layers or None)

    async def update_function_code(
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
        return await self._deploy("update_function_code", arguments, code, None)

    async def update_function_configuration(
        self, name: str, *, revision_id: str | None = None, layers: Sequence[Code] | None = None, **changes: Any
    ) -> FunctionConfiguration:
        """Change settings of `$LATEST`; what is not given stays."""
        arguments = {**given({"name": name, "revision_id": revision_id}), **changes}
        return await self._deploy("update_function_configuration", arguments, None, layers)

    async def delete_function(self, name: str, *, qualifier: str | None = None) -> None:
        """Delete a function, or one published version of it."""
        await self._ask("delete_function", answers.nothing, name=name, qualifier=qualifier)

    async def get_function(self, name: str, *, qualifier: str | None = None) -> FunctionConfiguration:
        """The configuration that a name leads to."""
        return await self._ask("get_function", answers.configuration, name=name, qualifier=qualifier)

    async def get_function_state(self, name: str, *, qualifier: str | None = None) -> FunctionState:
        """Whether a version can be invoked as it is meant to be; see `engine.Engine.get_function_state`."""
        return await self._ask("get_function_state", answers.state, name=name, qualifier=qualifier)

    async def list_functions(self) -> list[FunctionConfiguration]:
        """`$LATEST` of every function, by name."""
        return await self._ask("list_functions", answers.configurations)

    async def list_versions(self, name: str) -> list[FunctionConfiguration]:
        """`$LATEST` and every published version of a function."""
        return await self._ask("list_versions", answers.versions, name=name)

    async def publish_version(
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
        return await self._ask("publish_version", answers.configuration, **arguments)

    async def create_alias(
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
        return await self._ask("create_alias", answers.alias, **arguments)

    async def update_alias(
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
        return await self._ask("update_alias", answers.alias, **arguments)

    async def get_alias(self, name: str, alias: str) -> Alias:
        """One alias. Raises ResourceNotFoundException."""
        return await self._ask("get_alias", answers.alias, name=name, alias=alias)

    async def list_aliases(self, name: str, *, function_version: str | None = None) -> list[Alias]:
        """By name; only those of `function_version` if it is given."""
        return await self._ask("list_aliases", answers.aliases, name=name, function_version=function_version)

    async def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias; what it named stays."""
        await self._ask("delete_alias", answers.nothing, name=name, alias=alias)

    async def put_function_concurrency(self, name: str, reserved: int) -> None:
        """Reserve concurrency for one function; 0 stops it."""
        await self._ask("put_function_concurrency", answers.nothing, name=name, reserved=reserved)

    async def get_function_concurrency(self, name: str) -> int | None:
        """What is reserved for a function, or None."""
        return await self._ask("get_function_concurrency", answers.reserved, name=name)

    async def delete_function_concurrency(self, name: str) -> None:
        """Give a function's reservation back."""
        await self._ask("delete_function_concurrency", answers.nothing, name=name)

    async def put_provisioned_concurrency_config(
        self, name: str, qualifier: str, provisioned: int
    ) -> ProvisionedConcurrencyConfig:
        """Keep environments ready; see `engine.Engine.put_provisioned_concurrency_config`."""
        arguments = {"name": name, "qualifier": qualifier, "provisioned": provisioned}
        return await self._ask("put_provisioned_concurrency_config", answers.provisioned, **arguments)

    async def get_provisioned_concurrency_config(self, name: str, qualifier: str) -> ProvisionedConcurrencyConfig:
        """Raises ProvisionedConcurrencyConfigNotFoundException where nothing was asked for."""
        arguments = {"name": name, "qualifier": qualifier}
        return await self._ask("get_provisioned_concurrency_config", answers.provisioned, **arguments)

    async def list_provisioned_concurrency_configs(self, name: str) -> list[ProvisionedConcurrencyConfig]:
        """Of every version and alias of a function that has one."""
        return await self._ask("list_provisioned_concurrency_configs", answers.all_provisioned, name=name)

    async def delete_provisioned_concurrency_config(self, name: str, qualifier: str) -> None:
        """Keep none ready any more."""
        await self._ask("delete_provisioned_concurrency_config", answers.nothing, name=name, qualifier=qualifier)

    async def put_function_event_invoke_config(
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
        return await self._ask("put_function_event_invoke_config", answers.event_invoke, **arguments)

    async def update_function_event_invoke_config(
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
        return await self._ask("update_function_event_invoke_config", answers.event_invoke, **arguments)

    async def get_function_event_invoke_config(self, name: str, *, qualifier: str | None = None) -> EventInvokeConfig:
        """What was said of a version, an alias or (None) `$LATEST`. Raises ResourceNotFoundException."""
        return await self._ask("get_function_event_invoke_config", answers.event_invoke, name=name, qualifier=qualifier)

    async def list_function_event_invoke_configs(self, name: str) -> list[EventInvokeConfig]:
        """Of `$LATEST`, every version and every alias of a function that has one."""
        return await self._ask("list_function_event_invoke_configs", answers.all_event_invoke, name=name)

    async def delete_function_event_invoke_config(self, name: str, *, qualifier: str | None = None) -> None:
        """Have the defaults again. Raises ResourceNotFoundException, also where there is none."""
        await self._ask("delete_function_event_invoke_config", answers.nothing, name=name, qualifier=qualifier)

    # --- what happened ------------------------------------------------------------------------------------------------

    async def logs(
        self, name: str, *, qualifier: str | None = None, request_id: str | None = None, limit: int | None = None
    ) -> list[LogEvent]:
        """The log of a function, oldest first."""
        arguments = {"name": name, "qualifier": qualifier, "request_id": request_id, "limit": limit}
        return await self._ask("logs", answers.log_events, **arguments)

    async def logs_after(
        self, name: str, cursor: str = "", *, qualifier: str | None = None, limit: int | None = None
    ) -> LogPage:
        """What the log gained since the page that gave `cursor`; see `engine.Engine.logs_after`."""
        arguments = {"name": name, "qualifier": qualifier, "limit": limit, "after": cursor}
        return await self._ask("logs", answers.log_page, **arguments)

    async def stats(self, name: str | None = None) -> dict[str, Any]:
        """Counts, durations and environments per function and version."""
        return await self._ask("stats", answers.counts, name=name)

    async def bill(
        self,
        *,
        by: Literal["function", "version", "day"] = "function",
        month: str | None = None,
        free_tier: bool | None = None,
    ) -> BillTable:
        """What AWS would charge; month: `YYYY-MM`, or all. free_tier: take each month's off."""
        return await self._ask("bill", answers.bill, by=by, month=month, free_tier=free_tier or None)

    async def doctor(self) -> dict[str, list[dict[str, Any]]]:
        """`limits`: which the serving host enforces, and by what. `runtimes`: which languages it has."""
        return await self._ask("doctor", answers.doctor)

    # --- inside -------------------------------------------------------------------------------------------------------

    async def _ask(self, method: str, reader: Callable[[Any], T], **arguments: Any) -> T:
        return await self._ask_with(method, reader, [given(arguments)])

    async def _ask_with(
        self, method: str, reader: Callable[[Any], T], params: list[Any], timeout_s: float | None = None
    ) -> T:
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        if wait_s is None:
            return answers.read(reader, await self._call(method, params))
        try:
            async with asyncio.timeout(wait_s):
                return answers.read(reader, await self._call(method, params))
        except TimeoutError as ended:
            raise errors.WaitTimeoutError(
                f"{method} had no answer within {wait_s:g} s; it may still be done"
            ) from ended

    async def _call(self, method: str, params: list[Any]) -> Any:
        return await (await self._usable_link()).call(method, params)

    async def _usable_link(self) -> Link:
        link = self._link
        if link is None or link.lost is not None or self._closed or self._pid != os.getpid():
            link = await self._new_link()
        return link

    async def _deploy(
        self, method: str, arguments: dict[str, Any], code: Code | None, layers: Sequence[Code] | None
    ) -> FunctionConfiguration:
        return await self._send_code(method, answers.configuration, arguments, code, layers)

    async def _send_code(
        self,
        method: str,
        reader: Callable[[Any], T],
        arguments: dict[str, Any],
        code: Code | None,
        layers: Sequence[Code] | None = None,
    ) -> T:
        with ExitStack() as held:
            made = [
                await asyncio.to_thread(held.enter_context, bundles.zipped(each, self._progress))
                for each in bundles.all_codes(code, layers)
            ]
            link = self._link if self._link is not None and self._link.lost is None else await self._new_link()
            sent = [await self._upload(link, each) for each in made]
        if code is not None:
            arguments["code"] = sent.pop(0)
        if layers is not None:
            arguments["layers"] = bundles.told_layers(layers, sent)
        return answers.read(reader, await link.call(method, [arguments]))

    async def _upload(self, link: Link, made: bytes | Path) -> bytes | dict[str, int]:
        """What stands for a zip in a message: itself, or its upload, which belongs to this one connection."""
        whole = await asyncio.to_thread(bundles.inline, made)
        if whole is not None:
            return whole
        upload_id: int | None = None
        parts = bundles.parts(made)
        while part := await asyncio.to_thread(next, parts, b""):
            upload_id = (await link.call("upload", [upload_id, part]))["upload_id"]
        return {"upload_id": upload_id or 0}

    async def _new_link(self) -> Link:
        """The connection after a lost one; callers that find it lost at once share the attempt."""
        if self._closed:
            raise errors.EngineClosedError("the client is not open: use `async with engine.connect(...) as client`")
        if self._pid != os.getpid():
            raise errors.ForeignProcessError(
                f"this client belongs to process {self._pid}; connect again in {os.getpid()}"
            )
        if self._link is not None and self._link.lost is None:
            return self._link
        if not self._to.reconnect:
            raise self._to.not_again()
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._reconnect())
            self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())  # all may have gone
        try:
            return await asyncio.shield(self._connecting)
        except asyncio.CancelledError:
            if self._closed:
                raise errors.EngineClosedError("the client was closed while it connected") from None
            raise

    async def _reconnect(self) -> Link:
        try:
            link = await self._connect(BACK_OFF_S)
            if self._link is not None:
                old = self._link.calls, self._link.answers, self._link.passed_over
                self._counted = self._counted[0] + old[0], self._counted[1] + old[1], self._counted[2] + old[2]
            self._link = link
            return link
        finally:
            self._connecting = None

    async def _connect(self, waits_s: Sequence[float]) -> Link:
        for attempt, wait_s in enumerate(waits_s, 1):
            await asyncio.sleep(wait_s)
            try:
                link = await self._connect_once()
            except (OSError, TimeoutError, errors.ConnectionLostError) as error:
                if attempt == len(waits_s):
                    raise self._to.unreachable(attempt, error) from error
            else:
                self._connections += 1
                return link
        raise AssertionError("there is always one attempt")

    async def _connect_once(self) -> Link:
        address, loop = self._to.address, self._loop
        link = Link(loop, str(address))
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            if address.path:
                await loop.create_unix_connection(lambda: link, address.path)
            else:
                await loop.create_connection(
                    lambda: link, address.host, address.port, ssl=self._to.tls, server_hostname=self._to.server_name
                )
            if self._to.token is not None:
                try:
                    await link.call("authenticate", [self._to.token])
                except BaseException:
                    link.end(errors.ConnectionLostError("it did not take the token"))
                    await link.closed
                    raise
        return link


class Opening:
    """What `connect` gives: `await` it for the client, or open and close the client with `async with`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __await__(self) -> Generator[Any, None, Client]:
        return self._client.open().__await__()

    async def __aenter__(self) -> Client:
        return await self._client.open()

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()


def connect(
    address: str | os.PathLike[str] | None = None,
    *,
    token: str | None = None,
    tls: Tls = None,
    timeout_s: float | None = None,
    reconnect: bool = True,
    progress: Progress | None = None,
) -> Opening:
    """A client of the engine that serves at `address`: `unix:/path`, `tcp:host:port` or a bare path.

    None is `$ENGINE_SOCKET`, else `engine.sock` of the user's runtime directory. token, tls (a context, or the path of
    a file of CA certificates): for TCP. timeout_s: how long a call waits that does not say so itself; deployments wait
    as long as they take. reconnect: connect again with the first call after a lost connection. progress: called with
    each line of a dependency build.

        async with engine.connect() as client:
            result = await client.invoke("hello", {"name": "Ada"})
    """
    return Opening(Client(address, token=token, tls=tls, timeout_s=timeout_s, reconnect=reconnect, progress=progress))
