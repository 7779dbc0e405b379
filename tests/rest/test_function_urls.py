"""Function URLs as their callers see them: real curl and real HTTP clients against a service with its gateway."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError
from callers import Url, make
from gateways import Gateway, gateway

APP = """
import base64, os

def handler(event, context):
    path = event["rawPath"]
    if path == "/echo":
        return event
    if path == "/env":
        return {"trace": os.environ["_X_AMZN_TRACE_ID"], "version": context.function_version}
    if path == "/made":
        return {"statusCode": 201, "headers": {"X-Made": "yes", "Content-Type": "text/plain"},
                "cookies": ["a=1; Path=/", "b=2"], "body": "made"}
    if path == "/picture":
        return {"statusCode": 200, "headers": {"content-type": "image/png"},
                "body": base64.b64encode(bytes(range(256))).decode(), "isBase64Encoded": True}
    if path == "/empty":
        return {"statusCode": 204, "body": "held back"}
    if path == "/text":
        return "as it is"
    if path == "/cors":
        return {"statusCode": 200, "headers": {"Access-Control-Allow-Origin": "*"}}
    if path == "/large":
        return {"statusCode": 200, "body": "x" * int(event["queryStringParameters"]["n"])}
    if path == "/malformed":
        return {"statusCode": "many"}
    raise ValueError(path)
