"""The codecs of AWS's other protocols: whatever comes is read or refused, and botocore reads what they write."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import cbor2
import pytest
from botocore.parsers import create_parser
from hypothesis import given
from hypothesis import strategies as st

from engine.rest.codecs.cbor_rpc import CborCodec
from engine.rest.codecs.contract import Codec, Fault, Refusal, Unreadable, fault_of
from engine.rest.codecs.json_rpc import JsonCodec
from engine.rest.codecs.query import QueryCodec
from engine.rest.service_model import service_model

MODEL = service_model("cloudwatch")
OPERATION = MODEL.operation_model("GetMetricStatistics")
DATA = MODEL.operation_model("GetMetricData")
CODECS: dict[str, Codec] = {
    "smithy-rpc-v2-cbor": CborCodec(query_errors=True),
    "json": JsonCodec("1.0", query_errors=True),
    "query": QueryCodec("http://monitoring.amazonaws.com/doc/2010-08-01/"),
}
names = pytest.mark.parametrize("protocol", CODECS)


def parsed(protocol: str, response: Any, shape: Any) -> Any:
    headers = {name.lower(): value for name, value in response.headers} | {"content-type": response.content_type}
    given_response = {"status_code": response.status, "headers": headers, "body": response.body}
    return create_parser(protocol).parse(given_response, shape)


@names
@given(body=st.binary(max_size=200))
def test_any_body_is_read_or_refused(protocol: str, body: bytes) -> None:
    try:
        assert isinstance(CODECS[protocol].read(OPERATION.input_shape, body), dict)
    except Unreadable:
        pass


@given(
    fields=st.dictionaries(
        st.from_regex(r"(Dimensions|Statistics|Period|StartTime)(\.(member|entry|[0-9]{1,3}|Name|Value)){0,4}"),
        st.text(max_size=5),
        max_size=6,
    )
)
def test_any_form_is_read_or_refused(fields: dict[str, str]) -> None:
    try:
        given_parameters = CODECS["query"].read(OPERATION.input_shape, urlencode(fields).encode())
    except Unreadable:
        return
    assert given_parameters.keys() <= OPERATION.input_shape.members.keys()


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Dimensions", "Name", "Value", "Period", "StartTime"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(document=documents)
def test_any_cbor_is_read_or_refused(document: object) -> None:
    try:
        assert isinstance(CODECS["smithy-rpc-v2-cbor"].read(OPERATION.input_shape, cbor2.dumps(document)), dict)
    except Unreadable:
        pass


@names
@given(
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5),
    label=st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20),
    seconds=st.lists(st.integers(0, 4_000_000_000), max_size=5),
)
def test_botocore_reads_what_is_written(protocol: str, values: list[float], label: str, seconds: list[int]) -> None:
    times = [datetime.fromtimestamp(each, UTC) for each in seconds]
    result = {"Id": "a", "Label": label, "Timestamps": times, "Values": values, "StatusCode": "Complete"}
    response = CODECS[protocol].write(DATA, {"MetricDataResults": [result], "NextToken": None}, "an-id")
    told = parsed(protocol, response, DATA.output_shape)
    (read,) = told["MetricDataResults"]
    if protocol == "query":
        assert read["Label"].replace("\r", "\n") == label.replace("\r", "\n").replace("\ufffe", "\ufffd").replace(
            "\uffff", "\ufffd"
        )
    else:
        assert read["Label"] == label
    assert (read["Values"], read["Timestamps"]) == (values, times)
    assert told["ResponseMetadata"]["RequestId"] == "an-id"


@names
def test_botocore_reads_errors(protocol: str) -> None:
    fault = fault_of(MODEL, Refusal("InvalidParameterValueException", "said <so> \x01 & so"))
    assert fault == Fault("InvalidParameterValueException", "InvalidParameterValue", "said <so> \x01 & so", 400)
    told = parsed(protocol, CODECS[protocol].fault(fault, "an-id"), OPERATION.output_shape)
    assert told["Error"]["Code"] in ("InvalidParameterValue", "InvalidParameterValueException")
    assert told["Error"]["Message"] in ("said <so> \x01 & so", "said <so> \ufffd & so")
    assert told["ResponseMetadata"]["HTTPStatusCode"] == 400
