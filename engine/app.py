"""F4: `Engine`, the one place that wires everything together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from . import config, errors, settings
from ._ext import streaming
from ._ext.flow import Flow
from ._ext.lane import Lane
from ._ext.result import InvokeResult
from ._ext.scheduler import Scheduler
from .clock import LoopTiming, Timing
from .core.account_plane import AccountPlane
from .core.control import Control
from .core.control_plane import ControlPlane
from .core.events import lineage
from .core.events.couriers import Courier
from .core.events.lifecycle import EventLifecycle, Waiting
from .core.events.place import EnginePlace, keeper_of
from .core.keep_alive.choose import eviction_order, keep_alive_policy
from .core.layer_plane import LayerPlane
from .core.memory import HostMemory
from .core.records_plane import RecordsPlane
from .core.resource_plane import ResourcePlane
from .core.sampler import Sampler
from .core.scaling import Scaling
from .core.schedule_plane import SchedulePlane
from .core.schedules.registry import Schedules
from .core.streams import LoopSource, ThreadSource
from .core.supervisor import Supervisor
from .model import LogEvent, LogPage, Network
from .records import statistics
from .records.export import Format, Target
from .records.rollups import By
from .sandbox.choose import choose, refuse_what_is_missing
from .store.build import Progress
from .wire.payload import encode_extra, encode_payload, event_bytes, too_large
from .wire.streams import BlockingResponseStream, ResponseStream

BlockingInvoke: TypeAlias = (
    "Callable[[str, object, str | None, str, Mapping[str, object] | str | None, bool, str | None, str | None], "
    "InvokeResult]"
)
T = TypeVar("T")
TICK_S = 0.01


class Doorway(NamedTuple):
    """What a compiled door needs to hand invocations straight to the scheduler, on the engine's own loop.

    tenant_lane_of(function, qualifier, tenant, invocation type): see `Dispatch.tenant_lane`. accept(lane, function,
    qualifier, event, extra, waiting): see `EventLifecycle.accept`. traced(lane, extra, header, invocation type): what
    goes beside an event that came with a trace header. stream(lane, event, extra, wants log tail, flow): accepts an
    invocation whose answer goes to the flow.
    """

    scheduler: Scheduler
    lane_of: Callable[[str, str | None], Lane]
    tenant_lane_of: Callable[[str, str | None, str, str], Lane]
    receipt: Callable[[Lane, str], InvokeResult]
    accept: Callable[[Lane, str, str | None, bytes, bytes, Waiting], None]
    traced: Callable[[Lane, bytes, str, str], bytes]
    stream: Callable[[Lane, bytes, bytes, bool, Flow], None]


class Engine(ControlPlane, SchedulePlane, ResourcePlane, LayerPlane, AccountPlane, RecordsPlane):
    """AWS Lambda on this host, for programs that run an event loop (asyncio or uvloop).

        async with Engine() as engine:
            await engine.create_function("hello", code="src/", handler="app.handler", runtime="python3.11")
            result = await engine.invoke("hello", {"name": "Ada"})

    data_dir: where functions, versions, aliases, reserved concurrency, code and the ledger are kept: what a method
    has answered is on disk, and the next engine with this folder has it, however this one ends. One engine at a time.
    None is a temporary folder that goes when the engine closes. sandbox: "auto" enforces what this host can, "strict"
    refuses to start when anything is missing, "off" enforces nothing. scaling: "adaptive" starts an environment when
    the expected wait exceeds the expected cold start, "lambda" whenever none is free. cpu: "lambda" gives a function
    CPU in proportion to its memory, "host" as much as there is. network: what functions may reach that do not say so
    themselves: "host" what the host can, "loopback" only itself, "none" nothing; None is "loopback" under
    sandbox="strict", else "host". ephemeral_storage: what /tmp is: "disk", no memory of the function's, refused where
    it cannot be had; "memory", charged to it; None is "disk" where that can be had. account_concurrency: invocations
    accepted and not answered, over all functions. keep_alive_s: how long an idle environment is kept; with
    keep_alive_policy "histogram" that holds until a function's own idle times tell how long it pays, and when to start
    one ahead of need. memory_budget_mb: what all environments together may hold, by their functions' memory_mb; there,
    and where the host's memory is short, idle environments make room, in the order that eviction names.
    strict_runtimes: refuse a runtime of which the host has only another version, else warn. credentials:
    AWS_ACCESS_KEY_ID and its like, for functions to see; nothing of the host's own environment ever is. ledger_bytes:
    how much of the ledger's records is kept in data_dir, after which the oldest go; sums and bill stay for ever.
    aws_endpoint_url: where results of events are sent, for all services; None is AWS, or what AWS_ENDPOINT_URL says.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        *,
        sandbox: Literal["auto", "strict", "off"] = "auto",
        scaling: Scaling = "adaptive",
        cpu: Literal["lambda", "host"] = "lambda",
        network: Network | None = None,
        ephemeral_storage: Literal["disk", "memory"] | None = None,
        account_concurrency: int = config.ACCOUNT_CONCURRENCY,
        keep_alive_s: float = config.KEEP_ALIVE_S,
        keep_alive_policy: Literal["fixed", "histogram"] = "fixed",
        eviction: Literal["least-recently-used", "greedy-dual"] = config.EVICTION,
        memory_budget_mb: int | None = None,
        region: str = config.REGION_DEFAULT,
        account_id: str = config.ACCOUNT_ID_DEFAULT,
        strict_runtimes: bool = False,
        credentials: Mapping[str, str] | None = None,
        ledger_bytes: int = config.LEDGER_BYTES,
        aws_endpoint_url: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._settings = settings.EngineSettings(
            data_dir=None if data_dir is None else os.fspath(data_dir),
            sandbox=sandbox,
            scaling=scaling,
            cpu=cpu,
            network=network,
            ephemeral_storage=ephemeral_storage,
            account_concurrency=account_concurrency,
            keep_alive_s=keep_alive_s,
            keep_alive_policy=keep_alive_policy,
            eviction=eviction,
            memory_budget_mb=memory_budget_mb,
            region=region,
            account_id=account_id,
            strict_runtimes=strict_runtimes,
            credentials=dict(credentials or {}),
            ledger_bytes=ledger_bytes,
            aws_endpoint_url=aws_endpoint_url,
        )
        self._progress = progress
        self._control: Control | None = None
        self._drains_on_loop = True
        self._timing: Timing | None = None
        self._timers: list[asyncio.TimerHandle] = []

    # --- opening and closing ------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Engine:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Start the interpreter that environments are forked from, and find what `data_dir` holds.

        Raises WorkerStartError, SandboxUnavailableError, DataFolderError for a folder that is damaged,
        DataFolderInUseError for one that another engine has open.
        """
        if self._control is not None:
            raise errors.EngineError("this engine is open already")
        self._pid = os.getpid()
        loop = self._loop = asyncio.get_running_loop()
        self._scheduler = Scheduler(lambda_scaling=self._settings.scaling == "lambda", cpus=settings.usable_cpus())
        self._scheduler.new_future = loop.create_future
        self._scheduler.call_soon = loop.call_soon
        self._scheduler.on_active = self._on_active
        self._scheduler.on_demand = self._on_demand
        self._memory = HostMemory()
        try:
            await asyncio.to_thread(self._open_blocking)
        except BaseException:
            self._scheduler.close()
            raise
        loop.add_reader(self._supervisor.births.fileno(), self._supervisor.births.attend)
        self._supervisor.refill()
        if self._drains_on_loop:
            loop.add_reader(self._scheduler.fileno(), self._scheduler.readable)
        self._opened().provisioned.refresh()
        self.events.begin(self._found)
        self.schedules.begin(self._found.schedules)
        self._sampler.begin()

    def _open_blocking(self) -> None:
        with ExitStack() as opened:
            self._mechanism = choose(self._settings.sandbox)
            opened.callback(self._mechanism.close)
            self._supervisor = Supervisor(
                self._scheduler,
                self._mechanism,
                later=self._loop.call_soon_threadsafe,
                after=self._loop.call_later,
                scaling=self._settings.scaling,
                cpus=settings.usable_cpus(),
                memory=self._memory,
                keep_alive=keep_alive_policy(self._settings.keep_alive_policy, self._settings.keep_alive_s),
                eviction=eviction_order(self._settings.eviction),
                memory_budget_mb=self._settings.memory_budget_mb,
            )
            opened.callback(self._supervisor.close)
            control = Control(
                self._settings,
                self._supervisor,
                busy=lambda: self._scheduler.watched,
                after=self._loop.call_later,
            )
            opened.callback(control.close)
            opened.callback(self._supervisor.scratches.close)  # before its folder goes
            self._supervisor.open(control.jail_plan(), control.scratch_folder, self._settings.ephemeral_storage)
            if self._settings.sandbox == "strict":
                refuse_what_is_missing(self._supervisor.enforcement())
            self._open_events(control, opened)
            self._control = control
            opened.pop_all()

    def _open_events(self, control: Control, opened: ExitStack) -> None:
        loop = self._loop
        timing = self._timing or LoopTiming(loop.call_later)
        place = EnginePlace(control.catalog, control.dispatch, self._scheduler, control.ledger, self._watch_events)
        keeper = keeper_of(control.data_folder, loop, timing, loop.call_soon)
        endpoint_url, credentials = self._settings.aws_endpoint_url, self._settings.credentials
        courier = Courier(loop, endpoint_url=endpoint_url, credentials=credentials)
        soon = loop.call_soon if self._drains_on_loop else loop.call_soon_threadsafe
        self.events = EventLifecycle(place, self._scheduler, keeper, courier, timing, soon)
        self._sampler = Sampler(
            control.ledger.series,
            control.dispatch,
            self._supervisor,
            control.provisioned,
            self.events.queues.all,
            loop.call_later,
        )
        self.schedules = Schedules(control.catalog, place.lane, self.events, keeper, timing, loop.call_soon)
        control.on_deleted = self.events.forget
        self._supervisor.on_room = self.events.more_room
        self._found = keeper.open()
        opened.callback(keeper.close)

    def _watch_events(self, on: bool) -> None:
        """Answers to events are drained on the loop, also where threads drain their own."""
        if self._drains_on_loop:
            return
        if on:
            self._loop.add_reader(self._scheduler.fileno(), self._scheduler.readable)
        else:
            self._loop.remove_reader(self._scheduler.fileno())

    async def drain(self, within_s: float) -> bool:
        """Begin no more events, and wait for those under way; whether all of them ended in that time.

        What else is accepted before the engine closes is run when its `data_dir` is opened again.
        """
        self._opened()
        return await self.events.drain(within_s)

    async def close(self) -> None:
        """End every environment. Callers that still wait get EngineClosedError. Idempotent.

        In a process forked from the engine's own it only forgets the engine, which goes on.
        """
        control, self._control = self._control, None
        if control is None or self._pid != os.getpid():
            return
        for timer in self._timers:
            timer.cancel()
        control.provisioned.close()
        self._sampler.close()
        self.schedules.close()
        self.events.stop()
        self._loop.remove_reader(self._supervisor.births.fileno())
        if self._drains_on_loop:
            self._loop.remove_reader(self._scheduler.fileno())
        self._scheduler.closed = True
        self._supervisor.abandon(errors.EngineClosedError("the engine was closed while this invocation ran"))
        await asyncio.to_thread(self._close_blocking, control)

    def _close_blocking(self, control: Control) -> None:
        self.events.close()
        self._supervisor.close()
        self._mechanism.close()
        self._scheduler.close()
        control.close()

    # --- invoking -----------------------------------------------------------------------------------------------------

    async def invoke(
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
        """Run a function and wait for its answer; an "Event" is only accepted, and then run as Lambda runs events.

        name: a name, `name:qualifier`, or ARN. payload: a JSON value, or `bytes` that are JSON already; None sends `{}`
        as Lambda does when there is none (`b"null"` sends null). client_context: a mapping, or base64 as Lambda takes
        it. trace_header: the X-Amzn-Trace-Id of whoever invokes, by which recursion is found. tenant_id: for whom, of
        a function that keeps its tenants apart: 1 to 256 letters, digits, blanks and `._:/=+-@`. A function's own
        failure is a result with `function_error`. Raises ResourceNotFoundException, TooManyRequestsException (with
        `reason`), RequestTooLargeException, InvalidParameterValueException, RecursiveInvocationException.
        """
        if self._control is None:
            raise errors.EngineClosedError("the engine is not open: use `async with Engine() as engine`")
        dispatch = self._control.dispatch
        if tenant_id is None:
            lane = dispatch.lane(name, qualifier)
        else:
            lane = dispatch.tenant_lane(name, qualifier, tenant_id, invocation_type)
        body = payload if type(payload) is bytes else encode_payload(payload)
        if len(body) > config.EVENT_MAX_BYTES:
            raise too_large(len(body))
        extra = b"" if client_context is None and tenant_id is None else encode_extra(client_context, tenant_id)
        if trace_header is not None:
            extra = self._traced(lane, extra, trace_header, invocation_type)
        if invocation_type == "Event":
            accepted: asyncio.Future[InvokeResult] = self._loop.create_future()
            self.events.accept(lane, name, qualifier, body, extra, accepted)
            return await accepted
        if invocation_type != "RequestResponse":
            return self._control.receipt(lane, invocation_type, self._scheduler.new_request_id())
        answer = self._scheduler.call(lane, body, extra, log_tail)
        if type(answer) is InvokeResult:
            return answer
        return await answer  # type: ignore[misc,no-any-return]

    async def invoke_stream(
        self,
        name: str,
        payload: object = None,
        *,
        qualifier: str | None = None,
        client_context: Mapping[str, object] | str | None = None,
        log_tail: bool = False,
        trace_header: str | None = None,
        tenant_id: str | None = None,
    ) -> ResponseStream:
        """Run a function and take its answer as it gives it: an asynchronous iterator of bytes.

        Returns with the first bytes, or with the end of an invocation that gave none; `content_type` is known then, and
        after the last chunk `result`, which tells of a failure as `invoke` does. A handler streams by yielding bytes or
        str; what any other returns is one chunk. Bytes wait in the function until they are taken, and its time limit
        goes on. Arguments and errors are those of `invoke`.
        """
        source = LoopSource(self._loop if self._control is not None else asyncio.get_running_loop())
        lane, body, extra = self._to_stream(name, payload, qualifier, client_context, trace_header, tenant_id)
        streaming.begin(self._scheduler, lane, body, extra, log_tail, source.flow)
        return await ResponseStream.begun(source)

    def _to_stream(
        self,
        name: str,
        payload: object,
        qualifier: str | None,
        client_context: Mapping[str, object] | str | None,
        trace_header: str | None,
        tenant_id: str | None,
    ) -> tuple[Lane, bytes, bytes]:
        lane, body = self._opened().dispatch.lane_for(name, qualifier, tenant_id), event_bytes(payload)
        extra = b"" if client_context is None and tenant_id is None else encode_extra(client_context, tenant_id)
        return lane, body, extra if trace_header is None else self._traced(lane, extra, trace_header, "RequestResponse")

    def blocking_stream(
        self,
        name: str,
        payload: object,
        qualifier: str | None,
        client_context: Mapping[str, object] | str | None,
        log_tail: bool,
        trace_header: str | None,
        tenant_id: str | None,
    ) -> BlockingResponseStream:
        """What `engine.sync` calls from any thread, with the arguments of `invoke_stream` in order."""
        scheduler, source = self._scheduler, ThreadSource()
        lane, body, extra = self._to_stream(name, payload, qualifier, client_context, trace_header, tenant_id)
        try:
            streaming.begin(scheduler, lane, body, extra, log_tail, source.flow, on_loop=False)
        except errors.EngineClosedError:
            if not lane.closed or scheduler.closed:
                raise
            lane = self._opened().dispatch.lane_for(name, qualifier, tenant_id)  # it was updated in that instant
            streaming.begin(scheduler, lane, body, extra, log_tail, source.flow, on_loop=False)
        source.wait = partial(streaming.wait, scheduler, lane)
        return BlockingResponseStream.begun(source)

    def blocking_invoke(self) -> BlockingInvoke:
        """What `engine.sync` calls from any thread, with the arguments of `invoke` in order."""
        control, scheduler = self._opened(), self._scheduler
        dispatch, call = control.dispatch, scheduler.call_blocking
        lane_of = dispatch.lane

        def invoke(
            name: str,
            payload: object,
            qualifier: str | None,
            invocation_type: str,
            client_context: Mapping[str, object] | str | None,
            log_tail: bool,
            trace_header: str | None,
            tenant_id: str | None,
        ) -> InvokeResult:
            body = payload if type(payload) is bytes else encode_payload(payload)
            if len(body) > config.EVENT_MAX_BYTES:
                raise too_large(len(body))
            extra = b"" if client_context is None and tenant_id is None else encode_extra(client_context, tenant_id)
            if tenant_id is None:
                lane = lane_of(name, qualifier)
            else:
                lane = dispatch.tenant_lane(name, qualifier, tenant_id, invocation_type)
            if trace_header is not None:
                extra = self._traced(lane, extra, trace_header, invocation_type)
            if invocation_type != "RequestResponse":
                return control.receipt(lane, invocation_type, scheduler.new_request_id())
            try:
                return call(lane, body, extra, log_tail)
            except errors.EngineClosedError:
                if not lane.closed or scheduler.closed:
                    raise
                lane = dispatch.lane_for(name, qualifier, tenant_id)  # updated, or the tenant left, in that instant
                return call(lane, body, extra, log_tail)

        return invoke

    def doorway(self) -> Doorway:
        """For doors whose requests do not pass through `invoke`."""
        control, scheduler = self._opened(), self._scheduler

        def receipt(lane: Lane, invocation_type: str) -> InvokeResult:
            return control.receipt(lane, invocation_type, scheduler.new_request_id())

        def stream(lane: Lane, event: bytes, extra: bytes, wants_tail: bool, flow: Flow) -> None:
            streaming.begin(scheduler, lane, event, extra, wants_tail, flow)

        lane_of, tenant_lane_of = control.dispatch.lane, control.dispatch.tenant_lane
        return Doorway(scheduler, lane_of, tenant_lane_of, receipt, self.events.accept, self._traced, stream)

    def _traced(self, lane: Lane, extra: bytes, header: str, invocation_type: str) -> bytes:
        catalog = self._opened().catalog
        arn = catalog.snapshot.arn(lane.name)
        if invocation_type == "Event":
            return lineage.with_header(extra, lineage.arriving(lineage.checked(header), arn).header)
        return lineage.called_on(extra, header, arn, allowed=partial(catalog.allows_recursion, lane.name))

    # --- what happened ------------------------------------------------------------------------------------------------

    async def logs(
        self, name: str, *, qualifier: str | None = None, request_id: str | None = None, limit: int | None = None
    ) -> list[LogEvent]:
        """The log of a function as CloudWatch would hold it, oldest first; the newest `limit` events of it."""
        return self._opened().logs(name, qualifier, request_id, limit)

    async def logs_after(
        self, name: str, cursor: str = "", *, qualifier: str | None = None, limit: int | None = None
    ) -> LogPage:
        """What the log gained since the page that gave `cursor`: no line twice, and none left out that is still held.

        Without a cursor all that is held; of either the newest `limit` events. The page's cursor is for the next call.
        """
        return self._opened().logs_after(name, cursor, qualifier, limit)

    async def stats(self, name: str | None = None) -> dict[str, Any]:
        """Counts, durations and environments per function and version: see `records/statistics.py` for the fields."""
        control = self._opened()
        function = None if name is None else control.catalog.resolve(name).function_name
        told = control.stats(name)
        events, told["events"] = await self.events.statistics(function)
        for each, by_version in told["functions"].items():
            by_version["events"] = events.get(each, {})
        return {**told, "schedules": self.schedules.statistics(function)}

    async def bill(
        self, *, by: By = "function", month: str | None = None, free_tier: bool = False
    ) -> statistics.BillTable:
        """What AWS would charge, current to the invocation: for all that `data_dir` has ever seen, or for one month.

        by: "function", "version" or "day" (UTC). month: such as "2026-11". free_tier: take each month's off the total.
        Raises InvalidParameterValueException, and ServiceException when the ledger's disk fails.
        """
        return await asyncio.to_thread(self._opened().bill, by, month, free_tier)

    async def export_ledger(self, path_or_file: Target, format: Format = "csv", month: str | None = None) -> int:
        """Write every record that is kept, or one month's, as CSV or Parquet; how many.

        path_or_file: a path, or an open file: of text for CSV, of bytes for Parquet, which needs pyarrow. Columns:
        `records/export.py`. Raises InvalidParameterValueException, and ServiceException when the ledger's disk fails.
        """
        return await asyncio.to_thread(self._opened().export_ledger, path_or_file, format, month)

    def listening_on(self, socket: str) -> None:
        """Have an engine that finds this one's `data_dir` in use say where this one can be reached. For doors."""
        self._opened().listening_on(socket)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _opened(self) -> Control:
        if self._control is None:
            raise errors.EngineClosedError("the engine is not open: use `async with Engine() as engine`")
        if self._pid != os.getpid():
            raise errors.ForeignProcessError(
                f"this engine belongs to process {self._pid}; open another one in {os.getpid()}"
            )
        return self._control

    def _on_demand(self, lane: Lane) -> None:
        if not self._drains_on_loop:
            self._loop.call_soon_threadsafe(self._supervisor.demand, lane)
        else:
            self._supervisor.demand(lane)

    def _on_active(self) -> None:
        if self._control is not None:
            self._control.ledger.wake()
        if self._drains_on_loop:
            self._watch()
        else:
            self._loop.call_soon_threadsafe(self._watch)

    def _watch(self) -> None:
        """Tick for as long as there is something to watch over; look at idle environments when it is time to."""
        if self._control is None:
            return
        if not self._timers:
            self._timers = [self._loop.call_later(TICK_S, self._tick), self._loop.call_later(1.0, self._keep_house)]
            return
        self._timers[0].cancel()
        self._timers[0] = self._loop.call_later(TICK_S, self._tick)
        house_s = self._supervisor.upkeep.look_every_ns / 1e9
        if self._timers[1].when() > self._loop.time() + house_s:  # nothing was due for long, and now something may be
            self._timers[1].cancel()
            self._timers[1] = self._loop.call_later(house_s, self._keep_house)

    def _tick(self) -> None:
        goes_on = True
        try:
            goes_on = self._supervisor.tick()
        finally:  # deadlines are kept whatever one tick ran into
            if not goes_on:
                self._scheduler.watched = False
                if self._scheduler.active:  # who came meanwhile found us watching, and left it at that
                    self._scheduler.watched = goes_on = True
            if goes_on:
                self._timers[0] = self._loop.call_later(TICK_S, self._tick)

    def _keep_house(self) -> None:
        wait_ns = self._supervisor.keep_house()
        self._timers[1] = self._loop.call_later(wait_ns / 1e9 + 0.001, self._keep_house)
