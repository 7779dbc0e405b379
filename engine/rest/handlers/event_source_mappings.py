"""F5: event source mappings: made, told of, changed and deleted. Their sources are not polled yet.

So the State of each is Disabled, which is what they are, with the reason; what the user asked for is kept with it.
A mapping outlives its function, as in Lambda: whoever deletes the one deletes the other.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ...errors import InvalidParameterValueException, LambdaError, ResourceNotFoundException
from ...model import Resource
from ..call import Call
from ..documents import change, find
from .event_source_claims import check_free, claim, release
from .event_source_rules import check_change, check_new, check_whole
from .event_sources import MAPPING, MSK, SELF_MANAGED_KAFKA, SQS, SourceKind, kind_of
from .names import function_and_qualifier, function_arn
from .pages import page
from .tagging import check_tags, drop_tags, put_tags

PAGE_MAX: Final = 100
NOT_POLLED: Final = "Enabled by the user, but this version of the engine does not poll event sources"
CONSUMER_GROUP: Final = {
    MSK.title: "AmazonManagedKafkaEventSourceConfig",
    SELF_MANAGED_KAFKA.title: "SelfManagedKafkaEventSourceConfig",
}
NOT_KEPT: Final = ("FunctionName", "Tags", "UUID")
GONE_WHEN_EMPTY: Final = ("FilterCriteria", "KMSKeyArn", "MetricsConfig", "ProvisionedPollerConfig", "ScalingConfig")


async def create_event_source_mapping(call: Call) -> Mapping[str, Any]:
    """Stored and validated; State is Disabled, with the reason: sources are polled in a later release."""
    given = call.given
    kind = kind_of(given)
    check_new(kind, given, datetime.now(UTC))
    check_tags(given.get("Tags", {}))
    made_id = str(uuid.uuid4())
    told = _kept(given)
    document = {"Enabled": True, **kind.defaults, **told, "FunctionArn": await _function(call)}
    if kind.title in CONSUMER_GROUP:
        member = CONSUMER_GROUP[kind.title]
        document[member] = {"ConsumerGroupId": made_id, **document.get(member, {})}
    check_whole(kind, document)
    await check_free(call.client, document, made_id)
    made = await call.client.put_resource(MAPPING, made_id, document, create=True)
    try:
        await claim(call.client, made)
    except LambdaError:
        await change(call.client, MAPPING, made_id, lambda _: None)
        raise
    await put_tags(call.client, _arn(call, made_id), given.get("Tags", {}))
    return _shape(call, made)


async def get_event_source_mapping(call: Call) -> Mapping[str, Any]:
    """State is Disabled, with the reason: sources are polled in a later release."""
    return _shape(call, _there(await find(call.client, MAPPING, _id(call))))


async def list_event_source_mappings(call: Call) -> Mapping[str, Any]:
    """State is Disabled, with the reason: sources are polled in a later release."""
    given = call.given
    made = await call.client.list_resources(MAPPING)
    if "EventSourceArn" in given:
        made = [each for each in made if each.document.get("EventSourceArn") == given["EventSourceArn"]]
    if "FunctionName" in given:
        arn = function_arn(call.place, *function_and_qualifier(call))
        made = [each for each in made if each.document["FunctionArn"] == arn]
    taken, marker = page(made, given, lambda each: each.key, PAGE_MAX)
    return {"EventSourceMappings": [_shape(call, each) for each in taken], "NextMarker": marker}


async def update_event_source_mapping(call: Call) -> Mapping[str, Any]:
    """Stored and validated; State is Disabled, with the reason: sources are polled in a later release."""
    given = call.given
    before = _there(await find(call.client, MAPPING, _id(call)))
    function = await _function(call) if given.get("FunctionName") else before.document["FunctionArn"]
    await check_free(call.client, {**before.document, "FunctionArn": function}, before.key)

    def changed(found: Resource | None) -> dict[str, Any]:
        there = _there(found).document
        kind = kind_of(there)
        check_change(kind, given)
        document = {**there, **_kept(given)}
        document = {key: value for key, value in document.items() if value or key not in GONE_WHEN_EMPTY}
        if given.get("FunctionName"):
            document["FunctionArn"] = function
        member = CONSUMER_GROUP.get(kind.title)
        if member is not None and member in given:
            document[member] = {**there.get(member, {}), **given[member]}
        check_whole(kind, document)
        return document

    made = _there(await change(call.client, MAPPING, before.key, changed))
    if made.document["FunctionArn"] != before.document["FunctionArn"]:
        await release(call.client, before.document, before.key)
        await claim(call.client, made)
    return _shape(call, made)


async def delete_event_source_mapping(call: Call) -> Mapping[str, Any]:
    found = _there(await find(call.client, MAPPING, _id(call)))
    await change(call.client, MAPPING, found.key, lambda _: None)
    await release(call.client, found.document, found.key)
    await drop_tags(call.client, _arn(call, found.key))
    return {**_shape(call, found), "State": "Deleting", "StateTransitionReason": _by_user(kind_of(found.document))}


def _kept(given: Mapping[str, Any]) -> dict[str, Any]:
    """What of a request is part of the mapping, as JSON says it."""
    told = {member: value for member, value in given.items() if member not in NOT_KEPT}
    since = told.get("StartingPositionTimestamp")
    return {**told, "StartingPositionTimestamp": since.timestamp()} if since is not None else told


async def _function(call: Call) -> str:
    """The ARN of the function, version or alias that is to get the records."""
    name, qualifier = function_and_qualifier(call)
    try:
        await call.client.get_function(name, qualifier=qualifier)
    except ResourceNotFoundException as error:
        raise InvalidParameterValueException("Function does not exist") from error
    return function_arn(call.place, name, qualifier)


# --- answers ----------------------------------------------------------------------------------------------------------


def _id(call: Call) -> str:
    return str(call.given["UUID"]).lower()


def _arn(call: Call, mapping_id: str) -> str:
    return f"arn:aws:lambda:{call.place.region}:{call.place.account_id}:{MAPPING}:{mapping_id}"


def _there(found: Resource | None) -> Resource:
    if found is None:
        raise ResourceNotFoundException("The resource you requested does not exist.")
    return found


def _by_user(kind: SourceKind) -> str:
    return "User action" if kind.takes("ParallelizationFactor") else "USER_INITIATED"


def _shape(call: Call, made: Resource) -> dict[str, Any]:
    """EventSourceMappingConfiguration."""
    told = dict(made.document)
    enabled, kind = told.pop("Enabled"), kind_of(made.document)
    shape = {
        "UUID": made.key,
        **told,
        "LastModified": made.last_modified_ms / 1000,
        "State": "Disabled",
        "StateTransitionReason": NOT_POLLED if enabled else _by_user(kind),
        "EventSourceMappingArn": _arn(call, made.key),
    }
    return shape if kind is SQS else {**shape, "LastProcessingResult": "No records processed"}
