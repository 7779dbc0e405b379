"""Every operation of the model with thousands of requests, good and bad: no failure of the gateway's own, no silence.

ENGINE_FUZZ_EXAMPLES sets how many of each operation (else 30): thousands for a night.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.parsers
import pytest
from fuzzing import FUNCTION, ZIP, Request, requests
from gateways import ROLE, Gateway, gateway
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_http import Answer, RawHttp

from engine.errors import EngineError
from engine.rest import event_stream, invocations
from engine.rest.asgi import read_query
from engine.rest.handlers import HANDLERS
from engine.rest.request import ParameterReader
from engine.rest.service_model import Router, service_model

EXAMPLES = int(os.environ.get("ENGINE_FUZZ_EXAMPLES", "30"))
MODEL = service_model()
OPERATIONS = list(MODEL.operation_names)
# Lambda gives nothing of a function that has none, whatever its model requires.
EMPTY_WHERE_NONE = ("GetFunctionCodeSigningConfig",)
# What Lambda's model has as its own failures of an invocation: they are the function's, or of its code.
OF_INVOCATIONS = ("InvalidZipFileException", "InvalidRuntimeException")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed") / "stderr"


@pytest.fixture(scope="module")
def fuzzed(told: Path) -> Iterator[Gateway]:
    # The endpoint: nobody is there, so that code in S3 and destinations fail at once and reach nobody.
    with told.open("w") as log, gateway(told.parent, "--aws-endpoint-url", "http://127.0.0.1:1", stderr=log) as here:
        yield here


@pytest.fixture(scope="module")
def wire(fuzzed: Gateway) -> Iterator[RawHttp]:
    with RawHttp(fuzzed.port) as connection:
        yield connection


@pytest.fixture
def furnished(fuzzed: Gateway) -> Any:
    """What requests are about is there, whatever requests before have done to it."""
    aws = fuzzed.boto3()
    for make in (
        lambda: aws.create_function(
            FunctionName=FUNCTION, Runtime="python3.11", Role=ROLE, Handler="app.handler", Code={"ZipFile": ZIP}
        ),
        lambda: aws.publish_version(FunctionName=FUNCTION),
        lambda: aws.create_alias(FunctionName=FUNCTION, Name="live", FunctionVersion="1"),
        lambda: aws.create_function_url_config(FunctionName=FUNCTION, AuthType="NONE"),
        lambda: aws.publish_layer_version(LayerName="fuzzed-layer", Content={"ZipFile": ZIP}),
    ):
        try:
            make()
        except aws.exceptions.ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 404, 409), error
    return aws


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.usefixtures("furnished")
def test_whatever_is_asked_is_answered_as_the_model_says(name: str, wire: RawHttp, told: Path) -> None:
    operation, before = MODEL.operation_model(name), told.read_text()

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
    @given(request=requests(operation))
    def ask(request: Request) -> None:
        check(operation, request, wire.ask(request.method, request.target, request.headers, request.body))

    ask()
    assert "Traceback" not in told.read_text()[len(before) :]


def check(operation: Any, request: Request, answer: Answer) -> None:
    """That this is an answer that botocore reads, and one that Lambda could have given."""
    code = answer.headers.get("x-amzn-errortype")
    if answer.status in (408, 431) or request.method == "HEAD":
        return
    assert "x-amzn-requestid" in answer.headers or answer.status == 400, answer
    served = operation.name in HANDLERS or operation.name in invocations.OPERATIONS
    if answer.status >= 500:
        documented = answer.status == 502 and code in OF_INVOCATIONS
        not_had = answer.status == 501 and code == "NotImplementedException"
        assert documented or (not_had and (not served or request.method != operation.http["method"])), answer
    if answer.status >= 400:
        read = _parsed(answer, operation.output_shape)
        assert code, answer
        assert (read["Error"]["Code"], bool(read["Error"]["Message"])) == (code, True), answer
    elif request.method == operation.http["method"] and answer.status != 204:
        read = _parsed(answer, operation.output_shape)
        assert read["ResponseMetadata"]["HTTPStatusCode"] == answer.status
        if answer.body != b"{}" or operation.name not in EMPTY_WHERE_NONE:
            _conforms(operation.output_shape, read, operation.name)


def _parsed(answer: Answer, shape: Any) -> Any:
    raw = {"status_code": answer.status, "headers": answer.headers, "body": answer.body}
    streamed = answer.headers.get("content-type") == event_stream.CONTENT_TYPE
    if answer.status < 300 and shape is not None and (streamed or shape.serialization.get("payload")):
        shape = None  # a body that is no document
    return botocore.parsers.create_parser("rest-json").parse(raw, shape)


def _conforms(shape: Any, value: Any, path: str) -> None:
    """Enums are of the model, and required members are there."""
    if shape is None or value is None:
        return
    if shape.type_name == "structure" and shape.serialization.get("payload") is None:
        assert isinstance(value, dict), path
        for name in shape.required_members:
            assert name in value, f"{path} has no {name}"
        for name, each in value.items():
            if name in shape.members:
                _conforms(shape.members[name], each, f"{path}.{name}")
    elif shape.type_name == "list":
        for each in value:
            _conforms(shape.member, each, f"{path}[]")
    elif shape.type_name == "string" and shape.enum:
        assert value in shape.enum, f"{path} is {value!r}"


@pytest.mark.parametrize("name", OPERATIONS)
def test_parameters_are_read_or_refused(name: str) -> None:
    """Of operations that are not served, too: a handler may come tomorrow."""
    operation, router = MODEL.operation_model(name), Router(MODEL)
    reader = ParameterReader(operation.input_shape)

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
    @given(request=requests(operation))
    def read(request: Request) -> None:
        path, _, asked = request.target.partition("?")
        try:
            query = read_query(asked.encode("latin-1", "replace"))
            found = router.find(request.method, path, query)
            if found is not None and found.operation == name:
                headers = {key.lower(): value for key, value in request.headers.items()}
                reader.read(found.labels, query, headers, request.body)
        except EngineError as refusal:
            assert len(str(refusal)) > 15

    read()


def test_paths_that_no_operation_has_are_refused(wire: RawHttp, told: Path) -> None:
    pieces = st.sampled_from(["2015-03-31", "functions", "fuzzed", "%", "", "..", "layers", "*", "a:b", "%2F", "\xff"])
    before = told.read_text()

    @settings(max_examples=200, deadline=None)
    @given(method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]), path=st.lists(pieces, max_size=5))
    def ask(method: str, path: list[str]) -> None:
        answer = wire.ask(method, "/" + "/".join(path))
        assert answer.status < 500 or answer.status == 501, answer
        assert answer.status < 400 or answer.headers["x-amzn-errortype"], answer

    ask()
    assert "Traceback" not in told.read_text()[len(before) :]
