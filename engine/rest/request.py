"""F5: from an HTTP request to an operation's parameters, by its input shape; what breaks the shape is refused.

Parsing undoes what botocore's serializer does. Messages of refusals are those that the service gives for its model.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from ..errors import InvalidParameterValueException, InvalidRequestContentException, ValidationException
from .patterns import compiled

DEPTH_MAX: Final = 32
OPEN_ENUMS: Final = ("Runtime",)  # the service answers for itself which it runs
SHOWN_MAX: Final = 1_024
TRUE: Final = {"true": True, "false": False}


class ParameterReader:
    """Reads the parameters of one operation. `shape`: its input shape, or None."""

    def __init__(self, shape: Any) -> None:
        self._shape = shape
        self._payload = None if shape is None else shape.serialization.get("payload")

    def read(
        self, labels: Mapping[str, str], query: Mapping[str, list[str]], headers: Mapping[str, str], body: bytes
    ) -> dict[str, Any]:
        """Parameters by member name, checked. `headers` by lower-case name.

        Raises ValidationException, InvalidRequestContentException, InvalidParameterValueException.
        """
        if self._shape is None:
            return {}
        given: dict[str, Any] = {}
        document = self._document(body)
        for name, member in self._shape.members.items():
            value = self._value(name, member, labels, query, headers, document, body)
            if value is not None:
                given[name] = value
        told = validation_errors(self._shape, given)
        if told is not None:
            raise ValidationException(told)
        return given

    def _document(self, body: bytes) -> Mapping[str, Any]:
        """The JSON object that members without a place of their own are in."""
        if self._payload is not None or not body or all(map(_has_place, self._shape.members.values())):
            return {}
        document = _json(body)
        if not isinstance(document, dict):
            raise InvalidRequestContentException("Could not parse request body into json: it is no object")
        return document

    def _value(
        self,
        name: str,
        member: Any,
        labels: Mapping[str, str],
        query: Mapping[str, list[str]],
        headers: Mapping[str, str],
        document: Mapping[str, Any],
        body: bytes,
    ) -> Any:
        if name == self._payload:
            return body if member.type_name == "blob" else _read(member, _json(body or b"{}"), name)
        said = member.serialization.get("name", name)
        place = member.serialization.get("location")
        if place == "uri":
            return _from_text(member, labels.get(said), name)
        if place == "header":
            return _from_text(member, headers.get(said.lower()), name)
        if place == "querystring":
            values = query.get(said)
            if values is not None and member.type_name == "list":
                return [_from_text(member.member, value, name) for value in values]
            return _from_text(member, None if values is None else values[0], name)
        return _read(member, document.get(said), name)


def validation_errors(shape: Any, given: Mapping[str, Any]) -> str | None:
    """What of these parameters breaks their shape, in the words of the service; None where nothing does."""
    problems = list(_problems(shape, given, ""))
    if not problems:
        return None
    told = "1 validation error" if len(problems) == 1 else f"{len(problems)} validation errors"
    return f"{told} detected: {'; '.join(problems)}"


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestContentException(f"Could not parse request body into json: {error}") from error


def _has_place(member: Any) -> bool:
    return "location" in member.serialization


def _from_text(shape: Any, text: str | None, name: str) -> Any:
    if text is None:
        return None
    try:
        if shape.type_name in ("integer", "long"):
            return _bounded(shape, int(text), name)
        if shape.type_name == "boolean":
            return TRUE[text.lower()]
        if shape.type_name == "timestamp":
            return _time(text)
    except (ValueError, KeyError, OverflowError, OSError) as error:
        raise InvalidParameterValueException(f"{name}={_shown(text)!r} is no {shape.type_name}") from error
    return text


def _read(shape: Any, value: Any, name: str, depth: int = 0) -> Any:
    """A JSON value as its shape has it; null is as if it were not there."""
    if value is None:
        return None
    if depth > DEPTH_MAX:
        raise InvalidRequestContentException(f"{name} lies more than {DEPTH_MAX} deep")
    kind = shape.type_name
    if kind == "structure":
        held = _expect(value, dict, shape, name)
        members = ((key, each, held.get(each.serialization.get("name", key))) for key, each in shape.members.items())
        read = ((key, _read(each, said, f"{name}.{key}", depth + 1)) for key, each, said in members)
        return {key: each for key, each in read if each is not None}
    if kind == "list":
        return [_read(shape.member, each, f"{name}.member", depth + 1) for each in _expect(value, list, shape, name)]
    if kind == "map":
        held = _expect(value, dict, shape, name)
        return {key: _read(shape.value, each, f"{name}.{_shown(key)}", depth + 1) for key, each in held.items()}
    return _read_scalar(shape, value, name)


def _read_scalar(shape: Any, value: Any, name: str) -> Any:
    kind = shape.type_name
    if kind in ("integer", "long"):
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        return _bounded(shape, _expect(whole, int, shape, name), name)
    if kind in ("double", "float"):
        return float(_expect(value, (int, float), shape, name))
    if kind == "boolean":
        if not isinstance(value, bool):
            raise _unreadable(shape, name, value)
        return value
    if kind == "timestamp":
        try:
            return _time(value)
        except (ValueError, OverflowError, OSError) as error:
            raise _unreadable(shape, name, value) from error
    if kind == "blob":
        try:
            return base64.b64decode(_expect(value, str, shape, name), validate=True)
        except ValueError as error:
            raise _unreadable(shape, name, value) from error
    return _expect(value, str, shape, name)


def _bounded(shape: Any, number: int, name: str) -> int:
    """What fits the model's type: its ranges are checked later, and not all numbers have one."""
    bits = 31 if shape.type_name == "integer" else 63
    if -(1 << bits) <= number < 1 << bits:
        return number
    raise _unreadable(shape, name, number)


