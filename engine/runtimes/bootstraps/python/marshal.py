"""JSON in and out exactly as AWS's Python runtime client reads and writes it: through simplejson.

The hot path calls simplejson's compiled scanner and encoder directly and keeps them between invocations; building an
encoder per answer, as `simplejson.JSONEncoder.encode` does, costs as much as using it. A codec is for one thread and
is not re-entrant: its encoder keeps the set of open containers, which finds circular references.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable, Iterable

import simplejson
from simplejson import encoder as _encoder

from .faults import Fault, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Unmarshal = Callable[[bytes], object]
    Marshal = Callable[[object], bytes]
    Encode = Callable[[Any, int], Iterable[str]]

# From python3.12 on, Lambda writes characters beyond ASCII as they are.
ASCII_ONLY_RUNTIMES = frozenset({"python3.8", "python3.9", "python3.10", "python3.11"})
_PROBE: object = {"k": [1, -1.5, None, True, (), {}, math.nan, decimal.Decimal("1.10"), b"b"], "": "\x00"}
_PROBE_TEXT = r'{"k": [1, -1.5, null, true, [], {}, NaN, 1.10, "b"], "": "\u0000"}'


def codec(ensure_ascii: bool) -> tuple[Unmarshal, Marshal]:
    """`(unmarshal, marshal)` for one function.

    unmarshal: UTF-8 JSON to a value; raises Fault `Runtime.UnmarshalError`. Like Lambda it refuses NaN and Infinity.
    marshal: a value to UTF-8 JSON, `bytes` unchanged; raises Fault `Runtime.MarshalError`. NaN and Infinity are
    written as such, a Decimal as its own digits, a named tuple as an object, bytes within a value as UTF-8 text.
    """
    return _unmarshaller(), _marshaller(ensure_ascii)


def chunk(value: object) -> bytes:
    """What a handler yields, as it is sent: bytes as they are, text as UTF-8. Raises Fault `Runtime.MarshalError`."""
    if isinstance(value, bytes):
        return bytes(value)
    try:
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, (bytearray, memoryview)):
            return bytes(value)
    except Exception as error:
        raise Fault("Runtime.MarshalError", f"Unable to marshal response: {text_of(error)}") from error
    kind = value.__class__.__name__
    raise Fault("Runtime.MarshalError", f"Unable to marshal response: a chunk is bytes or str, not {kind}")


def _unmarshaller() -> Unmarshal:
    decoder = simplejson.JSONDecoder()
    scan, decode = decoder.scan_once, decoder.decode

    def unmarshal(body: bytes) -> object:
        try:
            text = body.decode()
            value, end = scan(text, 0)
            if end == len(text):
                return value
        except Exception:  # noqa: BLE001, S110  # the full decoder below says what is wrong, if anything is
            pass
        try:
            return decode(body.decode())  # white space and byte-order marks around the value, and errors
        except Exception as error:
            raise Fault("Runtime.UnmarshalError", f"Unable to unmarshal input: {text_of(error)}") from error

    return unmarshal


def _marshaller(ensure_ascii: bool) -> Marshal:
    encode_string: Callable[[str], str] = _string_encoder(ensure_ascii)
    open_containers: dict[int, object] = {}
    key_memo: dict[object, object] = {}
    encode = _compiled_encode(ensure_ascii, open_containers, key_memo) or _plain_encode(ensure_ascii)

    def marshal(value: object) -> bytes:
        if isinstance(value, bytes):
            return value
        try:
            if isinstance(value, str):
                return encode_string(value).encode()
            return "".join(encode(value, 0)).encode()
        except Exception as error:
            open_containers.clear()
            raise Fault("Runtime.MarshalError", f"Unable to marshal response: {text_of(error)}") from error
        finally:
            key_memo.clear()

    return marshal


def _string_encoder(ensure_ascii: bool) -> Callable[[str], str]:
    chosen: Callable[[str], str]
    chosen = _encoder.encode_basestring_ascii if ensure_ascii else _encoder.encode_basestring
    return chosen


def _default(value: object) -> object:
    """What simplejson asks for every value that it does not know."""
    if isinstance(value, decimal.Decimal):
        return math.nan if value.is_nan() else simplejson.RawJSON(str(value))
    raise TypeError(f"Object of type {value.__class__.__name__} is not JSON serializable")


def _json_encoder(ensure_ascii: bool) -> simplejson.JSONEncoder:
    return simplejson.JSONEncoder(ensure_ascii=ensure_ascii, allow_nan=True, use_decimal=False, default=_default)


def _plain_encode(ensure_ascii: bool) -> Encode:
    json_encoder = _json_encoder(ensure_ascii)
    return lambda value, _level: json_encoder.iterencode(value)


def _compiled_encode(ensure_ascii: bool, markers: dict[int, object], key_memo: dict[object, object]) -> Encode | None:
    """simplejson's C encoder, or None when it is missing or a later release wants other arguments."""
    make = getattr(_encoder, "c_make_encoder", None)
    if make is None:
        return None
    o = _json_encoder(ensure_ascii)
    try:
        encode: Encode = make(
            markers, _default, _string_encoder(ensure_ascii), o.indent, o.key_separator, o.item_separator, o.sort_keys,
            o.skipkeys, o.allow_nan, key_memo, o.use_decimal, o.namedtuple_as_object, o.tuple_as_array,
            o.int_as_string_bitcount, o.item_sort_key, o.encoding, o.for_json, o.ignore_nan, decimal.Decimal,
            o.iterable_as_array,
        )  # fmt: skip
        agrees = "".join(encode(_PROBE, 0)) == _PROBE_TEXT
    except Exception:  # noqa: BLE001  # a private constructor may change; the public encoder is then used
        return None
    return encode if agrees else None
