"""Everything a function writes is in its log, in order, and with the right request."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from doors import Door, Function, Gate, watched

from engine import InvokeResult

Deploy = Callable[..., Function]
Cut = Callable[[list[str]], list[str]]

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def test_every_way_of_writing_reaches_the_log_in_order(deploy: Deploy, own_lines: Cut) -> None:
    function = deploy("every_way")
    for start in ("cold", "warm"):
        result = function()
        assert result.start == start
        lines = own_lines(function.log(result))
        logged = lines.pop(2)
        assert re.fullmatch(rf"\[WARNING\]\t{STAMP}\t{result.request_id}\t3 logging", logged)
        assert lines == [
            "1 print",
            "2 stderr",
            "4 os.write",
            "5 puts",
            "6 printf",
            "7 child",
            "8 os.system",
            "8b on stderr",
            "9 print of three",
            "10 context.log",
            "11 sys.__stdout__",
        ]


def test_each_log_level_is_written_with_its_name_and_the_request(deploy: Deploy, own_lines: Cut) -> None:
    function = deploy("every_level")
    result = function()
    lines = own_lines(function.log(result))
    for level, line in zip(("debug", "info", "warning", "error", "critical"), lines, strict=True):
        assert re.fullmatch(rf"\[{level.upper()}\]\t{STAMP}\t{result.request_id}\tsaid at {level}", line)


def assert_each_said_its_own_id(function: Function, results: list[InvokeResult]) -> None:
    ids = {result.request_id for result in results}
    assert len(ids) == len(results)
    said = [event for event in function.door.logs(function.name) if event.message.startswith("mine ")]
    assert {event.message for event in said} == {f"mine {request_id}" for request_id in ids}
    assert len(said) == len(ids)
    assert all(event.message == f"mine {event.request_id}" for event in said)


def test_two_thousand_quick_invocations_each_keep_their_line(deploy: Deploy) -> None:
    function = deploy("says_its_id")
    assert_each_said_its_own_id(function, [function() for _ in range(2_000)])


def test_invocations_of_many_callers_over_many_environments_each_keep_their_line(
    deploy: Deploy, open_door: Any
) -> None:
    function = deploy("says_its_id", door=open_door(scaling="lambda"))
    with ThreadPoolExecutor(16) as callers:
        results = list(callers.map(lambda _: function(), range(2_000)))
    assert_each_said_its_own_id(function, results)


def test_environments_that_write_at_the_same_time_have_streams_of_their_own(deploy: Deploy, gate: Gate) -> None:
    function = deploy("waits_and_says_its_id")
    with ThreadPoolExecutor(6) as callers:
        under_way = [callers.submit(function, {"gate": gate.address}) for _ in range(6)]
        gate.wait_entered(6)
        gate.open()
        results = [call.result() for call in under_way]
    events = function.door.logs(function.name)
    assert len({event.stream for event in events}) == 6
    for result in results:
        mine = [event for event in events if event.request_id == result.request_id]
        assert len({event.stream for event in mine}) == 1
        said = [event.message for event in mine if event.message.startswith(("before", "after"))]
        assert said == [f"before {result.request_id}", f"after {result.request_id}"]


def test_a_functions_own_log_variables_are_obeyed_in_any_case(deploy: Deploy, own_lines: Cut) -> None:
    level = deploy("every_level", environment={"AWS_LAMBDA_LOG_LEVEL": "info"})
    assert own_lines(level.log(level()))[-1].startswith("[INFO]\t")
    both = deploy("every_level", environment={"AWS_LAMBDA_LOG_FORMAT": "json", "AWS_LAMBDA_LOG_LEVEL": "info"})
    assert json.loads(own_lines(both.log(both()))[-1])["level"] == "INFO"


def test_what_init_prints_stands_once_between_init_start_and_start(deploy: Deploy) -> None:
    function = deploy("says_at_init.handler")
    first, second = function(log_tail=True), function()
    lines = function.log(first)
    assert lines[0].startswith("INIT_START ")
    assert lines[1:3] == ["init: print", "init: os.write"]
    assert lines[3].startswith("START ")
    assert lines[4] == "handler"
    assert first.log_tail is not None
    assert first.log_tail.splitlines()[1:3] == ["init: print", "init: os.write"]
    assert [line for line in function.log(second) if line.startswith("init")] == []
    assert function.whole_log().count("init: print") == 1


def test_each_environment_shows_its_own_init(deploy: Deploy, open_door: Any) -> None:
    function = deploy("says_at_init.handler", door=open_door(keep_alive_s=0.05))
    first = function()
    with watched(*function.pids()) as wait_gone:
        wait_gone()
    second = function()
    assert function.log(first)[1:3] == function.log(second)[1:3] == ["init: print", "init: os.write"]
    assert function.whole_log().count("init: print") == 2


def test_what_a_thread_that_was_frozen_writes_belongs_to_the_invocation_that_thaws_it(
    deploy: Deploy, gate: Gate, own_lines: Cut
) -> None:
    function = deploy("leaves_a_thread_and_joins_it")
    first = function({"gate": gate.address})
    gate.wait_entered()
    gate.open()
    second = function({"join": True})
    assert own_lines(function.log(first)) == ["from the handler"]
    assert own_lines(function.log(second))[-1] == "joined"
    assert function.whole_log().count("from the thread") == 1


def test_what_a_thread_writes_between_invocations_is_in_the_log_after_the_next(
    deploy: Deploy, open_door: Callable[..., Door], gate: Gate
) -> None:
    function = deploy("leaves_a_thread", door=open_door(sandbox="off"))  # nothing freezes it
    first = function({"gate": gate.address})
    gate.wait_entered()
    gate.open()
    gate.wait_entered()
    gate.open()
    second = function({"gate": gate.address})
    assert function.whole_log().count("from the thread") == 1
    assert "from the thread" not in function.log(first)
    assert "from the thread" in function.log(second)


def test_what_was_written_after_the_last_invocation_is_in_the_log_once_the_environment_has_ended(
    deploy: Deploy, open_door: Callable[..., Door], gate: Gate
) -> None:
    function = deploy("leaves_a_thread", door=open_door(keep_alive_s=0.5, sandbox="off"))  # nothing freezes it
    function({"gate": gate.address})
    with watched(*function.pids()) as wait_gone:
        gate.wait_entered()
        gate.open()
        gate.wait_entered()
        gate.open()
        wait_gone()
    while function.stats()["environments"] != {"ready": 0, "starting": 0}:
        pass  # the process has ended; until the engine has seen that, it answers at once
    assert function.whole_log()[-1] == "from the thread"
    assert function.door.logs(function.name)[-1].request_id == ""


def test_the_last_words_of_a_killed_process_are_in_its_log(deploy: Deploy, own_lines: Cut) -> None:
    function = deploy("prints_then_dies")
    result = function(log_tail=True)
    assert result.function_error == "Unhandled"
    assert own_lines(function.log(result)) == ["last words"]


def test_a_stream_of_the_functions_own_is_flushed_as_each_invocation_ends(deploy: Deploy, own_lines: Cut) -> None:
    function = deploy("replaces_stdout")
    for result in (function(), function()):
        assert own_lines(function.log(result)) == [f"held back {result.request_id}"]
