"""Runtime management configurations through boto3, and what is left to managed instances."""

from __future__ import annotations

from typing import Any

from gateways import Gateway
from refusals import refused

NAME = "managed"
ARN = f"arn:aws:lambda:us-east-1:000000000000:function:{NAME}"
RUNTIME = "arn:aws:lambda:us-east-1::runtime:" + "0a" * 32


def test_modes_are_kept_for_each_version(served: Gateway, aws: Any) -> None:
    served.deploy(NAME, "def handler(event, context): return 1", Publish=True)
    put, get = aws.put_runtime_management_config, aws.get_runtime_management_config
    first = get(FunctionName=NAME)
    assert (first["UpdateRuntimeOn"], first["FunctionArn"]) == ("Auto", ARN)
    made = put(FunctionName=NAME, UpdateRuntimeOn="Manual", RuntimeVersionArn=RUNTIME)
    assert (made["UpdateRuntimeOn"], made["RuntimeVersionArn"], made["FunctionArn"]) == ("Manual", RUNTIME, ARN)
    put(FunctionName=NAME, Qualifier="1", UpdateRuntimeOn="FunctionUpdate")
    assert get(FunctionName=f"{NAME}:$LATEST")["RuntimeVersionArn"] == RUNTIME
    version = get(FunctionName=NAME, Qualifier="1")
    assert (version["UpdateRuntimeOn"], version["FunctionArn"]) == ("FunctionUpdate", f"{ARN}:1")
    put(FunctionName=NAME, UpdateRuntimeOn="Auto")
    assert "RuntimeVersionArn" not in get(FunctionName=NAME)
    aws.delete_function(FunctionName=NAME)
    assert refused(get, FunctionName=NAME) == ("ResourceNotFoundException", 404, f"Function not found: {ARN}")


def test_a_runtime_version_is_said_in_manual_mode_and_in_no_other(served: Gateway, aws: Any) -> None:
    served.deploy(f"{NAME}-badly", "def handler(event, context): return 1", Publish=True)
    given = {"FunctionName": f"{NAME}-badly"}
    aws.create_alias(**given, Name="live", FunctionVersion="1")
    put = aws.put_runtime_management_config
    assert refused(put, **given, UpdateRuntimeOn="Manual")[0] == "InvalidParameterValueException"
    auto = refused(put, **given, UpdateRuntimeOn="Auto", RuntimeVersionArn=RUNTIME)
    assert auto[0] == "InvalidParameterValueException"
    assert refused(put, **given, UpdateRuntimeOn="Never")[0] == "ValidationException"
    alias = refused(put, **given, Qualifier="live", UpdateRuntimeOn="Auto")
    assert "aliases have no runtime of their own" in alias[2]
    aws.delete_function(**given)


def test_scaling_of_managed_instances_is_not_implemented_and_says_so(aws: Any) -> None:
    code, status, message = refused(aws.get_function_scaling_config, FunctionName="any", Qualifier="1")
    assert (code, status) == ("NotImplementedException", 501)
    assert "no managed instances" in message
