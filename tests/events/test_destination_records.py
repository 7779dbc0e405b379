"""Records of asynchronous invocations, as Lambda writes them, and the targets that it takes."""

from __future__ import annotations

import json
import re
from typing import Any

import msgpack
import pytest

from engine.core.events import records
from engine.core.events.parcels import Attribute, Parcel, destination_kind
from engine.core.events.records import Response
from engine.errors import InvalidParameterValueException, ValidationException
from engine.validation import On, validate_destination

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:orders"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:results"
TOPIC = "arn:aws:sns:us-east-1:123456789012:results"
BUS = "arn:aws:events:us-east-1:123456789012:event-bus/results"
BUCKET = "arn:aws:s3:::results"
REQUEST = "e4b46cbf-b738-4ef5-8880-a18cdf61200e"
WHEN_MS = 1_573_755_365_568  # 2019-11-14T18:16:05.568Z, of the example in Lambda's documentation
UUID = "0d5f6a4e-6ff7-4f9c-8a4f-5b0a1f3c5d10"


def record(event: bytes = b"{}", response: Response | None = None, **given: Any) -> bytes:
    told = {"request_id": REQUEST, "function_arn": FUNCTION, "condition": "RetriesExhausted", "attempts": 3}
    return records.invocation_record(**{**told, **given}, when_ms=WHEN_MS, event=event, response=response)


def test_a_record_of_a_failure_is_the_example_of_lambdas_documentation() -> None:
    event = b'{"ORDER_IDS":["9e07af03","637de236"]}'
    answer = b'{"errorMessage":"RequestId: e4b46cbf Process exited before completing request"}'
    response = Response(200, "$LATEST", "Unhandled", answer)
    assert record(event, response) == (
        b'{"version":"1.0","timestamp":"2019-11-14T18:16:05.568Z","requestContext":{'
        b'"requestId":"e4b46cbf-b738-4ef5-8880-a18cdf61200e",'
        b'"functionArn":"arn:aws:lambda:us-east-1:123456789012:function:orders:$LATEST",'
        b'"condition":"RetriesExhausted","approximateInvokeCount":3},'
        b'"requestPayload":' + event + b',"responseContext":{"statusCode":200,"executedVersion":"$LATEST",'
        b'"functionError":"Unhandled"},"responsePayload":' + answer + b"}"
    )


def test_a_record_of_a_success_has_no_function_error() -> None:
    told = json.loads(record(response=Response(200, "7", None, b'"done"'), condition="Success", attempts=1))
    assert told["responseContext"] == {"statusCode": 200, "executedVersion": "7"}
    assert told["responsePayload"] == "done"


def test_an_event_that_only_met_throttles_has_a_status_and_no_payload() -> None:
    """As a record that the service wrote: an event of 60 s behind one that held all concurrency."""
    written = record(response=Response(429), condition="EventAgeExceeded", attempts=0)
    assert written.endswith(b',"requestPayload":{},"responseContext":{"statusCode":429}}')


def test_an_event_without_any_attempt_has_no_response_at_all() -> None:
    told = json.loads(record(condition="ZeroReservedConcurrency", attempts=0))
    assert set(told) == {"version", "timestamp", "requestContext", "requestPayload"}


@pytest.mark.parametrize(
    "payload",
    [
        b' {"b":1, "a":2, "b":3}\n',
        b'{"n":123456789012345678901234567890.000,"e":1e999}',
        b'"\\ud800"',
        '{"text":"λ雪🙂"}'.encode(),
        b'{"long":"' + b"x" * 1_048_000 + b'"}',
    ],
    ids=["order and space", "large numbers", "lone surrogate", "unicode", "1 MB"],
)
def test_json_payloads_stand_in_the_record_byte_for_byte(payload: bytes) -> None:
    written = record(payload, Response(200, "$LATEST", None, payload))
    assert written.count(payload) == 2
    json.loads(written)


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b"plain text", "plain text"),
        (b"{'a': 1}", "{'a': 1}"),
        (b"NaN", "NaN"),
        (b"", ""),
        (b'"\xff"', '"\ufffd"'),
        (b"[" * 100_000 + b"]" * 100_000, "[" * 100_000 + "]" * 100_000),
    ],
    ids=["text", "not quite JSON", "NaN", "nothing", "not UTF-8", "too deep"],
)
def test_payloads_that_are_no_json_become_strings(payload: bytes, told: str) -> None:
    assert json.loads(record(payload))["requestPayload"] == told


