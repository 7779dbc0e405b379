"""F5: reserved and provisioned concurrency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import InvalidParameterValueException
from ...store.snapshot import LATEST
from ..call import Call
from .names import function_and_qualifier
from .pages import page
from .shapes import provisioned


async def put_function_concurrency(call: Call) -> Mapping[str, Any]:
    reserved = call.given["ReservedConcurrentExecutions"]
    await call.client.put_function_concurrency(_whole_function(call), reserved)
    return {"ReservedConcurrentExecutions": reserved}


async def get_function_concurrency(call: Call) -> Mapping[str, Any]:
    name, _ = function_and_qualifier(call)
    return {"ReservedConcurrentExecutions": await call.client.get_function_concurrency(name)}


async def delete_function_concurrency(call: Call) -> Mapping[str, Any]:
    await call.client.delete_function_concurrency(_whole_function(call))
    return {}


async def put_provisioned_concurrency_config(call: Call) -> Mapping[str, Any]:
    name, qualifier = _published(call)
    asked = call.given["ProvisionedConcurrentExecutions"]
    return provisioned(await call.client.put_provisioned_concurrency_config(name, qualifier, asked))


async def get_provisioned_concurrency_config(call: Call) -> Mapping[str, Any]:
    name, qualifier = _published(call)
    return provisioned(await call.client.get_provisioned_concurrency_config(name, qualifier))


async def list_provisioned_concurrency_configs(call: Call) -> Mapping[str, Any]:
    name, _ = function_and_qualifier(call)
    made = await call.client.list_provisioned_concurrency_configs(name)
    taken, marker = page(made, call.given, lambda each: each.function_arn)
    configs = [{"FunctionArn": each.function_arn, **provisioned(each)} for each in taken]
    return {"ProvisionedConcurrencyConfigs": configs, "NextMarker": marker}


async def delete_provisioned_concurrency_config(call: Call) -> Mapping[str, Any]:
    name, qualifier = _published(call)
    await call.client.delete_provisioned_concurrency_config(name, qualifier)
    return {}


def _whole_function(call: Call) -> str:
    name, qualifier = function_and_qualifier(call)
    if qualifier is not None:
        raise InvalidParameterValueException(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
            "Please specify either a function name or an unqualified function ARN."
        )
    return name


def _published(call: Call) -> tuple[str, str]:
    """The core has its own words for `$LATEST`, which no environments are kept ready of."""
    name, qualifier = function_and_qualifier(call)
    return name, qualifier or LATEST
