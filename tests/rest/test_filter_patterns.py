"""CloudWatch Logs' filter patterns: AWS's own examples, and properties."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.rest.filter_patterns import PatternError, compiled
from engine.rest.filter_patterns.compare import is_like
from engine.rest.filter_patterns.fields import split_fields

ACCESS = '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'
TRAIL = json.dumps(
    {
        "eventType": "UpdateTrail",
        "sourceIPAddress": "111.111.111.111",
        "arrayKey": ["value", "another value"],
        "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
        "SomeObject": None,
        "ThisFlag": True,
        "errorCode": "Client.UnauthorizedOperation",
        "user": {"id": 1, "email": "John.Doe@example.com"},
        "latency": 12.5,
        "a key": {"x.y": "in brackets"},
    }
)


def matches(pattern: str, message: str) -> bool:
    match = compiled(pattern)
    return True if match is None else match(message)


@pytest.mark.parametrize(
    ("pattern", "message", "found"),
    [
        ("", "anything", True),
        (' "" ', "anything", True),
        ("ERROR", "[ERROR 400] BAD REQUEST", True),
        ("ERROR", "[error 400] BAD REQUEST", False),
        ("ERROR ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS", True),
        ("ERROR ARGUMENTS", "[ERROR 401] UNAUTHORIZED", False),
        ("?ERROR ?ARGUMENTS", "INVALID ARGUMENTS", True),
        ("?ERROR ?ARGUMENTS", "fine", False),
        ("?ERROR -fine", "good", True),  # beside other terms a question mark counts for nothing
        ('"INTERNAL SERVER ERROR"', "[ERROR 500] INTERNAL SERVER ERROR", True),
        ('"SERVER INTERNAL"', "[ERROR 500] INTERNAL SERVER ERROR", False),
        ("ERROR -ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS", False),
        ('ERROR -"MISSING ARG"', "[ERROR 401] UNAUTHORIZED", True),
        (r'"a \"b\" \\"', 'x a "b" \\ y', True),
        ("%colou?r%", "the color of it", True),
        (r"%[0-9]{3}\s5xx$%", "code 404 5xx", True),
        (r"%\x28x\x29%", "f(x)", True),
        ("%gray|grey%", "a grey day", True),
        ("%^ERROR%", "no ERROR", False),
    ],
)
def test_terms(pattern: str, message: str, found: bool) -> None:
    assert matches(pattern, message) is found


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("[ip, id, user, timestamp, request, status_code, bytes]", True),
        ("[ip, id, user, timestamp, request, status_code]", False),
        ("[ip, id, user, timestamp, request = *.html*, status_code = 4*, bytes > 1000]", True),
        ("[ip, id, user, timestamp, request, status_code = 404 || status_code = 410, bytes]", True),
        ("[ip, id, user, timestamp, request, status_code = 4* && status_code != 404, bytes]", False),
        ("[..., status_code = 4*, bytes]", True),
        ("[..., bytes >= 1534]", True),
        ("[..., bytes < 1534]", False),
        ("[ip = 127.0.0.1, ..., bytes]", True),
        (r"[ip = %127\.0\.0\.[1-9]%, ...]", True),
        ('[ip, id, user = "frank", ...]', True),
        ("[ip, id, user != frank, ...]", False),
        ("[w1 = ERROR, ...]", False),
        ("[, , user = frank, ...]", True),
        ("[(ip = 1* || ip = 2*) && ip != *.2, ...]", True),
        ("[ip, id, user > 3, ...]", False),
    ],
)
def test_fields(pattern: str, found: bool) -> None:
    assert matches(pattern, ACCESS) is found


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ('{ $.eventType = "UpdateTrail" }', True),
        ('{$.eventType="updateTrail"}', False),
        ("{ $.sourceIPAddress != 123.123.* }", True),
        ("{ $.sourceIPAddress = 111.111.* }", True),
        ('{ $.arrayKey[0] = "value" }', True),
        ('{ $.arrayKey[2] = "value" }', False),
        ('{ $.arrayKey[*] = "another*" }', True),
        ("{ $.objectList[1].id = 2 }", True),
        ("{ $.objectList[*].id > 2 }", False),
        ("{ $.SomeObject IS NULL }", True),
        ("{ $.eventType IS NULL }", False),
        ("{ $.SomeOtherObject NOT EXISTS }", True),
        ("{ $.SomeObject NOT EXISTS }", False),
        ("{ $.SomeObject EXISTS }", True),
        ("{ $.ThisFlag IS TRUE }", True),
        ("{ $.ThisFlag IS FALSE }", False),
        ("{ $.ThisFlag = true }", True),
        ('{ $.errorCode = "*UnauthorizedOperation" }', True),
        ('{ ($.user.id = 1) && ($.user.email = "John.Doe@example.com") }', True),
        ('{ $.user.id = 2 && $.none = 1 || $.eventType = "Update*" }', True),
        ('{ $.user.id = 2 && ($.none = 1 || $.eventType = "Update*") }', False),
        ("{ $.latency >= 12.5 && $.latency < 1.3e1 }", True),
        ("{ $.latency != 12.5 }", False),
        ("{ $.missing != 1 }", False),
        ('{ $.latency = "12.5" }', False),
        ("{ $.latency = 12* }", True),
        ("{ $.errorCode = %^Client\\.Un% }", True),
        ("{ $['a key'].['x.y'] = \"in brackets\" }", True),
        ('{ $["a key"]["x.y"] = "out*" }', False),
    ],
)
def test_json(pattern: str, found: bool) -> None:
    assert matches(pattern, TRAIL) is found


@pytest.mark.parametrize("message", ["no json", "{ broken", '"text"', "12", ""])
def test_what_is_no_json_matches_no_pattern_of_it(message: str) -> None:
    assert not matches("{ $.a NOT EXISTS }", message)


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("foo-bar", "Invalid character(s) in term 'foo-bar'"),
        ("a@b", "Invalid character(s) in term 'a@b'"),
        ('"open', "Invalid character(s) in term"),
        ("%(a)%", "Invalid character(s) in term '%(a)%'"),
        ("%[%", "Invalid regular expression"),
        ("%open", "Invalid character(s) in term"),
        ("{ $.x = 1", "If a filter pattern starts with '{' it must end with '}'"),
        ("[a, b", "If a filter pattern starts with '[' it must end with ']'"),
        ("{ x = 1 }", "Invalid character(s) in term"),
        ("{ $.x }", "Invalid character(s) in term"),
        ("{ $.x = }", "Invalid character(s) in term"),
        ("{ $.x = 1 } }", "Invalid character(s) in term"),
        ("{ $.x > abc }", "> compares numbers"),
        ("{ $.x[a] = 1 }", "Invalid character(s) in term"),
        ("{ $.x IS x }", "Invalid character(s) in term"),
        ("{ $.x NOT x }", "Invalid character(s) in term"),
        ("{" + "(" * 500 + "$.x=1" + ")" * 500 + "}", "more than 32 parentheses"),
        ("[..., a, ...]", "an ellipsis can stand once"),
        ("[a = 1 && b = 2]", "one field has the names a, b"),
        ("[a > b]", "> compares numbers"),
        ("[a = %x%, b = %x%, c = %x%]", "more than 2 regular expressions"),
        ("[(a = 1]", "Invalid character(s) in term"),
    ],
)
def test_what_is_no_pattern_is_refused_with_the_reason(pattern: str, told: str) -> None:
    with pytest.raises(PatternError, match=re.escape(told)):
        compiled(pattern)


@given(st.text(max_size=60))
def test_any_text_is_a_pattern_or_refused(pattern: str) -> None:
    try:
        match = compiled(pattern)
    except PatternError:
        return
    assert match is None or match("some message") in (True, False)


@given(st.text("{}[]$.,=!<>|&()\"%*? -?ab01ISNULOTEX\\'", max_size=40), st.sampled_from(["{%s}", "[%s]", "%s"]))
def test_nothing_made_of_a_patterns_own_characters_breaks_it(text: str, around: str) -> None:
    try:
        match = compiled(around % text)
    except PatternError:
        return
    for message in (ACCESS, TRAIL, ""):
        assert match is None or match(message) in (True, False)


@given(st.text("ab*", max_size=8), st.text("ab", max_size=8))
def test_a_star_stands_for_any_text(pattern: str, text: str) -> None:
    oracle = re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), text) is not None
    assert is_like(pattern, text) is oracle


values = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text("abc*", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from("abc"), values, max_size=3), st.integers(-999, 999))
def test_numbers_compare_as_numbers_do(document: dict[str, object], number: int) -> None:
    message = json.dumps(document)
    value = document.get("a")
    is_number = isinstance(value, int) and not isinstance(value, bool)
    for operator, holds in (("<", "__lt__"), (">", "__gt__"), ("<=", "__le__"), (">=", "__ge__"), ("=", "__eq__")):
        expected = is_number and getattr(value, holds)(number)
        assert matches(f"{{ $.a {operator} {number} }}", message) is expected
    assert matches("{ $.a NOT EXISTS }", message) is ("a" not in document)


@given(st.lists(st.text("abc0.", min_size=1, max_size=5), max_size=8), st.integers(0, 8))
def test_an_ellipsis_stands_for_any_number_of_fields(words: list[str], count: int) -> None:
    message = " ".join(words)
    assert split_fields(message) == words
    names = [f"w{number}" for number in range(count)]
    assert matches(f"[{', '.join([*names, '...'])}]", message) is (len(words) >= count)
    assert matches(f"[{', '.join(['...', *names])}]", message) is (len(words) >= count)
    assert matches(f"[{', '.join(names) or ' '}]", message) is (len(words) == max(1, count))


def test_no_pattern_takes_longer_than_in_proportion() -> None:
    """Backtracking would not end within the age of the universe here; the limit is the test's own patience."""
    began = time.monotonic()
    assert not matches("%" + "a*" * 200 + "b%", "a" * 200_000)
    assert not matches(f"[x = {'*a' * 200}b]", "a" * 200_000)
    assert time.monotonic() - began < 60
