"""The JSON codec gives, for any value and any input, what AWS's Python runtime client gives."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import math
import os
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import pytest
import simplejson
from awslambdaric.lambda_runtime_exception import FaultException
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.runtimes.bootstraps.python import marshal as codec_module
from engine.runtimes.bootstraps.python.faults import Fault
from engine.runtimes.bootstraps.python.marshal import ASCII_ONLY_RUNTIMES, codec, plain_codec

RUNTIMES = ["python3.9", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14"]


def marshaller_of(runtime: str) -> LambdaMarshaller:
    with mock.patch.dict(os.environ, {"AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}"}):
        return LambdaMarshaller()


ORACLES = {True: marshaller_of("python3.11"), False: marshaller_of("python3.13")}
CODECS = {True: codec(True), False: codec(False)}
PLAIN_CODECS = {True: plain_codec(True), False: plain_codec(False)}  # where simplejson has no compiled parts


def oracle_marshal(value: object, ensure_ascii: bool) -> object:
    try:
        text, _ = ORACLES[ensure_ascii].marshal_response(value)
    except FaultException as fault:
        return fault.exception_type, fault.msg
    return text if isinstance(text, bytes) else text.encode()


def own_marshal(value: object, ensure_ascii: bool) -> object:
    """What both codecs make of it."""
    told = told_by(CODECS[ensure_ascii][1], value)
    assert told_by(PLAIN_CODECS[ensure_ascii][1], value) == told
    return told


def told_by(marshal: Callable[[Any], bytes], value: object) -> object:
    try:
        return marshal(value)
    except Fault as fault:
        return fault.error_type, fault.message


def oracle_unmarshal(body: bytes) -> object:
    try:
        return repr(ORACLES[True].unmarshal_request(body))
    except FaultException as fault:
        return fault.exception_type, fault.msg


def own_unmarshal(body: bytes) -> object:
    """What both codecs make of it."""
    told = read_by(CODECS[True][0], body)
    assert read_by(PLAIN_CODECS[True][0], body) == told
    return told


def read_by(unmarshal: Callable[[bytes], object], body: bytes) -> object:
    try:
        return repr(unmarshal(body))
    except Fault as fault:
        return fault.error_type, fault.message


class Colour(enum.Enum):
    RED = 1


class Number(enum.IntEnum):
    ONE = 1


class Name(enum.StrEnum):
    A = "a\u00e4"


class Point(NamedTuple):
    x: int
    y: object


class AsDict:
    def _asdict(self) -> dict[str, int]:
        return {"made": 1}


class AsNoDict:
    def _asdict(self) -> list[int]:
        return [1]


class AsDictFails:
    def _asdict(self) -> dict[str, int]:
        raise ValueError("by hand")


class ForJson:
    def for_json(self) -> int:
        return 1


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "never this"


class Whole(int):
    def __str__(self) -> str:
        return "never this"


class Real(float):
    def __repr__(self) -> str:
        return "never this"


class Amount(decimal.Decimal):
    pass


@dataclasses.dataclass
class Record:
    a: int = 1


def circle() -> list[object]:
    items: list[object] = [1]
    items.append({"again": items})
    return items


ODD_VALUES: list[Any] = [
    *(None, True, 0, -1, 2**70, 1.0, -0.0, 1e300, 5e-324, math.nan, math.inf, -math.inf, "", "\u00e4\u2028\U0001f600"),
    *("\x00\x1f\x7f\"\\/<>&'", b"", b"raw", b"\xff", bytearray(b"x"), memoryview(b"x"), Text("a\u00e4"), Whole(3)),
    *(Real(2.5), Real("nan"), Colour.RED, Number.ONE, Name.A, Point(1, (2, [3])), AsDict(), AsNoDict(), AsDictFails()),
    *(ForJson(), Record(), object(), int, len, iter([1]), (x for x in [1]), range(3), {1, 2}, frozenset("a"), 1j),
    *(datetime.datetime(2026, 1, 1), datetime.date(2026, 1, 1), simplejson.RawJSON("{ raw }"), ValueError("x")),
    *(decimal.Decimal(text) for text in ("1", "1.10", "1E+2", "-0", "NaN", "-NaN", "sNaN", "Infinity", "-Infinity")),
    *(Amount("2.50"), collections.OrderedDict(b=1, a=2), collections.Counter("aab"), collections.deque([1])),
    *(collections.UserDict(a=1), collections.ChainMap({"a": 1}), collections.defaultdict(list, a=[1])),
    *(
        {1: "a", 1.5: "b", None: "c", "e": "f"},
        {True: 1, False: 0},
        {b"k": 1},
        {b"\xff": 1},
        {(1, 2): 3},
        {Number.ONE: 1},
    ),
    *({decimal.Decimal("1.5"): 1}, {math.nan: 1}, {Text("k"): 1}, {Colour.RED: 1}, {Whole(2): 1}, {Real(2.5): 1}),
    *(circle(), {"deep": [{"er": {1, 2}}]}, [b"bytes", {"b": b"\xc3\xa4"}], [b"\xff"], ((),), [[]], {}, (), [{}]),
    *({"a": 1, Text("a"): 2}, {"same": "same", "also": ["same", {"same": "same"}]}),
]
for _depth in (10, 100):
    _nested: Any = 1
    for _ in range(_depth):
        _nested = [_nested] if _depth == 10 else {"n": (_nested,)}
    ODD_VALUES.append(_nested)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_characters_beyond_ascii_are_escaped_by_the_same_runtimes(runtime: str) -> None:
    text, _ = marshaller_of(runtime).marshal_response({"\u00e4": "\U0001f600"})
    _, marshal = codec(runtime in ASCII_ONLY_RUNTIMES)
    assert marshal({"\u00e4": "\U0001f600"}) == text.encode()


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_an_odd_value_is_written_or_refused_as_by_awss_client(ensure_ascii: bool) -> None:
    for value in ODD_VALUES:
        if not isinstance(value, Iterator):
            assert own_marshal(value, ensure_ascii) == oracle_marshal(value, ensure_ascii), repr(value)[:200]
        assert own_marshal([value], ensure_ascii) == oracle_marshal([value], ensure_ascii), repr(value)[:200]
        assert own_marshal({"k": value}, ensure_ascii) == oracle_marshal({"k": value}, ensure_ascii), repr(value)[:200]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.decimals() | st.sampled_from(ODD_VALUES[:60])
)
KEYS = TEXTS | st.integers() | st.floats() | st.none() | st.booleans() | st.binary(max_size=3)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(KEYS, inner)
        | st.tuples(inner, inner)
        | st.builds(Point, st.integers(), inner)
    ),
    max_leaves=20,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=VALUES, ensure_ascii=st.booleans())
def test_any_value_is_written_or_refused_as_by_awss_client(value: object, ensure_ascii: bool) -> None:
    assert own_marshal(value, ensure_ascii) == oracle_marshal(value, ensure_ascii)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=JSON, indent=st.none() | st.integers(0, 2), ensure_ascii=st.booleans(), pad=st.text(" \t\r\n", max_size=2))
def test_any_json_is_read_as_by_awss_client(value: object, indent: int | None, ensure_ascii: bool, pad: str) -> None:
    text = simplejson.dumps(value, indent=indent, ensure_ascii=ensure_ascii)
    body = (pad + text + pad).encode("utf-8", "surrogatepass")
    assert own_unmarshal(body) == oracle_unmarshal(body)


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    body=st.binary() | st.text(alphabet='{}[]",:0123456789.eE+-truefalsn \\u\ufeff\u00ef\u00bb\u00bf').map(str.encode)
)
def test_any_bytes_are_read_or_refused_as_by_awss_client(body: bytes) -> None:
    assert own_unmarshal(body) == oracle_unmarshal(body)


def test_damaged_json_is_refused_as_by_awss_client() -> None:
    chance = random.Random(20260101)
    whole = b'\xef\xbb\xbf {"key": ["v\\u00e4", 1.5e-3, -12, true, false, null, {"\xc3\xa4": ""}], "k": {}} \r\n'
    for _ in range(3000):
        body = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(body))
            put = bytes(chance.choices(b'{}[]",:\\0eE-. \xff', k=chance.randint(0, 2)))
            body[place : place + chance.randint(0, 2)] = put
        assert own_unmarshal(bytes(body)) == oracle_unmarshal(bytes(body)), bytes(body)


ODD_INPUTS = [
    *(b"", b" ", b"{", b"[1,]", b'{"a":1,}', b"NaN", b"[Infinity]", b"-Infinity", b"1 2", b"{} x", b'"\x01"', b"01"),
    *(b"\xff", b'"\xed\xa0\x80"', b'"\\ud800"', b'"\\ud83d\\ude00"', b'{"a":1,"a":2}', b"\xef\xbb\xbf{}", b"1e999"),
    *("\u00ef\u00bb\u00bf{}".encode(), b"\xef\xbb\xbf\xef\xbb\xbf1", b"{'a': 1}", b"9" * 5000, b"-", b"nul", b"1."),
    *(b"[" * 100 + b"]" * 100, b'{"a":' * 50 + b"1" + b"}" * 50, b"\x00", b"{}\x00", b"\x0b1", "\u00a01".encode()),
]


@pytest.mark.parametrize("body", ODD_INPUTS)
def test_an_odd_input_is_read_or_refused_as_by_awss_client(body: bytes) -> None:
    assert own_unmarshal(body) == oracle_unmarshal(body)


@pytest.mark.parametrize("codecs", [CODECS, PLAIN_CODECS])
@pytest.mark.parametrize("kind", ["list", "dict"])
def test_depth_beyond_the_stack_is_refused_both_ways(kind: str, codecs: dict[bool, Any]) -> None:
    opening, closing = (b"[", b"]") if kind == "list" else (b'{"a":', b"}")
    with pytest.raises(Fault, match="Unable to unmarshal input: maximum recursion depth exceeded"):
        codecs[True][0](opening * 100_000 + b"1" + closing * 100_000)
    nested: Any = 1
    for _ in range(50_000):
        nested = [nested] if kind == "list" else {"a": nested}
    with pytest.raises(Fault, match="Unable to marshal response: maximum recursion depth exceeded"):
        codecs[True][1](nested)


def test_a_set_is_refused_in_lambdas_words() -> None:
    with pytest.raises(Fault) as caught:
        CODECS[True][1]({"a": {1}})
    assert caught.value.error_type == "Runtime.MarshalError"
    assert caught.value.message == "Unable to marshal response: Object of type set is not JSON serializable"


def test_a_lone_surrogate_that_cannot_be_utf8_is_a_marshal_error() -> None:
    # AWS's client fails outside its own error handling here and the process ends.
    with pytest.raises(Fault, match="Unable to marshal response: 'utf-8' codec can't encode"):
        CODECS[False][1]({"a": "\ud800"})
    assert CODECS[True][1]("\ud800") == b'"\\ud800"'


def test_a_failed_answer_leaves_nothing_behind_for_the_next() -> None:
    _, marshal = codec(True)
    shared: list[object] = [1]
    for bad in ({"x": shared, "y": {1}}, circle(), [shared, object()]):
        with pytest.raises(Fault):
            marshal(bad)
    assert marshal({"x": shared, "y": [shared]}) == b'{"x": [1], "y": [[1]]}'


def test_the_codec_keeps_no_value_alive() -> None:
    import weakref

    class Kept(dict[str, int]):
        pass

    _, marshal = codec(True)
    value = Kept(a=1)
    gone = weakref.ref(value)
    marshal([value])
    with pytest.raises(Fault):
        marshal([value, object()])
    del value
    assert gone() is None


@pytest.fixture
def without_compiled_parts() -> Iterator[None]:
    simplejson._toggle_speedups(False)
    yield
    simplejson._toggle_speedups(True)


@pytest.mark.usefixtures("without_compiled_parts")
def test_without_simplejsons_compiled_parts_the_answers_are_the_same() -> None:
    unmarshal, marshal = codec(True)
    assert unmarshal(b' {"a": [1, 2.5, "\xc3\xa4"]} ') == {"a": [1, 2.5, "\u00e4"]}
    with pytest.raises(Fault, match="Unable to unmarshal input: Expecting value"):
        unmarshal(b"[NaN]")
    for value in ODD_VALUES:
        if not isinstance(value, Iterator):
            assert told_by(marshal, value) == oracle_marshal(value, True), repr(value)[:200]


def test_the_compiled_encoder_is_used_where_there_is_one() -> None:
    assert codec_module._compiled_encode(True, {}, {}) is not None
    assert codec_module._compiled_encode(False, {}, {}) is not None


@pytest.mark.parametrize("failing", [TypeError("takes 21 arguments"), None])
def test_a_changed_compiled_constructor_is_not_used(monkeypatch: pytest.MonkeyPatch, failing: Exception | None) -> None:
    def changed(*_arguments: object) -> Callable[..., list[str]]:
        if failing is not None:
            raise failing
        return lambda value, level: ["something else"]

    monkeypatch.setattr(codec_module._encoder, "c_make_encoder", changed)
    assert codec_module._compiled_encode(True, {}, {}) is None
