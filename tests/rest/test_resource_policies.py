"""Resource policies as whole documents, through boto3: the same that permissions are statements of."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gateways import Gateway
from refusals import refused

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"
STATEMENT = {
    "Sid": "s3",
    "Effect": "Allow",
    "Principal": {"Service": "s3.amazonaws.com"},
    "Action": "lambda:InvokeFunction",
    "Resource": ARN + "guarded",
}
POLICY = {"Version": "2012-10-17", "Statement": [STATEMENT]}
NONE = "ResourceNotFoundException", 404, "No policy is associated with the given resource."


@pytest.fixture(scope="module")
def arn(served: Gateway) -> str:
    served.deploy("guarded", "def handler(event, context): return 1", Publish=True)
    return ARN + "guarded"


def test_a_policy_is_put_told_changed_by_permissions_and_deleted(aws: Any, arn: str) -> None:
    assert refused(aws.get_resource_policy, ResourceArn=arn) == NONE
    put = aws.put_resource_policy(ResourceArn=arn, Policy=json.dumps(POLICY))
    assert json.loads(put["Policy"]) == POLICY
    told = aws.get_resource_policy(ResourceArn=arn)
    assert (json.loads(told["Policy"]), told["RevisionId"]) == (POLICY, put["RevisionId"])
    assert json.loads(aws.get_policy(FunctionName=arn)["Policy"]) == POLICY
    aws.add_permission(FunctionName=arn, StatementId="all", Action="lambda:*", Principal="*")
    changed = aws.get_resource_policy(ResourceArn=arn)
    assert [each["Sid"] for each in json.loads(changed["Policy"])["Statement"]] == ["s3", "all"]
    stale = {"ResourceArn": arn, "RevisionId": put["RevisionId"]}
    for write in (
        aws.delete_resource_policy,
        lambda **which: aws.put_resource_policy(Policy=json.dumps(POLICY), **which),
    ):
        assert refused(write, **stale)[:2] == ("PreconditionFailedException", 412)
    aws.put_resource_policy(ResourceArn=arn, Policy=json.dumps(POLICY), RevisionId=changed["RevisionId"])
    assert aws.delete_resource_policy(ResourceArn=arn)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(aws.delete_resource_policy, ResourceArn=arn) == NONE


def test_a_version_has_a_policy_of_its_own(aws: Any, arn: str) -> None:
    aws.put_resource_policy(ResourceArn=f"{arn}:1", Policy=json.dumps(POLICY))
    assert refused(aws.get_resource_policy, ResourceArn=arn) == NONE
    aws.delete_resource_policy(ResourceArn=f"{arn}:1")
    assert refused(aws.get_resource_policy, ResourceArn=f"{arn}:9")[0] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("no json", "is no JSON"),
        ("[]", "an object"),
        ('{"Version": "2020-01-01", "Statement": []}', "2012-10-17"),
        ('{"Statement": []}', "no Statement"),
        (json.dumps({"Statement": [{**STATEMENT, "Effect": "Maybe"}]}), "Effect"),
        (json.dumps({"Statement": [{**STATEMENT, "Sid": 1}]}), "Sid"),
        (json.dumps({"Statement": [{**STATEMENT, "NotAction": "*"}]}), "either Action or NotAction"),
        (json.dumps({"Statement": [STATEMENT, STATEMENT]}), "must be unique"),
    ],
)
def test_what_is_no_policy_is_refused(aws: Any, arn: str, policy: str, told: str) -> None:
    code, status, message = refused(aws.put_resource_policy, ResourceArn=arn, Policy=policy)
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert told in message


def test_a_policy_is_of_functions_that_are_there(aws: Any) -> None:
    runtime = "arn:aws:lambda:us-east-1:000000000000:runtime/any"
    assert refused(aws.get_resource_policy, ResourceArn=runtime)[0] == "InvalidParameterValueException"
    assert refused(aws.get_resource_policy, ResourceArn=ARN + "no-such")[0] == "ResourceNotFoundException"
