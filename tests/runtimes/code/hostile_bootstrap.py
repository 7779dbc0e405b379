#!/usr/bin/env python3
"""A runtime that behaves badly before it behaves well. _HANDLER names how; answers say what was seen."""

from __future__ import annotations

import json
import os
import random
import socket
import time

from raw_bootstrap import BASE, HOST, PORT, Line, answer_path, asks_next, posts

STREAMING = (
    b"Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n"
)


def begun(heads: dict[str, str]) -> bytes:
    """The head of a streamed answer."""
    return posts(answer_path(heads), b"", STREAMING).replace(b"Content-Length: 0\r\n", b"")


def asked(line: Line) -> tuple[dict[str, str], bytes]:
    line.say(asks_next())
    status, heads, event = line.hear()
    assert status == 200, event
    return heads, event


def answered(line: Line, heads: dict[str, str], answer: object) -> None:
    line.say(posts(answer_path(heads), json.dumps(answer).encode()))
    status, _, said = line.hear()
    assert status == 202, said


def breaks_off() -> None:
    """Closes in the middle of its answer, and begins anew by asking again."""
    while True:
        line = Line()
        heads, event = asked(line)
        line.say(posts(answer_path(heads), event + b"     ")[:-4])
        line.close()
        line = Line()
        again, same = asked(line)
        answered(line, again, [same.decode() == event.decode(), again == heads])
        line.close()


def answers_and_ends() -> None:
    line = Line()
    heads, event = asked(line)
    line.say(posts(answer_path(heads), event))
    os._exit(3)


def fails_and_ends() -> None:
    line = Line()
    heads, event = asked(line)
    line.say(posts(answer_path(heads, "error"), json.dumps({"errorType": "Mine", "errorMessage": str(event)}).encode()))
    os._exit(3)


def fails_in_init_and_ends() -> None:
    Line().say(posts("/2018-06-01/runtime/init/error", b'{"errorType": "Mine.Init"}'))
    os._exit(3)


def streams_and_ends() -> None:
    line = Line()
    heads, _ = asked(line)
    line.say(begun(heads) + b"3\r\nabc\r\n")
    os._exit(9)


def streams_and_closes() -> None:
    while True:
        line = Line()
        heads, event = asked(line)
        if event == b'"whole"':
            answered(line, heads, "whole")
            continue
        line.say(begun(heads) + b"3\r\nabc\r\n")
        line.close()
        time.sleep(0.3)  # so long is it waited for the end of a process


def leaves_connections() -> None:
    """More than are kept, some with half a request, and none of them is ever closed."""
    left = []
    while True:
        for number in range(100):
            line = Line()
            if number % 2:
                line.say(b"GET /2018-06-01/runtime/invoc")
            left.append(line)
        line = Line()
        left.append(line)
        heads, _ = asked(line)
        answered(line, heads, len(left))


def streams_much() -> None:
    """As many bytes as asked for, in chunks of 64 KiB; the line says how that was taken."""
    line = Line()
    while True:
        heads, event = asked(line)
        size = json.loads(event)
        line.say(begun(heads))
        chunk = bytes(65_536)
        while size > 0:
            piece = chunk[:size]
            line.say(b"%x\r\n%b\r\n" % (len(piece), piece))
            size -= len(piece)
        line.say(b"0\r\n\r\n")
        status, _, _ = line.hear()
        print("taken with", status, flush=True)


def says_where() -> None:
    """Where it is served; then serves as ever."""
    line = Line()
    while True:
        heads, _ = asked(line)
        answered(line, heads, f"{HOST}:{PORT}")


def fuzzes() -> None:
    """What an event's number makes up, over connections of its own; then the answer."""
    line = Line()
    while True:
        heads, event = asked(line)
        chance = random.Random(json.loads(event))
        for _ in range(chance.randrange(1, 6)):
            speak(chance, heads)
        answered(line, heads, json.loads(event))


def speak(chance: random.Random, heads: dict[str, str]) -> None:
    other = socket.create_connection((HOST, int(PORT)))
    other.settimeout(0.02)
    told = corpus(heads)
    data = bytearray(b"".join(chance.choice(told) for _ in range(chance.randrange(1, 5))))
    for _ in range(chance.choice([0, 1, 3, 20])):
        at = chance.randrange(len(data) or 1)
        if chance.random() < 0.5:
            data[at : at + 1] = bytes([chance.randrange(256)])
        else:
            del data[at : at + chance.randrange(1, 9)]
    try:
        while data:
            size = chance.choice([1, 7, 100, 100_000])
            other.sendall(data[:size])
            del data[:size]
        other.recv(65_536)
    except (ConnectionError, TimeoutError):
        pass
    other.close()


def corpus(heads: dict[str, str]) -> list[bytes]:
    """None ends the invocation, unless it is mutated into what does: its id has one letter more."""
    path = f"{BASE}/{heads['lambda-runtime-aws-request-id']}0/response"
    return [
        posts(path, b"1"),
        posts(path, b"x" * 300_000),
        posts(path, b"", STREAMING).replace(b"Content-Length: 0\r\n", b"") + b"3\r\nabc\r\n0\r\nA: b\r\n\r\n",
        posts("/2018-06-01/runtime/init/error", b"{}"),
        posts(path, b"1", b"Expect: 100-continue\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"),
        b"GET /ping HTTP/1.0\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: %b\r\n\r\n" % (b"y" * 70_000),
    ]


MANNERS = {
    made.__name__: made
    for made in (
        *(breaks_off, answers_and_ends, streams_and_ends, streams_and_closes, leaves_connections, streams_much),
        *(fails_and_ends, fails_in_init_and_ends, says_where, fuzzes),
    )
}

if __name__ == "__main__":
    MANNERS[os.environ["_HANDLER"]]()
