"""Code that lies in S3: moto's server stands for it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from aws import Aws, serving
from gateways import ROLE, Gateway, gateway, zipped

SETTINGS = {"Runtime": "python3.11", "Role": ROLE, "Handler": "app.handler"}


@pytest.fixture(scope="module")
def s3() -> Iterator[Aws]:
    with serving() as services:
        yield services


@pytest.fixture(scope="module")
def here(s3: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_ACCESS_KEY_ID", "a-key")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
        with gateway(tmp_path_factory.mktemp("served"), "--aws-endpoint-url", s3.endpoint_url) as found:
            yield found


@pytest.fixture(scope="module")
def bucket(s3: Aws) -> str:
    name = s3.bucket().rsplit(":", 1)[1]
    s3.client("s3").put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def test_an_object_is_deployed_in_the_version_that_is_asked_for(s3: Aws, here: Gateway, bucket: str) -> None:
    versions = [
        s3.client("s3").put_object(
            Bucket=bucket, Key="code.zip", Body=zipped({"app.py": f"def handler(e, c): return {n}"})
        )
        for n in (1, 2)
    ]
    aws, place = here.boto3(), {"S3Bucket": bucket, "S3Key": "code.zip"}
    aws.create_function(FunctionName="stored", Code=place, **SETTINGS)
    assert json.load(aws.invoke(FunctionName="stored")["Payload"]) == 2
    aws.update_function_code(FunctionName="stored", **place, S3ObjectVersion=versions[0]["VersionId"])
    assert json.load(aws.invoke(FunctionName="stored")["Payload"]) == 1


def test_an_object_that_is_not_there_or_no_zip_is_refused(s3: Aws, here: Gateway, bucket: str) -> None:
    s3.client("s3").put_object(Bucket=bucket, Key="text", Body=b"no zip at all")
    aws = here.boto3()
    for key, why in (("none", "S3 Error Code: NoSuchKey"), ("text", "Could not unzip uploaded file")):
        with pytest.raises(aws.exceptions.InvalidParameterValueException, match=why):
            aws.create_function(FunctionName="refused", Code={"S3Bucket": bucket, "S3Key": key}, **SETTINGS)
    with pytest.raises(aws.exceptions.ResourceNotFoundException):
        aws.get_function(FunctionName="refused")


def test_both_sources_or_none_are_refused(here: Gateway, bucket: str) -> None:
    aws = here.boto3()
    both = {"ZipFile": zipped({"app.py": ""}), "S3Bucket": bucket, "S3Key": "code.zip"}
    for code, why in ((both, "do not provide other FunctionCode"), ({}, "Please provide a source for function code")):
        with pytest.raises(aws.exceptions.InvalidParameterValueException, match=why):
            aws.create_function(FunctionName="refused", Code=code, **SETTINGS)