def _expect(value: Any, kind: Any, shape: Any, name: str) -> Any:
    if isinstance(value, kind) and not isinstance(value, bool):
        return value
    raise _unreadable(shape, name, value)


def _unreadable(shape: Any, name: str, value: Any) -> InvalidRequestContentException:
    told = f"Could not parse request body into json: {name} is to be a {shape.type_name}, not {_shown(value)!r}"
    return InvalidRequestContentException(told)


def _time(value: object) -> datetime:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    raise ValueError(value)


# --- what the model asks of values ------------------------------------------------------------------------------------


def _problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    """Everything that breaks the model, in the words of the service."""
    kind = shape.type_name
    if value is None:  # within a list or a map: elsewhere it is as if it were not there
        yield _violation("null", path, "Member must not be null", quoted=False)
        return
    if kind == "structure":
        for name in shape.required_members:
            if name not in value:
                yield _violation("null", _at(path, name), "Member must not be null", quoted=False)
        for name, each in value.items():
            yield from _problems(shape.members[name], each, _at(path, name))
    elif kind == "list":
        yield from _length_problems(shape, value, path)
        for number, each in enumerate(value, 1):
            yield from _problems(shape.member, each, f"{path}.{number}.member")
    elif kind == "map":
        yield from _length_problems(shape, value, path)
        for key, each in value.items():
            yield from _problems(shape.key, key, path)
            yield from _problems(shape.value, each, f"{path}.{_shown(key)}.member")
    elif kind == "string":
        yield from _text_problems(shape, value, path)
    elif kind in ("integer", "long", "double", "float"):
        yield from _range_problems(shape, value, path)
    elif kind == "blob":
        yield from _length_problems(shape, value, path, shown="java.nio.HeapByteBuffer")


def _text_problems(shape: Any, text: str, path: str) -> Iterator[str]:
    if shape.enum and text not in shape.enum and shape.name not in OPEN_ENUMS:
        yield _violation(text, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    pattern = shape.metadata.get("pattern")
    checked = None if pattern is None else compiled(pattern)
    if checked is not None and not checked.fullmatch(text):
        yield _violation(text, path, f"Member must satisfy regular expression pattern: {pattern}")
    yield from _length_problems(shape, text, path)


def _length_problems(shape: Any, value: Any, path: str, shown: str | None = None) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    told = shown or (value if isinstance(value, str) else f"{value}")
    if least is not None and len(value) < least:
        yield _violation(told, path, f"Member must have length greater than or equal to {least}")
    if most is not None and len(value) > most:
        yield _violation(told, path, f"Member must have length less than or equal to {most}")


def _range_problems(shape: Any, value: float, path: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and value < least:
        yield _violation(value, path, f"Member must have value greater than or equal to {least}")
    if most is not None and value > most:
        yield _violation(value, path, f"Member must have value less than or equal to {most}")


def _violation(value: object, path: str, constraint: str, *, quoted: bool = True) -> str:
    told = f"'{_shown(value)}'" if quoted else str(value)
    return f"Value {told} at '{path}' failed to satisfy constraint: {constraint}"


def _at(path: str, name: str) -> str:
    """The service names members with a small first letter."""
    told = name[:1].lower() + name[1:]
    return f"{path}.{told}" if path else told


def _shown(value: object) -> str:
    text = str(value).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "…"
