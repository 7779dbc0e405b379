"""F5: AWS's event stream encoding, as answers that go on are sent in: one message after the other, each with its CRCs.

The format: https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html#streaming-event-stream
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final
from zlib import crc32

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"
_TEXT: Final = 7  # the one type of header values that is used here


def event(name: str, payload: bytes, content_type: str) -> bytes:
    """One event of an operation's output stream, by the name of its member."""
    return message({":event-type": name, ":content-type": content_type, ":message-type": "event"}, payload)


def exception(name: str, payload: bytes) -> bytes:
    """What ends a stream early; `payload` is JSON by the exception's shape."""
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return message(headers, payload)


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Headers are short texts; payloads have at most 16 MiB."""
    packed = b"".join(_header(name.encode(), value.encode()) for name, value in headers.items())
    prelude = struct.pack("!II", 16 + len(packed) + len(payload), len(packed))
    body = b"".join((prelude, struct.pack("!I", crc32(prelude)), packed, payload))
    return body + struct.pack("!I", crc32(body))


def _header(name: bytes, value: bytes) -> bytes:
    return struct.pack("!B", len(name)) + name + struct.pack("!BH", _TEXT, len(value)) + value
