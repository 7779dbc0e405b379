"""F5: values by their shapes, between what a protocol's parser gives and what handlers take, and back."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from .contract import Unreadable

DEPTH_MAX: Final = 16
BITS: Final = {"integer": 32, "long": 64}
Scalar: TypeAlias = Callable[[str, Any], Any]  # from a shape's type and a parsed value; raises ValueError, TypeError
Time: TypeAlias = Callable[[datetime], Any]


def read(shape: Any, value: Any, scalar: Scalar, name: str = "body", depth: int = 0) -> Any:
    """A parsed value as its shape has it. What the shape does not know is passed over. Raises Unreadable."""
    if depth > DEPTH_MAX:
        raise Unreadable(f"{name} lies more than {DEPTH_MAX} deep")
    kind = shape.type_name
    if kind == "structure":
        held = _expect(value, dict, kind, name)
        given = ((key, each, held.get(each.serialization.get("name", key))) for key, each in shape.members.items())
        return {key: read(each, said, scalar, key, depth + 1) for key, each, said in given if said is not None}
    if kind == "list":
        return [read(shape.member, each, scalar, name, depth + 1) for each in _expect(value, list, kind, name)]
    if kind == "map":
        held = _expect(value, dict, kind, name)
        return {str(key): read(shape.value, each, scalar, name, depth + 1) for key, each in held.items()}
    try:
        return scalar(kind, value)
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise _unfit(value, kind, name) from error


def _expect(value: Any, kind: type, said: str, name: str) -> Any:
    if not isinstance(value, kind):
        raise _unfit(value, said, name)
    return value


def _unfit(value: Any, kind: str, name: str) -> Unreadable:
    return Unreadable(f"{name} is to be a {kind}, not {str(value)[:100]!r}")


def typed_scalar(kind: str, value: Any) -> Any:
    """Of a parser that knows numbers from text: JSON's and CBOR's."""
    if kind in ("integer", "long"):
        return _sized(kind, _whole(value))
    if kind in ("double", "float"):
        return float(_number(value))
    if kind == "boolean":
        return value if isinstance(value, bool) else _fail()
    if kind == "timestamp":
        return moment(value)
    if kind == "blob":
        return value if isinstance(value, bytes) else base64.b64decode(value, validate=True)
    return value if isinstance(value, str) else _fail()


def text_scalar(kind: str, value: Any) -> Any:
    """Of a parser that knows text alone: the query protocol's."""
    if not isinstance(value, str):
        return _fail()
    if kind in ("integer", "long"):
        return _sized(kind, int(value))
    if kind in ("double", "float"):
        return float(value)
    if kind == "boolean":
        return {"true": True, "false": False}[value.lower()] if value.lower() in ("true", "false") else _fail()
    if kind == "timestamp":
        return moment(value)
    if kind == "blob":
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise ValueError(value) from error
    return value


def moment(value: object) -> datetime:
    """A time as any of the protocols says it: seconds since 1970, ISO 8601, or a datetime already. In UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        try:
            return datetime.fromtimestamp(float(value), UTC)
        except ValueError:
            return moment(datetime.fromisoformat(value))
    raise TypeError(value)


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else _fail()


def _whole(value: Any) -> int:
    number = _number(value)
    return int(number) if float(number).is_integer() else _fail()


def _sized(kind: str, number: int) -> int:
    most = 1 << BITS[kind] - 1
    return number if -most <= number < most else _fail()


def _fail() -> Any:
    raise ValueError("of another type")


def plain(shape: Any, value: Any, time: Time) -> Any:
    """A result as JSON and CBOR say it. A member that the shape does not have is a mistake of ours: KeyError."""
    kind = shape.type_name
    if kind == "structure":
        return plain_members(shape, value, time)
    if kind == "list":
        return [plain(shape.member, each, time) for each in value]
    if kind == "map":
        return {key: plain(shape.value, each, time) for key, each in value.items()}
    if kind == "timestamp":
        return time(moment(value))
    return float(value) if kind in ("double", "float") else value


def plain_members(shape: Any, values: Mapping[str, Any], time: Time) -> dict[str, Any]:
    """A structure's members by what they are called on the wire."""
    return {
        shape.members[name].serialization.get("name", name): plain(shape.members[name], each, time)
        for name, each in values.items()
        if each is not None
    }
