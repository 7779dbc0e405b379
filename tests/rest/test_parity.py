"""No operation of Lambda's model is forgotten: each is served, or refused for a reason that the documentation has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader
from gateways import Gateway, gateway
from raw_http import Answer, RawHttp

from engine.rest import invocations, parity
from engine.rest.handlers import HANDLERS, REFUSED
from engine.rest.service_model import service_model

DOCUMENT = Path(__file__).parents[2] / "docs" / "rest-api.md"
MODEL = service_model()


@pytest.fixture(scope="module")
def wire(served: Gateway) -> Any:
    with RawHttp(served.port) as connection:
        yield connection


def asked(wire: RawHttp, operation: Any) -> Answer:
    """A request with nothing in it but what its path must have."""
    path, _, query = operation.http["requestUri"].partition("?")
    parts = path.replace("+}", "}").replace("{", "}").split("}")
    target = "".join(part if number % 2 == 0 else "parity" for number, part in enumerate(parts))
    return wire.ask(operation.http["method"], f"{target}?{query}" if query else target)


@pytest.mark.parametrize("name", MODEL.operation_names)
def test_an_operation_is_served_or_refused_with_its_reason(name: str, wire: RawHttp) -> None:
    answer = asked(wire, MODEL.operation_model(name))
    if name in HANDLERS or name in invocations.OPERATIONS:
        assert answer.status < 500, answer
    else:
        assert (answer.status, answer.headers["x-amzn-errortype"]) == (501, "NotImplementedException")
        assert json.loads(answer.body)["message"] == f"{name} is not implemented: {REFUSED.get(name, parity.UNKNOWN)}"


def test_what_handlers_and_refusals_name_are_operations() -> None:
    assert {*HANDLERS, *REFUSED, *invocations.OPERATIONS} <= set(MODEL.operation_names)
    assert not (HANDLERS.keys() | invocations.OPERATIONS.keys()) & REFUSED.keys()


def test_the_documentation_tells_of_every_operation_as_it_is() -> None:
    """A newer botocore than the document's may have more operations: they are not implemented."""
    due = "docs/rest-api.md is due: python -m engine.rest.parity > docs/rest-api.md"
    written, made = DOCUMENT.read_text().splitlines(), parity.document().splitlines()
    new = [row for row in parity.lambda_rows() if not any(line.startswith(f"| {row.operation} |") for line in written)]
    assert {row.state for row in new} <= {"not implemented"}, due
    lines = [line for line in made if not any(line.startswith(f"| {row.operation} |") for row in new)]
    assert [line for line in lines if "operations, as botocore" not in line] == [
        line for line in written if "operations, as botocore" not in line
    ], due
    unexplained = [line for line in written if "| not implemented |" in line]
    assert unexplained == [], "say why, in handlers.REFUSED"


def test_the_document_is_made_by_the_command() -> None:
    command = [sys.executable, "-P", "-m", "engine.rest.parity"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == parity.document()


def test_an_operation_of_a_newer_botocore_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore reads a model in the home folder, too, and takes the newest."""
    model = Loader().load_service_model("lambda", "service-2")
    path = "/2030-01-01/functions/{FunctionName}/horoscope"
    model["operations"]["ForetellFunction"] = {
        **{key: value for key, value in model["operations"]["GetFunction"].items() if key != "output"},
        "name": "ForetellFunction",
        "http": {"method": "GET", "requestUri": path, "responseCode": 200},
    }
    version = MODEL.metadata["apiVersion"]
    folder = tmp_path / ".aws" / "models" / "lambda" / "2031-01-01"
    folder.mkdir(parents=True)
    (folder / "service-2.json").write_text(json.dumps(model))
    assert version < folder.name
    monkeypatch.setenv("HOME", os.fspath(tmp_path))
    with gateway(tmp_path) as newer, RawHttp(newer.port) as wire:
        answer = wire.ask("GET", path.replace("{FunctionName}", "any"))
        assert (answer.status, answer.headers["x-amzn-errortype"]) == (501, "NotImplementedException")
        assert json.loads(answer.body)["message"] == f"ForetellFunction is not implemented: {parity.UNKNOWN}"
        assert newer.boto3().list_functions()["Functions"] == []
