"""A bootstrap of ours takes invocations from the region itself, from its second one on, whatever its language."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from doors import Door, Function
from javascript import ANY_VERSION, CLASSIC
from layers import probes
from verdicts import answer, ends, failure, times_out

from engine.runtimes.catalog import BOOTSTRAPS

REGION = "memfd:"
CODE = Path(__file__).parent / "code" / "place"
RUNTIMES = (CLASSIC, "python3.8", "python3.13", "ruby3.2")
ANSWER_MAX = 6_291_556

pytestmark = [
    pytest.mark.filterwarnings(ANY_VERSION),
    pytest.mark.filterwarnings("ignore:.* runs on ruby "),
]
Placed = Callable[..., Function]


@pytest.fixture(params=RUNTIMES)
def runtime(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def deployed(deploy: Any) -> Placed:
    """A function of that runtime."""

    def create(runtime: str, **settings: Any) -> Function:
        made: Function = deploy(CODE, "app.handler", runtime, **settings)
        return made

    return create


@pytest.fixture
def placed(deployed: Placed) -> Placed:
    """One whose process has a place of its own already."""

    def create(runtime: str, **settings: Any) -> Function:
        made = deployed(runtime, **settings)
        assert answer(made, {"does": "has", "name": REGION}) is False
        assert answer(made, {"does": "has", "name": REGION}) is True
        return made

    return create


def same_process(function: Function) -> bool:
    """Whether what followed the first invocation was served by the process that served it."""
    return [result.start for result in function.results[1:]] == ["warm"] * (len(function.results) - 1)


def test_events_and_answers_of_any_size_and_any_text(placed: Placed, runtime: str) -> None:
    function = placed(runtime)
    sizes = [*range(3_920, 3_975, 3), 4_096, 70_000, 3_000_000]
    values = ["", "é", "日本語" * 1_000, "\U0001f600" * 700, 'quoted "\\\n', None, 0, [], {"a": {"b": [1.5, True]}}]
    for value in [*values, *("x" * size for size in sizes), *("é" * (size // 6) for size in sizes), "small again"]:
        assert answer(function, {"does": "echo", "value": value}) == value
    assert same_process(function)


@pytest.mark.parametrize("over", [0, 1, 1_000_000])
def test_an_answer_may_have_so_many_bytes_and_not_more(placed: Placed, runtime: str, over: int) -> None:
    function = placed(runtime)
    asked = {"does": "gives", "bytes": ANSWER_MAX - 2 + over}  # and its quotation marks
    if over == 0:
        assert len(answer(function, asked)) == ANSWER_MAX - 2
    else:
        assert failure(function, asked)["errorType"] == "Function.ResponseSizeTooLarge"
    assert answer(function, {"does": "echo", "value": 1}) == 1
    assert same_process(function)


def test_an_error_is_told_as_the_first_one_was(deployed: Placed, runtime: str) -> None:
    function = deployed(runtime)
    by_channel, by_place = (failure(function, {"does": "fails", "text": "é" * 5_000}) for _ in range(2))
    assert {**by_place, "requestId": None} == {**by_channel, "requestId": None}
    assert "TypeError" in by_place["errorType"]
    assert same_process(function)


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("exits", "Runtime exited with error: exit status 3"),
        ("crashes", "Runtime exited with error: signal: killed"),
    ],
)
def test_a_process_that_ends_fails_its_invocation(placed: Placed, runtime: str, does: str, reason: str) -> None:
    function = placed(runtime)
    ends(function, {"does": does}, "Runtime.ExitError", reason)
    assert answer(function, {"does": "echo", "value": 1}) == 1
    assert function.results[-1].start == "cold"


def test_one_that_takes_too_long_is_ended(placed: Placed, runtime: str) -> None:
    function = placed(runtime, timeout_s=1)
    times_out(function, {"does": "spins"})
    assert answer(function, {"does": "echo", "value": 1}) == 1


def test_what_it_prints_is_in_the_log_of_that_invocation(placed: Placed, runtime: str) -> None:
    function = placed(runtime)
    for number in range(20):
        answer(function, {"does": "prints", "text": f"number {number}"})
        lines = [line for line in function.log(function.results[-1]) if "number " in line]
        assert [line.rpartition("number ")[2] for line in lines] == [str(number)]
    assert same_process(function)


def test_context_is_of_each_invocation(placed: Placed, runtime: str) -> None:
    function = placed(runtime, timeout_s=5)
    given = base64.b64encode(json.dumps({"custom": {"é": "1"}}).encode()).decode()
    for sent in (None, given, None):
        request_id, arn, remaining_ms, trace, client_context, tenant = answer(
            function, {"does": "context"}, client_context=sent
        )
        assert request_id == function.results[-1].request_id
        assert arn.endswith(f":function:{function.name}")
        assert 3_000 < remaining_ms <= 5_000
        assert trace == "Root=1-{0}-{1}{2}{3}{4};Parent={4}{1};Sampled=0".format(*request_id.split("-"))
        assert (client_context or {}).get("custom") == (None if sent is None else {"é": "1"})
        assert tenant is None
    assert same_process(function)


def test_settings_that_change_end_it(placed: Placed, runtime: str) -> None:
    function = placed(runtime)
    function.door.update_function_configuration(function.name, description="another")
    assert answer(function, {"does": "echo", "value": 1}) == 1
    assert function.results[-1].start == "cold"


def test_nobody_registers_after_init(deployed: Placed, runtime: str) -> None:
    """Neither while the channel serves nor later, and it serves on."""
    function = deployed(runtime, network="loopback")
    for _ in range(3):
        assert answer(function, {"does": "registers"}) == 403
    assert answer(function, {"does": "has", "name": REGION}) is True
    assert same_process(function)


def test_with_extensions_the_channel_serves(deployed: Placed, runtime: str) -> None:
    """They are told of every invocation, by who is between."""
    function = deployed(runtime, network="loopback", layers=[probes("probe")])
    for _ in range(3):
        assert answer(function, {"does": "has", "name": REGION}) is False
    assert same_process(function)


def test_a_node_that_loads_no_libraries_is_served_by_the_channel(deployed: Placed) -> None:
    function = deployed(CLASSIC, environment={"NODE_OPTIONS": "--no-addons"})
    for _ in range(3):
        assert answer(function, {"does": "has", "name": REGION}) is False
    assert same_process(function)


@pytest.mark.parametrize("left", [0, 1, 2, 3, 4])
def test_one_without_descriptors_for_a_place_is_served_by_the_channel(
    deployed: Placed, runtime: str, left: int
) -> None:
    """It takes one for a while to load the library, and three in the end."""
    function = deployed(runtime)
    held = answer(function, {"does": "hoards", "left": left})
    for number in range(3):
        assert answer(function, {"does": "echo", "value": number}) == number
    answer(function, {"does": "releases", "held": held})
    assert answer(function, {"does": "has", "name": REGION}) is (left > 2)
    assert same_process(function)


class TestNodeStreams:
    """A handler by `awslambda.streamifyResponse`, whose pieces are bytes that are no text."""

    @pytest.fixture
    def streaming(self, deploy: Any) -> Function:
        made: Function = deploy(CODE, "app.streams", CLASSIC)
        assert answer(made, {"does": "has", "name": REGION}) is False
        assert answer(made, {"does": "has", "name": REGION}) is True
        return made

    def test_answers_are_streamed(self, streaming: Function, door: Door) -> None:
        for pieces, length in ((0, 1), (1, 10), (3, 300_000), (40, 1_000_000)):
            given = door.invoke_stream(streaming.name, {"pieces": pieces, "bytes": length})
            assert b"".join(given) == b"first " + b"\xff" * (pieces * length)
            assert given.content_type == "application/x-pieces"
        assert streaming({"pieces": 2, "bytes": 100_000}).payload == b"first " + b"\xff" * 200_000
        assert same_process(streaming)

    def test_one_that_fails_says_so_at_its_end(self, streaming: Function, door: Door) -> None:
        given = door.invoke_stream(streaming.name, {"pieces": 1, "bytes": 5, "fails": True})
        assert b"".join(given) == b"first \xff\xff\xff\xff\xff"
        assert json.loads(given.result.payload)["errorType"] == "RangeError"
        assert failure(streaming, {"pieces": 1, "bytes": 5, "fails": True})["errorMessage"] == "late"

    def test_one_may_have_so_many_bytes_and_not_more(self, streaming: Function, door: Door) -> None:
        given = door.invoke_stream(streaming.name, {"pieces": 201, "bytes": 1 << 20})
        assert sum(map(len, given)) == 200 << 20
        assert json.loads(given.result.payload)["errorType"] == "Function.ResponseSizeTooLarge"
        assert failure(streaming, {"pieces": 7, "bytes": 1 << 20})["errorType"] == "Function.ResponseSizeTooLarge"
        assert streaming({"pieces": 0, "bytes": 0}).payload == b"first "
        assert same_process(streaming)


def test_the_library_refuses_what_has_no_place() -> None:
    """A function may load it, too."""
    (library,) = (BOOTSTRAPS / "node").glob("place.*so")
    script = f"""
        const place = {{ exports: {{}} }};
        process.dlopen(place, {json.dumps(str(library))});
        const {{ open, put, take, begin, send, id, trace, beside, streams }} = place.exports;
        const refused = [put, take, begin, send].map((call) => {{
            try {{ call(); }} catch (error) {{ return error.message; }}
        }});
        console.log(JSON.stringify([[open(), open('x'), open(-1), streams()], [id(), trace(), beside()], refused]));
    """
    told = subprocess.run(["node", "-e", script], stdout=subprocess.PIPE, check=True, text=True).stdout
    refused = [
        "there is no invocation to answer",
        "this process has no place in the region",
        "there is no answer to begin",
        "there is no answer under way",
    ]
    assert json.loads(told) == [[False] * 4, [None] * 3, refused]


@pytest.mark.parametrize("python", ["python3.8", "python3.13"])
class TestPython:
    """What only Python's bootstrap does."""

    def test_answers_are_streamed(self, placed: Placed, door: Door, python: str) -> None:
        function = placed(python)
        for pieces, length in ((0, 1), (1, 10), (3, 300_000), (40, 1_000_000)):
            asked = {"does": "streams", "pieces": pieces, "bytes": length}
            given = door.invoke_stream(function.name, asked)
            assert b"".join(given) == b"first " + b"x" * (pieces * length)
            assert given.content_type == "application/octet-stream"
        whole = function({"does": "streams", "pieces": 2, "bytes": 100_000})
        assert whole.payload == b"first " + b"x" * 200_000
        assert answer(function, {"does": "echo", "value": 1}) == 1
        assert same_process(function)

    def test_a_stream_that_fails_says_so_at_its_end(self, placed: Placed, door: Door, python: str) -> None:
        function = placed(python)
        given = door.invoke_stream(function.name, {"does": "streams", "pieces": 1, "bytes": 5, "fails": True})
        assert b"".join(given) == b"first xxxxx"
        assert json.loads(given.result.payload)["errorType"] == "ValueError"
        assert failure(function, {"does": "streams", "pieces": 1, "bytes": 5, "fails": True})["errorMessage"] == "late"

    def test_a_stream_may_have_so_many_bytes_and_not_more(self, placed: Placed, door: Door, python: str) -> None:
        function = placed(python)
        given = door.invoke_stream(function.name, {"does": "streams", "pieces": 201, "bytes": 1 << 20})
        assert sum(map(len, given)) == 200 << 20
        assert json.loads(given.result.payload)["errorType"] == "Function.ResponseSizeTooLarge"
        too_much = {"does": "streams", "pieces": 7, "bytes": 1 << 20}
        assert failure(function, too_much)["errorType"] == "Function.ResponseSizeTooLarge"
        assert answer(function, {"does": "echo", "value": 1}) == 1
        assert same_process(function)

    def test_a_signal_is_handled_while_it_waits(self, placed: Placed, python: str) -> None:
        function = placed(python)
        answer(function, {"does": "sets_alarm"})
        while answer(function, {"does": "alarms"}) == 0:
            assert len(function.results) < 1_000
        assert same_process(function)
