"""Code signing configurations through boto3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gateways import Gateway
from refusals import refused

NAME = "signed"
PUBLISHERS = {"SigningProfileVersionArns": ["arn:aws:signer:us-east-1:123456789012:/signing-profiles/test"]}
ABSENT = "arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-abcdefghijklmnopq"


@pytest.fixture(scope="module", autouse=True)
def function(served: Gateway) -> Iterator[None]:
    served.deploy(NAME, "def handler(event, context): return 1")
    yield
    served.boto3().delete_function(FunctionName=NAME)


def test_a_configuration_lives_and_is_given_to_a_function(aws: Any) -> None:
    answer = aws.create_code_signing_config(AllowedPublishers=PUBLISHERS, Description="mine", Tags={"a": "b"})
    made = answer["CodeSigningConfig"]
    arn = made["CodeSigningConfigArn"]
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert arn.endswith(f":code-signing-config:{made['CodeSigningConfigId']}")
    assert made["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Warn"}
    assert (made["AllowedPublishers"], made["Description"]) == (PUBLISHERS, "mine")
    assert aws.list_tags(Resource=arn)["Tags"] == {"a": "b"}
    changed = aws.update_code_signing_config(CodeSigningConfigArn=arn, Description="")["CodeSigningConfig"]
    assert (changed["Description"], changed["AllowedPublishers"]) == ("", PUBLISHERS)
    assert aws.get_code_signing_config(CodeSigningConfigArn=arn)["CodeSigningConfig"] == changed
    assert changed in aws.list_code_signing_configs()["CodeSigningConfigs"]

    given = {"CodeSigningConfigArn": arn, "FunctionName": NAME}
    assert "CodeSigningConfigArn" not in aws.get_function_code_signing_config(FunctionName=NAME)
    put = aws.put_function_code_signing_config(**given)
    assert {**given, "ResponseMetadata": put["ResponseMetadata"]} == put
    assert aws.get_function_code_signing_config(FunctionName=NAME)["CodeSigningConfigArn"] == arn
    users = aws.list_functions_by_code_signing_config(CodeSigningConfigArn=arn)["FunctionArns"]
    assert users == [f"arn:aws:lambda:us-east-1:000000000000:function:{NAME}"]
    code, status, message = refused(aws.delete_code_signing_config, CodeSigningConfigArn=arn)
    assert (code, status) == ("ResourceConflictException", 409)
    assert NAME in message
    gone = aws.delete_function_code_signing_config(FunctionName=NAME)
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    aws.delete_code_signing_config(CodeSigningConfigArn=arn)
    assert refused(aws.get_code_signing_config, CodeSigningConfigArn=arn)[:2] == ("ResourceNotFoundException", 404)
    assert refused(aws.list_tags, Resource=arn)[:2] == ("ResourceNotFoundException", 404)


def test_a_function_is_made_with_its_configuration(served: Gateway, aws: Any) -> None:
    code, name = "def handler(event, context): return 1", f"{NAME}-from-birth"
    absent = refused(served.deploy, name=name, code=code, CodeSigningConfigArn=ABSENT)
    assert absent[:2] == ("CodeSigningConfigNotFoundException", 404)
    assert refused(aws.get_function, FunctionName=name)[:2] == ("ResourceNotFoundException", 404)
    made = aws.create_code_signing_config(AllowedPublishers=PUBLISHERS)["CodeSigningConfig"]["CodeSigningConfigArn"]
    served.deploy(name, code, CodeSigningConfigArn=made)
    assert aws.get_function_code_signing_config(FunctionName=name)["CodeSigningConfigArn"] == made
    aws.delete_function(FunctionName=name)
    aws.delete_code_signing_config(CodeSigningConfigArn=made)


def test_configurations_come_in_pages(aws: Any) -> None:
    made = {
        aws.create_code_signing_config(AllowedPublishers=PUBLISHERS)["CodeSigningConfig"]["CodeSigningConfigArn"]
        for _ in range(3)
    }
    pages = aws.get_paginator("list_code_signing_configs").paginate(PaginationConfig={"PageSize": 2})
    told = [each["CodeSigningConfigArn"] for page in pages for each in page["CodeSigningConfigs"]]
    assert made.issubset(told)
    assert len(told) == len(set(told))
    for arn in made:
        aws.delete_code_signing_config(CodeSigningConfigArn=arn)


def test_what_cannot_be_promised_is_refused(aws: Any) -> None:
    enforce = {"UntrustedArtifactOnDeployment": "Enforce"}
    code, status, message = refused(
        aws.create_code_signing_config, AllowedPublishers=PUBLISHERS, CodeSigningPolicies=enforce
    )
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert "does not check signatures" in message
    no_one = {"SigningProfileVersionArns": []}
    assert refused(aws.create_code_signing_config, AllowedPublishers=no_one)[0] == "ValidationException"


def test_what_is_not_there_is_told_of_in_lambdas_words(aws: Any) -> None:
    told = "ResourceNotFoundException", 404, f"The Lambda code signing configuration {ABSENT} can not be found."
    for operation in (
        aws.get_code_signing_config,
        aws.update_code_signing_config,
        aws.delete_code_signing_config,
        aws.list_functions_by_code_signing_config,
    ):
        assert refused(operation, CodeSigningConfigArn=ABSENT) == told
    put = refused(aws.put_function_code_signing_config, CodeSigningConfigArn=ABSENT, FunctionName="nobody")
    assert put == (
        "CodeSigningConfigNotFoundException",
        404,
        "The code signing configuration cannot be found. Check that the provided configuration is not deleted: "
        f"{ABSENT}.",
    )
    for operation in (aws.get_function_code_signing_config, aws.delete_function_code_signing_config):
        assert refused(operation, FunctionName="nobody")[2].startswith("Function not found: ")
