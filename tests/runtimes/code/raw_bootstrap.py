#!/usr/bin/env python3
"""A runtime on bare sockets: clients that are awkward and within HTTP. _HANDLER names the manner in which it speaks."""

from __future__ import annotations

import json
import os
import socket

HOST, PORT = os.environ["AWS_LAMBDA_RUNTIME_API"].rsplit(":", 1)
BASE = "/2018-06-01/runtime/invocation"
COUNT = {"connections": 0}


class Line:
    """One connection, read answer by answer."""

    def __init__(self) -> None:
        self.socket = socket.create_connection((HOST, int(PORT)))
        self.buffer = b""
        COUNT["connections"] += 1

    def say(self, text: bytes) -> None:
        self.socket.sendall(text)

    def _more(self) -> None:
        part = self.socket.recv(1 << 16)
        if not part:
            raise EOFError
        self.buffer += part

    def hear(self) -> tuple[int, dict[str, str], bytes]:
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        heads = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(heads.get("content-length", "0"))
        while len(self.buffer) < length:
            self._more()
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return int(first.split()[1]), heads, body

    def ended(self) -> bool:
        """Whether the server closes it, and says nothing more."""
        return self.buffer == b"" and self.socket.recv(1) == b""

    def close(self) -> None:
        self.socket.close()


