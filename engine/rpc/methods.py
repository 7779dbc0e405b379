"""F5: what the protocol's methods do, all but `invoke`: from parameters to a call on the engine to a plain value.

Arguments have the names of `engine.Engine`'s own, and are checked against its signatures; code travels as bytes or as
an upload of the same connection, never as a path: a client must not have this host's files read.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

import msgpack

from ..app import Engine
from ..errors import InvalidParameterValueException, ProtocolError
from ..wire.values import as_map
from .uploads import Uploads

# Methods by what their answer is called: a list is wrapped, a map is the answer itself.
METHODS: Final[Mapping[str, str | None]] = {
    "create_function": None,
    "update_function_code": None,
    "update_function_configuration": None,
    "delete_function": None,
    "get_function": None,
    "list_functions": "functions",
    "list_versions": "versions",
    "publish_version": None,
    "create_alias": None,
    "update_alias": None,
    "delete_alias": None,
    "get_alias": None,
    "list_aliases": "aliases",
    "put_function_concurrency": None,
    "delete_function_concurrency": None,
    "get_function_concurrency": "reserved",
    "logs": "events",
    "stats": None,
    "bill": None,
    "doctor": "limits",
}
UPLOAD: Final = "upload_id"
NAMES_SHOWN: Final = ", ".join(sorted({*METHODS, "authenticate", "invoke", "ping", "upload"}))


def parameters(packed: bytes) -> list[Any]:
    """The parameters of a request. Raises InvalidParameterValueException for what is no array, or not MessagePack."""
    try:
        given = msgpack.unpackb(packed, raw=False, strict_map_key=True)
    except (ValueError, msgpack.UnpackException) as error:
        raise InvalidParameterValueException(f"the parameters cannot be read: {error}") from error
    if not isinstance(given, list):
        raise InvalidParameterValueException(f"parameters are an array, not {_kind(given)}")
    return given


async def call(engine: Engine, uploads: Uploads, name: str, given: list[Any]) -> Any:
    """Carry a method out; its answer as plain values. Raises what the engine raises, and for a bad call says why."""
    if name == "ping":
        if given:
            raise InvalidParameterValueException(f"ping takes no parameters, not {len(given)}")
        return "pong"
    if name == "upload":
        return await uploads.receive(given)
    if name not in METHODS:
        raise ProtocolError(f"there is no method {name!r}: choose from {NAMES_SHOWN}")
    if len(given) > 1 or not all(isinstance(each, dict) for each in given):
        raise InvalidParameterValueException(f"{name} takes one map of named arguments: [{{…}}]")
    value = as_map(await _invoked(engine, name, _with_code(dict(given[0]) if given else {}, uploads)))
    wrapped = METHODS[name]
    return value if wrapped is None else {wrapped: value if value != {} or wrapped != "reserved" else None}


async def _invoked(engine: Engine, name: str, arguments: dict[str, Any]) -> object:
    method = getattr(engine, name)
    try:
        inspect.signature(method).bind(**arguments)
    except TypeError as error:
        takes = ", ".join(inspect.signature(method).parameters)
        raise InvalidParameterValueException(f"{name}: {error}; it takes {takes}") from error
    return await method(**arguments)


def _with_code(arguments: dict[str, Any], uploads: Uploads) -> dict[str, Any]:
    if arguments.get("code") is not None:
        arguments["code"] = _code(arguments["code"], uploads)
    if arguments.get("layers") is not None:
        if not isinstance(arguments["layers"], list):
            raise InvalidParameterValueException(f"layers is an array, not {_kind(arguments['layers'])}")
        arguments["layers"] = [_code(layer, uploads) for layer in arguments["layers"]]
    return arguments


def _code(given: object, uploads: Uploads) -> Any:
    if isinstance(given, bytes):
        return given
    if isinstance(given, dict) and set(given) == {UPLOAD}:
        return uploads.path(given[UPLOAD])
    raise InvalidParameterValueException(f"code is a zip as bin, or {{'{UPLOAD}': N}}, not {_kind(given)}")


def _kind(value: object) -> str:
    return {str: "a string", bytes: "a bin", dict: "a map", list: "an array", type(None): "nil"}.get(
        type(value), f"{value!r}"
    )
