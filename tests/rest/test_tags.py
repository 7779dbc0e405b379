"""Tags of functions through boto3."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from gateways import Gateway
from refusals import refused

NAME = "tagged"
ARN = f"arn:aws:lambda:us-east-1:000000000000:function:{NAME}"
ABSENT = "arn:aws:lambda:us-east-1:000000000000:function:nobody"
CODE = "def handler(event, context): return 1"


@pytest.fixture
def function(served: Gateway) -> Iterator[None]:
    served.deploy(NAME, CODE)
    yield
    served.boto3().delete_function(FunctionName=NAME)


@pytest.mark.usefixtures("function")
def test_tags_are_put_replaced_and_removed(aws: Any) -> None:
    assert aws.list_tags(Resource=ARN)["Tags"] == {}
    put = aws.tag_resource(Resource=ARN, Tags={"team": "a", "häuser_groß": "ü und / + = @ . : -"})
    assert put["ResponseMetadata"]["HTTPStatusCode"] == 204
    aws.tag_resource(Resource=ARN, Tags={"team": "b", "empty": ""})
    assert aws.list_tags(Resource=ARN)["Tags"] == {"team": "b", "häuser_groß": "ü und / + = @ . : -", "empty": ""}
    aws.untag_resource(Resource=ARN, TagKeys=["team", "never there", "empty"])
    assert aws.list_tags(Resource=ARN)["Tags"] == {"häuser_groß": "ü und / + = @ . : -"}
    aws.untag_resource(Resource=ARN, TagKeys=["häuser_groß"])
    assert aws.list_tags(Resource=ARN)["Tags"] == {}


def test_a_function_is_made_with_its_tags_and_told_with_them(served: Gateway, aws: Any) -> None:
    served.deploy(f"{NAME}-from-birth", CODE, Tags={"team": "a"})
    assert aws.get_function(FunctionName=f"{NAME}-from-birth")["Tags"] == {"team": "a"}
    assert aws.list_tags(Resource=f"{ARN}-from-birth")["Tags"] == {"team": "a"}
    aws.untag_resource(Resource=f"{ARN}-from-birth", TagKeys=["team"])
    assert "Tags" not in aws.get_function(FunctionName=f"{NAME}-from-birth")
    aws.delete_function(FunctionName=f"{NAME}-from-birth")
    too_many = refused(served.deploy, name=f"{NAME}-never", code=CODE, Tags={f"k{n}": "v" for n in range(51)})
    assert too_many[2] == "Number of tags exceeds resource tag limit."
    assert refused(aws.get_function, FunctionName=f"{NAME}-never")[:2] == ("ResourceNotFoundException", 404)


@pytest.mark.usefixtures("function")
def test_tags_that_many_put_at_once_are_all_there(served: Gateway, aws: Any) -> None:
    clients = [served.boto3() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        puts = [pool.submit(each.tag_resource, Resource=ARN, Tags={f"k{n}": "v"}) for n, each in enumerate(clients)]
    assert [put.result()["ResponseMetadata"]["HTTPStatusCode"] for put in puts] == [204] * 8
    assert sorted(aws.list_tags(Resource=ARN)["Tags"]) == [f"k{n}" for n in range(8)]


def test_tags_go_with_their_function(served: Gateway, aws: Any) -> None:
    served.deploy(NAME, CODE)
    aws.tag_resource(Resource=ARN, Tags={"a": "b"})
    aws.delete_function(FunctionName=NAME)
    gone = "ResourceNotFoundException", 404, f"Function not found: {ARN}"
    assert refused(aws.list_tags, Resource=ARN) == gone
    assert refused(aws.tag_resource, Resource=ARN, Tags={"a": "b"}) == gone
    assert refused(aws.untag_resource, Resource=ARN, TagKeys=["a"]) == gone
    served.deploy(NAME, CODE)
    assert aws.list_tags(Resource=ARN)["Tags"] == {}
    aws.delete_function(FunctionName=NAME)


@pytest.mark.usefixtures("function")
def test_the_limits_are_lambdas(aws: Any) -> None:
    tag = aws.tag_resource
    aws.tag_resource(Resource=ARN, Tags={f"{n}_key": "v" for n in range(50)})
    code, status, message = refused(tag, Resource=ARN, Tags={"one more": "v"})
    assert (code, status, message) == (
        "InvalidParameterValueException",
        400,
        "Number of tags exceeds resource tag limit.",
    )
    aws.tag_resource(Resource=ARN, Tags={"0_key": "another"})
    assert "aws:" in refused(tag, Resource=ARN, Tags={"AWS:mine": "v"})[2]
    assert refused(tag, Resource=ARN, Tags={})[2] == "An error occurred and the request cannot be processed."
    for tags in ({"k" * 129: "v"}, {"k": "v" * 257}, {"a?b": "v"}, {"": "v"}):
        assert refused(tag, Resource=ARN, Tags=tags)[0] == "ValidationException"
    assert refused(aws.untag_resource, Resource=ARN, TagKeys=[])[2].endswith("Member must not be null")


@pytest.mark.usefixtures("function")
def test_only_whole_resources_that_are_there_have_tags(aws: Any) -> None:
    told = "Tags on function aliases and versions are not supported. Please specify a function ARN."
    for qualifier in ("$LATEST", "1", "live"):
        assert refused(aws.tag_resource, Resource=f"{ARN}:{qualifier}", Tags={"a": "b"})[2] == told
    assert refused(aws.list_tags, Resource=ABSENT)[:2] == ("ResourceNotFoundException", 404)
    assert refused(aws.list_tags, Resource="arn:aws:something")[0] == "ValidationException"
    mapping = "arn:aws:lambda:us-east-1:000000000000:event-source-mapping:11111111-2222-3333-4444-555555555555"
    signing = "arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-abcdefghijklmnopq"
    provider = "arn:aws:lambda:us-east-1:000000000000:capacity-provider:none"
    for arn in (mapping, signing, provider):
        assert refused(aws.list_tags, Resource=arn)[:2] == ("ResourceNotFoundException", 404)
