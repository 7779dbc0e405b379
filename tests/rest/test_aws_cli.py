"""The real aws cli, as documentation and scripts have it: only the endpoint is another."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cli import AwsCli
from gateways import PATIENCE_S, ROLE, Gateway

HELLO = """
import json

def lambda_handler(event, context):
    return {"statusCode": 200, "body": json.dumps("Hello from Lambda!")}
"""
TELLS = """
import os

def handler(event, context):
    print("told of", event)
    return {"code": %r, "version": context.function_version, "key": os.environ.get("KEY")}
"""
Create = Callable[..., None]
CREATE = f"--runtime python3.11 --handler app.handler --role {ROLE} --timeout 30"


@pytest.fixture
def cli(served: Gateway, tmp_path: Path) -> AwsCli:
    return AwsCli(tmp_path, served)


@pytest.fixture
def create(cli: AwsCli) -> Create:
    """Makes a function of a source by the cli."""

    def make(name: str, source: str = TELLS % 1, *more: str) -> None:
        package(cli, source)
        cli.told(f"lambda create-function --function-name {name} --zip-file fileb://app.zip {CREATE}", *more)

    return make


def package(cli: AwsCli, source: str) -> None:
    (cli.folder / "app.zip").unlink(missing_ok=True)
    (cli.folder / "app.py").write_text(source)
    cli.zip("app.zip", "app.py")


def test_the_example_everyone_starts_from_works_verbatim(cli: AwsCli) -> None:
    (cli.folder / "lambda_function.py").write_text(HELLO)
    cli.zip("function.zip", "lambda_function.py")
    made = cli.told(
        "lambda create-function --function-name HelloWorldFunction --zip-file fileb://function.zip "
        "--handler lambda_function.lambda_handler --runtime python3.8 "
        "--role arn:aws:iam::123456789012:role/execution_role"
    )
    assert (made["FunctionName"], made["Runtime"]) == ("HelloWorldFunction", "python3.8")
    printed = cli.told("lambda invoke --function-name HelloWorldFunction response.json")
    assert printed == {"StatusCode": 200, "ExecutedVersion": "$LATEST"}
    answer = json.loads((cli.folder / "response.json").read_text())
    assert answer == {"statusCode": 200, "body": '"Hello from Lambda!"'}


def test_code_and_configuration_are_updated_and_waited_for(cli: AwsCli, create: Create) -> None:
    create("updated")
    cli.told("lambda wait function-active-v2 --function-name updated")
    package(cli, TELLS % 2)
    before = cli.told("lambda get-function-configuration --function-name updated")
    after = cli.told("lambda update-function-code --function-name updated --zip-file fileb://app.zip")
    assert after["CodeSha256"] != before["CodeSha256"]
    cli.told("lambda wait function-updated-v2 --function-name updated")
    cli.told(
        "lambda update-function-configuration --function-name updated --memory-size 256 --environment Variables={KEY=V}"
    )
    cli.told("lambda wait function-updated --function-name updated")
    printed, answer = cli.invoked("--function-name updated --log-type Tail --payload {}")
    assert answer == {"code": 2, "version": "$LATEST", "key": "V"}
    assert "Memory Size: 256 MB" in base64.b64decode(printed["LogResult"]).decode()
    assert "PreconditionFailedException" in cli.refused(
        f"lambda update-function-code --function-name updated --zip-file fileb://app.zip "
        f"--revision-id {before['RevisionId']}"
    )


def test_a_version_is_published_waited_for_and_reached_by_an_alias(cli: AwsCli, create: Create) -> None:
    create("published")
    assert cli.told("lambda publish-version --function-name published")["Version"] == "1"
    cli.told("lambda wait published-version-active --function-name published --qualifier 1")
    cli.told("lambda create-alias --function-name published --name live --function-version 1")
    _, answer = cli.invoked("--function-name published:live")
    assert answer["version"] == "1"


def test_an_alias_sends_a_tenth_to_the_second_version(cli: AwsCli, create: Create, served: Gateway) -> None:
    create("weighed")
    cli.told("lambda publish-version --function-name weighed")
    package(cli, TELLS % 2)
    cli.told("lambda update-function-code --function-name weighed --zip-file fileb://app.zip --publish")
    made = cli.told(
        "lambda create-alias --function-name weighed --name live --function-version 1 "
        "--routing-config AdditionalVersionWeights={2=0.1}"
    )
    assert made["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.1}}
    client, times = served.boto3(), 1_000
    second = sum(client.invoke(FunctionName="weighed:live")["ExecutedVersion"] == "2" for _ in range(times))
    assert 40 <= second <= 180  # six standard deviations around 100
    _, answer = cli.invoked("--function-name weighed:live")
    assert answer["version"] in ("1", "2")


def test_a_layer_is_published_and_used(cli: AwsCli, create: Create) -> None:
    (cli.folder / "python").mkdir()
    (cli.folder / "python" / "shared_words.py").write_text("GREETING = 'from the layer'\n")
    cli.zip("layer.zip", "python/shared_words.py")
    layer = cli.told(
        "lambda publish-layer-version --layer-name shared --zip-file fileb://layer.zip --compatible-runtimes python3.11"
    )
    create("layered", "from shared_words import GREETING\ndef handler(event, context): return GREETING\n")
    cli.told(f"lambda update-function-configuration --function-name layered --layers {layer['LayerVersionArn']}")
    assert cli.invoked("--function-name layered")[1] == "from the layer"
    assert cli.told("lambda list-layers")["Layers"][0]["LayerName"] == "shared"
    by_arn = cli.told(f"lambda get-layer-version-by-arn --arn {layer['LayerVersionArn']}")
    assert by_arn["CompatibleRuntimes"] == ["python3.11"]
    cli.told("lambda delete-layer-version --layer-name shared --version-number 1")
    assert cli.invoked("--function-name layered")[1] == "from the layer"  # what uses it keeps it


def test_concurrency_of_none_is_refused_with_its_reason(cli: AwsCli, create: Create, aws: Any) -> None:
    create("limited")
    cli.told("lambda put-function-concurrency --function-name limited --reserved-concurrent-executions 0")
    assert "(TooManyRequestsException)" in cli.refused("lambda invoke --function-name limited answer.json")
    with pytest.raises(aws.exceptions.TooManyRequestsException) as caught:
        aws.invoke(FunctionName="limited")
    told = caught.value.response
    assert told["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert told["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    cli.told("lambda delete-function-concurrency --function-name limited")
    assert cli.invoked("--function-name limited")[0]["StatusCode"] == 200


def test_an_event_that_fails_goes_to_another_function(cli: AwsCli, create: Create) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        address = listener.getsockname()
        passes_on = f"""
