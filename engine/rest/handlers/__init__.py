"""F5: what each operation of Lambda's API does, by resource. A module's handlers are named as their operations are."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Final

from ..call import Handler
from . import (
    account,
    aliases,
    code_signing,
    concurrency,
    event_invoke,
    event_source_mappings,
    function_urls,
    functions,
    layer_policies,
    layers,
    policies,
    recursion,
    resource_policies,
    runtime_management,
    tags,
    versions,
)
from .settings import CAPACITY, DURABLE

MODULES: Final = (
    account,
    aliases,
    code_signing,
    concurrency,
    event_invoke,
    event_source_mappings,
    function_urls,
    functions,
    layer_policies,
    layers,
    policies,
    recursion,
    resource_policies,
    runtime_management,
    tags,
    versions,
)
REFUSED: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            *("CheckpointDurableExecution", "GetDurableExecution", "GetDurableExecutionHistory"),
            *("GetDurableExecutionState", "ListDurableExecutionsByFunction", "SendDurableExecutionCallbackFailure"),
            *("DeleteDurableExecution", "PauseDurableExecution", "ResumeDurableExecution"),
            *("SendDurableExecutionCallbackHeartbeat", "SendDurableExecutionCallbackSuccess", "StopDurableExecution"),
        ),
        DURABLE,
    ),
    **dict.fromkeys(
        (
            *("CreateCapacityProvider", "DeleteCapacityProvider", "GetCapacityProvider", "ListCapacityProviders"),
            *("ListFunctionVersionsByCapacityProvider", "UpdateCapacityProvider"),
            *("PutFunctionScalingConfig", "GetFunctionScalingConfig"),
        ),
        CAPACITY,
    ),
}


def operation_name(handler: str) -> str:
    """`get_function_url_config` → `GetFunctionUrlConfig`."""
    return "".join(word.capitalize() for word in handler.split("_"))


def handlers_of(module: ModuleType) -> Iterator[tuple[str, Handler]]:
    """A module's handlers by the names of their operations."""
    for name, value in vars(module).items():
        own = inspect.iscoroutinefunction(value) and value.__module__ == module.__name__
        if own and not name.startswith("_"):
            yield operation_name(name), value


HANDLERS: Final[Mapping[str, Handler]] = {name: handler for module in MODULES for name, handler in handlers_of(module)}
