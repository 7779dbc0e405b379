"""F5: what happens to a function's events: retries, age, destinations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from ...errors import ResourceNotFoundException
from ...model import EventInvokeConfig
from ..call import Call
from .names import function_and_qualifier
from .pages import page
from .shapes import event_invoke_config

NO_FUNCTION: Final = "Function not found: "  # as the core's words begin


async def put_function_event_invoke_config(call: Call) -> Mapping[str, Any]:
    name, qualifier = function_and_qualifier(call)
    with _in_the_words_of_this_api("The function doesn't exist."):
        settings = _settings(call.given)
        return _shape(await call.client.put_function_event_invoke_config(name, qualifier=qualifier, **settings))


async def update_function_event_invoke_config(call: Call) -> Mapping[str, Any]:
    name, qualifier = function_and_qualifier(call)
    with _in_the_words_of_this_api("The function doesn't exist."):
        settings = _settings(call.given)
        return _shape(await call.client.update_function_event_invoke_config(name, qualifier=qualifier, **settings))


async def get_function_event_invoke_config(call: Call) -> Mapping[str, Any]:
    name, qualifier = function_and_qualifier(call)
    with _in_the_words_of_this_api("The function {} doesn't have an EventInvokeConfig"):
        return _shape(await call.client.get_function_event_invoke_config(name, qualifier=qualifier))


async def list_function_event_invoke_configs(call: Call) -> Mapping[str, Any]:
    name, _ = function_and_qualifier(call)
    with _in_the_words_of_this_api("The function doesn't exist."):
        made = await call.client.list_function_event_invoke_configs(name)
    taken, marker = page(made, call.given, lambda each: each.function_arn)
    return {"FunctionEventInvokeConfigs": [_shape(each) for each in taken], "NextMarker": marker}


async def delete_function_event_invoke_config(call: Call) -> Mapping[str, Any]:
    name, qualifier = function_and_qualifier(call)
    with _in_the_words_of_this_api("The function {} doesn't have an EventInvokeConfig"):
        await call.client.delete_function_event_invoke_config(name, qualifier=qualifier)
    return {}


@contextmanager
def _in_the_words_of_this_api(words: str) -> Iterator[None]:
    """A function that is not there is told of otherwise by these operations than by all others. `{}`: its ARN."""
    try:
        yield
    except ResourceNotFoundException as error:
        if not error.message.startswith(NO_FUNCTION):
            raise
        raise ResourceNotFoundException(words.format(error.message.removeprefix(NO_FUNCTION))) from error


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """A DestinationConfig is said as a whole: a destination that it leaves out is none, which the core's "" is."""
    told: dict[str, Any] = {
        "maximum_retry_attempts": given.get("MaximumRetryAttempts"),
        "maximum_event_age_s": given.get("MaximumEventAgeInSeconds"),
    }
    destinations = given.get("DestinationConfig")
    if destinations is not None:
        told["on_success"] = destinations.get("OnSuccess", {}).get("Destination", "")
        told["on_failure"] = destinations.get("OnFailure", {}).get("Destination", "")
    return told


def _shape(made: EventInvokeConfig) -> dict[str, Any]:
    return event_invoke_config(made, datetime.fromisoformat(made.last_modified).timestamp())
