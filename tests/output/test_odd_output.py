"""Floods, bytes that are no text, lines without an end; and how the log is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from doors import Door, Function, host_pid

from engine import config

CODE = Path(__file__).parent / "code"
Deploy = Callable[..., Function]
Cut = Callable[[list[str]], list[str]]

DROPPED = re.compile(r"\[engine\] (\d+) bytes of log were dropped here")


def dropped_bytes(lines: list[str]) -> int:
    return sum(int(found[1]) for line in lines if (found := DROPPED.fullmatch(line)))


@pytest.mark.parametrize(("handler", "size"), [("floods", 50_000_022), ("floods_through_a_child", 20_000_000)])
def test_a_flood_is_cut_marked_and_held_in_bounds(deploy: Deploy, own_lines: Cut, handler: str, size: int) -> None:
    flood = deploy(handler)
    quiet = deploy("says_its_id", door=flood.door)
    quiet()
    before = psutil.Process().memory_info().rss
    result = flood({"megabytes": 50}, log_tail=True)
    grown = psutil.Process().memory_info().rss - before
    assert result.function_error is None
    assert grown < 24 << 20
    lines = own_lines(flood.log(result))
    kept = sum(len(line) + 1 for line in lines[:-1])
    assert DROPPED.fullmatch(lines[-1])
    assert kept <= config.LOG_PER_INVOCATION_BYTES + 1
    assert dropped_bytes(lines) + kept == pytest.approx(size, abs=1)
    assert result.log_tail is not None
    assert len(result.log_tail.encode()) <= config.LOG_TAIL_BYTES
    assert result.log_tail.splitlines()[-1].startswith(f"REPORT RequestId: {result.request_id}\t")


def test_the_invocations_after_a_flood_have_their_own_lines(deploy: Deploy, own_lines: Cut) -> None:
    function = deploy("says_or_floods")
    for _ in range(3):
        function({"megabytes": 5})
        results = [function({}) for _ in range(50)]
        for result in results:
            assert own_lines(function.log(result)) == [f"mine {result.request_id}"]


def test_a_child_that_floods_on_between_invocations_hangs_nobody(deploy: Deploy) -> None:
    function = deploy("leaves_and_stops_a_flood")
    child = function({"do": "leave"}).json()
    assert psutil.pid_exists(host_pid(function.pids()[0], child))
    for _ in range(20):
        assert function({"do": "nothing"}).function_error is None
    assert function({"do": "stop"}).function_error is None
    last = function({"do": "nothing"})
    lines = function.log(last)
    assert [line for line in lines if "left behind" in line] == []
    assert any("stopped" in line for line in function.whole_log())


def test_bytes_that_are_no_utf_8_are_shown_as_replacement_characters(deploy: Deploy, own_lines: Cut) -> None:
    function = deploy("writes_bytes")
    result = function({"bytes": [0x61, 0xFF, 0xFE, 0x62, 0x0A, 0xC3, 0xA4, 0x0A, 0x00, 0x0A]}, log_tail=True)
    assert own_lines(function.log(result)) == ["a\ufffd\ufffdb", "ä", "\0"]
    assert result.log_tail is not None and "a\ufffd\ufffdb\nä\n" in result.log_tail


def test_a_character_cut_at_the_end_does_not_spoil_the_next_invocation(deploy: Deploy, own_lines: Cut) -> None:
    function = deploy("writes_bytes")
    first, second = function({"bytes": [0x61, 0xC3]}), function({"bytes": [0x62]})
    assert own_lines(function.log(first)) == ["a\ufffd"]
    assert own_lines(function.log(second)) == ["b"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("no end", ["no end"]),
        ("one\ntwo", ["one", "two"]),
        ("\n", [""]),
        ("one\n\n", ["one", ""]),
        ("one\rstill one\n", ["one\rstill one"]),
        ("\u2028 and \x85 end no line\n", ["\u2028 and \x85 end no line"]),
        ("", []),
    ],
)
def test_lines_end_at_newlines_alone_and_a_last_one_needs_none(
    deploy: Deploy, own_lines: Cut, text: str, lines: list[str]
) -> None:
    function = deploy("says")
    result, after = function({"text": text, "end": ""}), function({"text": "next"})
    assert own_lines(function.log(result)) == lines
    assert own_lines(function.log(after)) == ["next"]


def test_a_log_tail_is_the_end_of_the_log_and_comes_only_when_asked_for(deploy: Deploy) -> None:
    function = deploy("says")
    assert function({"text": "x"}).log_tail is None
    short = function({"text": "x"}, log_tail=True)
    assert short.log_tail == "\n".join(function.log(short)) + "\n"
    for length in (3_000, 4_000, 10_000):
        long = function({"text": "ä" * length + "END"}, log_tail=True)
        assert long.log_tail is not None
        assert len(long.log_tail.encode()) <= config.LOG_TAIL_BYTES
        assert ("\n".join(function.log(long)) + "\n").endswith(long.log_tail)
        assert "äEND\n" in long.log_tail


def test_logs_can_be_asked_for_by_request_and_by_number(deploy: Deploy) -> None:
    function = deploy("says")
    results = [function({"text": f"line {n}"}) for n in range(20)]
    whole = function.door.logs(function.name)
    assert function.door.logs(function.name, limit=7) == whole[-7:]
    assert function.door.logs(function.name, limit=10_000) == whole
    assert function.door.logs(function.name, limit=0) == []
    wanted = results[7].request_id
    mine = function.door.logs(function.name, request_id=wanted)
    assert mine == [event for event in whole if event.request_id == wanted]
    assert [event.message for event in mine][1] == "line 7"
    assert function.door.logs(function.name, request_id=wanted, limit=1) == mine[-1:]
    assert function.door.logs(function.name, request_id="no such request") == []


def test_times_in_a_log_never_go_back_within_a_stream(deploy: Deploy) -> None:
    function = deploy("says")
    for n in range(50):
        function({"text": f"line {n}"})
    times = [event.timestamp_ms for event in function.door.logs(function.name)]
    assert times == sorted(times)


def test_a_log_outlives_an_update_of_the_code_and_goes_with_the_function(deploy: Deploy) -> None:
    function = deploy("says")
    before = function({"text": "before"})
    function.door.update_function_configuration(function.name, handler="prints.says_its_id")
    after = function()
    assert "before" in function.log(before)
    assert f"mine {after.request_id}" in function.log(after)
    assert function.stats()["invocations"] == 2
    function.door.update_function_code(function.name, code=CODE)
    function()
    assert "before" in function.log(before)
    function.door.delete_function(function.name)
    function.door.create_function(function.name, code=CODE, handler="prints.says")
    assert function.whole_log() == []


def test_versions_have_logs_of_their_own(deploy: Deploy) -> None:
    function = deploy("says")
    function({"text": "latest"})
    version = function.door.publish_version(function.name).version
    published = function({"text": "published"}, qualifier=version)
    events = function.door.logs(function.name, qualifier=version)
    assert {event.request_id for event in events} == {published.request_id}
    assert all(f"/[{version}]" in event.stream for event in events)
    assert "published" not in function.whole_log()


def test_the_oldest_text_of_a_function_goes_first_and_all_reports_stay(deploy: Deploy, own_lines: Cut) -> None:
    function = deploy("says")
    size = 1_000_000
    results = [function({"text": f"{n:03d}" + "x" * size}) for n in range(20)]
    kept = [bool(own_lines(function.log(result))) for result in results]
    held = config.LOG_PER_FUNCTION_BYTES // (size + 4)
    assert kept == [False] * (20 - held) + [True] * held
    assert own_lines(function.log(results[-1]))[0].startswith("019x")
    assert sum(line.startswith("REPORT ") for line in function.whole_log()) == 20


def test_a_flood_from_init_is_cut_too_and_the_function_works(deploy: Deploy, tmp_path: Any) -> None:
    module = tmp_path / "loud.py"
    module.write_text(
        "import sys\nsys.stdout.write(('x' * 99 + chr(10)) * 50_000)\n\ndef handler(e, c):\n    print('mine')\n"
    )
    function = deploy("loud.handler", code=module)
    first, second = function(), function()
    lines = function.log(first)
    start = next(n for n, line in enumerate(lines) if line.startswith("START "))
    assert dropped_bytes(lines[:start]) + sum(len(line) + 1 for line in lines[1 : start - 1]) == pytest.approx(
        5e6, abs=1
    )
    assert lines[start + 1] == "mine"
    assert function.log(second)[1] == "mine"


def test_a_failing_init_that_floods_leaves_a_bounded_log(open_door: Callable[..., Door], tmp_path: Any) -> None:
    module = tmp_path / "loud.py"
    module.write_text("import sys\nsys.stdout.write(('x' * 99 + chr(10)) * 50_000)\nraise ValueError('no')\n")
    door = open_door()
    door.create_function("loud", code=module, handler="loud.handler", timeout_s=30)
    for _ in range(3):
        assert door.invoke("loud").function_error == "Unhandled"
    size = sum(len(event.message) for event in door.logs("loud"))
    assert size <= 8 * config.LOG_PER_INVOCATION_BYTES
    assert any("ValueError" in event.message for event in door.logs("loud"))
