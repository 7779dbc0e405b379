"""The compiled connection against an oracle in Python: the same requests out of the same bytes, in whatever pieces.

The transport is made of lists: what a real one does with bytes is told in the other files here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._ext.connection import DEPTH_MAX, IN_FLIGHT_MAX, MESSAGE_MAX, Connection
from engine._ext.exchange import Exchange
from engine._ext.scheduler import Scheduler
from engine.errors import ResourceNotFoundException
from engine.wire.values import error_as_map

plain = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))
ids = st.integers(0, 2**32 - 1)
methods = st.text().filter(lambda name: name != "invoke")
requests = st.tuples(st.just(0), ids, methods, values).map(list)
notifications = st.tuples(st.just(2), methods, values).map(list)


@dataclass
class Transport:
    """Keeps what is written to it."""

    written: list[bytes] = field(default_factory=list)
    reads: bool = True
    closed: bool = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def close(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, _: str) -> None:
        return None


class Harness:
    """A connection whose control methods are written down, and whose functions are not there."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(lambda_scaling=False, cpus=1)
        self.soon: list[Any] = []
        self.scheduler.call_soon = self.soon.append
        self.asked: list[tuple[int | None, str, Any]] = []
        self.named: list[str] = []
        self.exchange = Exchange(
            self.scheduler,
            lane_of=self.lane_of,
            tenant_lane_of=self.tenant_lane_of,
            control=self.control,
            options=lambda packed: (None, "RequestResponse", b"", False, None, None),
            receipt=lambda lane, kind: None,  # type: ignore[arg-type, return-value]
            accept=lambda *_: None,
            traced=lambda lane, extra, header, kind: extra,
            error_answer=lambda number, error: msgpack.packb([1, number, error_as_map(error), None]),
            refusal=lambda length: ResourceNotFoundException(f"{length} bytes"),
            left=lambda connection: None,
            failed=lambda connection, error: pytest.fail(f"{error!r}"),
        )
        self.connection = Connection(self.exchange, trusted=True)
        self.transport = Transport()
        self.connection.connection_made(self.transport)

    def lane_of(self, name: str, qualifier: str | None) -> Any:
        self.named.append(name)
        raise ResourceNotFoundException(name)

    def tenant_lane_of(self, name: str, qualifier: str | None, tenant_id: str, kind: str) -> Any:
        self.named.append(f"{name} for {tenant_id}")
        raise ResourceNotFoundException(name)

    def control(self, connection: Connection, number: int | None, method: str, packed: bytes) -> None:
        self.asked.append((number, method, packed))

    def turn(self) -> None:
        """What the loop would call next."""
        due, self.soon[:] = list(self.soon), []
        for call in due:
            call()

    def answers(self) -> list[Any]:
        self.turn()
        unpacker = msgpack.Unpacker(raw=False)
        unpacker.feed(b"".join(self.transport.written))
        return list(unpacker)

    def close(self) -> None:
        self.connection.connection_lost(None)
        self.exchange.close()
        self.scheduler.close()


@pytest.fixture
def harness() -> Any:
    made = Harness()
    yield made
    made.close()


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


@settings(deadline=None)
@given(st.lists(requests | notifications, max_size=8), st.lists(st.integers(0, 10_000), max_size=8))
def test_whatever_the_pieces_the_requests_are_those_that_were_sent(sent: list[Any], cuts: list[int]) -> None:
    harness = Harness()
    packed = [msgpack.packb(message) for message in sent]
    for piece in pieces(b"".join(packed), cuts):
        harness.connection.data_received(piece)
    expected = [(message[1] if message[0] == 0 else None, message[-2], msgpack.packb(message[-1])) for message in sent]
    assert harness.asked == expected
    assert harness.connection.in_flight == len(sent)
    assert not harness.transport.closed
    harness.close()


@settings(deadline=None)
@given(st.binary(max_size=64), st.lists(requests, max_size=2), st.lists(st.integers(0, 200), max_size=4))
def test_no_bytes_do_harm(noise: bytes, before: list[Any], cuts: list[int]) -> None:
    harness = Harness()
    for piece in pieces(b"".join(map(msgpack.packb, before)) + noise, cuts):
        harness.connection.data_received(piece)
    assert [entry[1] for entry in harness.asked[: len(before)]] == [message[2] for message in before]
    for answer in harness.answers():
        assert answer[0] == 1
        assert answer[2]["type"]
    harness.close()


