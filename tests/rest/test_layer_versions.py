"""Layers, their versions and permissions, through boto3."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.request
from typing import Any

import pytest
from gateways import Gateway, zipped
from refusals import refused

ARN = "arn:aws:lambda:us-east-1:000000000000:layer:"
CONTENT = zipped({"python/shared.py": "WORD = 'from the layer'"})
NOT_THERE = "ResourceNotFoundException", 404, "The resource you requested does not exist."


def publish(aws: Any, name: str, **settings: Any) -> Any:
    return aws.publish_layer_version(LayerName=name, Content={"ZipFile": CONTENT}, **settings)


def test_a_version_is_published_told_fetched_and_deleted(aws: Any) -> None:
    made = publish(
        aws,
        "whole",
        Description="a layer",
        CompatibleRuntimes=["python3.11", "nodejs20.x"],
        CompatibleArchitectures=["x86_64"],
        LicenseInfo="MIT",
    )
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (made["LayerArn"], made["LayerVersionArn"], made["Version"]) == (f"{ARN}whole", f"{ARN}whole:1", 1)
    assert (made["Description"], made["LicenseInfo"]) == ("a layer", "MIT")
    assert made["CompatibleRuntimes"] == ["python3.11", "nodejs20.x"]
    digest = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
    assert (made["Content"]["CodeSha256"], made["Content"]["CodeSize"]) == (digest, len(CONTENT))
    with urllib.request.urlopen(made["Content"]["Location"]) as answer:
        assert answer.read() == CONTENT
    got = aws.get_layer_version(LayerName="whole", VersionNumber=1)
    by_arn = aws.get_layer_version_by_arn(Arn=f"{ARN}whole:1")
    named_by_arn = aws.get_layer_version(LayerName=f"{ARN}whole", VersionNumber=1)
    for told in (got, by_arn, named_by_arn):
        assert {**told, "ResponseMetadata": 0} == {**made, "ResponseMetadata": 0}
    assert publish(aws, "whole")["Version"] == 2
    gone = aws.delete_layer_version(LayerName="whole", VersionNumber=2)
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(aws.get_layer_version, LayerName="whole", VersionNumber=2) == NOT_THERE
    assert publish(aws, "whole")["Version"] == 3
    aws.delete_layer_version(LayerName="whole", VersionNumber=99)


def test_a_function_imports_what_its_layer_holds(served: Gateway, aws: Any) -> None:
    arn = publish(aws, "imported")["LayerVersionArn"]
    code = "from shared import WORD\ndef handler(event, context): return WORD"
    made = served.deploy("imports", code, Layers=[arn])
    assert [each["Arn"] for each in made["Layers"]] == [arn]
    assert json.load(aws.invoke(FunctionName="imports")["Payload"]) == "from the layer"
    aws.delete_function(FunctionName="imports")


def test_layers_and_versions_are_listed_in_pages_and_by_what_they_run_with(aws: Any) -> None:
    for _ in range(3):
        publish(aws, "listed-a", CompatibleRuntimes=["python3.11"])
    publish(aws, "listed-a", CompatibleRuntimes=["python3.12"], CompatibleArchitectures=["arm64"])
    publish(aws, "listed-b")
    pages = aws.get_paginator("list_layer_versions").paginate(LayerName="listed-a", PaginationConfig={"PageSize": 2})
    assert [each["Version"] for page in pages for each in page["LayerVersions"]] == [4, 3, 2, 1]

    def listed(**given: str) -> dict[str, int]:
        told = aws.list_layers(**given)["Layers"]
        return {each["LayerName"]: each["LatestMatchingVersion"]["Version"] for each in told}

    assert listed()["listed-a"] == 4
    assert (listed(CompatibleRuntime="python3.11")["listed-a"], "listed-b" in listed()) == (3, True)
    assert listed(CompatibleArchitecture="arm64")["listed-a"] == 4
    one = aws.list_layers(MaxItems=1)
    two = aws.list_layers(MaxItems=1, Marker=one["NextMarker"])
    assert one["Layers"][0]["LayerName"] != two["Layers"][0]["LayerName"]
    assert aws.list_layer_versions(LayerName="nobody")["LayerVersions"] == []


def test_what_is_no_layer_is_refused(aws: Any) -> None:
    get = aws.get_layer_version
    assert refused(get, LayerName="nobody", VersionNumber=1) == NOT_THERE
    zero = refused(get, LayerName="nobody", VersionNumber=0)
    assert zero[:2] == ("InvalidParameterValueException", 400)
    assert zero[2].startswith("Layer Version Cannot be less than 1")
    assert refused(aws.delete_layer_version, LayerName="nobody", VersionNumber=-1)[2] == zero[2]
    assert refused(aws.get_layer_version_by_arn, Arn=f"{ARN}nobody:1") == NOT_THERE
    for arn in (f"{ARN}nobody", "arn:aws:lambda:::awslayer:Known"):
        assert refused(aws.get_layer_version_by_arn, Arn=arn)[0] == "ValidationException"
    bad = refused(aws.publish_layer_version, LayerName="bad", Content={"ZipFile": b"no zip"})
    assert bad[0] == "InvalidParameterValueException"
    assert refused(aws.publish_layer_version, LayerName="bad")[2].endswith("Member must not be null")
    assert refused(publish, aws=aws, name="a b")[0] == "ValidationException"


def test_permissions_of_a_version_are_added_told_and_removed(aws: Any) -> None:
    publish(aws, "shared")
    version: dict[str, Any] = {"LayerName": "shared", "VersionNumber": 1}
    add, remove, get = (
        aws.add_layer_version_permission,
        aws.remove_layer_version_permission,
        aws.get_layer_version_policy,
    )
    none = "No policy is associated with the given resource."
    assert refused(get, **version) == ("ResourceNotFoundException", 404, none)
    given = {**version, "Action": "lambda:GetLayerVersion"}
    first = add(**given, StatementId="s1", Principal="*", OrganizationId="o-abcdefghij")
    assert first["ResponseMetadata"]["HTTPStatusCode"] == 201
    statement = {
        "Sid": "s1",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "lambda:GetLayerVersion",
        "Resource": f"{ARN}shared:1",
        "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-abcdefghij"}},
    }
    assert json.loads(first["Statement"]) == statement
    second = add(**given, StatementId="s2", Principal="123456789012", RevisionId=first["RevisionId"])
    assert json.loads(second["Statement"])["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    policy = get(**version)
    assert policy["RevisionId"] == second["RevisionId"] != first["RevisionId"]
    assert json.loads(policy["Policy"])["Statement"][0] == statement
    again = refused(add, **given, StatementId="s1", Principal="*")
    assert again[:2] == ("ResourceConflictException", 409)
    for operation, more in ((add, {"Principal": "*", "Action": "lambda:GetLayerVersion"}), (remove, {})):
        stale = refused(
            operation,
            **version,
            **more,
            StatementId="s3" if more else "s1",
            RevisionId=first["RevisionId"],
        )
        assert stale[:2] == ("PreconditionFailedException", 412)
        assert stale[2].endswith("Call the GetLayerPolicy API to retrieve the latest Revision Id")
    assert remove(**version, StatementId="s1")["ResponseMetadata"]["HTTPStatusCode"] == 204
    told = "Statement s1 is not found in resource policy."
    assert refused(remove, **version, StatementId="s1") == ("ResourceNotFoundException", 404, told)
    account = refused(add, **given, StatementId="s4", Principal="123456789012", OrganizationId="o-abcdefghij")
    assert account[0] == "InvalidParameterValueException"
    other = {**version, "Action": "lambda:InvokeFunction"}
    assert refused(add, **other, StatementId="s5", Principal="*")[0] == "ValidationException"


@pytest.mark.parametrize(("name", "number"), [("nobody", 1), ("single", 2)])
def test_versions_that_are_not_there_have_no_permissions(aws: Any, name: str, number: int) -> None:
    if name == "single":
        publish(aws, name)
    version: dict[str, Any] = {"LayerName": name, "VersionNumber": number}
    told = "ResourceNotFoundException", 404, f"Layer version {ARN}{name}:{number} does not exist."
    given = {"StatementId": "s", "Action": "lambda:GetLayerVersion", "Principal": "*"}
    assert refused(aws.add_layer_version_permission, **version, **given) == told
    assert refused(aws.get_layer_version_policy, **version) == told
    assert refused(aws.remove_layer_version_permission, **version, StatementId="s") == told
