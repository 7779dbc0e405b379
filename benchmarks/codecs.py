"""What is said to each kind of server: requests prepared once, answers counted and checked. No socket in here.

Every answer is checked for being a success with the right payload, by its bytes; of every `FULLY_EVERY`th read all is
decoded besides. That costs the client some tenths of a microsecond per answer, whoever the server is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import msgpack

TABLE: Final = 4_096  # requests prepared, and the most that may be in flight on one connection
FULLY_EVERY: Final = 64
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

    def __init__(self, function: str, payload: bytes, echo: object) -> None:
        """`echo`: the JSON value that is the right answer."""
        self._echo = echo
        ids = range(self.FIRST_ID, self.FIRST_ID + TABLE)
        self._table = [msgpack.packb([0, each, "invoke", [function, payload]]) for each in ids] * 2

    def dialogue(self) -> RpcDialogue:
        return RpcDialogue(self._table, self._echo)


class RpcDialogue(_Said):
    """Answers are counted by how they begin and end, all of a read at once; one read in `FULLY_EVERY` is decoded.

    Decoding each would cost the client more than the answer costs the server, and Redis's `+OK` needs none.
    """

    END: Final = msgpack.packb("log_tail") + b"\xc0"  # the last field of a result
    ERROR: Final = msgpack.packb("message")  # a field of every error, and of no result here

    def __init__(self, table: Sequence[bytes], echo: object) -> None:
        super().__init__(table)
        self._echo = echo
        self._right = b""  # how an answer begins behind its id, as the server writes it: known from the first one
        self._reads = 0

    def completed(self, data: bytes) -> int:
        buffer = self._rest + data if self._rest else data
        count = buffer.count(self.END)
        end = buffer.rfind(self.END) + len(self.END) if count else 0
        whole = buffer if end == len(buffer) else buffer[:end]
        if count and self._reads % FULLY_EVERY == 0:
            self._check_fully(whole, count)
        self._reads += 1
        if whole.count(self._right) != count or self.ERROR in buffer:
            raise _wrong("not the echo", whole)
        return self._settle(buffer, count, end)

    def _check_fully(self, whole: bytes, count: int) -> None:
        """Every answer of a read: its form, an id that was given out, each id once, and the payload."""
        unpacker, ids = msgpack.Unpacker(), set[int]()
        unpacker.feed(whole)
        try:
            for kind, number, error, result in unpacker:
                if kind != 1 or error is not None or not isinstance(result, dict):
                    raise _wrong("not a success", whole)
                if not 0 <= number - MessagePackRpc.FIRST_ID < TABLE or number in ids:
                    raise _wrong(f"not an id in flight: {number}", whole)
                ids.add(number)
                self._right = self._beginning(whole, result)
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise _wrong(f"not MessagePack-RPC ({error})", whole) from None
        if len(ids) != count:
            raise _wrong(f"{len(ids)} answers, not {count}", whole)

    def _beginning(self, whole: bytes, result: dict[str, Any]) -> bytes:
        """What stands behind the id: nil for the error, and the result's first field, which is the payload."""
        payload = result.get("payload")
        if not isinstance(payload, bytes) or not _is_json(payload, self._echo) or result.get("function_error"):
            raise _wrong("not the echo", whole)
        began = whole.index(payload)
        return whole[whole.rindex(b"\xc0", 0, began) : began + len(payload)]  # an id may hold the byte of nil too


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