@pytest.mark.parametrize(
    "bad",
    [
        b"\xc1",
        b"\x00",
        b"GET / HTTP/1.1\r\n",
        b"\x80",
        b"\x90",
        b"\x95\x00\x01\xa4ping\x90\x00",
        msgpack.packb([1, 2, None, "an answer"]),
        msgpack.packb([3, 2, "ping", []]),
        msgpack.packb([2, 2, "ping", []]),
        msgpack.packb([0, "ping", []]),
        msgpack.packb([0, -1, "ping", []]),
        msgpack.packb([0, 2**32, "ping", []]),
        msgpack.packb([0, "1", "ping", []]),
        msgpack.packb([0, 1.0, "ping", []]),
    ],
    ids=repr,
)
def test_what_is_no_message_closes_the_connection(harness: Harness, bad: bytes) -> None:
    harness.connection.data_received(bad)
    assert harness.transport.closed
    assert harness.asked == []
    harness.connection.data_received(msgpack.packb([0, 1, "ping", []]))
    assert harness.asked == []  # nothing after it is looked at


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"\x94\x00\x07\xa4ping\xc1", "no|not a MessagePack-RPC"),
        (msgpack.packb([0, 7, 5, []]), "not a MessagePack-RPC"),
        (msgpack.packb([0, 7, b"ping", []]), "not a MessagePack-RPC"),
        (b"\x94\x00\x07\xa2\xff\xfe\x90", "not a MessagePack-RPC"),
        (b"\x94\x00\x07\xa4ping" + b"\x91" * DEPTH_MAX, "deep"),
        (b"\x94\x00\x07\xa4ping\xc6" + MESSAGE_MAX.to_bytes(4, "big"), f"{MESSAGE_MAX} bytes"),
        (b"\x94\x00\x07\xa4ping\xdd\xff\xff\xff\xff", f"{MESSAGE_MAX} bytes"),
    ],
    ids=["byte", "method-number", "method-bin", "method-not-utf8", "depth", "length", "count"],
)
def test_where_an_id_is_known_the_client_is_told_before_the_end(harness: Harness, bad: bytes, why: str) -> None:
    harness.connection.data_received(bad)
    ((kind, number, error, value),) = harness.answers()
    assert (kind, number, value) == (1, 7, None)
    assert error["type"] == "ProtocolError"
    assert any(each in error["message"] for each in why.split("|"))
    assert harness.transport.closed


def test_the_deepest_and_the_longest_that_are_allowed_are_taken(harness: Harness) -> None:
    nested: Any = 1
    for _ in range(DEPTH_MAX - 1):
        nested = [nested]
    harness.connection.data_received(msgpack.packb([0, 1, "x", nested]))
    head = len(msgpack.packb([0, 2, "x", b"0" * 70_000])) - 70_000
    harness.connection.data_received(msgpack.packb([0, 2, "x", b"0" * (MESSAGE_MAX - head)]))
    assert [entry[0] for entry in harness.asked] == [1, 2]
    harness.connection.data_received(msgpack.packb([0, 3, "x", b"0" * (MESSAGE_MAX - head + 1)])[:100])
    assert harness.transport.closed  # long before the bytes have come


@pytest.mark.parametrize(
    "params",
    [[], ["f", b"{}", {}, 4], [1, b"{}"], ["f", 1], ["f", {"a": 1}], {"function": "f"}, None, "f", [b"f", b"{}"]],
    ids=repr,
)
def test_an_invoke_with_wrong_parameters_is_refused_and_the_connection_goes_on(harness: Harness, params: Any) -> None:
    harness.connection.data_received(msgpack.packb([0, 9, "invoke", params]) + msgpack.packb([0, 10, "ping", []]))
    ((_, number, error, _),) = harness.answers()
    assert (number, error["type"]) == (9, "InvalidParameterValueException")
    assert "[function, payload, options?]" in error["message"]
    assert [entry[0] for entry in harness.asked] == [10]
    assert not harness.transport.closed


def test_requests_with_one_id_are_each_answered(harness: Harness) -> None:
    harness.connection.data_received(msgpack.packb([0, 4, "invoke", ["f", b"{}"]]) * 2)
    assert [answer[1] for answer in harness.answers()] == [4, 4]
    assert harness.named == ["f", "f"]


def test_nobody_is_told_of_a_notification(harness: Harness) -> None:
    harness.connection.data_received(msgpack.packb([2, "invoke", ["f", b"{}"]]))
    assert harness.named == ["f"]
    assert harness.answers() == []


def test_at_the_bound_reading_pauses_and_goes_on_when_half_is_answered(harness: Harness) -> None:
    sent = b"".join(msgpack.packb([0, number, "x", []]) for number in range(2 * IN_FLIGHT_MAX))
    for at in range(0, len(sent), 1_000):
        harness.connection.data_received(sent[at : at + 1_000])
    assert (len(harness.asked), harness.transport.reads) == (IN_FLIGHT_MAX, False)
    for number in range(IN_FLIGHT_MAX // 2):
        harness.connection.respond(msgpack.packb([1, number, None, None]))
    harness.turn()
    assert (len(harness.asked), harness.connection.in_flight) == (IN_FLIGHT_MAX * 3 // 2, IN_FLIGHT_MAX)
    while harness.connection.in_flight:
        harness.connection.respond(None)
        harness.turn()
    assert [entry[0] for entry in harness.asked] == list(range(2 * IN_FLIGHT_MAX))
    assert harness.transport.reads


def test_while_a_client_does_not_take_its_answers_nothing_more_is_read(harness: Harness) -> None:
    harness.connection.pause_writing()
    harness.connection.data_received(msgpack.packb([0, 1, "x", []]))
    assert (harness.asked, harness.transport.reads) == ([], False)
    harness.connection.resume_writing()
    assert (len(harness.asked), harness.transport.reads) == (1, True)


def test_a_client_that_has_ended_gets_its_answers_first(harness: Harness) -> None:
    harness.connection.data_received(msgpack.packb([0, 1, "x", []]))
    assert harness.connection.eof_received() is True
    assert not harness.transport.closed
    harness.connection.respond(msgpack.packb([1, 1, None, "y"]))
    assert harness.answers() == [[1, 1, None, "y"]]
    assert harness.transport.closed
