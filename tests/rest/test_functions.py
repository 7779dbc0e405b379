"""Functions, versions and aliases through boto3."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError
from gateways import ROLE, Gateway, zipped

ECHO = """
import os
def handler(event, context):
    print("said by", context.function_name)
    if event == "fail":
        raise ValueError("as asked")
    return {"event": event, "version": context.function_version, "key": os.environ.get("KEY")}
"""


def test_a_function_is_created_invoked_and_deleted_as_with_aws(served: Gateway, aws: Any) -> None:
    made = served.deploy("whole-life", ECHO, Description="a life", Environment={"Variables": {"KEY": "V"}})
    assert made["FunctionArn"] == "arn:aws:lambda:us-east-1:000000000000:function:whole-life"
    assert (made["Role"], made["MemorySize"], made["PackageType"], made["Version"]) == (ROLE, 128, "Zip", "$LATEST")
    aws.get_waiter("function_active_v2").wait(FunctionName="whole-life")
    answer = aws.invoke(FunctionName="whole-life", Payload=b'{"a": 1}', LogType="Tail")
    assert json.load(answer["Payload"]) == {"event": {"a": 1}, "version": "$LATEST", "key": "V"}
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    log = base64.b64decode(answer["LogResult"]).decode()
    assert "said by whole-life" in log
    assert f"REPORT RequestId: {answer['ResponseMetadata']['RequestId']}" in log
    assert aws.delete_function(FunctionName="whole-life")["ResponseMetadata"]["HTTPStatusCode"] in (200, 204)
    with pytest.raises(aws.exceptions.ResourceNotFoundException, match="Function not found: arn:aws:lambda:us-east-1"):
        aws.invoke(FunctionName="whole-life")


def test_a_functions_own_failure_is_an_answer(served: Gateway, aws: Any) -> None:
    served.deploy("fails", ECHO)
    answer = aws.invoke(FunctionName="fails", Payload=b'"fail"')
    assert answer["FunctionError"] == "Unhandled"
    assert json.load(answer["Payload"])["errorMessage"] == "as asked"


def test_versions_and_aliases_lead_to_their_code(served: Gateway, aws: Any) -> None:
    served.deploy("named", ECHO, Publish=True)
    aws.create_alias(FunctionName="named", Name="live", FunctionVersion="1", Description="what is live")
    aws.update_function_code(FunctionName="named", ZipFile=zipped({"app.py": "def handler(e, c): return 2"}))
    assert json.load(aws.invoke(FunctionName="named:live")["Payload"])["version"] == "1"
    assert json.load(aws.invoke(FunctionName="named")["Payload"]) == 2
    aws.publish_version(FunctionName="named")
    moved = aws.update_alias(FunctionName="named", Name="live", FunctionVersion="2")
    assert moved["AliasArn"].endswith(":function:named:live")
    answer = aws.invoke(FunctionName=moved["AliasArn"])
    assert (json.load(answer["Payload"]), answer["ExecutedVersion"]) == (2, "2")
    pages = aws.get_paginator("list_versions_by_function").paginate(
        FunctionName="named", PaginationConfig={"PageSize": 1}
    )
    assert [each["Version"] for page in pages for each in page["Versions"]] == ["$LATEST", "1", "2"]


@pytest.mark.parametrize(
    ("given", "code", "status"),
    [
        ({"MemorySize": 5}, "ValidationException", 400),
        ({"Runtime": "python1.0"}, "InvalidParameterValueException", 400),
        ({"Code": {"ZipFile": b"no zip"}}, "InvalidParameterValueException", 400),
        ({"Role": "me"}, "ValidationException", 400),
        ({"PackageType": "Image"}, "InvalidParameterValueException", 400),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_created_is_refused_by_name(aws: Any, given: dict[str, Any], code: str, status: int) -> None:
    whole = {
        "Runtime": "python3.11",
        "Role": ROLE,
        "Handler": "app.handler",
        "Code": {"ZipFile": zipped({"app.py": ""})},
    }
    with pytest.raises(ClientError) as caught:
        aws.create_function(FunctionName="never", **{**whole, **given})
    told = caught.value.response
    assert (told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)
    assert len(told["Error"]["Message"]) > 20


def test_requests_of_web_pages_and_for_other_hosts_are_refused(served: Gateway) -> None:
    for header in ("Origin: http://a.page", "Host: a.page:3001"):
        told = served.curl("-o", "-", "-w", " %{http_code}", "-H", header, "/2015-03-31/functions/").stdout
        assert told.endswith(" 403")
        assert "AccessDenied" in served.curl("-i", "-H", header, "/2015-03-31/functions/").stdout


def test_changes_may_depend_on_what_is_there(served: Gateway, aws: Any) -> None:
    first = served.deploy("guarded", ECHO)
    changed = aws.update_function_configuration(FunctionName="guarded", Timeout=7, RevisionId=first["RevisionId"])
    assert (changed["Timeout"], changed["MemorySize"]) == (7, 128)
    for late in (
        lambda: aws.update_function_configuration(FunctionName="guarded", Timeout=8, RevisionId=first["RevisionId"]),
        lambda: aws.update_function_code(
            FunctionName="guarded", ZipFile=zipped({"app.py": ""}), RevisionId=first["RevisionId"]
        ),
        lambda: aws.publish_version(FunctionName="guarded", RevisionId=first["RevisionId"]),
    ):
        with pytest.raises(aws.exceptions.PreconditionFailedException, match="does not match the latest Revision Id"):
            late()
    with pytest.raises(aws.exceptions.InvalidParameterValueException, match="CodeSHA256"):
        aws.publish_version(FunctionName="guarded", CodeSha256="x" * 44)
    assert aws.publish_version(FunctionName="guarded", CodeSha256=first["CodeSha256"])["Version"] == "1"


def test_a_dry_run_of_new_code_changes_nothing(served: Gateway, aws: Any) -> None:
    made = served.deploy("rehearsed", ECHO)
    new = zipped({"app.py": "def handler(e, c): return 'new'"})
    told = aws.update_function_code(FunctionName="rehearsed", ZipFile=new, DryRun=True)
    assert told["CodeSha256"] != made["CodeSha256"]
    assert aws.get_function_configuration(FunctionName="rehearsed")["CodeSha256"] == made["CodeSha256"]
    with pytest.raises(aws.exceptions.InvalidParameterValueException, match="Could not unzip uploaded file"):
        aws.update_function_code(FunctionName="rehearsed", ZipFile=b"PK nothing", DryRun=True)


def test_an_alias_tells_its_weights(served: Gateway, aws: Any) -> None:
    served.deploy("weighed", ECHO, Publish=True)
    aws.update_function_code(
        FunctionName="weighed", ZipFile=zipped({"app.py": "def handler(e, c): return 2"}), Publish=True
    )
    weights = {"AdditionalVersionWeights": {"2": 0.1}}
    made = aws.create_alias(FunctionName="weighed", Name="live", FunctionVersion="1", RoutingConfig=weights)
    assert made["RoutingConfig"] == weights
    with pytest.raises(aws.exceptions.PreconditionFailedException):
        aws.update_alias(FunctionName="weighed", Name="live", RevisionId="another", RoutingConfig={})
    plain = aws.update_alias(FunctionName="weighed", Name="live", RevisionId=made["RevisionId"], RoutingConfig={})
    assert "RoutingConfig" not in plain


def test_lists_leave_out_what_lambda_leaves_out(served: Gateway, aws: Any) -> None:
    served.deploy("listed", ECHO)
    pages = aws.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 1})
    found = {each["FunctionName"]: each for page in pages for each in page["Functions"]}
    assert "listed" in found
    assert not {"State", "LastUpdateStatus", "RuntimeVersionConfig"} & found["listed"].keys()
    assert sorted(found) == list(found)
    whole = aws.get_function_configuration(FunctionName="listed")
    assert whole["RuntimeVersionConfig"]["RuntimeVersionArn"].startswith("arn:aws:lambda:us-east-1::runtime:")
    with pytest.raises(aws.exceptions.InvalidParameterValueException, match="Marker="):
        aws.list_functions(Marker="made up")


def test_the_code_that_was_deployed_can_be_fetched(served: Gateway, aws: Any) -> None:
    content = zipped({"app.py": ECHO, "large.bin": "x" * 3_000_000})
    aws.create_function(
        FunctionName="fetched", Runtime="python3.11", Role=ROLE, Handler="app.handler", Code={"ZipFile": content}
    )
    code = aws.get_function(FunctionName="fetched")["Code"]
    assert code["RepositoryType"] == "S3"
    with urllib.request.urlopen(code["Location"], timeout=60) as answer:
        assert answer.read() == content
    aws.delete_function(FunctionName="fetched")
    nowhere = served.url + "/_code/" + "0" * 64 + ".zip"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(nowhere, timeout=60)


def test_settings_are_kept_changed_and_given_back(served: Gateway, aws: Any) -> None:
    vpc = {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    logging = {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "SystemLogLevel": "WARN", "LogGroup": "/own/group"}
    more = {"TracingConfig": {"Mode": "Active"}, "VpcConfig": vpc, "LoggingConfig": logging}
    made = served.deploy("set", ECHO, EphemeralStorage={"Size": 600}, **more)
    assert {member: made[member] for member in more} == more
    changed = aws.update_function_configuration(FunctionName="set", LoggingConfig={"LogFormat": "Text"}, VpcConfig={})
    assert changed["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": "/own/group"}
    assert "VpcConfig" not in changed
    assert (changed["TracingConfig"], changed["EphemeralStorage"]) == ({"Mode": "Active"}, {"Size": 600})
    with pytest.raises(ClientError, match="ImageConfig is refused"):
        served.deploy("never", ECHO, ImageConfig={"Command": ["x"]})


def test_a_version_that_starts_from_a_snapshot_is_pending_until_it_is_made(served: Gateway, aws: Any) -> None:
    slow = "import time\ntime.sleep(1)\ndef handler(e, c): return 1"
    made = served.deploy("snapped", slow, SnapStart={"ApplyOn": "PublishedVersions"}, Publish=True)
    assert (made["State"], made["SnapStart"]["OptimizationStatus"]) == ("Pending", "On")
    aws.get_waiter("published_version_active").wait(FunctionName="snapped", Qualifier="1", WaiterConfig={"Delay": 1})
    assert aws.get_function_configuration(FunctionName="snapped:1")["State"] == "Active"
