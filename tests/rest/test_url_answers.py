"""From what a function gave back to the HTTP response, whole or as a stream with a prelude; who may call; CORS."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import errors
from engine.rest.urls.access import caller_of
from engine.rest.urls.answer import MalformedAnswerError, UrlAnswer, answer_of, forbidden, refusal, unknown
from engine.rest.urls.cors import allows, cors_headers, is_preflight, preflight_answer
from engine.rest.urls.event import Caller, UrlRequest
from engine.rest.urls.prelude import DELIMITER, PRELUDE_MAX_BYTES, PreludeReader

JSON = ("content-type", "application/json")


def answer(document: object) -> UrlAnswer:
    return answer_of(json.dumps(document).encode())


# --- without a statusCode ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        (b'{"hello": "world"}', b'{"hello":"world"}'),
        (b'["hello", 3, true]', b'["hello",3,true]'),
        (b'"hello"', b"hello"),
        (b'"caf\\u00e9"', "café".encode()),
        (b"3", b"3"),
        (b"3.10", b"3.10"),
        (b"true", b"true"),
        (b"null", b"null"),
        (b'{"a b": " c  d ", "n": 12345678901234567890123}', b'{"a b":" c  d ","n":12345678901234567890123}'),
        (b'{"headers": {"x": "y"}, "body": "b"}', b'{"headers":{"x":"y"},"body":"b"}'),
    ],
)
def test_any_json_is_the_body_of_a_200(payload: bytes, body: bytes) -> None:
    assert answer_of(payload) == UrlAnswer(200, (JSON,), body)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
).filter(lambda value: not (isinstance(value, str) or (isinstance(value, dict) and "statusCode" in value)))


@given(JSON_VALUES, st.sampled_from([None, 2]), st.booleans())
def test_leaving_out_spaces_changes_no_value(value: object, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    body = answer_of(text.encode("utf-8")).body
    assert json.loads(body) == value
    assert body.decode() == json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only)


# --- with one ---------------------------------------------------------------------------------------------------------


def test_status_headers_cookies_and_body_are_the_functions() -> None:
    made = answer(
        {
            "statusCode": 201,
            "headers": {"Content-Type": "text/plain", "X-Number": 7, "X-Flag": True, "X-None": None},
            "cookies": ["a=1; Secure", "b=2"],
            "body": "made",
        }
    )
    assert made == UrlAnswer(
        201,
        (
            ("content-type", "text/plain"),
            ("x-number", "7"),
            ("x-flag", "true"),
            ("set-cookie", "a=1; Secure"),
            ("set-cookie", "b=2"),
        ),
        b"made",
    )


def test_a_status_alone_is_a_whole_response_and_may_be_a_string() -> None:
    assert answer({"statusCode": "418"}) == UrlAnswer(418, (JSON,), b"")


def test_a_body_that_is_an_object_goes_as_json() -> None:
    assert answer({"statusCode": 200, "body": {"a": [1, None]}}).body == b'{"a":[1,null]}'


@given(st.binary())
def test_any_binary_body_comes_back(body: bytes) -> None:
    told = {"statusCode": 200, "body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    assert answer(told).body == body


@pytest.mark.parametrize("name", ["Connection", "Content-Length", "Date", "Transfer-Encoding", "WWW-Authenticate"])
def test_headers_that_are_the_fronts_own_get_another_name(name: str) -> None:
    made = answer({"statusCode": 200, "headers": {name: "x"}})
    assert (f"x-amzn-remapped-{name.lower()}", "x") in made.headers
    assert not any(each == name.lower() for each, _ in made.headers)


@pytest.mark.parametrize(
    "document",
    [
        {"statusCode": "many"},
        {"statusCode": None},
        {"statusCode": True},
        {"statusCode": 101},
        {"statusCode": 1000},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "headers": {"x": ["a", "b"]}},
        {"statusCode": 200, "headers": {"bad name": "a"}},
        {"statusCode": 200, "headers": {"x": "a\r\nset-cookie: stolen=1"}},
        {"statusCode": 200, "cookies": "a=1"},
        {"statusCode": 200, "cookies": ["a=1\n"]},
        {"statusCode": 200, "body": "not base64!", "isBase64Encoded": True},
    ],
)
def test_what_is_no_response_is_refused(document: object) -> None:
    with pytest.raises(MalformedAnswerError):
        answer(document)


@pytest.mark.parametrize("payload", [b"", b"hello", b"{", b"\xff"])
def test_what_is_no_json_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        answer_of(payload)


@given(
    st.binary(max_size=200) | JSON_VALUES.map(lambda value: json.dumps({"statusCode": 200, "headers": value}).encode())
)
def test_nothing_a_function_gives_breaks_the_conversion(payload: bytes) -> None:
    try:
        made = answer_of(payload)
    except MalformedAnswerError:
        return
    assert all("\r" not in value and "\n" not in value for _, value in made.headers)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (errors.TooManyRequestsException("Rate Exceeded."), 429, "Rate Exceeded."),
        (errors.RequestTooLargeException("too large"), 413, "too large"),
        (errors.RecursiveInvocationException("a loop"), 400, "a loop"),
        (errors.ConnectionLostError("gone"), 503, "Service Unavailable"),
    ],
)
def test_refusals_of_the_engine_have_lambdas_status(error: errors.EngineError, status: int, message: str) -> None:
    made = refusal(error)
    assert (made.status, json.loads(made.body)) == (status, {"Message": message})


def test_a_url_whose_function_or_alias_is_gone_is_forbidden() -> None:
    made = refusal(errors.ResourceNotFoundException("Function not found"))
    assert made == forbidden()
    assert json.loads(made.body)["Message"].startswith("Forbidden. ")
    assert ("x-amzn-errortype", "AccessDeniedException") in made.headers


def test_an_unknown_url_says_null() -> None:
    assert unknown() == UrlAnswer(403, (JSON, ("x-amzn-errortype", "AccessDeniedException")), b'{"Message":null}')


# --- the prelude of a stream ------------------------------------------------------------------------------------------


@given(st.binary(max_size=64), st.lists(st.integers(0, 200), max_size=6))
def test_a_prelude_is_found_in_any_pieces(body: bytes, cuts: list[int]) -> None:
    metadata = {"statusCode": 202, "headers": {"X-A": "b"}, "cookies": ["c=1"]}
    whole = json.dumps(metadata).encode() + DELIMITER + body
    edges = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    reader = PreludeReader()
    got = b"".join(reader.feed(whole[start:end]) for start, end in itertools.pairwise(edges))
    reader.end()
    status, headers = reader.head or (0, ())
    assert (status, got) == (202, body)
    assert headers == (("content-type", "application/octet-stream"), ("x-a", "b"), ("set-cookie", "c=1"))


@pytest.mark.parametrize("metadata", [b"{", b"[]", b'{"statusCode": "x"}', b'{"headers": {"a b": "c"}}'])
def test_metadata_that_is_none_is_refused(metadata: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        PreludeReader().feed(metadata + DELIMITER)


def test_metadata_without_an_end_is_refused_when_it_is_too_long_or_over() -> None:
    reader = PreludeReader()
    assert reader.feed(b"{" + b" " * 100) == b""
    with pytest.raises(MalformedAnswerError, match="ended before"):
        reader.end()
    with pytest.raises(MalformedAnswerError, match="more than"):
        reader.feed(b" " * PRELUDE_MAX_BYTES)


# --- signatures -------------------------------------------------------------------------------------------------------


def signed(authorization: str | None = None, query: str = "") -> Caller | None:
    headers = () if authorization is None else (("authorization", authorization),)
    return caller_of(UrlRequest("GET", "/", query, headers), "111122223333")


def test_a_signature_in_a_header_or_in_the_query_names_its_key() -> None:
    scope = "AKIDEXAMPLE/20250102/us-east-1/lambda/aws4_request"
    header = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature=0123abcd"
    query = f"a=b&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={scope.replace('/', '%2F')}&X-Amz-Signature=0123"
    assert (
        signed(header)
        == signed(header.replace(", ", ","))
        == signed(query=query)
        == Caller("111122223333", "AKIDEXAMPLE")
    )


@pytest.mark.parametrize(
    ("authorization", "query"),
    [
        (None, ""),
        ("", ""),
        ("Bearer token", ""),
        ("AWS4-HMAC-SHA256", ""),
        ("AWS4-HMAC-SHA256 Credential=A/b, SignedHeaders=host", ""),
        ("AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00", ""),
        (None, "X-Amz-Signature=00"),
        (None, "X-Amz-Signature=&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2Fb"),
    ],
)
def test_anything_less_is_no_signature(authorization: str | None, query: str) -> None:
    assert signed(authorization, query) is None


# --- CORS -------------------------------------------------------------------------------------------------------------

ORIGINS: list[tuple[list[str] | None, bool]] = [
    (None, False),
    ([], False),
    (["*"], True),
    (["https://app.example.com"], True),
    (["HTTPS://APP.example.com"], True),
    (["https://other.example.com", "https://app.example.com"], True),
    (["https://*.example.com"], True),
    (["https://*"], True),
    (["http://*"], False),
    (["https://app.example.com:8443"], False),
    (["https://app.example.co"], False),
    (["https://appxexample.com"], False),
]


def asked(method: str = "GET", origin: str | None = "https://app.example.com", **headers: str) -> UrlRequest:
    held = {} if origin is None else {"origin": origin}
    held |= {name.replace("_", "-"): value for name, value in headers.items()}
    return UrlRequest(method, "/", "", tuple(held.items()))


def preflight(**headers: str) -> UrlRequest:
    return asked("OPTIONS", access_control_request_method="PUT", **headers)


@pytest.mark.parametrize(("origins", "allowed"), ORIGINS)
def test_the_matrix_of_cors(origins: list[str] | None, allowed: bool) -> None:
    choices: dict[str, list[Any]] = {
        "AllowCredentials": [None, False, True],
        "ExposeHeaders": [None, [], ["X-Made"], ["X-Made", "Date"], ["*"]],
        "AllowMethods": [None, [], ["GET", "PUT"], ["*"]],
        "AllowHeaders": [None, ["X-In", "Content-Type"], ["*"]],
        "MaxAge": [None, 0, 300],
    }
    for chosen in itertools.product(*choices.values()):
        settings = {"AllowOrigins": origins, **dict(zip(choices, chosen, strict=True))}
        cors = {name: value for name, value in settings.items() if value is not None}
        of_any, of_preflight = expected_headers(settings, allowed)
        assert dict(cors_headers(cors, asked())) == of_any, settings
        made = preflight_answer(cors, preflight(access_control_request_headers="x-in"))
        assert (made.status, made.body) == (200, b"")
        assert dict(made.headers) == {"content-type": "application/json", **of_preflight}, settings


def expected_headers(settings: dict[str, Any], allowed: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Those of any answer, and those of an answer to a question about PUT with X-In, as the documentation has them."""
    held = {"vary": "Origin"}
    if not allowed:
        return held, held
    held["access-control-allow-origin"] = "https://app.example.com"
    if settings["AllowCredentials"]:
        held["access-control-allow-credentials"] = "true"
    exposed, methods, names = settings["ExposeHeaders"], settings["AllowMethods"], settings["AllowHeaders"]
    asked_for = {
        "access-control-allow-methods": methods and ("PUT" if methods == ["*"] else "GET,PUT"),
        "access-control-allow-headers": names and ("x-in" if names == ["*"] else "X-In,Content-Type"),
        "access-control-max-age": None if settings["MaxAge"] is None else str(settings["MaxAge"]),
    }
    of_any = {**held, **({"access-control-expose-headers": ",".join(exposed)} if exposed else {})}
    return of_any, {**held, **{name: value for name, value in asked_for.items() if value}}


def test_who_does_not_say_an_origin_is_given_only_what_caches_need() -> None:
    assert cors_headers({"AllowOrigins": ["*"]}, asked(origin=None)) == (("vary", "Origin"),)


def test_only_a_browsers_question_is_a_preflight() -> None:
    assert is_preflight(preflight())
    assert not is_preflight(asked("OPTIONS"))
    assert not is_preflight(asked("PUT", access_control_request_method="PUT"))
    assert not is_preflight(asked("OPTIONS", None, access_control_request_method="PUT"))


@given(st.text(max_size=40))
def test_a_star_allows_every_origin_and_a_plain_one_only_itself(origin: str) -> None:
    assert allows(["*"], origin)
    assert allows(["https://a.example"], origin) == (origin.lower() == "https://a.example")
