"""The Runtime API of real environments, against runtimes that behave badly: nothing is lost, the next one works."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doors import DOORS, Door, Function
from verdicts import answer, ends, failure

CODE = Path(__file__).parent / "code"
STREAM_MAX = 209_715_200
SEEDS = 60
STRANGER = """
import socket

opened = []

def connect(event, context):
    host, port = event["address"].rsplit(":", 1)
    for _ in range(5):
        opened.append(socket.create_connection((host, int(port)), 30))
        opened[-1].sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")

def listen(connection):
    try:
        return connection.recv(65536).decode()
    except ConnectionError:
        return ""

def handler(event, context):
    return connect(event, context) if event else [listen(connection) for connection in opened]
"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("hostile") / "hostile.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for name, source in (("bootstrap", "hostile_bootstrap.py"), ("raw_bootstrap.py", "raw_bootstrap.py")):
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = 3, 0o100755 << 16
            archive.writestr(entry, (CODE / source).read_bytes())
    return target


def streamed(door: Door, function: Function, event: object) -> tuple[int, Any]:
    """How many bytes came, and the result."""
    stream = door.invoke_stream(function.name, event)
    length = sum(len(chunk) for chunk in stream)
    return length, stream.result


def test_an_invocation_outlives_a_connection_that_broke(deploy: Any, hostile: Path) -> None:
    function = deploy(hostile, "breaks_off")
    for _ in range(3):
        assert answer(function, "a") == [True, True]
    assert [result.start for result in function.results] == ["cold", "warm", "warm"]


def test_an_answer_counts_even_if_its_runtime_ends_at_once(deploy: Any, hostile: Path) -> None:
    function = deploy(hostile, "answers_and_ends")
    for number in range(3):
        assert answer(function, number) == number


def test_an_error_counts_even_if_its_runtime_ends_at_once(deploy: Any, hostile: Path) -> None:
    function = deploy(hostile, "fails_and_ends")
    for _ in range(2):
        assert failure(function)["errorType"] == "Mine"
    assert failure(deploy(hostile, "fails_in_init_and_ends"))["errorType"] == "Mine.Init"


def test_a_runtime_that_ends_in_the_middle_of_a_stream(deploy: Any, hostile: Path, door: Door) -> None:
    function = deploy(hostile, "streams_and_ends")
    for _ in range(2):
        length, result = streamed(door, function, None)
        assert length == 3
        assert result.json()["errorType"] == "Runtime.ExitError"
        assert result.json()["errorMessage"].endswith("Error: Runtime exited with error: exit status 9")
    ends(function, None, "Runtime.ExitError", "Runtime exited with error: exit status 9")


def test_a_stream_that_breaks_off_is_an_error_and_the_runtime_goes_on(deploy: Any, hostile: Path, door: Door) -> None:
    function = deploy(hostile, "streams_and_closes")
    length, result = streamed(door, function, None)
    assert (length, result.json()["errorType"]) == (3, "Runtime.TruncatedResponse")
    assert failure(function)["errorType"] == "Runtime.TruncatedResponse"
    assert answer(function, "whole") == "whole"
    assert function.results[-1].start == "warm"


def test_connections_that_are_never_closed_make_room_for_new_ones(deploy: Any, hostile: Path) -> None:
    function = deploy(hostile, "leaves_connections")
    for number in range(1, 4):
        assert answer(function) == 101 * number
    assert function.results[-1].start == "warm"


def test_two_hundred_megabytes_are_streamed_through_a_small_environment(deploy: Any, hostile: Path, door: Door) -> None:
    function = deploy(hostile, "streams_much", memory_mb=128, timeout_s=300)
    length, result = streamed(door, function, STREAM_MAX)
    assert (length, result.function_error) == (STREAM_MAX, None)
    assert result.max_memory_mb < 100
    length, result = streamed(door, function, STREAM_MAX + 1)
    assert (length, result.json()["errorType"]) == (STREAM_MAX, "Function.ResponseSizeTooLarge")
    assert streamed(door, function, 10)[0] == 10
    taken = [line for line in function.whole_log() if line.startswith("taken")]
    assert taken[:2] == ["taken with 202", "taken with 413"]


def test_who_goes_away_from_a_stream_holds_up_nobody(deploy: Any, hostile: Path, door: Door) -> None:
    function = deploy(hostile, "streams_much", timeout_s=300)
    stream = door.invoke_stream(function.name, 50_000_000)
    assert next(stream)
    stream.close()
    length, result = streamed(door, function, 1_000)
    assert (length, result.function_error) == (1_000, None)


def test_a_stream_for_who_wants_it_whole(deploy: Any, hostile: Path) -> None:
    function = deploy(hostile, "streams_much")
    result = function(6_291_556)
    assert (len(result.payload), result.function_error) == (6_291_556, None)
    assert failure(function, 6_291_557)["errorType"] == "Function.ResponseSizeTooLarge"


def test_whatever_is_said_beside_it_the_invocation_is_answered(deploy: Any, hostile: Path) -> None:
    function = deploy(hostile, "fuzzes")
    for seed in range(SEEDS):
        assert answer(function, seed) == seed
    assert {result.start for result in function.results[1:]} == {"warm"}


# --- on the host's network --------------------------------------------------------------------------------------------


@pytest.fixture
def open_door() -> Iterator[Door]:
    with DOORS["blocking"](network="host") as opened:
        yield opened


def test_on_the_hosts_network_nobody_else_is_served(open_door: Door, hostile: Path, tmp_path: Path) -> None:
    assert os.geteuid() == 0, "functions have users of their own only where the engine may give them"
    open_door.create_function("victim", code=hostile, handler="says_where", runtime="provided.al2023")
    (tmp_path / "stranger.py").write_text(STRANGER)
    open_door.create_function("stranger", code=tmp_path, handler="stranger.handler", timeout_s=60)
    victim, stranger = Function(open_door, "victim"), Function(open_door, "stranger")
    address = answer(victim)
    answer(stranger, {"address": address})
    assert answer(victim) == address  # its environment may have been frozen until now
    assert answer(stranger, {}) == [""] * 5
    assert answer(victim) == address
    assert victim.results[-1].start == "warm"
