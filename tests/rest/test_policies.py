"""Resource policies of functions through boto3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from gateways import Gateway
from refusals import refused

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"
NOT_FOUND = "ResourceNotFoundException", 404
BUCKET = {"Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}


@pytest.fixture
def name(served: Gateway, request: pytest.FixtureRequest) -> Iterator[str]:
    """A function with version 1 and the alias `live`: of its own for each test, since numbers are never given twice."""
    made = f"guarded-{abs(hash(request.node.name))}"
    served.deploy(made, "def handler(event, context): return 1", Publish=True)
    aws = served.boto3()
    aws.create_alias(FunctionName=made, Name="live", FunctionVersion="1")
    yield made
    aws.delete_function(FunctionName=made)


def test_a_permission_is_added_told_and_removed(aws: Any, name: str) -> None:
    added = aws.add_permission(
        FunctionName=name, StatementId="s3", SourceArn="arn:aws:s3:::bucket", SourceAccount="123456789012", **BUCKET
    )
    assert added["ResponseMetadata"]["HTTPStatusCode"] == 201
    statement = {
        "Sid": "s3",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": ARN + name,
        "Condition": {
            "StringEquals": {"AWS:SourceAccount": "123456789012"},
            "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"},
        },
    }
    assert json.loads(added["Statement"]) == statement
    aws.add_permission(FunctionName=ARN + name, StatementId="logs", Action="lambda:*", Principal="*")
    policy = json.loads(aws.get_policy(FunctionName=name)["Policy"])
    assert (policy["Version"], policy["Id"]) == ("2012-10-17", "default")
    assert [each["Sid"] for each in policy["Statement"]] == ["s3", "logs"]
    assert policy["Statement"][0] == statement
    removed = aws.remove_permission(FunctionName=name, StatementId="s3")
    assert removed["ResponseMetadata"]["HTTPStatusCode"] == 204
    told = "Statement s3 is not found in resource policy."
    assert refused(aws.remove_permission, FunctionName=name, StatementId="s3") == (*NOT_FOUND, told)
    aws.remove_permission(FunctionName=name, StatementId="logs")
    assert refused(aws.get_policy, FunctionName=name) == (*NOT_FOUND, "The resource you requested does not exist.")
    told = "No policy is associated with the given resource."
    assert refused(aws.remove_permission, FunctionName=name, StatementId="s3") == (*NOT_FOUND, told)


@pytest.mark.parametrize(
    ("principal", "told"),
    [
        ("*", "*"),
        ("events.amazonaws.com", {"Service": "events.amazonaws.com"}),
        ("alexa-appkit.amazon.com", {"Service": "alexa-appkit.amazon.com"}),
        ("123456789012", {"AWS": "arn:aws:iam::123456789012:root"}),
        ("arn:aws:iam::123456789012:role/caller", {"AWS": "arn:aws:iam::123456789012:role/caller"}),
    ],
)
def test_principals_are_services_accounts_and_arns(aws: Any, name: str, principal: str, told: Any) -> None:
    added = aws.add_permission(
        FunctionName=name, StatementId="one", Action="lambda:InvokeFunction", Principal=principal
    )
    assert json.loads(added["Statement"])["Principal"] == told


def test_each_condition_has_its_key(aws: Any, name: str) -> None:
    given: dict[str, Any] = {"FunctionName": name, "Principal": "*", "PrincipalOrgID": "o-abcdefghij"}
    url = aws.add_permission(
        **given, StatementId="url", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="AWS_IAM"
    )
    assert json.loads(url["Statement"])["Condition"] == {
        "StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM", "aws:PrincipalOrgID": "o-abcdefghij"}
    }
    via = aws.add_permission(
        **given,
        StatementId="via",
        Action="lambda:InvokeFunction",
        InvokedViaFunctionUrl=True,
        EventSourceToken="a-token",
    )
    assert json.loads(via["Statement"])["Condition"] == {
        "StringEquals": {"lambda:EventSourceToken": "a-token", "aws:PrincipalOrgID": "o-abcdefghij"},
        "Bool": {"lambda:InvokedViaFunctionUrl": "true"},
    }


def test_versions_and_aliases_have_policies_of_their_own(aws: Any, name: str) -> None:
    for qualifier in ("1", "live"):
        added = aws.add_permission(FunctionName=name, Qualifier=qualifier, StatementId="s3", **BUCKET)
        assert json.loads(added["Statement"])["Resource"] == f"{ARN}{name}:{qualifier}"
    assert refused(aws.get_policy, FunctionName=name)[:2] == NOT_FOUND
    assert f"{ARN}{name}:live" in aws.get_policy(FunctionName=f"{name}:live")["Policy"]
    latest = refused(aws.add_permission, FunctionName=f"{name}:$LATEST", StatementId="s3", **BUCKET)
    assert latest[2] == "We currently do not support adding policies for $LATEST."


def test_an_alias_that_is_made_again_has_no_policy(aws: Any, name: str) -> None:
    aws.add_permission(FunctionName=name, Qualifier="live", StatementId="s3", **BUCKET)
    aws.delete_alias(FunctionName=name, Name="live")
    aws.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    assert refused(aws.get_policy, FunctionName=name, Qualifier="live")[:2] == NOT_FOUND


def test_revisions_guard_a_policy_from_changes_unseen(aws: Any, name: str) -> None:
    add = aws.add_permission
    revision = aws.get_function_configuration(FunctionName=name)["RevisionId"]
    stale = refused(add, FunctionName=name, StatementId="s3", RevisionId="another", **BUCKET)
    assert stale[:2] == ("PreconditionFailedException", 412)
    add(FunctionName=name, StatementId="s3", RevisionId=revision, **BUCKET)
    revision = aws.get_policy(FunctionName=name)["RevisionId"]
    add(FunctionName=name, StatementId="s4", RevisionId=revision, **BUCKET)
    stale = refused(aws.remove_permission, FunctionName=name, StatementId="s3", RevisionId=revision)
    assert stale[:2] == ("PreconditionFailedException", 412)
    revision = aws.get_policy(FunctionName=name)["RevisionId"]
    aws.remove_permission(FunctionName=name, StatementId="s3", RevisionId=revision)


def test_permissions_that_many_add_at_once_are_all_there(served: Gateway, aws: Any, name: str) -> None:
    clients = [served.boto3() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        added = [
            pool.submit(each.add_permission, FunctionName=name, StatementId=f"s{n}", **BUCKET)
            for n, each in enumerate(clients)
        ]
    assert all(each.result()["Statement"] for each in added)
    policy = json.loads(aws.get_policy(FunctionName=name)["Policy"])
    assert sorted(each["Sid"] for each in policy["Statement"]) == [f"s{n}" for n in range(8)]


def test_what_cannot_be_added_is_refused_by_name(aws: Any, name: str) -> None:
    add = aws.add_permission
    add(FunctionName=name, StatementId="s3", **BUCKET)
    again = refused(add, FunctionName=name, StatementId="s3", **BUCKET)
    assert again == (
        "ResourceConflictException",
        409,
        "The statement id (s3) provided already exists. Please provide a new statement id, or remove the existing "
        "statement.",
    )
    bad = refused(add, FunctionName=name, StatementId="s", Action="lambda:InvokeFunction", Principal="nobody")
    assert bad[2] == "The provided principal was invalid. Please check the principal and try again."
    assert refused(add, FunctionName=name, StatementId="a.b", **BUCKET)[0] == "ValidationException"
    auth = refused(add, FunctionName=name, StatementId="u", FunctionUrlAuthType="NONE", **BUCKET)
    assert auth[2] == "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action"
    url = {"Action": "lambda:InvokeFunctionUrl", "Principal": "*"}
    assert (
        "InvokedViaFunctionUrl"
        in refused(add, FunctionName=name, StatementId="u", InvokedViaFunctionUrl=True, **url)[2]
    )


def test_what_is_not_there_has_no_policy(aws: Any, name: str) -> None:
    absent = "arn:aws:lambda:us-east-1:000000000000:function:nobody"
    add, remove = aws.add_permission, aws.remove_permission
    assert refused(add, FunctionName="nobody", StatementId="s", **BUCKET) == (
        *NOT_FOUND,
        f"Function not found: {absent}",
    )
    alias = refused(add, FunctionName=name, Qualifier="none", StatementId="s", **BUCKET)
    assert alias == (*NOT_FOUND, f"Cannot find alias arn: {ARN}{name}:none")
    version = refused(add, FunctionName=name, Qualifier="42", StatementId="s", **BUCKET)
    assert version == (*NOT_FOUND, f"Function not found: {ARN}{name}:42")
    gone = refused(remove, FunctionName="nobody", StatementId="s")
    assert gone == (*NOT_FOUND, f"No policy found for: {absent}")
    assert refused(aws.get_policy, FunctionName="nobody") == (*NOT_FOUND, f"Function not found: {absent}")


def test_a_policy_has_twenty_kilobytes(aws: Any, name: str) -> None:
    for number in range(2):
        aws.add_permission(
            FunctionName=name, StatementId=f"s{number}", SourceArn="arn:aws:s3:::" + "b" * 9_000, **BUCKET
        )
    code, status, message = refused(
        aws.add_permission, FunctionName=name, StatementId="s2", SourceArn="arn:aws:s3:::" + "b" * 9_000, **BUCKET
    )
    assert (code, status) == ("PolicyLengthExceededException", 400)
    assert message.startswith("The final policy size (2")
    assert message.endswith(") is bigger than the limit (20480).")
