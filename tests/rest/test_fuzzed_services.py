"""CloudWatch Logs and CloudWatch under the same hail as Lambda's own operations, in each of their protocols."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.serialize import create_serializer
from fuzzing import BODIES, TIME, parameters, plain, spoiled_document
from gateways import Gateway, gateway
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_http import Answer, RawHttp
from test_fuzzed_operations import EXAMPLES

from engine.rest import services
from engine.rest.service_model import service_model

LOGS = [("logs", name) for name in services.LOGS.handlers]
METRICS = [("cloudwatch", name) for name in services.CLOUDWATCH.handlers]
TARGETS = {"logs": ("Logs_20140328", "1.1"), "cloudwatch": ("GraniteServiceVersion20100801", "1.0")}
ANYHOW = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed-services") / "stderr"


@pytest.fixture(scope="module")
def fuzzed(told: Path) -> Iterator[Gateway]:
    with told.open("w") as log, gateway(told.parent, stderr=log) as here:
        here.deploy("fuzzed", "def handler(event, context): print('said', event)")
        yield here


@pytest.fixture
def wire(fuzzed: Gateway, told: Path) -> Iterator[RawHttp]:
    before = told.read_text()
    fuzzed.boto3().invoke(FunctionName="fuzzed")  # which makes the group anew if it was deleted
    with RawHttp(fuzzed.port) as connection:
        yield connection
    assert "Traceback" not in told.read_text()[len(before) :]


def aimed(service: str, members: Mapping[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Parameters that get past the first look: of two members that exclude each other one, and times in order."""
    drop = ("logGroupIdentifier", "logGroupIdentifiers", "logGroupNamePattern", "logStreamNames", "ExtendedStatistics")
    put = {
        "logs": {"logGroupName": "/aws/lambda/fuzzed", "retentionInDays": 7},
        "cloudwatch": {
            "Namespace": "AWS/Lambda", "StartTime": TIME, "EndTime": TIME + 600_000, "Period": 300,
            "Statistics": ["Sum"],
        },
    }[service]  # fmt: skip

    def aim(given: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in given.items() if name not in drop}
        return {**kept, **{name: value for name, value in put.items() if name in members}}

    return aim


def check(answer: Answer) -> None:
    assert answer.status < 500, answer
    assert answer.body or answer.status == 200, answer


@pytest.mark.parametrize(("service", "name"), LOGS + METRICS)
def test_json_of_any_kind_is_answered(service: str, name: str, wire: RawHttp) -> None:
    shape = service_model(service).operation_model(name).input_shape
    target, version = TARGETS[service]
    headers = {"X-Amz-Target": f"{target}.{name}", "Content-Type": f"application/x-amz-json-{version}"}
    anything = parameters(shape)
    documents = (anything | anything.map(aimed(service, shape.members))).map(plain).map(json.dumps).map(str.encode)

    @ANYHOW
    @given(body=st.one_of(documents, documents.flatmap(spoiled_document), st.sampled_from(BODIES)))
    def ask(body: bytes) -> None:
        answer = wire.ask("POST", "/", headers, body)
        check(answer)
        assert answer.status < 300 or "__type" in json.loads(answer.body), answer

    ask()


@pytest.mark.parametrize(("service", "name"), METRICS)
@pytest.mark.parametrize("protocol", ["query", "smithy-rpc-v2-cbor"])
def test_forms_and_cbor_are_answered_whole_and_broken(service: str, name: str, protocol: str, wire: RawHttp) -> None:
    operation = service_model(service).operation_model(name)
    serializer = create_serializer(protocol, include_validation=False)

    def written(given: Any) -> tuple[str, dict[str, str], bytes]:
        made = serializer.serialize_to_request(given, operation)
        body = made["body"]
        if isinstance(body, dict):
            body = "&".join(f"{key}={value}" for key, value in body.items()).encode()
        headers = {key: value for key, value in made["headers"].items() if key != "Content-Length"}
        return made["url_path"], headers, body

    @ANYHOW
    @given(given_parameters=parameters(operation.input_shape), at=st.integers(0, 300), with_byte=st.binary(max_size=3))
    def ask(given_parameters: Any, at: int, with_byte: bytes) -> None:
        path, headers, body = written(given_parameters)
        check(wire.ask("POST", path, headers, body))
        check(wire.ask("POST", path, headers, body[:at] + with_byte + body[at + 1 :]))
        check(wire.ask("POST", path, headers, with_byte))

    ask()
