"""F5: the head of a streamed HTTP response: JSON metadata, eight zero bytes, then the body. A parser without a socket.

A runtime says so by the content type of its stream. AWS's runtimes write it in one piece, others in any.
"""

from __future__ import annotations

from typing import Final

import orjson

from .answer import BYTES_TYPE, Head, MalformedAnswerError, head_of

CONTENT_TYPE: Final = "application/vnd.awslambda.http-integration-response"
DELIMITER: Final = bytes(8)
PRELUDE_MAX_BYTES: Final = 65_536


class PreludeReader:
    """Takes in a stream from its beginning. `head` is None until all of the metadata is there."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self._held = bytearray()

    def feed(self, data: bytes) -> bytes:
        """What of the body has come with `data`. Raises MalformedAnswerError; then nothing more is to be fed."""
        if self.head is not None:
            return data
        searched = max(0, len(self._held) - len(DELIMITER) + 1)
        self._held += data
        end = self._held.find(DELIMITER, searched)
        if (len(self._held) if end < 0 else end) > PRELUDE_MAX_BYTES:
            raise MalformedAnswerError(f"the metadata of a streamed response has more than {PRELUDE_MAX_BYTES} bytes")
        if end < 0:
            return b""
        self.head = _head(bytes(self._held[:end]))
        rest = bytes(self._held[end + len(DELIMITER) :])
        self._held.clear()
        return rest

    def end(self) -> None:
        """The stream has ended. Raises MalformedAnswerError where its metadata has not."""
        if self.head is None:
            raise MalformedAnswerError("the stream ended before the eight zero bytes that end its metadata")


def _head(metadata: bytes) -> Head:
    try:
        document = orjson.loads(metadata)
    except orjson.JSONDecodeError as error:
        raise MalformedAnswerError(f"the metadata of a streamed response is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise MalformedAnswerError("the metadata of a streamed response is no JSON object")
    return head_of(document, BYTES_TYPE)
