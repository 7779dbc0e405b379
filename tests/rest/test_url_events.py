"""What a function gets for an HTTP request: payload format 2.0, as AWS documents it and people recorded it."""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.rest.urls.address import UrlHost, function_url, host_of, url_id
from engine.rest.urls.event import Caller, UrlRequest, event_of, new_trace_id, query_parameters

HOST = UrlHost(
    "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6", "eu-west-1", "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6.lambda-url.eu-west-1.localhost"
)
TRACE = "Root=1-5e3f1a2b-0123456789abcdef01234567"
NOW_MS = 1_735_787_045_678  # 2025-01-02T03:04:05.678Z


def event(**fields: Any) -> dict[str, Any]:
    caller = fields.pop("caller", None)
    given = {"method": "GET", "path": "/", "query": "", "headers": (), "source_ip": "198.51.100.7", "port": 3001}
    request = UrlRequest(**{**given, **fields})
    made = event_of(request, HOST, request_id="the-request", trace_id=TRACE, now_ms=NOW_MS, caller=caller)
    return dict(json.loads(json.dumps(made)))


def test_a_whole_event_has_every_member_in_the_documented_shape() -> None:
    assert event(
        method="POST",
        path="/pets/caf%C3%A9",
        query="kind=cat&kind=dog&name=Mr%20Tom&flag",
        headers=(
            ("host", HOST.domain),
            ("accept", "*/*"),
            ("x-tag", "one"),
            ("x-tag", "two"),
            ("cookie", "first=1; second=2"),
            ("user-agent", "tests/1"),
            ("content-type", "text/plain"),
            ("content-length", "5"),
            ("connection", "keep-alive, x-private"),
            ("x-private", "of this connection"),
        ),
        body=b"Hello",
    ) == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/pets/caf%C3%A9",
        "rawQueryString": "kind=cat&kind=dog&name=Mr%20Tom&flag",
        "cookies": ["first=1", "second=2"],
        "headers": {
            "host": HOST.domain,
            "accept": "*/*",
            "x-tag": "one,two",
            "cookie": "first=1; second=2",
            "user-agent": "tests/1",
            "content-type": "text/plain",
            "content-length": "5",
            "x-amzn-trace-id": TRACE,
            "x-forwarded-for": "198.51.100.7",
            "x-forwarded-port": "3001",
            "x-forwarded-proto": "http",
        },
        "queryStringParameters": {"kind": "cat,dog", "name": "Mr Tom", "flag": ""},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": HOST.url_id,
            "domainName": HOST.domain,
            "domainPrefix": HOST.url_id,
            "http": {
                "method": "POST",
                "path": "/pets/caf%C3%A9",
                "protocol": "HTTP/1.1",
                "sourceIp": "198.51.100.7",
                "userAgent": "tests/1",
            },
            "requestId": "the-request",
            "routeKey": "$default",
            "stage": "$default",
            "time": "02/Jan/2025:03:04:05 +0000",
            "timeEpoch": NOW_MS,
        },
        "body": "Hello",
        "isBase64Encoded": False,
    }


def test_what_a_request_does_not_have_is_no_member() -> None:
    assert set(event()) == {
        *("version", "routeKey", "rawPath", "rawQueryString", "headers", "requestContext", "isBase64Encoded")
    }


def test_a_signed_request_names_its_key_and_the_account() -> None:
    context = event(caller=Caller("123456789012", "AKIDEXAMPLE"))["requestContext"]
    assert context["accountId"] == "123456789012"
    assert context["authorizer"]["iam"] == {
        "accessKey": "AKIDEXAMPLE",
        "accountId": "123456789012",
        "callerId": "123456789012",
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": "arn:aws:iam::123456789012:root",
        "userId": "123456789012",
    }


def test_addresses_of_proxies_before_are_kept() -> None:
    assert (
        event(headers=(("x-forwarded-for", "203.0.113.9"),))["headers"]["x-forwarded-for"]
        == "203.0.113.9, 198.51.100.7"
    )


@pytest.mark.parametrize(
    ("content_type", "encoded"),
    [
        ("text/plain", False),
        ("text/html; charset=utf-8", False),
        ("TEXT/CSV", False),
        ("application/json", False),
        ("application/json; charset=utf-8", False),
        ("application/javascript", False),
        ("application/xml", False),
        ("application/x-www-form-urlencoded", True),
        ("multipart/form-data; boundary=x", True),
        ("application/octet-stream", True),
        ("image/png", True),
        (None, True),
    ],
)
def test_the_content_type_says_whether_a_body_is_base64(content_type: str | None, encoded: bool) -> None:
    made = event(method="POST", body=b"a=b", headers=() if content_type is None else (("content-type", content_type),))
    assert made["isBase64Encoded"] is encoded
    assert made["body"] == (base64.b64encode(b"a=b").decode() if encoded else "a=b")