@pytest.mark.parametrize("qualifier", ["$LATEST", "7", "live"])
def test_the_functions_arn_is_qualified_always_and_once(qualifier: str) -> None:
    assert records.qualified(f"{FUNCTION}:{qualifier}") == f"{FUNCTION}:{qualifier}"
    assert records.qualified(FUNCTION) == f"{FUNCTION}:$LATEST"


def test_a_dead_letter_is_the_event_as_it_came_with_three_attributes() -> None:
    event = b' {"a": 1}\n'
    parcel = records.dead_letter(QUEUE, event, request_id=REQUEST, status_code=200, error_message="no luck")
    assert parcel.body == event
    assert parcel.attributes == {
        "RequestID": Attribute("String", REQUEST),
        "ErrorCode": Attribute("Number", "200"),
        "ErrorMessage": Attribute("String", "no luck"),
    }


def test_an_error_message_is_cut_after_its_first_kilobyte_between_characters() -> None:
    parcel = records.dead_letter(TOPIC, b"{}", request_id=REQUEST, status_code=200, error_message="é" + "雪" * 2_000)
    shown = parcel.attributes["ErrorMessage"].value
    assert shown == "é" + "雪" * 340
    assert len(shown.encode()) == 1_022


def test_what_no_message_may_hold_is_replaced_in_an_error_message() -> None:
    told = "\x1b[31mred\x00\ud800 \U0001f642\ttab\n"
    parcel = records.dead_letter(QUEUE, b"{}", request_id=REQUEST, status_code=200, error_message=told)
    assert parcel.attributes["ErrorMessage"].value == "\ufffd[31mred\ufffd\ufffd \U0001f642\ttab\n"


def test_attributes_of_a_dead_letter_without_attempt_or_message_are_left_out() -> None:
    parcel = records.dead_letter(QUEUE, b"{}", request_id=REQUEST, status_code=None, error_message="")
    assert set(parcel.attributes) == {"RequestID"}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b'{"errorMessage":"no luck","errorType":"ValueError"}', "no luck"),
        (b'{"errorMessage":null}', ""),
        (b'["errorMessage"]', ""),
        (b"no JSON", ""),
    ],
)
def test_the_error_message_is_what_the_answer_says(answer: bytes, message: str) -> None:
    assert records.error_message(answer) == message


@pytest.mark.parametrize(("succeeded", "word"), [(True, "Success"), (False, "Failure")])
def test_an_event_on_a_bus_is_from_lambda_and_names_bus_and_function(succeeded: bool, word: str) -> None:
    parcel = records.destination(BUS, b"{}", succeeded=succeeded, function_arn=FUNCTION, when_ms=WHEN_MS, unique=UUID)
    assert parcel == Parcel(
        BUS,
        b"{}",
        detail_type=f"Lambda Function Invocation Result - {word}",
        source="lambda",
        resources=(BUS, f"{FUNCTION}:$LATEST"),
    )


def test_an_object_is_named_after_function_time_and_a_uuid() -> None:
    told = {"succeeded": False, "function_arn": f"{FUNCTION}:live", "when_ms": WHEN_MS, "unique": UUID}
    parcel = records.destination(BUCKET, b"{}", **told)
    assert parcel.key == f"aws/lambda/async/orders/2019/11/14/2019-11-14T18.16.05-{UUID}"
    assert parcel.region == "us-east-1"


@pytest.mark.parametrize("arn", [QUEUE, TOPIC])
def test_queues_and_topics_get_the_record_alone(arn: str) -> None:
    told = {"succeeded": True, "function_arn": FUNCTION, "when_ms": WHEN_MS, "unique": UUID}
    assert records.destination(arn, b"{}", **told) == Parcel(arn, b"{}")


@pytest.mark.parametrize(
    "parcel",
    [
        Parcel(QUEUE, b"\x00\xff", {"RequestID": Attribute("String", REQUEST)}),
        Parcel(TOPIC, b""),
        Parcel(BUS, b"{}", detail_type="Result", source="lambda", resources=(BUS, FUNCTION)),
        Parcel(BUCKET, b"{}", region="eu-north-1", key="a/b"),
    ],
    ids=lambda parcel: parcel.kind,
)
def test_a_parcel_is_the_same_after_a_way_through_msgpack(parcel: Parcel) -> None:
    told = msgpack.unpackb(msgpack.packb(parcel.to_map()))
    assert Parcel.from_map(told).to_map() == parcel.to_map()
    assert Parcel.from_map(told).body == parcel.body