def asks_next(heads: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"GET %b/next HTTP/%b\r\nHost: %b\r\n%b\r\n" % (BASE.encode(), version, HOST.encode(), heads)


def posts(path: str, body: bytes, heads: bytes = b"", version: bytes = b"1.1") -> bytes:
    head = b"POST %b HTTP/%b\r\nHost: %b\r\n%bContent-Length: %d\r\n\r\n"
    return head % (path.encode(), version, HOST.encode(), heads, len(body)) + body


def answer_path(heads: dict[str, str], kind: str = "response") -> str:
    return f"{BASE}/{heads['lambda-runtime-aws-request-id']}/{kind}"


def told(heads: dict[str, str], event: bytes, **more: object) -> bytes:
    return json.dumps({"event": json.loads(event), **COUNT, **more}).encode()


def new_connections() -> None:
    """One for each request, closed by the client."""
    while True:
        line = Line()
        line.say(asks_next())
        _, heads, event = line.hear()
        line.close()
        line = Line()
        line.say(posts(answer_path(heads), told(heads, event)))
        line.hear()
        line.close()


def connection_close() -> None:
    """Asks for the end of each connection, and waits for it."""
    all_ended = True
    while True:
        line = Line()
        line.say(asks_next(b"Connection: close\r\n"))
        _, heads, event = line.hear()
        all_ended &= line.ended()
        line.close()
        line = Line()
        line.say(posts(answer_path(heads), told(heads, event, ended=all_ended), b"Connection: close\r\n"))
        line.hear()
        all_ended &= line.ended()
        line.close()


def http_1_0() -> None:
    """The old protocol: a connection ends with its answer, unasked."""
    all_ended = True
    while True:
        line = Line()
        line.say(asks_next(version=b"1.0"))
        _, heads, event = line.hear()
        all_ended &= line.ended()
        line.close()
        line = Line()
        line.say(posts(answer_path(heads), told(heads, event, ended=all_ended), version=b"1.0"))
        line.hear()
        all_ended &= line.ended()
        line.close()


def small_letters() -> None:
    line = Line()
    while True:
        line.say(asks_next().replace(b"Host", b"host"))
        _, heads, event = line.hear()
        line.say(posts(answer_path(heads), told(heads, event)).replace(b"Content-Length", b"content-length"))
        line.hear()


def tiny_chunks() -> None:
    """A body in pieces of one byte, with extensions and trailers, some of which stop in the middle of a line."""
    line = Line()
    while True:
        line.say(asks_next())
        _, heads, event = line.hear()
        line.say(posts(answer_path(heads), b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
        for byte in told(heads, event):
            line.say(b"1;a=b\r")
            line.say(b"\n%c\r\n" % byte)
        line.say(b"000\r\nX-Trailer: one\r\nX-Other")
        line.say(b": two\r\n\r\n")
        line.hear()


def byte_by_byte() -> None:
    """Every byte of every request in a packet of its own."""
    line = Line()
    line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        for byte in asks_next():
            line.say(bytes([byte]))
        _, heads, event = line.hear()
        for byte in posts(answer_path(heads), told(heads, event)):
            line.say(bytes([byte]))
        line.hear()


def huge_head() -> None:
    """An error with as long a cause for X-Ray as AWS's Go client gives: just below one MiB."""
    line = Line()
    while True:
        line.say(asks_next())
        _, heads, event = line.hear()
        cause = b"Lambda-Runtime-Function-XRay-Error-Cause: %b\r\n" % (b"x" * ((1 << 20) - 1))
        error = json.dumps({"errorMessage": json.dumps(json.loads(event)), "errorType": "Caused"}).encode()
        line.say(posts(answer_path(heads, "error"), error, cause + b"Lambda-Runtime-Function-Error-Type: Caused\r\n"))
        line.hear()


def pipelines() -> None:
    """An answer and the request for the next event in one packet."""
    line = Line()
    line.say(asks_next())
    while True:
        _, heads, event = line.hear()
        line.say(posts(answer_path(heads), told(heads, event)) + asks_next())
        status, _, _ = line.hear()
        assert status == 202, status


def two_connections() -> None:
    """One that asks and one that answers, as some clients keep them."""
    asking, answering = Line(), Line()
    while True:
        asking.say(asks_next())
        _, heads, event = asking.hear()
        answering.say(posts(answer_path(heads), told(heads, event)))
        answering.hear()


def expects_continue() -> None:
    """curl's way with long bodies: it waits for 100 before it sends one."""
    line = Line()
    while True:
        line.say(asks_next())
        _, heads, event = line.hear()
        whole = posts(answer_path(heads), told(heads, event), b"Expect: 100-continue\r\n")
        head, blank, body = whole.partition(b"\r\n\r\n")
        line.say(head + blank)
        status, _, _ = line.hear()
        assert status == 100, status
        line.say(body)
        line.hear()


def wrong_turns() -> None:
    """What is refused, and how; then it answers as it should."""
    line = Line()

    def refused(request: bytes) -> list[object]:
        line.say(request)
        status, _, body = line.hear()
        return [status, json.loads(body)["errorType"] if body.startswith(b"{") else None]

    while True:
        line.say(asks_next())
        _, heads, event = line.hear()
        said = {
            "another's answer": refused(posts(f"{BASE}/00000000-0000-4000-8000-000000000000/response", b"1")),
            "no such path": refused(posts("/2018-06-01/runtime/nothing", b"1")),
            "no such version": refused(posts("/2017-01-01/runtime/invocation/next", b"")),
            "wrong method": refused(asks_next().replace(b"GET", b"PUT")),
            "init is over": refused(posts("/2018-06-01/runtime/init/error", b"{}")),
        }
        line.say(posts(answer_path(heads), told(heads, event, said=said)))
        line.hear()
        line.say(posts(answer_path(heads), b'"twice"'))
        line.hear()


def too_long() -> None:
    """An answer of as many bytes as asked for; says how it was taken."""
    line, taken = Line(), 0
    while True:
        line.say(asks_next())
        _, heads, event = line.hear()
        asked = json.loads(event)
        body = b'"' + b"x" * (asked - 2) + b'"' if asked else json.dumps(taken).encode()
        line.say(posts(answer_path(heads), body))
        taken, _, _ = line.hear()


def streams() -> None:
    """As AWS describes it for custom runtimes; closes the connection after each."""
    while True:
        line = Line()
        line.say(asks_next())
        _, heads, event = line.hear()
        asked = json.loads(event)
        mode = b"Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
        mode += b"Content-Type: %b\r\n" % asked.get("type", "application/octet-stream").encode()
        if "error" in asked:
            mode += b"Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n"
        line.say(posts(answer_path(heads), b"", mode).replace(b"Content-Length: 0\r\n", b""))
        for piece in asked["pieces"]:
            line.say(b"%x\r\n%b\r\n" % (len(piece.encode()), piece.encode()))
        line.say(b"0\r\n")
        if "error" in asked:
            line.say(b"Lambda-Runtime-Function-Error-Type: Custom.Broken\r\n")
            line.say(b"Lambda-Runtime-Function-Error-Body: %b\r\n" % asked["error"].encode())
        line.say(b"\r\n")
        line.hear()
        line.close()


MANNERS = {
    made.__name__: made
    for made in (
        *(new_connections, connection_close, http_1_0, small_letters, tiny_chunks, byte_by_byte, huge_head, pipelines),
        *(two_connections, expects_continue, wrong_turns, too_long, streams),
    )
}

if __name__ == "__main__":
    MANNERS[os.environ["_HANDLER"]]()
