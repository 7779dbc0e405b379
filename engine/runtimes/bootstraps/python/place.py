"""This process's own place in the region that it shares with the engine: events and answers without anybody between.

A `Place` stands in for the channel once that has served an invocation. What it does is in a library that is compiled
with the engine; where that cannot be loaded (a Python without ctypes, another C library), the channel serves on.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import json
import os

from .channel import token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .channel import Channel, Headers

FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TAKEN, TO_END = 1, -1  # of next_invocation: see ext/place/place.c
RING_BYTES = 1 << 18  # more than that is never handed over at once
GATHERED_MAX = 6_291_556 + 1  # what is more is dropped: one byte over tells that it was too much
BESIDE = {
    "client_context": b"lambda-runtime-client-context",
    "identity": b"lambda-runtime-cognito-identity",
    "tenant_id": b"lambda-runtime-aws-tenant-id",
    "trace_id": b"lambda-runtime-trace-id",
}


def preload() -> None:
    """Load the library ahead of its first use."""
    with contextlib.suppress(ImportError, OSError):
        _load()


def take_over(channel: Channel, arn: bytes) -> Channel | Place:
    """Who serves from the second invocation on, of the function of this name."""
    try:
        library, told = _load()
    except (ImportError, OSError):
        return channel
    return Place(library, told, arn) if library.take_place(channel.finish()) else channel


@functools.lru_cache(maxsize=None)
def _load() -> tuple[Any, Any]:
    """The library, and what it tells of an invocation. ImportError, OSError."""
    import ctypes

    class Told(ctypes.Structure):
        """`told_t` of place.c."""

        _fields_ = (
            ("event", ctypes.c_void_p),
            ("beside", ctypes.c_void_p),
            ("event_length", ctypes.c_uint64),
            ("beside_length", ctypes.c_uint64),
            ("deadline_ms", ctypes.c_uint64),
            ("is_streamed", ctypes.c_uint64),
            ("id", ctypes.c_char * 36),
            ("trace", ctypes.c_char * 74),
        )

    found = glob.glob(f"{FOLDER}/place.*so")
    if not found:
        raise ImportError("the engine's library for other languages is not there")
    library = ctypes.CDLL(found[0])
    library.put_answer.argtypes = (ctypes.c_char_p, ctypes.c_uint64, ctypes.c_char_p)
    library.begin_stream.argtypes = library.send_piece.argtypes = (ctypes.c_char_p, ctypes.c_uint64)
    library.send_piece.restype = ctypes.c_int64
    library.next_invocation.argtypes = (ctypes.c_void_p,)
    return library, Told()


class Place:
    """What a `Channel` is to a `Worker`. OSError where the shared memory cannot be read or written."""

    def __init__(self, library: Any, told: Any, arn: bytes) -> None:
        import ctypes

        self._library, self._told = library, told
        self._told_at, self._bytes_at = ctypes.addressof(told), ctypes.string_at
        self._posted: tuple[bytes, bytes | None] | None = None
        self._gathered: bytearray | None = None  # of an answer in pieces, for a caller who wants it whole
        self._arn = arn

    def next(self) -> tuple[Headers, bytes]:
        """What the next invocation is told, by names in lower case, and its event. Waits for it."""
        if self._posted is not None:
            (answer, error_type), self._posted = self._posted, None
            _check(self._library.put_answer(answer, len(answer), error_type))
        next_invocation, told = self._library.next_invocation, self._told
        while True:
            taken = next_invocation(self._told_at)
            if taken == TAKEN:
                break
            if taken == TO_END:
                os._exit(0)
            _check(taken)
        headers = {
            b"lambda-runtime-aws-request-id": told.id,
            b"lambda-runtime-deadline-ms": b"%d" % told.deadline_ms,
            b"lambda-runtime-invoked-function-arn": self._arn,
            b"lambda-runtime-trace-id": told.trace,
        }
        if told.beside_length:
            beside = json.loads(self._bytes_at(told.beside, told.beside_length))
            headers.update((header, str(beside[name]).encode()) for name, header in BESIDE.items() if beside.get(name))
        return headers, self._bytes_at(told.event, told.event_length)

    def answer(self, _: bytes, answer: bytes) -> None:
        """End an invocation with its answer: as this process comes to wait for the next."""
        self._posted = answer, None

    def fail(self, _: bytes, answer: bytes, error_type: str) -> None:
        """The same with an error."""
        self._posted = answer, token(error_type)

    def begin_stream(self, _: bytes, content_type: bytes) -> None:
        """The answer comes in pieces."""
        self._gathered = None
        if self._told.is_streamed:
            _check(self._library.begin_stream(content_type, len(content_type)))
        else:
            self._gathered = bytearray()

    def send(self, piece: bytes) -> None:
        """A piece of the answer. After too much it is dropped, and the library sees to what that is answered with."""
        if self._gathered is not None:
            self._gathered += piece[: GATHERED_MAX - len(self._gathered)]
            return
        at = 0
        while at < len(piece):
            some = piece[at : at + RING_BYTES]
            at += _check(self._library.send_piece(some, len(some)))

    def end_stream(self, error: bytes = b"", error_type: str = "") -> None:
        """The answer is whole, or ends with an error: as this process comes to wait for the next invocation."""
        if error_type:
            self._posted = error, token(error_type)
        else:
            self._posted = bytes(self._gathered or b""), None


def _check(result: int) -> int:
    """What a call of the library gave. OSError where it failed."""
    if result < 0:
        raise OSError(-result, f"the region that is shared with the engine: {os.strerror(-result)}")
    return result
