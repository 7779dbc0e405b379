"""F3: what becomes of an event, told as Lambda tells it: destination records and dead letters. Pure functions.

Form and order are those of https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html and of
records that the service wrote. A record that is too large for its destination is not made smaller: as with Lambda, its
delivery fails.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from .parcels import Attribute, Parcel, destination_kind
from .rules import Condition

ERROR_MESSAGE_BYTES: Final = 1_024
EVENT_SOURCE: Final = "lambda"
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_NOT_IN_MESSAGES: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Response(NamedTuple):
    """What the last attempt came to.

    status_code: 200 where the function ran, well or not; else what its caller would have been told, such as 429.
    executed_version, function_error, payload: only where it ran, the error only where it failed.
    """

    status_code: int
    executed_version: str = ""
    function_error: str | None = None
    payload: bytes | None = None


def invocation_record(
    *,
    request_id: str,
    function_arn: str,
    condition: Condition,
    attempts: int,
    when_ms: int,
    event: bytes,
    response: Response | None,
) -> bytes:
    """The JSON document that destinations get. Event and answer stand in it byte for byte.

    attempts: how often the function ran. response: None where no attempt was made, so where its concurrency is zero.
    """
    context = {
        "requestId": request_id,
        "functionArn": qualified(function_arn),
        "condition": condition,
        "approximateInvokeCount": attempts,
    }
    parts = [b'{"version":"1.0","timestamp":"', _timestamp(when_ms).encode(), b'","requestContext":']
    parts += [orjson.dumps(context), b',"requestPayload":', _as_json(event)]
    if response is not None:
        parts += [b',"responseContext":', orjson.dumps(_response_context(response))]
        if response.payload is not None:
            parts += [b',"responsePayload":', _as_json(response.payload)]
    return b"".join([*parts, b"}"])


def destination(
    target_arn: str, record: bytes, *, succeeded: bool, function_arn: str, when_ms: int, unique: str
) -> Parcel:
    """The record on its way to a queue, topic, bucket or event bus. unique: a UUID, for the name of an object."""
    kind = destination_kind(target_arn)
    if kind == "events":
        return event_bridge_entry(target_arn, record, succeeded=succeeded, function_arn=function_arn)
    if kind == "s3":
        where, name = function_arn.split(":")[3], function_arn.split(":")[6]
        return Parcel(target_arn, record, region=where, key=object_key(name, when_ms, unique))
    return Parcel(target_arn, record)


def dead_letter(
    target_arn: str, event: bytes, *, request_id: str, status_code: int | None, error_message: str
) -> Parcel:
    """The event as it came, with what went wrong in attributes.

    status_code: None where no attempt was made. error_message: its first 1,024 bytes go along; characters that no
    message may hold are replaced.
    """
    shown = attribute_text(error_message)
    attributes = {"RequestID": Attribute("String", request_id)}
    if status_code is not None:
        attributes["ErrorCode"] = Attribute("Number", str(status_code))
    if shown:  # an attribute may not be empty
        attributes["ErrorMessage"] = Attribute("String", shown)
    return Parcel(target_arn, event, attributes)


def attribute_text(told: str) -> str:
    """As much of it as an attribute of a message holds here, in characters that it may hold."""
    allowed = _NOT_IN_MESSAGES.sub("\ufffd", told)
    return allowed.encode()[:ERROR_MESSAGE_BYTES].decode(errors="ignore")


def event_bridge_entry(bus_arn: str, record: bytes, *, succeeded: bool, function_arn: str) -> Parcel:
    """The record as an event. Source and the order of resources are those that Lambda sends."""
    return Parcel(
        bus_arn,
        record,
        detail_type=f"Lambda Function Invocation Result - {'Success' if succeeded else 'Failure'}",
        source=EVENT_SOURCE,
        resources=(bus_arn, qualified(function_arn)),
    )


def object_key(function_name: str, when_ms: int, unique: str) -> str:
    """Under which name a record lies in a bucket."""
    when = datetime.fromtimestamp(when_ms // 1_000, UTC)
    return f"aws/lambda/async/{function_name}/{when:%Y/%m/%d}/{when:%Y-%m-%dT%H.%M.%S}-{unique}"


def error_message(answer: bytes) -> str:
    """What the answer of a failed function says was wrong; "" where it says nothing."""
    try:
        told = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return ""
    message = told.get("errorMessage") if isinstance(told, dict) else None
    return message if isinstance(message, str) else ""


def qualified(function_arn: str) -> str:
    """A function's ARN with its qualifier, `$LATEST` where it has none."""
    return function_arn if function_arn.count(":") > 6 else f"{function_arn}:$LATEST"


def _response_context(response: Response) -> dict[str, Any]:
    told: dict[str, Any] = {"statusCode": response.status_code}
    if response.executed_version:
        told["executedVersion"] = response.executed_version
    if response.function_error is not None:
        told["functionError"] = response.function_error
    return told


def _timestamp(when_ms: int) -> str:
    seconds, milliseconds = divmod(when_ms, 1_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


def _as_json(payload: bytes) -> bytes:
    """The payload itself where it is JSON, else a JSON string of it."""
    return payload if _is_json(payload) else orjson.dumps(payload.decode(errors="replace"))


def _is_json(payload: bytes) -> bool:
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError:  # which is also what it says of escaped lone surrogates and of 1e999
        try:
            json.loads(payload.decode(), parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            return False
    return True


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
