"""What is said to each kind of server: requests prepared once, answers counted and checked. No socket in here.

Every answer is checked for its place, its id where it has one, and its payload; every `FULLY_EVERY`th is decoded as a
whole besides. Both together cost the client a microsecond per answer at most, in batches much less.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, Final

import msgpack

TABLE: Final = 4_096  # requests prepared, and the most that may be in flight on one connection
FULLY_EVERY: Final = 64
LENGTH_BYTES: Final = 5  # of the longest header of a binary value; of a shorter one it takes in the key's last letters
SHOWN_BYTES: Final = 200  # of an answer, in an error
REST_MAX_BYTES: Final = 1 << 20  # of an answer that does not end


class WrongAnswerError(Exception):
    """A server said something other than the answer that was asked for."""


class _Said:
    """Shared by all codecs: which request is next, how many are in flight, and the beginning of an answer to come."""

    def __init__(self, table: Sequence[bytes]) -> None:
        """`table`: `TABLE` requests twice over, so that any run of them is one slice."""
        self._table = table
        self._next = 0
        self._in_flight = 0
        self._rest = b""

    def requests(self, count: int) -> bytes:
        first = self._next
        self._next = (first + count) % TABLE
        self._in_flight += count
        if self._in_flight > TABLE:
            raise ValueError(f"{self._in_flight} calls in flight on one connection: at most {TABLE}")
        return self._table[first] if count == 1 else b"".join(self._table[first : first + count])

    def _settle(self, buffer: bytes, count: int, end: int) -> int:
        """`count` answers, the last one up to `end`, are complete; what follows is kept."""
        self._rest = buffer[end:]
        self._in_flight -= count
        if self._in_flight < 0 or len(self._rest) > REST_MAX_BYTES:
            raise _wrong("an answer that nobody asked for", buffer)
        return count


class Resp:
    """Redis: `SET key payload`, answered `+OK`."""

    def __init__(self, payload: bytes) -> None:
        self._table = [_resp(b"SET", b"key:%04d" % number, payload) for number in range(TABLE)] * 2

    def dialogue(self) -> RespDialogue:
        return RespDialogue(self._table)


def _resp(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class RespDialogue(_Said):
    OK: Final = b"+OK\r\n"
    OKS: Final = OK * TABLE

    def completed(self, data: bytes) -> int:
        buffer = self._rest + data if self._rest else data
        if not self.OKS.startswith(buffer):
            raise _wrong("not +OK", buffer)
        count = len(buffer) // len(self.OK)
        return self._settle(buffer, count, count * len(self.OK))


class MessagePackRpc:
    """This engine: `[0, id, "invoke", [function, payload]]`, answered `[1, id, nil, result]` in any order."""

    FIRST_ID: Final = 0x10000  # from here on every encoder writes an id in five bytes, so that it has a fixed place
    HEAD: Final = struct.Struct(">HBIB")  # of an answer: array of four and 1, uint32, id, nil

    def __init__(self, function: str, payload: bytes, echo: object) -> None:
        """`echo`: the JSON value that is the right answer."""
        self._echo = echo
        ids = range(self.FIRST_ID, self.FIRST_ID + TABLE)
        self._table = [msgpack.packb([0, each, "invoke", [function, payload]]) for each in ids] * 2
        self._heads = [self.HEAD.pack(0x9401, 0xCE, each, 0xC0) for each in ids] * 2

    def dialogue(self) -> RpcDialogue:
        return RpcDialogue(self._table, self._heads, self._echo)


class RpcDialogue(_Said):
    """An answer is found to be whole by skipping it in C, and right by its head, which must be awaited, and payload."""

    def __init__(self, table: Sequence[bytes], heads: Sequence[bytes], echo: object) -> None:
        super().__init__(table)
        self._heads, self._echo = heads, echo
        self._awaited: set[bytes] = set()
        self._payload = b""  # the right payload as the server writes it, known from the first answer
        self._answered = 0
        self._origin = 0  # where the buffer's first byte stands in the stream
        unpacker = msgpack.Unpacker(max_buffer_size=2 * REST_MAX_BYTES)
        self._feed, self._skip, self._tell = unpacker.feed, unpacker.skip, unpacker.tell

    def requests(self, count: int) -> bytes:
        first, awaited = self._next, self._awaited
        heads = self._heads[first : first + count]
        if not awaited.isdisjoint(heads):
            first = self._free(count)
            heads = self._heads[first : first + count]
        self._next = (first + count) % TABLE
        awaited.update(heads)
        return self._table[first] if count == 1 else b"".join(self._table[first : first + count])

    def _free(self, count: int) -> int:
        """Where `count` ids in a row are free: a call that takes long must not share its id with a later one."""
        for first in range(self._next + 1, self._next + TABLE):
            if self._awaited.isdisjoint(self._heads[first % TABLE : first % TABLE + count]):
                return first % TABLE
        raise ValueError(f"{len(self._awaited)} calls in flight leave no {count} ids in a row: at most {TABLE} at once")

    def completed(self, data: bytes) -> int:
        buffer = self._rest + data if self._rest else data
        self._feed(data)
        skip, tell, awaited, payload = self._skip, self._tell, self._awaited, self._payload
        count, start, size, origin = 0, 0, len(buffer), self._origin
        try:
            while start < size:
                skip()
                end = tell() - origin
                awaited.remove(buffer[start : start + 8])
                if (self._answered + count) % FULLY_EVERY == 0:
                    payload = self._payload = self._check_fully(buffer[start:end])
                elif buffer.find(payload, start, end) < 0:
                    raise _wrong("not the echo", buffer[start:end])
                start, count = end, count + 1
        except msgpack.OutOfData:
            pass  # the rest of an answer is still to come
        except KeyError:
            raise _wrong("no success of a call in flight", buffer[start:end]) from None
        except ValueError:
            raise _wrong("not MessagePack", buffer[start:]) from None
        self._origin = origin + start
        self._answered += count
        self._rest = buffer[start:]
        if len(self._rest) > REST_MAX_BYTES:
            raise _wrong("an answer without an end", self._rest)
        return count

    def _check_fully(self, message: bytes) -> bytes:
        """The payload as it stands in the message, with the length before it in whichever form the server chose."""
        result: Any = msgpack.unpackb(message)[3]
        if not isinstance(result, dict) or result.get("function_error") is not None:
            raise _wrong("not a success", message)
        payload = result.get("payload")
        if not isinstance(payload, bytes) or not _is_json(payload, self._echo):
            raise _wrong("not the echo", message)
        at = message.index(payload)
        return message[at - LENGTH_BYTES : at + len(payload)]


class Http:
    """An HTTP server: `POST /`, answered 200 with the echo. One call in flight per connection, as its clients do."""

    def __init__(self, payload: bytes, echo: object) -> None:
        self._echo = echo
        head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._table = [(head % len(payload)).encode() + payload] * (2 * TABLE)

    def dialogue(self) -> HttpDialogue:
        return HttpDialogue(self._table, self._echo)


class HttpDialogue(_Said):
    def __init__(self, table: Sequence[bytes], echo: object) -> None:
        super().__init__(table)
        self._echo = echo
        self._payload = b""  # the right body as the server writes it, known from the first answer

    def completed(self, data: bytes) -> int:
        buffer = self._rest + data if self._rest else data
        count = start = 0
        while (body := buffer.find(b"\r\n\r\n", start) + 4) > 3:
            end = body + self._length(buffer[start:body])
            if end > len(buffer):
                break
            self._check(buffer[start:end], buffer[body:end])
            start, count = end, count + 1
        return self._settle(buffer, count, start)

    def _length(self, head: bytes) -> int:
        _, _, after = head.lower().partition(b"\r\ncontent-length:")
        length = after.partition(b"\r\n")[0].strip()
        if not length.isdigit() or not head.startswith(b"HTTP/1.1 200 "):
            raise _wrong("not 200 with a content length", head)
        return int(length)

    def _check(self, message: bytes, body: bytes) -> None:
        if body != self._payload:
            if not _is_json(body, self._echo):
                raise _wrong("not the echo", message)
            self._payload = body


def _is_json(text: bytes, value: object) -> bool:
    try:
        return bool(json.loads(text) == value)
    except ValueError:
        return False


def _wrong(what: str, answer: bytes) -> WrongAnswerError:
    more = f" and {len(answer) - SHOWN_BYTES} bytes more" if len(answer) > SHOWN_BYTES else ""
    return WrongAnswerError(f"{what}: {answer[:SHOWN_BYTES]!r}{more}")