import json, socket
def handler(event, context):
    with socket.create_connection({address!r}) as there:
        there.sendall(json.dumps(event).encode())
"""
        create("fails", "def handler(event, context): raise ValueError('as asked')\n")
        create("hears", passes_on)
        arn = cli.told("lambda get-function-configuration --function-name hears")["FunctionArn"]
        cli.told(
            "lambda put-function-event-invoke-config --function-name fails --maximum-retry-attempts 0 "
            f"--destination-config OnFailure={{Destination={arn}}}"
        )
        printed, _ = cli.invoked('--function-name fails --invocation-type Event --payload {"a":1}')
        assert printed["StatusCode"] == 202
        with listener.accept()[0] as heard:
            record = json.loads(b"".join(iter(lambda: heard.recv(65_536), b"")))
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestPayload"] == {"a": 1}
    assert record["responsePayload"]["errorMessage"] == "as asked"


def test_a_function_url_answers_curl(cli: AwsCli, create: Create) -> None:
    create("reached", "def handler(event, context): return 'got ' + event['rawPath'] + '?' + event['rawQueryString']\n")
    made = cli.told("lambda create-function-url-config --function-name reached --auth-type NONE")
    cli.told(
        "lambda add-permission --function-name reached --statement-id open --action lambda:InvokeFunctionUrl "
        "--principal * --function-url-auth-type NONE"
    )
    host = made["FunctionUrl"].split("/")[2]
    name = host.partition(":")[0]
    resolved = ["--resolve", f"{name}:{cli.gateway.port}:127.0.0.1"]
    url = f"{made['FunctionUrl']}a/path?b=c"
    done = subprocess.run(["curl", "-sS", *resolved, url], capture_output=True, text=True, check=True)
    assert done.stdout == "got /a/path?b=c"


def test_lists_come_in_pages(cli: AwsCli, create: Create) -> None:
    for number in range(5):
        create(f"listed-{number}")
    listed = cli.told("lambda list-functions --page-size 2 --query Functions[].FunctionName")
    assert [name for name in listed if name.startswith("listed-")] == [f"listed-{number}" for number in range(5)]
    first = cli.told("lambda list-functions --max-items 2")
    rest = cli.told(f"lambda list-functions --starting-token {first['NextToken']}")
    seen = [each["FunctionName"] for each in first["Functions"] + rest["Functions"]]
    assert seen == listed


def test_a_function_is_deleted_and_no_longer_found(cli: AwsCli, create: Create) -> None:
    create("deleted")
    cli.told("lambda tag-resource --resource arn:aws:lambda:us-east-1:000000000000:function:deleted --tags a=b")
    assert cli.told("lambda get-function --function-name deleted")["Tags"] == {"a": "b"}
    cli.told("lambda delete-function --function-name deleted")
    assert "Function not found" in cli.refused("lambda get-function --function-name deleted")
    assert "(ResourceNotFoundException)" in cli.refused("lambda invoke --function-name deleted answer.json")
