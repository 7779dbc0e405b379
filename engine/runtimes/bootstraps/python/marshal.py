"""JSON in and out exactly as AWS's Python runtime client reads and writes it: through simplejson.

The hot path calls simplejson's compiled scanner and encoder directly and keeps them between invocations; building an
encoder per answer, as `simplejson.JSONEncoder.encode` does, costs as much as using it. A codec is for one thread and
is not re-entrant: its encoder keeps the set of open containers, which finds circular references.

Another Python than the engine's has simplejson without its compiled parts. There the standard library's take what both
treat alike, which is nearly everything, and simplejson's plain code the rest.
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
    return _unmarshaller(simplejson.JSONDecoder().scan_once), _marshaller(ensure_ascii)


def plain_codec(ensure_ascii: bool) -> tuple[Unmarshal, Marshal]:
    """The same without simplejson's compiled parts."""
    import json  # a function on the engine's own Python shall not find it loaded

    decoder: Any = json.JSONDecoder(parse_constant=_refuse)
    return _unmarshaller(decoder.scan_once), _marshaller(ensure_ascii, plain=True)


def has_compiled_parts() -> bool:
    """Whether `codec` is the fast one on this Python."""
    return getattr(_encoder, "c_make_encoder", None) is not None


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


def _refuse(constant: str) -> object:
    raise ValueError(constant)


def _unmarshaller(scan: Callable[[str, int], tuple[object, int]]) -> Unmarshal:
    decode = simplejson.JSONDecoder().decode

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


def _marshaller(ensure_ascii: bool, plain: bool = False) -> Marshal:
    encode_string: Callable[[str], str] = (_plain_string_encoder if plain else _string_encoder)(ensure_ascii)
    open_containers: dict[int, object] = {}
    key_memo: dict[object, object] = {}
    compiled = None if plain else _compiled_encode(ensure_ascii, open_containers, key_memo)
    encode = compiled or _plain_encode(ensure_ascii)

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


def _plain_string_encoder(ensure_ascii: bool) -> Callable[[str], str]:
    from json import encoder

    chosen: Callable[[str], str]
    chosen = encoder.encode_basestring_ascii if ensure_ascii else encoder.encode_basestring
    return chosen


def _default(value: object) -> object:
    """What simplejson asks for every value that it does not know."""
    if isinstance(value, decimal.Decimal):
        return math.nan if value.is_nan() else simplejson.RawJSON(str(value))
    raise TypeError(f"Object of type {value.__class__.__name__} is not JSON serializable")


def _json_encoder(ensure_ascii: bool) -> simplejson.JSONEncoder:
    return simplejson.JSONEncoder(ensure_ascii=ensure_ascii, allow_nan=True, use_decimal=False, default=_default)


def _plain_encode(ensure_ascii: bool) -> Encode:
    """Values of built-in types alone are the same to both; named tuples, Decimals, bytes and the like are simplejson's.

    `marshal.dumps` takes nothing but exact built-in types, and tells so at a compiled speed.
    """
    import json
    from marshal import dumps

    of_built_ins, of_any = json.JSONEncoder(ensure_ascii=ensure_ascii).encode, _json_encoder(ensure_ascii)

    def encode(value: Any, _level: int) -> Iterable[str]:
        try:
            dumps(value)
            return (of_built_ins(value),)
        except (ValueError, TypeError, RecursionError):
            return of_any.iterencode(value)

    return encode


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
