"""Tenant isolation through boto3: TenancyConfig of a function, TenantId of an invocation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from gateways import Gateway

MODE = {"TenantIsolationMode": "PER_TENANT"}
SOURCE = """
import uuid
seen, me = [], uuid.uuid4().hex

def handler(event, context):
    seen.append(context.tenant_id)
    return {"seen": seen, "me": me}

def flows(event, context):
    seen.append(context.tenant_id)
    for tenant in seen:
        yield tenant + " "
"""


def told(aws: Any, name: str, tenant_id: str, **options: Any) -> Any:
    return json.load(aws.invoke(FunctionName=name, TenantId=tenant_id, **options)["Payload"])


def test_tenants_are_kept_apart(served: Gateway, aws: Any) -> None:
    made = served.deploy("apart", SOURCE, TenancyConfig=MODE, Publish=True)
    assert made["TenancyConfig"] == MODE
    assert aws.get_function_configuration(FunctionName="apart:1")["TenancyConfig"] == MODE
    assert aws.get_function(FunctionName="apart")["Configuration"]["TenancyConfig"] == MODE
    answers = [told(aws, "apart", tenant) for tenant in ("red", "b/l.u_e:=+-@ 1", "red")]
    assert [each["seen"] for each in answers] == [["red"], ["b/l.u_e:=+-@ 1"], ["red", "red"]]
    aws.create_alias(FunctionName="apart", Name="live", FunctionVersion="1")
    assert told(aws, "apart:live", "red")["seen"] == ["red"]
    changed = aws.update_function_configuration(FunctionName="apart", Description="changed")
    assert changed["TenancyConfig"] == MODE


def test_a_streamed_answer_is_one_tenants(served: Gateway, aws: Any) -> None:
    served.deploy("flows", SOURCE, "app.flows", TenancyConfig=MODE)

    def flow(tenant_id: str) -> bytes:
        answer = aws.invoke_with_response_stream(FunctionName="flows", TenantId=tenant_id)
        return b"".join(event["PayloadChunk"]["Payload"] for event in answer["EventStream"] if "PayloadChunk" in event)

    assert [flow(tenant) for tenant in ("red", "blue", "red")] == [b"red ", b"blue ", b"red red "]
    with pytest.raises(ClientError, match="Add a valid tenant ID"):
        aws.invoke_with_response_stream(FunctionName="flows")
    dry = aws.invoke_with_response_stream(FunctionName="flows", TenantId="red", InvocationType="DryRun")
    assert dry["StatusCode"] == 204


def test_tenants_that_are_missing_unexpected_or_none_are_refused(served: Gateway, aws: Any) -> None:
    served.deploy("isolated", SOURCE, TenancyConfig=MODE)
    assert "TenancyConfig" not in served.deploy("shared", SOURCE)
    refusals = (
        ({"FunctionName": "isolated"}, "Invalid.*enabled with tenancy configuration. Add a valid tenant ID"),
        ({"FunctionName": "shared", "TenantId": "red"}, "Invalid.*not enabled with tenancy configuration. Remove"),
        ({"FunctionName": "isolated", "TenantId": "a*b"}, "ValidationException.*'tenantId' failed to satisfy"),
        ({"FunctionName": "isolated", "TenantId": "x" * 257}, "ValidationException.*less than or equal to 256"),
    )
    for asked, why in refusals:
        for kind in ("RequestResponse", "Event", "DryRun"):
            with pytest.raises(ClientError, match=why) as refused:
                aws.invoke(InvocationType=kind, **asked)
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    for kind, status in (("Event", 202), ("DryRun", 204)):
        answer = aws.invoke(FunctionName="isolated", TenantId="red", InvocationType=kind)
        assert (answer["StatusCode"], answer["Payload"].read()) == (status, b"")


def test_what_lambda_does_not_have_with_tenants_is_refused(served: Gateway, aws: Any) -> None:
    served.deploy("alone", SOURCE, TenancyConfig=MODE, Publish=True)
    with pytest.raises(ClientError, match="SnapStart is not supported"):
        served.deploy("never", SOURCE, TenancyConfig=MODE, SnapStart={"ApplyOn": "PublishedVersions"})
    with pytest.raises(ClientError, match="enum value set"):
        served.deploy("never", SOURCE, TenancyConfig={"TenantIsolationMode": "PER_USER"})
    with pytest.raises(ClientError, match="Function URLs are not supported"):
        aws.create_function_url_config(FunctionName="alone", AuthType="NONE")
    with pytest.raises(ClientError, match="Provisioned concurrency is not supported"):
        aws.put_provisioned_concurrency_config(FunctionName="alone", Qualifier="1", ProvisionedConcurrentExecutions=1)
