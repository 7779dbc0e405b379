"""F5: checks of what a request says of an event source mapping. Raises InvalidParameterValueException throughout.

Ranges that the service model has were checked with it; these are the rules of each kind of source.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from ...errors import InvalidParameterValueException
from .event_sources import DOCUMENTDB, DYNAMODB, MQ, SELF_MANAGED_KAFKA, SQS, SourceKind

FILTERS_MAX: Final = 10
RECORD_AGE_MIN_S: Final = 60
UNBATCHED_MAX: Final = 10  # the most messages of a queue that need no window to gather in
SERVERS: Final = "KAFKA_BOOTSTRAP_SERVERS"
OPERATORS: Final = frozenset(
    {"anything-but", "cidr", "equals-ignore-case", "exists", "numeric", "prefix", "suffix", "wildcard"}
)
PATTERN_DEPTH_MAX: Final = 32


def check_new(kind: SourceKind, given: Mapping[str, Any], now: datetime) -> None:
    """A request to make a mapping: `given` as it was sent, `now` with a time zone."""
    position, since = given.get("StartingPosition"), given.get("StartingPositionTimestamp")
    if position is not None and not kind.takes("StartingPosition"):
        raise InvalidParameterValueException(f"StartingPosition is not valid for {kind.title} event sources.")
    _check_members(kind, given)
    for member in kind.required:
        if not given.get(member):
            raise _missing(member)
    if position == "AT_TIMESTAMP" and kind is DYNAMODB:
        raise InvalidParameterValueException(f"Unsupported starting position for arn type: {given['EventSourceArn']}")
    if since is not None and position != "AT_TIMESTAMP":
        raise InvalidParameterValueException("Timestamp only valid with StartingPosition AT_TIMESTAMP")
    if position == "AT_TIMESTAMP" and since is None:
        raise InvalidParameterValueException("StartingPosition AT_TIMESTAMP needs a StartingPositionTimestamp")
    if since is not None and since > now:
        raise InvalidParameterValueException(f"StartingPositionTimestamp {since.isoformat()} lies in the future")


def check_change(kind: SourceKind, given: Mapping[str, Any]) -> None:
    """A request to change a mapping."""
    _check_members(kind, given)


def check_whole(kind: SourceKind, told: Mapping[str, Any]) -> None:
    """A mapping as it is to be, defaults and all."""
    if kind is SQS:
        _check_queue(told)
    if kind in (MQ, DOCUMENTDB):
        _check_login(kind, told)
    if kind is DOCUMENTDB and not told["DocumentDBEventSourceConfig"].get("DatabaseName"):
        raise _missing("DocumentDBEventSourceConfig.DatabaseName")
    if kind is SELF_MANAGED_KAFKA and not told["SelfManagedEventSource"].get("Endpoints", {}).get(SERVERS):
        raise _missing("SelfManagedEventSource.Endpoints")
    age_s = told.get("MaximumRecordAgeInSeconds", -1)
    if -1 < age_s < RECORD_AGE_MIN_S:
        raise InvalidParameterValueException(
            f"MaximumRecordAgeInSeconds {age_s} is to be -1, which is without end, or {RECORD_AGE_MIN_S} or more"
        )
    _check_access(kind, told)
    _check_destinations(kind, told.get("DestinationConfig", {}))
    _check_pollers(kind, told)
    _check_filters(told.get("FilterCriteria", {}).get("Filters", ()))
    for metric in told.get("MetricsConfig", {}).get("Metrics", ()):
        if metric not in kind.metrics:
            raise InvalidParameterValueException(f"MetricsConfig {metric} is not valid for {kind.title} event sources.")


def _check_members(kind: SourceKind, given: Mapping[str, Any]) -> None:
    foreign = next((member for member in given if not kind.takes(member)), None)
    if foreign is not None:
        raise InvalidParameterValueException(f"{foreign} is not valid for {kind.title} event sources.")


def _missing(member: str) -> InvalidParameterValueException:
    """As the service refuses what its model leaves open and a kind of source needs."""
    path = ".".join(part[:1].lower() + part[1:] for part in member.split("."))
    return InvalidParameterValueException(
        f"1 validation error detected: Value null at '{path}' failed to satisfy constraint: Member must not be null."
    )


def _check_queue(told: Mapping[str, Any]) -> None:
    size, window_s = told["BatchSize"], told["MaximumBatchingWindowInSeconds"]
    if told["EventSourceArn"].endswith(".fifo"):
        if window_s:
            raise InvalidParameterValueException("Batching window is not supported for FIFO queues")
        if size > UNBATCHED_MAX:
            raise InvalidParameterValueException(
                f"Maximum batch size must be between 1 and {UNBATCHED_MAX} inclusive for FIFO queues"
            )
    elif size > UNBATCHED_MAX and not window_s:
        raise InvalidParameterValueException(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
        )
    if told.get("ScalingConfig", {}).get("MaximumConcurrency") and told.get("ProvisionedPollerConfig"):
        raise InvalidParameterValueException(
            "ScalingConfig.MaximumConcurrency and ProvisionedPollerConfig exclude each other: give one of them"
        )


def _check_login(kind: SourceKind, told: Mapping[str, Any]) -> None:
    if all(each.get("Type") != "BASIC_AUTH" for each in told["SourceAccessConfigurations"]):
        raise InvalidParameterValueException(
            f"SourceAccessConfigurations of {kind.title} event sources need one of Type BASIC_AUTH"
        )


def _check_access(kind: SourceKind, told: Mapping[str, Any]) -> None:
    for each in told.get("SourceAccessConfigurations", ()):
        name = each.get("Type")
        if not name or not each.get("URI"):
            raise _missing("SourceAccessConfigurations." + ("Type" if not name else "URI"))
        if name not in kind.access if kind.access is not None else name == "VIRTUAL_HOST":
            raise InvalidParameterValueException(
                f"SourceAccessConfigurations Type {name} is not valid for {kind.title} event sources."
            )


def _check_destinations(kind: SourceKind, told: Mapping[str, Any]) -> None:
    if told.get("OnSuccess", {}).get("Destination"):
        raise InvalidParameterValueException("DestinationConfig.OnSuccess is not valid for event source mappings.")
    arn = told.get("OnFailure", {}).get("Destination")
    if not arn:
        return
    service = "kafka" if arn.startswith("kafka://") else arn.split(":")[2]
    if service not in kind.destinations or arn.endswith(".fifo"):
        raise InvalidParameterValueException(
            "The provided destination config DestinationConfig(onSuccess=null, "
            f"onFailure=OnFailure(destination={arn})) is invalid. OnFailure of {kind.title} event sources takes "
            f"one of: {', '.join(kind.destinations)}; no FIFO queue or topic"
        )


def _check_pollers(kind: SourceKind, told: Mapping[str, Any]) -> None:
    pollers = told.get("ProvisionedPollerConfig", {})
    fewest, most = kind.pollers
    least, highest = pollers.get("MinimumPollers"), pollers.get("MaximumPollers")
    for member, value in (("MinimumPollers", least), ("MaximumPollers", highest)):
        if value is not None and not fewest <= value <= most:
            raise InvalidParameterValueException(
                f"ProvisionedPollerConfig.{member} {value} is to be from {fewest} to {most} for {kind.title} event "
                "sources"
            )
    if least is not None and highest is not None and least > highest:
        raise InvalidParameterValueException(
            f"ProvisionedPollerConfig.MinimumPollers {least} is more than MaximumPollers {highest}"
        )


# --- filters ----------------------------------------------------------------------------------------------------------


def _check_filters(filters: Any) -> None:
    if len(filters) > FILTERS_MAX:
        raise InvalidParameterValueException(
            f"FilterCriteria has {len(filters)} filters; at most {FILTERS_MAX} are taken"
        )
    for each in filters:
        try:
            pattern = json.loads(each.get("Pattern", ""))
        except (ValueError, RecursionError) as error:
            raise InvalidParameterValueException(
                f"Invalid filter pattern definition. It is no JSON: {error}"
            ) from error
        _check_pattern(pattern)


def _check_pattern(pattern: object, depth: int = 1) -> None:
    """An object of objects, and at its ends lists of values and operators."""
    if not isinstance(pattern, dict) or depth > PATTERN_DEPTH_MAX:
        raise _bad_pattern(f"it is to be an object, at most {PATTERN_DEPTH_MAX} deep")
    for key, value in pattern.items():
        if isinstance(value, dict):
            _check_pattern(value, depth + 1)
        elif not isinstance(value, list) or not value:
            raise _bad_pattern(f"{key!r} is to be an object or a list that is not empty")
        elif key == "$or":
            for each in value:
                _check_pattern(each, depth + 1)
        else:
            _check_values(key, value)


def _check_values(key: str, values: list[Any]) -> None:
    for each in values:
        if isinstance(each, list):
            raise _bad_pattern(f"{key!r} has a list within its list")
        if isinstance(each, dict) and (len(each) != 1 or not OPERATORS.issuperset(each)):
            raise _bad_pattern(f"{key!r} has an object that is none of the operators {', '.join(sorted(OPERATORS))}")


def _bad_pattern(why: str) -> InvalidParameterValueException:
    return InvalidParameterValueException(f"Invalid filter pattern definition. In a pattern, {why}")