@pytest.mark.parametrize(
    ("arn", "given"),
    [(FUNCTION, {}), (BUCKET, {}), (BUS, {"source": "lambda"}), ("arn:aws:iam::123456789012:role/x", {}), ("x", {})],
)
def test_what_cannot_be_sent_is_no_parcel(arn: str, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameterValueException, match=re.escape(arn)):
        Parcel(arn, b"{}", **given)


@pytest.mark.parametrize(
    ("arn", "kind"), [(QUEUE, "sqs"), (TOPIC, "sns"), (BUS, "events"), (BUCKET, "s3"), (FUNCTION, "lambda")]
)
def test_the_kind_of_a_destination_is_its_service(arn: str, kind: str) -> None:
    assert destination_kind(arn) == kind


@pytest.mark.parametrize("arn", [QUEUE, TOPIC, BUS, FUNCTION, f"{FUNCTION}:live", ""])
def test_destinations_of_successes_and_failures(arn: str) -> None:
    validate_destination(arn, on="OnSuccess")
    validate_destination(arn, on="OnFailure")


def test_a_bucket_takes_failures_only() -> None:
    validate_destination(BUCKET, on="OnFailure")
    words = f"The provided destination config DestinationConfig(onSuccess=OnSuccess(destination={BUCKET}), "
    with pytest.raises(InvalidParameterValueException, match=re.escape(words + "onFailure=null) is invalid.")):
        validate_destination(BUCKET, on="OnSuccess")


@pytest.mark.parametrize(
    "arn",
    [f"{QUEUE}.fifo", f"{TOPIC}.fifo", "arn:aws:iam::123456789012:role/exec", "kafka://topic"],
    ids=["FIFO queue", "FIFO topic", "another service", "Kafka"],
)
def test_what_takes_no_records_is_refused_in_lambdas_words(arn: str) -> None:
    words = f"The provided destination config DestinationConfig(onSuccess=null, onFailure=OnFailure(destination={arn})"
    with pytest.raises(InvalidParameterValueException, match=re.escape(f"{words}) is invalid.")):
        validate_destination(arn, on="OnFailure")


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:events:eu-west-1:624606400000:event-bus/aws.partner/epsagon.com/7ea36bec",
        "arn:aws:events:us-east-1:123456789012:rule/results",
        "arn:aws:sqs:us-east-1:123456789012:",
        "arn:aws:sns:::results",
        "arn:aws:lambda:us-east-1:123456789012:layer:orders",
        "arn:aws:s3:::",
    ],
)
def test_an_arn_that_names_nothing_of_its_service_is_invalid(arn: str) -> None:
    with pytest.raises(InvalidParameterValueException, match=re.escape(f"The destination ARN {arn} is invalid.")):
        validate_destination(arn, on="OnFailure")


@pytest.mark.parametrize("arn", [QUEUE, TOPIC, ""])
def test_dead_letters_go_to_queues_and_topics(arn: str) -> None:
    validate_destination(arn, on="DeadLetter")


@pytest.mark.parametrize(
    ("arn", "words"),
    [
        (f"{QUEUE}.fifo", "FIFO SQS queue is not supported for dead letter configuration"),
        (f"{TOPIC}.fifo", "FIFO SNS topic is not supported for dead letter configuration"),
        (BUS, f"{BUS} is neither an SQS queue nor an SNS topic"),
        (FUNCTION, f"{FUNCTION} is neither an SQS queue nor an SNS topic"),
    ],
)
def test_other_targets_of_dead_letters_are_refused(arn: str, words: str) -> None:
    with pytest.raises(InvalidParameterValueException, match=re.escape(f"Invalid dead letter queue ARN: {words}")):
        validate_destination(arn, on="DeadLetter")


@pytest.mark.parametrize(
    ("on", "member"),
    [
        ("OnSuccess", "destinationConfig.onSuccess.destination"),
        ("OnFailure", "destinationConfig.onFailure.destination"),
        ("DeadLetter", "deadLetterConfig.targetArn"),
    ],
)
def test_what_is_no_arn_breaks_the_service_models_pattern(on: On, member: str) -> None:
    words = f"Value 'https://sqs/queue' at '{member}' failed to satisfy constraint: Member must satisfy regular "
    with pytest.raises(ValidationException, match=re.escape(words)):
        validate_destination("https://sqs/queue", on=on)


def test_a_destination_has_350_characters_at_most() -> None:
    with pytest.raises(ValidationException, match="length less than or equal to 350"):
        validate_destination(QUEUE + "x" * 350, on="OnFailure")
