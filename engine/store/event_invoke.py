"""F1: Lambda's rules for event invoke configurations: of what, with which destinations. Keeping them is `catalog`'s.

Patterns and ranges are `validation`'s. Messages are Lambda's own where it is known to have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypedDict

from ..errors import InvalidParameterValueException, LambdaError, ResourceNotFoundException
from ..model import EventInvokeConfig
from ..validation import validate_qualifier
from .snapshot import FunctionRecord, Snapshot, arn


class EventInvokeSettings(TypedDict, total=False):
    """What can be said about events; None is not given, "" is no destination."""

    maximum_retry_attempts: int | None
    maximum_event_age_s: int | None
    on_success: str | None
    on_failure: str | None


def event_settings(
    retry_attempts: int | None, age_s: int | None, on_success: str | None, on_failure: str | None
) -> EventInvokeSettings:
    return {
        "maximum_retry_attempts": retry_attempts,
        "maximum_event_age_s": age_s,
        "on_success": on_success,
        "on_failure": on_failure,
    }


def config_of(snapshot: Snapshot, name: str, qualifier: str) -> EventInvokeConfig:
    """What was said about events there. Raises `ResourceNotFoundException` where nothing was."""
    validate_qualifier(qualifier)
    config = snapshot.record(name, qualifier).event_invoke.get(qualifier)
    if config is None:
        raise ResourceNotFoundException(
            f"The function {snapshot.arn(name, qualifier)} doesn't have an EventInvokeConfig"
        )
    return config


def empty_config(snapshot: Snapshot, name: str, qualifier: str) -> EventInvokeConfig:
    """One that says nothing yet. Raises `ResourceNotFoundException` if there is no such version or alias."""
    validate_qualifier(qualifier)
    record = snapshot.record(name, qualifier)
    if record.configuration(qualifier) is None:
        raise snapshot.not_found(name, qualifier)
    return EventInvokeConfig(config_arn(record, qualifier))


def config_arn(record: FunctionRecord, qualifier: str) -> str:
    """Always qualified, that of `$LATEST` too."""
    latest = record.latest
    return arn(latest.region, latest.account_id, latest.function_name, qualifier)


def changed(config: EventInvokeConfig, settings: EventInvokeSettings, last_modified: str) -> EventInvokeConfig:
    """With what is given; what is not stays."""
    given: dict[str, Any] = {key: value for key, value in settings.items() if value is not None}
    made = replace(config, last_modified=last_modified, **given)
    return replace(made, on_success=made.on_success or None, on_failure=made.on_failure or None)


def check_destinations(snapshot: Snapshot, name: str, settings: EventInvokeSettings) -> None:
    """Raises `InvalidParameterValueException` for a function that is not here, and for the function itself."""
    for destination in (settings.get("on_success"), settings.get("on_failure")):
        if destination and destination.split(":")[2] == "lambda":
            _check_function(snapshot, name, destination)


def _check_function(snapshot: Snapshot, name: str, destination: str) -> None:
    invalid = f"The destination ARN {destination} is invalid."
    try:
        target = snapshot.resolve(destination)
    except LambdaError as error:
        raise InvalidParameterValueException(f"{invalid} {error.message}") from error
    if target.function_name == name:
        raise InvalidParameterValueException("You can't specify the function as a destination for itself.")


def without(configs: Mapping[str, EventInvokeConfig], qualifier: str) -> Mapping[str, EventInvokeConfig]:
    """All but that of one qualifier."""
    return MappingProxyType({key: config for key, config in configs.items() if key != qualifier})