def test_text_that_is_no_utf_8_keeps_its_bytes() -> None:
    made = event(method="POST", body=b"\xff\xfe", headers=(("content-type", "text/plain"),))
    assert (made["isBase64Encoded"], base64.b64decode(made["body"])) == (True, b"\xff\xfe")


@given(st.binary(), st.sampled_from(["text/plain", "application/json", "application/octet-stream", None]))
def test_any_body_comes_back(body: bytes, content_type: str | None) -> None:
    made = event(method="PUT", body=body, headers=() if content_type is None else (("content-type", content_type),))
    told = made.get("body", "")
    assert (base64.b64decode(told, validate=True) if made["isBase64Encoded"] else told.encode()) == body


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.tuples(TEXT, TEXT), max_size=12))
def test_any_query_comes_back_with_repeated_names_joined(pairs: list[tuple[str, str]]) -> None:
    expected: dict[str, list[str]] = {}
    for name, value in pairs:
        expected.setdefault(name, []).append(value)
    joined = {name: ",".join(values) for name, values in expected.items()}
    assert query_parameters(urlencode(pairs)) == joined
    assert query_parameters("&".join(f"{quote(name)}={quote_plus(value)}" for name, value in pairs)) == joined


NAMES = st.from_regex(r"x-[a-z0-9-]{1,12}", fullmatch=True).filter(lambda name: not name.startswith("x-forwarded"))
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=30)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=12))
def test_any_header_comes_back_with_repeated_names_joined(headers: list[tuple[str, str]]) -> None:
    made = event(headers=tuple(headers))["headers"]
    for name, _ in headers:
        assert made[name] == ",".join(value for each, value in headers if each == name)


@given(st.lists(st.from_regex(r"[a-zA-Z_]{1,8}=[!#-+\--:<-\[\]-~]{0,20}", fullmatch=True), max_size=8), st.booleans())
def test_any_cookies_come_back_one_by_one(cookies: list[str], one_line: bool) -> None:
    lines = ["; ".join(cookies)] if one_line else cookies
    made = event(headers=tuple(("cookie", line) for line in lines if line))
    assert made.get("cookies", []) == cookies


def test_a_query_of_very_many_parameters_is_bounded_and_its_text_is_whole() -> None:
    query = "&".join(f"k{number}=1" for number in range(10_000))
    made = event(query=query)
    assert (len(made["queryStringParameters"]), made["rawQueryString"]) == (4_096, query)


def test_a_new_trace_id_has_the_form_of_x_ray() -> None:
    assert re.fullmatch(r"Root=1-67760225-[0-9a-f]{24}", new_trace_id(NOW_MS))


def test_an_id_is_of_its_function_and_alias_alone() -> None:
    arns = [f"arn:aws:lambda:us-east-1:000000000000:function:{name}" for name in ("hello", "hello:live", "other")]
    ids = [url_id(arn) for arn in arns]
    assert ids == [url_id(arn) for arn in arns]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"[a-z0-9]{32}", each) for each in ids)


@pytest.mark.parametrize("rest", ["localhost", "localhost:3001", "on.aws", "example.com:80", "internal.example:65535"])
def test_any_host_that_names_an_id_and_a_region_is_a_url(rest: str) -> None:
    found = host_of(f"ABC.Lambda-Url.us-east-1.{rest}")
    assert found == UrlHost("abc", "us-east-1", f"abc.lambda-url.us-east-1.{rest.partition(':')[0]}")


@pytest.mark.parametrize(
    "host", ["localhost:3001", "lambda-url.us-east-1.localhost", "a.b.lambda-url.x.localhost", "", "[::1]"]
)
def test_other_hosts_are_no_urls(host: str) -> None:
    assert host_of(host) is None


def test_a_url_leads_back_to_its_id() -> None:
    made = url_id("arn:aws:lambda:us-east-1:000000000000:function:hello")
    url = function_url(made, "us-east-1", 3001)
    assert url == f"http://{made}.lambda-url.us-east-1.localhost:3001/"
    found = host_of(url.removeprefix("http://").rstrip("/"))
    assert found is not None
    assert (found.url_id, found.region) == (made, "us-east-1")
