"""F1: what callers give as an event becomes JSON, and its bound."""

from __future__ import annotations

import json

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


def too_large(length: int) -> errors.RequestTooLargeException:
    return errors.RequestTooLargeException(
        f"Request must be smaller than {config.EVENT_MAX_BYTES} bytes for the InvokeFunction operation; it has {length}"
    )


def event_bytes(payload: object) -> bytes:
    """An event as it travels: bytes as they are, anything else as JSON. Raises RequestTooLargeException."""
    body = payload if type(payload) is bytes else encode_payload(payload)
    if len(body) > config.EVENT_MAX_BYTES:
        raise too_large(len(body))
    return body
