"""F2: how the map of each answer is read back into the engine's own values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .._ext.result import InvokeResult
from ..errors import ConnectionLostError
from ..model import (
    AccountSettings,
    Alias,
    EventInvokeConfig,
    FunctionConfiguration,
    FunctionState,
    LayerVersion,
    LogEvent,
    LogPage,
    LogSlice,
    LogStream,
    LogSummary,
    MetricName,
    MetricSeries,
    ProvisionedConcurrencyConfig,
    RecursiveLoop,
    Resource,
    Schedule,
)
from ..records.statistics import BillTable
from ..wire.values import from_map

T = TypeVar("T")
Answer = Mapping[str, Any]


def nothing(_: Answer) -> None:
    """An answer that says only that it was done."""


def pong(told: Any) -> str:
    return str(told)


def counts(told: Answer) -> dict[str, Any]:
    return dict(told)


def result(told: Answer) -> InvokeResult:
    return InvokeResult.from_map(told)


def configuration(told: Answer) -> FunctionConfiguration:
    return from_map(FunctionConfiguration, told)


def state(told: Answer) -> FunctionState:
    return from_map(FunctionState, told)


def configurations(told: Answer) -> list[FunctionConfiguration]:
    return [configuration(each) for each in told["functions"]]


def versions(told: Answer) -> list[FunctionConfiguration]:
    return [configuration(each) for each in told["versions"]]


def alias(told: Answer) -> Alias:
    return from_map(Alias, told)


def aliases(told: Answer) -> list[Alias]:
    return [alias(each) for each in told["aliases"]]


def provisioned(told: Answer) -> ProvisionedConcurrencyConfig:
    return from_map(ProvisionedConcurrencyConfig, told)


def all_provisioned(told: Answer) -> list[ProvisionedConcurrencyConfig]:
    return [provisioned(each) for each in told["provisioned_concurrency_configs"]]


def event_invoke(told: Answer) -> EventInvokeConfig:
    return from_map(EventInvokeConfig, told)


def all_event_invoke(told: Answer) -> list[EventInvokeConfig]:
    return [event_invoke(each) for each in told["function_event_invoke_configs"]]


def schedule(told: Answer) -> Schedule:
    return from_map(Schedule, told)


def schedules(told: Answer) -> list[Schedule]:
    return [schedule(each) for each in told["schedules"]]


def resource(told: Answer) -> Resource:
    return from_map(Resource, told)


def resources(told: Answer) -> list[Resource]:
    return [resource(each) for each in told["resources"]]


def layer_version(told: Answer) -> LayerVersion:
    return from_map(LayerVersion, told)


def layers(told: Answer) -> list[LayerVersion]:
    return [layer_version(each) for each in told["layers"]]


def layer_versions(told: Answer) -> list[LayerVersion]:
    return [layer_version(each) for each in told["layer_versions"]]


def data(told: Answer) -> bytes:
    part: bytes = told["data"]
    return part


def account_settings(told: Answer) -> AccountSettings:
    return from_map(AccountSettings, told)


def recursive_loop(told: Answer) -> RecursiveLoop:
    value: RecursiveLoop = told["recursive_loop"]
    return value


def log_page(told: Answer) -> LogPage:
    return LogPage(tuple(from_map(LogEvent, each) for each in told["events"]), told["cursor"])


def metric_series(told: Answer) -> list[MetricSeries]:
    return [from_map(MetricSeries, each) for each in told["series"]]


def metrics(told: Answer) -> list[MetricName]:
    return [from_map(MetricName, each) for each in told["metrics"]]


def log_summaries(told: Answer) -> list[LogSummary]:
    return [from_map(LogSummary, each) for each in told["logs"]]


def log_streams(told: Answer) -> list[LogStream]:
    return [from_map(LogStream, each) for each in told["streams"]]


def log_slice(told: Answer) -> LogSlice:
    return from_map(LogSlice, told)


def log_events(told: Answer) -> list[LogEvent]:
    return [from_map(LogEvent, each) for each in told["events"]]


def bill(told: Answer) -> BillTable:
    return from_map(BillTable, told)


def reserved(told: Answer) -> int | None:
    value: int | None = told["reserved"]
    return value


def doctor(told: Answer) -> dict[str, list[dict[str, Any]]]:
    return {"limits": list(told["limits"]), "runtimes": list(told["runtimes"])}


def read(reader: Callable[[Any], T], told: Any) -> T:
    """An answer's value. Raises ConnectionLostError for a map that is not what the method promises."""
    try:
        return reader(told)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ConnectionLostError(f"the answer cannot be read ({type(error).__name__}: {error})") from error
