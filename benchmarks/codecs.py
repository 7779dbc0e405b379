"""What is said to each kind of server: requests prepared once, answers counted and checked. No socket in here.

Every answer is checked for being a success with the right payload, by its bytes; every `FULLY_EVERY`th read of the
engine's is decoded besides. That costs the client some tenths of a microsecond per answer, whoever the server is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgpack

TABLE: Final = 4_096  # requests prepared, and the most that may be in flight on one connection
FULLY_EVERY: Final = 256  # less often than one call in a hundred, or the client's decoding would be in the p99
SHOWN_BYTES: Final = 200  # of an answer, in an error
REST_MAX_BYTES: Final = 1 << 20  # of an answer that does not end


class WrongAnswerError(Exception):
    """A server said something other than the answer that was asked for."""


class _Said:
    """Shared by all codecs: how many requests were given out and answered, and the beginning of an answer to come."""

    def __init__(self, table: Sequence[bytes]) -> None:
        """`table`: `TABLE` requests twice over, so that any run of them is one slice."""
        self._table = table
        self._given = 0
        self._answered = 0
        self._rest = b""

    def requests(self, count: int) -> bytes:
        first = self._given % TABLE
        self._given += count
        in_flight = self._given - self._answered
        if in_flight > TABLE:
            raise ValueError(f"{in_flight} calls in flight on one connection: at most {TABLE}")
        return self._table[first] if count == 1 else b"".join(self._table[first : first + count])

    def _settle(self, buffer: bytes, count: int, end: int) -> int:
        """`count` answers, the last one up to `end`, are complete; what follows is kept."""
        self._rest = buffer[end:]
        self._answered += count
        if self._answered > self._given or len(self._rest) > REST_MAX_BYTES:
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

    def __init__(self, function: str, payload: bytes, echo: object, options: dict[str, str] | None = None) -> None:
        """`echo`: the JSON value that is the right answer."""
        self._echo = echo
        ids = range(self.FIRST_ID, self.FIRST_ID + TABLE)
        params = [function, payload] if options is None else [function, payload, options]
        self._table = [msgpack.packb([0, each, "invoke", params]) for each in ids] * 2

    def dialogue(self) -> RpcDialogue:
        return RpcDialogue(self._table, self._echo)

    def accepted(self) -> AcceptedDialogue:
        """For events, which are only accepted."""
        return AcceptedDialogue(self._table, None)


class RpcDialogue(_Said):
    """A read is taken as it is if it is just as long as the right payloads in it make it, and ends as an answer ends.

    Any other read is decoded answer by answer, as is one in `FULLY_EVERY`: what is wrong is found there. Decoding each
    would cost the client more than the answer costs the server, and Redis's `+OK` needs none.
    """

    NIL_AT: Final = 7  # where an answer has nil for its error: its id takes five bytes
    END: Final = msgpack.packb("log_tail") + b"\xc0"  # the last field of a result; \xc0 is in no text

    def __init__(self, table: Sequence[bytes], echo: object) -> None:
        super().__init__(table)
        self._echo = echo
        self._right = b""  # nil and the first field, the payload, as the server writes them: known from the first read
        self._size = 0  # of the answer that was decoded last; others differ seldom, a cold start's for one
        self._reads = 0

    def completed(self, data: bytes) -> int:
        buffer = self._rest + data if self._rest else data
        self._reads += 1
        count = buffer.count(self._right)
        if count * self._size != len(buffer) or not buffer.endswith(self.END) or not self._reads % FULLY_EVERY:
            return self._one_by_one(buffer)
        return self._settle(buffer, count, len(buffer))

    def _one_by_one(self, buffer: bytes) -> int:
        """Decodes each answer: its form, its id and its payload."""
        unpacker, ids, end = msgpack.Unpacker(), Counter[int](), 0
        unpacker.feed(buffer)
        try:
            for answer in unpacker:
                start, end = end, unpacker.tell()
                message = buffer[start:end]
                number, payload = self._success(answer, message)
                ids[number] += 1
                if ids[number] > self._given_out(number):
                    raise _wrong(f"{number} is not the id of a call in flight", message)
                self._size = len(message)
                self._right = message[self.NIL_AT : message.index(payload, self.NIL_AT) + len(payload)]
        except ValueError as error:
            raise _wrong(f"not MessagePack ({error})", buffer[end:]) from None
        return self._settle(buffer, ids.total(), end)

    def _success(self, answer: object, message: bytes) -> tuple[int, bytes]:
        """The id, and the payload as the server writes it."""
        match answer:
            case [1, int(number), None, {"payload": payload, "function_error": None}]:
                if not isinstance(payload, bytes) or not _is_json(payload, self._echo):
                    raise _wrong("not the echo", message)
                return number, payload
        raise _wrong("not a success", message)

    def _given_out(self, number: int) -> int:
        """How many calls have had this id, of which all may be answered in one read.

        Past the first round that can be more than one. A call that `TABLE` others overtake, as one that waits for a
        cold start may be, shares its id with a later one; a larger table would only make that rarer, and walking it
        would cost every call. So an answer that comes twice in one read is told for certain in the first round only.
        """
        place = number - MessagePackRpc.FIRST_ID
        return (self._given - place + TABLE - 1) // TABLE if 0 <= place < TABLE else 0


class AcceptedDialogue(RpcDialogue):
    """Each answer says that an event was accepted: 202, and nothing of what its function will say."""

    def completed(self, data: bytes) -> int:
        buffer = self._rest + data if self._rest else data
        self._reads += 1
        count, more = divmod(len(buffer), self._size) if self._size else (0, 1)
        if more or not buffer.endswith(self.END) or not self._reads % FULLY_EVERY:
            return self._one_by_one(buffer)
        return self._settle(buffer, count, len(buffer))

    def _success(self, answer: object, message: bytes) -> tuple[int, bytes]:
        match answer:
            case [1, int(number), None, {"payload": b"", "status_code": 202, "function_error": None}]:
                return number, b""
        raise _wrong("not an event that was accepted", message)


class Http:
    """An HTTP server: `POST` to `path`, answered 200 with the echo. One call in flight per connection."""

    def __init__(self, payload: bytes, echo: object, path: str = "/") -> None:
        self._echo = echo
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        self._table = [f"{head}Content-Length: {len(payload)}\r\n\r\n".encode() + payload] * (2 * TABLE)

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
