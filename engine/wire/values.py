"""F1: return values and errors of the engine as maps of plain values, and back. Bytes and sockets are elsewhere.

A map has the value's field names as keys. Decimals travel as strings; paths of the serving host do not travel. Reading
passes over keys it does not know and takes the defaults of those that are missing, so either side may be newer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from .. import errors
from .._ext.result import InvokeResult
from ..model import FunctionConfiguration, LayerVersion

T = TypeVar("T")
RESULT_FIELDS = (
    "payload", "status_code", "function_error", "executed_version", "request_id", "start", "duration_ms", "init_ms",
    "queued_ms", "billed_ms", "memory_mb", "max_memory_mb", "log_tail", "outcome",
)  # fmt: skip
PLAIN = (str, int, float, bytes, NoneType)


def as_map(value: object) -> Any:
    """A return value of `Engine` as what MessagePack can say; None, which is "nothing", as the empty map.

    Sequences become lists of maps: their wrapping (`{"functions": [...]}`) is the protocol's. Raises TypeError.
    """
    return {} if value is None else _plain(value)


def from_map(kind: type[T], values: Mapping[str, Any]) -> T:
    """A frozen value of `kind` out of its map. Raises TypeError, ValueError or KeyError for what is no such map."""
    if kind is InvokeResult:
        return InvokeResult.from_map(values)  # type: ignore[return-value]
    key: Any = kind
    return kind(**{name: read(values[name]) for name, read in _readers(key).items() if name in values}, **_local(key))


def error_as_map(error: BaseException) -> dict[str, str]:
    """An error as the protocol tells it. What the engine did not raise on purpose is a ServiceException."""
    if not isinstance(error, errors.EngineError):
        return {"type": "ServiceException", "message": f"{type(error).__name__}: {error}"}
    told = {"type": getattr(error, "type", type(error).__name__), "message": getattr(error, "message", str(error))}
    reason = getattr(error, "reason", None)
    return told if reason is None else {**told, "reason": reason}


def error_from_map(told: object) -> errors.EngineError:
    """The exception that an error map stands for: its class in `errors`, or RemoteError with its type."""
    if not isinstance(told, Mapping):
        return errors.RemoteError(str(told), type="")
    name, message, reason = str(told.get("type", "")), str(told.get("message", "")), told.get("reason")
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, errors.EngineError)) or kind is errors.RemoteError:
        return errors.RemoteError(message, type=name, reason=reason)
    return kind(message, reason=reason) if issubclass(kind, errors.LambdaError) else kind(message)


def _plain(value: object) -> Any:
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, InvokeResult):
        return {name: getattr(value, name) for name in RESULT_FIELDS}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Decimal):
        return str(value)
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"a {type(value).__name__} does not travel: {value!r}")
    told = {name: _plain(getattr(value, name)) for name in _readers(type(value))}
    if isinstance(value, FunctionConfiguration):
        told["function_arn"] = value.function_arn
    if isinstance(value, LayerVersion):
        told |= {"layer_arn": value.layer_arn, "layer_version_arn": value.layer_version_arn}
    return told


@cache
def _readers(kind: type) -> dict[str, Callable[[Any], Any]]:
    """How each field that travels is read."""
    hints = get_type_hints(kind)
    return {each.name: _reader(hints[each.name]) for each in _fields(kind) if hints[each.name] is not Path}


@cache
def _local(kind: type) -> dict[str, Any]:
    """Fields that must be given and do not travel: a client has no path to the serving host's files."""
    hints = get_type_hints(kind)
    return {
        each.name: Path()
        for each in _fields(kind)
        if hints[each.name] is Path and each.default is MISSING and each.default_factory is MISSING
    }


def _fields(kind: Any) -> tuple[Field[Any], ...]:
    return fields(kind)


def _reader(hint: Any) -> Callable[[Any], Any]:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        (some,) = (each for each in inner if each is not NoneType)
        read_some = _reader(some)
        return lambda given: None if given is None else read_some(given)
    if origin in (tuple, list):
        read_each = _reader(inner[0])
        return lambda given: origin(map(read_each, given))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return lambda given: MappingProxyType(dict(given))
    if is_dataclass(hint):
        return lambda given: from_map(hint, given)  # type: ignore[arg-type]
    return Decimal if hint is Decimal else lambda given: given
