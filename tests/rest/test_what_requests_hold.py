"""Requests whose members no SDK would send, by curl; and that handlers are of the model's operations."""

from __future__ import annotations

import json

import pytest
from gateways import Gateway

from engine.rest.handlers import HANDLERS, REFUSED
from engine.rest.service_model import service_model

MAPPINGS = "/2015-03-31/event-source-mappings/"


def test_every_handler_and_every_refusal_is_of_an_operation_of_the_model() -> None:
    assert set(HANDLERS) <= set(service_model().operation_names)
    assert set(REFUSED) <= set(service_model().operation_names)
    assert set(HANDLERS).isdisjoint(REFUSED)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"FunctionName": "f", "Topics": [null]}', "ValidationException"),
        ('{"FunctionName": "f", "Tags": {"a": null}}', "ValidationException"),
        ('{"FunctionName": "f", "BatchSize": 1180591620717411303424}', "InvalidRequestContentException"),
        ('{"FunctionName": "f", "BatchSize": 1.5}', "InvalidRequestContentException"),
        ('{"FunctionName": "f", "StartingPositionTimestamp": 1e300}', "InvalidRequestContentException"),
        ('{"FunctionName": "f", "StartingPositionTimestamp": "yesterday"}', "InvalidRequestContentException"),
    ],
)
def test_members_that_cannot_be_read_are_the_callers_mistake(served: Gateway, body: str, code: str) -> None:
    told = served.curl("-w", "\n%{http_code} %header{x-amzn-errortype}", "-d", body, MAPPINGS).stdout
    answer, _, status = told.rpartition("\n")
    assert status == f"400 {code}"
    assert len(json.loads(answer)["Message"]) > 20


def test_a_time_without_a_zone_is_utc(served: Gateway) -> None:
    served.deploy("timely", "def handler(event, context): return 1")
    stream = "arn:aws:kinesis:us-east-1:000000000000:stream/timely"
    given = {"FunctionName": "timely", "EventSourceArn": stream, "StartingPosition": "AT_TIMESTAMP"}
    body = json.dumps({**given, "StartingPositionTimestamp": "2026-01-01T00:00:00"})
    made = json.loads(served.curl("-d", body, MAPPINGS).stdout)
    assert made["StartingPositionTimestamp"] == 1767225600.0


def test_numbers_of_a_path_have_bounds(served: Gateway) -> None:
    told = served.curl("-w", " %{http_code}", f"/2018-10-31/layers/any/versions/{1 << 63}").stdout
    assert told.endswith(" 400")
