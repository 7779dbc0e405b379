"""What happens to events, configured through boto3."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gateways import Gateway
from refusals import refused

NAME = "eventful"
ARN = f"arn:aws:lambda:us-east-1:000000000000:function:{NAME}"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:done"
TOPIC = "arn:aws:sns:us-east-1:000000000000:failed"


@pytest.fixture(scope="module", autouse=True)
def function(served: Gateway) -> Iterator[None]:
    served.deploy(NAME, "def handler(event, context): return 1", Publish=True)
    aws = served.boto3()
    aws.create_alias(FunctionName=NAME, Name="live", FunctionVersion="1")
    yield
    aws.delete_function(FunctionName=NAME)


def test_a_configuration_is_put_changed_told_and_deleted(aws: Any) -> None:
    put = aws.put_function_event_invoke_config(
        FunctionName=NAME, MaximumRetryAttempts=1, DestinationConfig={"OnSuccess": {"Destination": QUEUE}}
    )
    assert put["FunctionArn"] == f"{ARN}:$LATEST"
    assert put["DestinationConfig"] == {"OnSuccess": {"Destination": QUEUE}, "OnFailure": {}}
    assert abs(datetime.now(UTC) - put["LastModified"]) < timedelta(minutes=5)
    assert "MaximumEventAgeInSeconds" not in put
    changed = aws.update_function_event_invoke_config(FunctionName=NAME, MaximumEventAgeInSeconds=60)
    assert (changed["MaximumRetryAttempts"], changed["MaximumEventAgeInSeconds"]) == (1, 60)
    assert changed["DestinationConfig"]["OnSuccess"] == {"Destination": QUEUE}
    other = aws.update_function_event_invoke_config(
        FunctionName=NAME, DestinationConfig={"OnFailure": {"Destination": TOPIC}}
    )
    assert other["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {"Destination": TOPIC}}
    got = aws.get_function_event_invoke_config(FunctionName=f"{NAME}:$LATEST")
    assert {**got, "ResponseMetadata": 0} == {**other, "ResponseMetadata": 0}
    again = aws.put_function_event_invoke_config(FunctionName=NAME, MaximumRetryAttempts=0)
    assert again["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    assert aws.delete_function_event_invoke_config(FunctionName=NAME)["ResponseMetadata"]["HTTPStatusCode"] == 204
    code, status, message = refused(aws.get_function_event_invoke_config, FunctionName=NAME)
    assert (code, status) == ("ResourceNotFoundException", 404)
    assert message == f"The function {ARN}:$LATEST doesn't have an EventInvokeConfig"


def test_versions_and_aliases_have_their_own_and_are_listed(aws: Any) -> None:
    for qualifier in ("1", "live"):
        aws.put_function_event_invoke_config(FunctionName=NAME, Qualifier=qualifier, MaximumRetryAttempts=0)
    pages = aws.get_paginator("list_function_event_invoke_configs").paginate(
        FunctionName=NAME, PaginationConfig={"PageSize": 1}
    )
    told = [each["FunctionArn"] for page in pages for each in page["FunctionEventInvokeConfigs"]]
    assert told == [f"{ARN}:1", f"{ARN}:live"]
    for qualifier in ("1", "live"):
        aws.delete_function_event_invoke_config(FunctionName=f"{NAME}:{qualifier}")
    assert aws.list_function_event_invoke_configs(FunctionName=NAME)["FunctionEventInvokeConfigs"] == []


def test_what_is_not_there_is_told_of_in_lambdas_words(aws: Any) -> None:
    absent = {"FunctionName": "nobody"}
    gone = "The function doesn't exist."
    for operation in (aws.put_function_event_invoke_config, aws.update_function_event_invoke_config):
        assert refused(operation, **absent, MaximumRetryAttempts=1) == ("ResourceNotFoundException", 404, gone)
    assert refused(aws.list_function_event_invoke_configs, **absent)[2] == gone
    assert (
        refused(aws.put_function_event_invoke_config, FunctionName=NAME, Qualifier="no", MaximumRetryAttempts=1)[2]
        == gone
    )
    told = (
        "The function arn:aws:lambda:us-east-1:000000000000:function:nobody:$LATEST doesn't have an EventInvokeConfig"
    )
    for operation in (aws.get_function_event_invoke_config, aws.delete_function_event_invoke_config):
        assert refused(operation, **absent)[2] == told


def test_what_makes_no_sense_is_refused(aws: Any) -> None:
    put = aws.put_function_event_invoke_config
    assert refused(put, FunctionName=NAME)[2] == (
        "You must specify at least one of error handling or destination setting."
    )
    assert refused(put, FunctionName=NAME, MaximumRetryAttempts=3)[0] == "ValidationException"
    iam = {"OnSuccess": {"Destination": "arn:aws:iam:us-east-1:000000000000:function:x"}}
    assert refused(put, FunctionName=NAME, DestinationConfig=iam)[0] == "InvalidParameterValueException"
    both = refused(put, FunctionName=f"{NAME}:live", Qualifier="1", MaximumRetryAttempts=1)
    assert both[2] == "The derived qualifier from the function name does not match the specified qualifier."
