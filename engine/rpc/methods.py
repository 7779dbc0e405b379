"""F5: what the protocol's methods do, all but `invoke`: from parameters to a call on the engine to a plain value.

Arguments have the names of `engine.Engine`'s own, and are checked against its signatures; code travels as bytes or as
an upload of the same connection, never as a path: a client must not have this host's files read.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any, Final

import msgpack

from ..app import Engine
from ..errors import InvalidParameterValueException, ProtocolError
from ..runtimes import catalog
from ..store.layers import is_layer_arn
from ..wire.values import as_map
from .streams import Streams
from .uploads import Uploads

# Methods by what their answer is called: a list is wrapped, a map is the answer itself.
METHODS: Final[Mapping[str, str | None]] = {
    "create_function": None,
    "update_function_code": None,
    "update_function_configuration": None,
    "delete_function": None,
    "get_function": None,
    "get_function_state": None,
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
    "put_provisioned_concurrency_config": None,
    "get_provisioned_concurrency_config": None,
    "list_provisioned_concurrency_configs": "provisioned_concurrency_configs",
    "delete_provisioned_concurrency_config": None,
    "put_function_event_invoke_config": None,
    "update_function_event_invoke_config": None,
    "get_function_event_invoke_config": None,
    "list_function_event_invoke_configs": "function_event_invoke_configs",
    "delete_function_event_invoke_config": None,
    "create_schedule": None,
    "update_schedule": None,
    "get_schedule": None,
    "list_schedules": "schedules",
    "delete_schedule": None,
    "put_resource": None,
    "get_resource": None,
    "list_resources": "resources",
    "delete_resource": None,
    "publish_layer_version": None,
    "get_layer_version": None,
    "list_layers": "layers",
    "list_layer_versions": "layer_versions",
    "delete_layer_version": None,
    "read_code": "data",
    "account_settings": None,
    "put_function_recursion_config": "recursive_loop",
    "get_function_recursion_config": "recursive_loop",
    "stats": None,
    "bill": None,
    "metric_series": "series",
    "list_metrics": "metrics",
    "log_summaries": "logs",
    "log_streams": "streams",
    "log_events": None,
    "delete_logs": None,
}
UPLOAD: Final = "upload_id"
OTHERS: Final = ("authenticate", "discard", "doctor", "invoke", "invoke_stream", "logs", "more", "ping", "upload")
NAMES_SHOWN: Final = ", ".join(sorted({*METHODS, *OTHERS}))


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
    if name not in METHODS and name not in OTHERS:
        raise ProtocolError(f"there is no method {name!r}: choose from {NAMES_SHOWN}")
    if len(given) > 1 or not all(isinstance(each, dict) for each in given):
        raise InvalidParameterValueException(f"{name} takes one map of named arguments: [{{…}}]")
    arguments = dict(given[0]) if given else {}
    if name == "doctor":
        limits = (await _invoked(engine, "stats", arguments))["limits"]
        return {"limits": limits, "runtimes": await asyncio.to_thread(catalog.installed)}
    if name == "logs":
        return await _logs(engine, arguments)
    value = as_map(await _invoked(engine, name, _with_payload(_with_code(arguments, uploads))))
    wrapped = METHODS[name]
    return value if wrapped is None else {wrapped: value if value != {} or wrapped != "reserved" else None}


def invocation(given: list[Any]) -> tuple[str, bytes | None, dict[str, Any]]:
    """The parameters of `invoke_stream`: function, event, options."""
    function, payload, options = [*given, *[None] * 3][:3]
    if isinstance(payload, str):
        payload = payload.encode()
    if len(given) not in (1, 2, 3) or not isinstance(function, str) or not isinstance(payload, bytes | None):
        raise InvalidParameterValueException(
            "invoke_stream takes [function, payload, options?]: a str, a bin or str of JSON, and a map"
        )
    return function, payload, {} if options is None else options


def of_stream(streams: Streams, name: str, given: list[Any]) -> None:
    """What a client says of a stream of its own: `more [id, bytes]`, `discard [id]`."""
    if len(given) != (2 if name == "more" else 1) or not all(type(each) is int and each >= 0 for each in given):
        raise InvalidParameterValueException("more takes [id, bytes], discard takes [id]")
    if name == "more":
        streams.grant(*given)
    else:
        streams.discard(*given)


async def _logs(engine: Engine, arguments: dict[str, Any]) -> dict[str, Any]:
    """Events with a cursor; of one request, all there are, and no cursor. `after` is the cursor of the page before."""
    if arguments.get("request_id") is not None:
        return {"events": as_map(await _invoked(engine, "logs", arguments)), "cursor": ""}
    arguments.pop("request_id", None)
    arguments["cursor"] = arguments.pop("after", None) or ""
    page: dict[str, Any] = as_map(await _invoked(engine, "logs_after", arguments))
    return page


async def _invoked(engine: Engine, name: str, arguments: dict[str, Any]) -> Any:
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
        layers = arguments["layers"]
        arguments["layers"] = [layer if is_layer_arn(layer) else _code(layer, uploads) for layer in layers]
    return arguments


def _with_payload(arguments: dict[str, Any]) -> dict[str, Any]:
    """JSON, as bin or str: as `invoke` takes it."""
    payload = arguments.get("payload")
    if isinstance(payload, str):
        arguments["payload"] = payload.encode()
    elif not isinstance(payload, bytes | None):
        raise InvalidParameterValueException(f"payload is JSON as bin or str, not {_kind(payload)}")
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
