"""F1: what callers give as an event becomes JSON, and its bound."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping

import orjson

from .. import config, errors


def encode_payload(payload: object) -> bytes:
    """A JSON value as bytes; None is `{}`. Raises InvalidParameterValueException for what JSON cannot say."""
    if payload is None:
        return b"{}"
    try:
        return orjson.dumps(payload)
    except TypeError:
        try:
            return json.dumps(payload).encode()  # whole numbers beyond 64 bits
        except (TypeError, ValueError) as error:
            raise errors.InvalidParameterValueException(f"payload is not a JSON value: {error}") from error


def encode_extra(client_context: Mapping[str, object] | str | None, tenant_id: str | None = None) -> bytes:
    """What goes to the environment beside the event."""
    beside = {} if client_context is None else {"client_context": _context_document(client_context)}
    return json.dumps(beside if tenant_id is None else {**beside, "tenant_id": tenant_id}).encode()


def tenant_of(extra: bytes) -> str | None:
    """Whose an event is, by what goes beside it."""
    found = json.loads(extra).get("tenant_id") if extra else None
    return found if isinstance(found, str) else None


def _context_document(client_context: Mapping[str, object] | str) -> str:
    if isinstance(client_context, str):
        encoded = client_context
        try:
            document = base64.b64decode(client_context, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise errors.InvalidParameterValueException(f"client_context is not base64 of JSON: {error}") from error
    else:
        document = json.dumps(client_context)
        encoded = base64.b64encode(document.encode()).decode()
    if len(encoded) > config.CLIENT_CONTEXT_MAX_BYTES:
        raise errors.InvalidParameterValueException(
            f"client_context has {len(encoded)} bytes in base64; at most {config.CLIENT_CONTEXT_MAX_BYTES} are allowed"
        )
    return document


def too_large(length: int, most: int = config.EVENT_MAX_BYTES) -> errors.RequestTooLargeException:
    return errors.RequestTooLargeException(
        f"Request must be smaller than {most} bytes for the InvokeFunction operation; it has {length}"
    )


def event_bytes(payload: object) -> bytes:
    """An event as it travels: bytes as they are, anything else as JSON. Raises RequestTooLargeException."""
    body = payload if type(payload) is bytes else encode_payload(payload)
    if len(body) > config.EVENT_MAX_BYTES:
        raise too_large(len(body))
    return body
