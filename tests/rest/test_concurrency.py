"""Reserved and provisioned concurrency through boto3."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from gateways import PATIENCE_S, Gateway
from refusals import refused

NAME = "concurrent"
CODE = "def handler(event, context): return 1"


@pytest.fixture(scope="module", autouse=True)
def function(served: Gateway) -> Iterator[None]:
    served.deploy(NAME, CODE, Publish=True)
    aws = served.boto3()
    aws.create_alias(FunctionName=NAME, Name="live", FunctionVersion="1")
    yield
    aws.delete_function(FunctionName=NAME)


def test_reserved_concurrency_is_put_told_and_deleted(aws: Any) -> None:
    assert "ReservedConcurrentExecutions" not in aws.get_function_concurrency(FunctionName=NAME)
    put = aws.put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=0)
    assert put["ReservedConcurrentExecutions"] == 0
    code, status, _ = refused(aws.invoke, FunctionName=NAME)
    assert (code, status) == ("TooManyRequestsException", 429)
    assert aws.get_function_concurrency(FunctionName=NAME)["ReservedConcurrentExecutions"] == 0
    assert aws.get_function(FunctionName=NAME)["Concurrency"] == {"ReservedConcurrentExecutions": 0}
    assert aws.delete_function_concurrency(FunctionName=NAME)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert "ReservedConcurrentExecutions" not in aws.get_function_concurrency(FunctionName=NAME)


def test_reserved_concurrency_is_of_functions_as_a_whole(aws: Any) -> None:
    put = aws.put_function_concurrency
    code, _, message = refused(put, FunctionName=f"{NAME}:live", ReservedConcurrentExecutions=1)
    assert (code, message[:51]) == (
        "InvalidParameterValueException",
        "This operation is permitted on Lambda functions onl",
    )
    assert refused(put, FunctionName="nobody", ReservedConcurrentExecutions=1)[:2] == ("ResourceNotFoundException", 404)
    assert refused(put, FunctionName=NAME, ReservedConcurrentExecutions=-1)[0] == "ValidationException"
    assert refused(put, FunctionName=NAME)[2].endswith(
        "Value null at 'reservedConcurrentExecutions' failed to satisfy constraint: Member must not be null"
    )


def test_environments_are_kept_ready_of_an_alias(aws: Any) -> None:
    given = {"FunctionName": NAME, "Qualifier": "live"}
    put = aws.put_provisioned_concurrency_config(**given, ProvisionedConcurrentExecutions=1)
    assert put["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert put["RequestedProvisionedConcurrentExecutions"] == 1
    deadline = time.monotonic() + PATIENCE_S
    while (got := aws.get_provisioned_concurrency_config(**given))["Status"] != "READY":
        assert time.monotonic() < deadline, got
    assert (got["AvailableProvisionedConcurrentExecutions"], got["LastModified"]) == (1, put["LastModified"])
    (listed,) = aws.list_provisioned_concurrency_configs(FunctionName=NAME)["ProvisionedConcurrencyConfigs"]
    assert listed["FunctionArn"].endswith(f":function:{NAME}:live")
    assert listed["Status"] == "READY"
    code, status, _ = refused(
        aws.put_provisioned_concurrency_config,
        FunctionName=NAME,
        Qualifier="1",
        ProvisionedConcurrentExecutions=1,
    )
    assert (code, status) == ("ResourceConflictException", 409)
    assert aws.delete_provisioned_concurrency_config(**given)["ResponseMetadata"]["HTTPStatusCode"] == 204
    code, status, message = refused(aws.get_provisioned_concurrency_config, **given)
    assert (code, status) == ("ProvisionedConcurrencyConfigNotFoundException", 404)
    assert message == "No Provisioned Concurrency Config found for this function"


def test_nothing_is_kept_ready_of_what_is_not_published(aws: Any) -> None:
    put = aws.put_provisioned_concurrency_config
    latest = refused(put, FunctionName=NAME, Qualifier="$LATEST", ProvisionedConcurrentExecutions=1)
    assert latest[2] == "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
    none = refused(put, FunctionName=NAME, Qualifier="nobody", ProvisionedConcurrentExecutions=1)
    assert none[2] == f"Cannot find alias arn: arn:aws:lambda:us-east-1:000000000000:function:{NAME}:nobody"
    zero = refused(put, FunctionName=NAME, Qualifier="1", ProvisionedConcurrentExecutions=0)
    assert zero[0] == "ValidationException"
    assert aws.list_provisioned_concurrency_configs(FunctionName=NAME)["ProvisionedConcurrencyConfigs"] == []