"""


@pytest.fixture(scope="module")
def url(served: Gateway) -> Url:
    return make(served, "web", APP)


# --- what the function gets -------------------------------------------------------------------------------------------


def test_curl_reaches_a_function_by_its_url(url: Url) -> None:
    event = json.loads(url.curl("-X", "PATCH", "-H", "X-Tag: a", "-H", "X-Tag: b", "/echo?k=1&k=2%20&e"))
    assert (event["version"], event["rawPath"], event["rawQueryString"]) == ("2.0", "/echo", "k=1&k=2%20&e")
    assert event["queryStringParameters"] == {"k": "1,2 ", "e": ""}
    assert event["headers"]["x-tag"] == "a,b"
    context = event["requestContext"]
    assert re.fullmatch(r"[a-z0-9]{32}", context["apiId"])
    assert (context["accountId"], context["stage"], context["routeKey"]) == ("anonymous", "$default", "$default")
    assert context["domainName"] == f"{context['domainPrefix']}.lambda-url.us-east-1.localhost" == url.host
    assert context["http"]["method"] == "PATCH"
    assert context["http"]["sourceIp"] in ("127.0.0.1", "::1")
    assert context["http"]["userAgent"].startswith("curl/")
    assert event["headers"]["x-forwarded-port"] == str(url.port)
    assert "body" not in event


def test_bodies_cookies_and_escapes_come_through(url: Url) -> None:
    def body_of(content_type: str, sent: bytes) -> tuple[str, bool]:
        event = url.event(method="POST", body=sent, headers={"Content-Type": content_type})
        return event["body"], event["isBase64Encoded"]

    assert body_of("application/json", b'{"a": "\xc3\xa9"}') == ('{"a": "é"}', False)
    form = body_of("application/x-www-form-urlencoded", b"a=b")
    assert form == (base64.b64encode(b"a=b").decode(), True)
    assert base64.b64decode(body_of("image/png", bytes(range(256)))[0]) == bytes(range(256))
    event = url.event(headers={"Cookie": "a=1; b=2"})
    assert (event["cookies"], event["headers"]["cookie"]) == (["a=1", "b=2"], "a=1; b=2")
    answer, _ = url.ask("/caf%C3%A9%2Fx")
    assert answer.status == 502  # the handler knows no such path: it stays as it was sent
    assert url.event("/echo?p=%2Fa+b%26")["queryStringParameters"] == {"p": "/a b&"}


def test_a_chunked_request_is_read_whole(url: Url) -> None:
    async def ask() -> Any:
        async def parts() -> Any:
            for _ in range(50):
                yield b"x" * 1000

        async with aiohttp.ClientSession() as session:
            headers = {"Host": url.host, "Content-Type": "text/plain"}
            async with session.post(f"http://127.0.0.1:{url.port}/echo", data=parts(), headers=headers) as answer:
                return await answer.json()

    event = asyncio.run(ask())
    assert event["body"] == "x" * 50_000
    assert "transfer-encoding" not in event["headers"]


def test_the_trace_goes_from_the_caller_to_the_function_and_back(url: Url) -> None:
    trace = "Root=1-5e3f1a2b-0123456789abcdef01234567"
    answer, body = url.ask("/env", headers={"X-Amzn-Trace-Id": trace})
    assert json.loads(body)["trace"].startswith(trace)
    assert answer.getheader("x-amzn-trace-id") == trace
    event = url.event()
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}", event["headers"]["x-amzn-trace-id"])


def test_any_host_that_names_the_url_leads_to_it(url: Url) -> None:
    domain = url.host.upper().replace(".LOCALHOST", ".on.aws")
    context = url.event(headers={"Host": domain})["requestContext"]
    assert context["domainName"] == domain.lower()


# --- what its caller gets ---------------------------------------------------------------------------------------------


def test_status_headers_cookies_and_body_are_the_functions(url: Url) -> None:
    answer, body = url.ask("/made")
    assert (answer.status, body, answer.getheader("x-made")) == (201, b"made", "yes")
    assert answer.headers.get_all("set-cookie") == ["a=1; Path=/", "b=2"]
    assert (answer.getheader("content-type"), answer.getheader("content-length")) == ("text/plain", "4")
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.getheader("x-amzn-requestid") or "")


def test_binary_and_plain_text_arrive_as_they_are(url: Url) -> None:
    answer, body = url.ask("/picture")
    assert (answer.getheader("content-type"), body) == ("image/png", bytes(range(256)))
    answer, body = url.ask("/text")
    assert (answer.getheader("content-type"), body) == ("application/json", b"as it is")


def test_head_says_the_length_and_sends_nothing_and_204_has_neither(url: Url) -> None:
    assert "content-length: 4" in url.curl("--head", "/made").lower()
    answer, body = url.ask("/made", method="HEAD")
    assert (answer.status, answer.getheader("content-length"), body) == (201, "4", b"")
    answer, body = url.ask("/empty")
    assert (answer.status, answer.getheader("content-length"), body) == (204, None, b"")


@pytest.mark.parametrize("path", ["/raises", "/malformed"])
def test_a_failure_of_the_function_is_a_502_that_tells_nothing(url: Url, path: str) -> None:
    answer, body = url.ask(path)
    assert (answer.status, body) == (502, b"Internal Server Error")


def test_a_throttled_function_is_a_429(served: Gateway) -> None:
    url = make(served, "throttled", APP)

    async def stop() -> None:
        from engine import connect

        async with connect(served.socket) as client:
            await client.put_function_concurrency("throttled", 0)

    asyncio.run(stop())
    answer, body = url.ask("/made")
    assert (answer.status, answer.getheader("x-amzn-errortype")) == (429, "TooManyRequestsException")
    assert json.loads(body) == {"Message": "Rate Exceeded."}


def test_six_megabytes_go_in_and_out_and_one_more_byte_is_a_413(url: Url) -> None:
    plain = {"Content-Type": "text/plain"}
    size = 6_280_000
    assert len(url.event(method="POST", body=b"x" * size, headers=plain)["body"]) == size
    _, body = url.ask("/large?n=6000000")
    assert len(body) == 6_000_000
    answer, body = url.ask("/large?n=6291556")
    assert (answer.status, body) == (502, b"Internal Server Error")
    for headers in (plain, {"Content-Type": "application/octet-stream"}):
        answer, body = url.ask("/text", method="POST", body=b"x" * 6_291_457, headers=headers)
        assert (answer.status, list(json.loads(body))) == (413, ["Message"])
    answer, _ = url.ask("/text", method="POST", body=b"x" * 5_000_000)  # which base64 makes more than six
    assert answer.status == 413


def test_curl_waits_for_leave_to_send_a_large_body(url: Url, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"y" * 2_000_000)
    options = ("-H", "Content-Type: text/plain", "-H", "Expect: 100-continue", "--data-binary", f"@{tmp_path}/body")
    assert json.loads(url.curl(*options, "/echo"))["body"] == "y" * 2_000_000


def test_websocket_is_refused_and_other_upgrades_are_passed_over(url: Url) -> None:
    socket = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "eA==",
    }
    answer, _ = url.ask("/text", headers=socket)
    assert answer.status == 400
    answer, body = url.ask("/text", headers={"Connection": "Upgrade", "Upgrade": "h2c"})
    assert (answer.status, body) == (200, b"as it is")


def test_an_unknown_url_is_forbidden_and_never_lambdas_own_api(url: Url) -> None:
    for host in ("0" * 32 + ".lambda-url.us-east-1.localhost", url.host.replace("us-east-1", "eu-west-1")):
        answer, body = url.ask("/2015-03-31/functions", headers={"Host": host})
        assert (answer.status, body) == (403, b'{"Message":null}')
        assert answer.getheader("x-amzn-errortype") == "AccessDeniedException"
    answer, _ = url.ask("/2015-03-31/functions")
    assert answer.status == 502


# --- who may ----------------------------------------------------------------------------------------------------------


def test_a_url_with_iam_takes_signed_requests_only(served: Gateway) -> None:
    from botocore.auth import SigV4Auth, SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    url = make(served, "guarded", APP, AuthType="AWS_IAM")
    answer, body = url.ask("/echo")
    assert answer.status == 403
    assert json.loads(body)["Message"].startswith("Forbidden")
    request = AWSRequest("GET", f"{url.url}/echo")
    SigV4Auth(Credentials("AKIDEXAMPLE", "secret"), "lambda", "us-east-1").add_auth(request)
    event = url.event(headers=dict(request.headers))
    assert event["requestContext"]["accountId"] == "000000000000"
    assert event["requestContext"]["authorizer"]["iam"]["accessKey"] == "AKIDEXAMPLE"
    request = AWSRequest("GET", f"{url.url}/echo")
    SigV4QueryAuth(Credentials("AKIDQUERY", "secret"), "lambda", "us-east-1").add_auth(request)
    event = url.event(str(request.url).removeprefix(url.url))
    assert event["requestContext"]["authorizer"]["iam"]["accessKey"] == "AKIDQUERY"


def test_the_url_answers_browsers_questions_and_adds_its_headers(served: Gateway) -> None:
    cors = {
        "AllowOrigins": ["https://*.example.com"],
        "AllowMethods": ["GET", "PUT"],
        "AllowHeaders": ["X-In"],
        "ExposeHeaders": ["X-Made"],
        "AllowCredentials": True,
        "MaxAge": 60,
    }
    url = make(served, "shared", APP, Cors=cors)
    origin = "https://app.example.com"
    question = {"Origin": origin, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-in"}
    answer, body = url.ask("/raises", method="OPTIONS", headers=question)
    assert (answer.status, body) == (200, b"")
    told = {name.lower(): value for name, value in answer.getheaders() if name.lower().startswith("access-")}
    assert told == {
        "access-control-allow-origin": origin,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET,PUT",
        "access-control-allow-headers": "X-In",
        "access-control-max-age": "60",
    }
    answer, _ = url.ask("/made", headers={"Origin": origin})
    assert (answer.getheader("access-control-allow-origin"), answer.getheader("vary")) == (origin, "Origin")
    assert answer.getheader("access-control-expose-headers") == "X-Made"
    answer, _ = url.ask("/raises", headers={"Origin": origin})
    assert (answer.status, answer.getheader("access-control-allow-origin")) == (502, origin)
    answer, _ = url.ask("/made", headers={"Origin": "https://elsewhere.test"})
    assert (answer.status, answer.getheader("access-control-allow-origin")) == (201, None)
    answer, _ = url.ask("/cors", headers={"Origin": origin})
    assert answer.headers.get_all("access-control-allow-origin") == ["*", origin]
    served.boto3().update_function_url_config(FunctionName="shared", Cors={})
    answer, _ = url.ask("/raises", method="OPTIONS", headers=question)
    assert (answer.status, answer.getheader("vary")) == (502, None)


# --- configurations ---------------------------------------------------------------------------------------------------


def test_the_life_of_a_configuration(served: Gateway, aws: Any) -> None:
    served.deploy("lived", APP)
    made = aws.create_function_url_config(FunctionName="lived", AuthType="NONE")
    del made["ResponseMetadata"]
    assert re.fullmatch(
        rf"http://[a-z0-9]{{32}}\.lambda-url\.us-east-1\.localhost:{served.port}/", made.pop("FunctionUrl")
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", made.pop("CreationTime"))
    assert made == {"FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:lived", "AuthType": "NONE"}
    with pytest.raises(aws.exceptions.ResourceConflictException) as refused:
        aws.create_function_url_config(FunctionName="lived", AuthType="AWS_IAM")
    arn = "arn:aws:lambda:us-east-1:000000000000:function:lived"
    assert refused.value.response["Error"]["Message"] == (
        f"Failed to create function url config for [functionArn = {arn}]. Error message:  FunctionUrlConfig exists "
        "for this Lambda function"
    )
    first = aws.get_function_url_config(FunctionName="lived")
    cors = {"AllowOrigins": ["*"], "MaxAge": 5}
    changed = aws.update_function_url_config(FunctionName="lived", AuthType="AWS_IAM", Cors=cors)
    assert (changed["AuthType"], changed["Cors"]) == ("AWS_IAM", cors)
    assert (changed["FunctionUrl"], changed["CreationTime"]) == (first["FunctionUrl"], first["CreationTime"])
    same = aws.update_function_url_config(FunctionName="lived")
    assert (same["AuthType"], same["Cors"]) == ("AWS_IAM", cors)
    assert aws.list_function_url_configs(FunctionName="lived")["FunctionUrlConfigs"][0]["Cors"] == cors
    assert aws.delete_function_url_config(FunctionName="lived")["ResponseMetadata"]["HTTPStatusCode"] == 204
    answer, body = Url(first["FunctionUrl"]).ask("/echo")
    assert (answer.status, body) == (403, b'{"Message":null}')
    assert aws.create_function_url_config(FunctionName="lived", AuthType="NONE")["FunctionUrl"] == first["FunctionUrl"]
    assert Url(first["FunctionUrl"]).event()["rawPath"] == "/echo"


def test_an_alias_has_a_url_of_its_own_and_pages_are_whole(served: Gateway, aws: Any) -> None:
    served.deploy("aliased", APP, Publish=True)
    urls = {}
    for name in ("blue", "green", "red"):
        aws.create_alias(FunctionName="aliased", Name=name, FunctionVersion="1")
        made = aws.create_function_url_config(FunctionName="aliased", Qualifier=name, AuthType="NONE")
        assert made["FunctionArn"].endswith(f":function:aliased:{name}")
        urls[name] = made["FunctionUrl"]
    urls["$LATEST"] = aws.create_function_url_config(FunctionName="aliased", AuthType="NONE")["FunctionUrl"]
    assert len(set(urls.values())) == 4
    assert Url(urls["blue"]).event("/env")["version"] == "1"
    assert Url(urls["$LATEST"]).event("/env")["version"] == "$LATEST"
    pages = aws.get_paginator("list_function_url_configs").paginate(
        FunctionName="aliased", PaginationConfig={"PageSize": 3}
    )
    listed = [[each["FunctionUrl"] for each in page["FunctionUrlConfigs"]] for page in pages]
    assert [len(each) for each in listed] == [3, 1]
    assert {each for page in listed for each in page} == set(urls.values())
    aws.delete_alias(FunctionName="aliased", Name="red")
    answer, body = Url(urls["red"]).ask("/env")
    assert (answer.status, json.loads(body)) == (403, {"Message": None})  # it went with its alias
    assert aws.get_function_url_config(FunctionName="aliased:blue")["FunctionUrl"] == urls["blue"]


def test_a_url_goes_with_its_function(served: Gateway, aws: Any) -> None:
    url = make(served, "passing", APP)
    assert url.ask("/made")[0].status == 201
    aws.delete_function(FunctionName="passing")
    answer, body = url.ask("/made")
    assert (answer.status, body) == (403, b'{"Message":null}')
    served.deploy("passing", APP)
    assert url.ask("/made")[0].status == 403


def test_every_gateway_process_knows_of_a_change_at_once(tmp_path: Path) -> None:
    with gateway(tmp_path, "--http-workers", "2") as served:
        aws = served.boto3()
        url = make(served, "seen", APP)

        def statuses() -> set[int]:
            """By connections of their own, which the processes share among them."""
            return {url.ask("/made")[0].status for _ in range(20)}

        assert statuses() == {201}
        aws.update_function_url_config(FunctionName="seen", AuthType="AWS_IAM")
        assert statuses() == {403}
        aws.update_function_url_config(FunctionName="seen", AuthType="NONE")
        assert statuses() == {201}
        aws.delete_function_url_config(FunctionName="seen")
        assert statuses() == {403}
        aws.create_function_url_config(FunctionName="seen", AuthType="NONE")
        assert statuses() == {201}


@pytest.mark.parametrize(
    ("operation", "given", "code", "message"),
    [
        ("create", {"AuthType": "NONE"}, "ResourceNotFoundException", "Function does not exist"),
        ("update", {}, "ResourceNotFoundException", "Function does not exist"),
        ("get", {}, "ResourceNotFoundException", "The resource you requested does not exist."),
        ("delete", {}, "ResourceNotFoundException", "The resource you requested does not exist."),
        ("list", {}, "ResourceNotFoundException", "Function does not exist"),
        (
            "create",
            {"FunctionName": "web", "AuthType": "NONE", "Qualifier": "no"},
            "ResourceNotFoundException",
            "Function does",
        ),
        ("update", {"FunctionName": "bare"}, "ResourceNotFoundException", "The resource you requested does not exist."),
        (
            "create",
            {"AuthType": "NONE", "Qualifier": "$LATEST"},
            "ValidationException",
            "Value '$LATEST' at 'qualifier'",
        ),
        ("create", {"AuthType": "NONE", "Qualifier": "1"}, "ValidationException", "Value '1' at 'qualifier'"),
        ("get", {"Qualifier": "7"}, "ValidationException", "Value '7' at 'qualifier'"),
        ("create", {}, "ValidationException", "Value null at 'authType'"),
        ("create", {"AuthType": "SOME"}, "ValidationException", "Value 'SOME' at 'authType'"),
        ("create", {"AuthType": "NONE", "InvokeMode": "ODD"}, "ValidationException", "Value 'ODD' at 'invokeMode'"),
        ("create", {"AuthType": "NONE", "Cors": {"MaxAge": 86_401}}, "ValidationException", "at 'cors.maxAge'"),
        ("create", {"AuthType": "NONE", "Cors": {"AllowMethods": ["OPTIONS"]}}, "ValidationException", "allowMethods"),
        ("list", {"MaxItems": 51}, "ValidationException", "at 'maxItems'"),
    ],
)
def test_what_lambda_refuses_is_refused_in_its_words(
    served: Gateway, url: Url, aws: Any, operation: str, given: dict[str, Any], code: str, message: str
) -> None:
    if given.get("FunctionName") == "bare":
        served.deploy("bare", APP)
    call = getattr(aws, f"{operation}_function_url_config{'s' if operation == 'list' else ''}")
    with pytest.raises(ClientError) as refused:
        call(**{"FunctionName": "nobody", **given})
    assert refused.value.response["Error"]["Code"] == code
    assert message in refused.value.response["Error"]["Message"]
