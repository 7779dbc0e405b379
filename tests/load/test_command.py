"""`engine bench` as a user runs it: real functions in an engine of its own, the JSON, the page, signals, bad input."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from doors import PATIENCE_S
from hdrh.histogram import HdrHistogram
from jsonschema import Draft202012Validator
from planned import ECHO, FUNCTIONS, ONE_VCPU_MB, Benched, command

from engine.load import page
from engine.load.document import schema
from engine.load.trace import KEYS, MINUTES

Bench = Callable[..., Benched]
HELLO = str(FUNCTIONS / "hello")
SHORT = ("--memory", ONE_VCPU_MB, "--count", "300")
MARKS = """
import functools, json, os, socket
@functools.cache
def mark():
    socket.create_connection(json.loads(os.environ["MARK"])).close()
def handler(event, context):
    mark()
    return event
"""


class Page(HTMLParser):
    """Text of a page, and every address it refers to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.addresses = "", list[str]()
        self.feed(html)
        self.close()

    def handle_data(self, data: str) -> None:
        self.text += data + " "

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "data", "srcset")]


def valid(benched: Benched) -> dict[str, object]:
    Draft202012Validator(schema()).validate(benched.document)
    return benched.document


def test_a_closed_loop_in_an_engine_of_its_own(bench: Bench) -> None:
    done = bench(ECHO, *SHORT, "--concurrency", "8")
    valid(done)
    document = done.document
    assert done.status == 0
    assert document["calls"]["sent"] == document["calls"]["ok"] == document["billing"]["requests"] == 300
    assert document["starts"]["cold"] >= 1
    assert document["billing"]["gb_seconds"] == document["billing"]["billed_ms"] * int(ONE_VCPU_MB) / 1_024_000
    assert document["cpu"]["us_per_invocation"] > 0
    assert document["latency"]["corrected_from"] == "expected interval, the median"
    assert sum(row["answered"] for row in document["timeline"]["rows"]) == 300
    for figure in ("300 sent", "closed loop of 8 callers", "p99.9", "per million"):
        assert figure in done.output


def test_an_open_loop_of_several_functions_with_weights(bench: Bench) -> None:
    done = bench(f"{ECHO}=9", HELLO, *SHORT, "--rate", "2000", "--arrivals", "poisson", "--payload", '{"name": "Ada"}')
    document = valid(done) and done.document
    assert [function["name"] for function in document["functions"]] == ["echo", "hello"]
    echo, hello = (function["answered"] for function in document["functions"])
    assert echo + hello == 300
    assert echo > 200 > hello > 0
    assert document["latency"]["corrected_from"] == "intended send time"
    assert document["latency"]["lateness"]["count"] == 300
    assert sum(row["asked"] for row in document["timeline"]["rows"]) == 300


def test_bursts_are_sent_whole(bench: Bench) -> None:
    done = bench(ECHO, *SHORT, "--arrivals", "bursts", "--burst", "30", "--every", "0.01")
    assert valid(done) and done.document["calls"]["ok"] == 300
    assert "bursts of 30 every 0.01 s" in done.output


def test_a_trace_is_replayed_with_its_counts(bench: Bench, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    rows = [["o", "a", f"f{n}", "http", *[count] * 3, *[0] * (MINUTES - 3)] for n, count in enumerate((20, 40, 5))]
    lines = [[*KEYS, *range(1, MINUTES + 1)], *rows]
    trace.write_text("\n".join(",".join(map(str, line)) for line in lines) + "\n")
    done = bench(ECHO, HELLO, "--memory", ONE_VCPU_MB, "--trace", str(trace), "--minutes", "1-2", "--speed", "300")
    document = valid(done) and done.document
    assert (document["calls"]["ok"], document["calls"]["not_sent"]) == (120, 0)
    assert {function["name"]: function["answered"] for function in document["functions"]} == {"echo": 80, "hello": 40}
    assert document["settings"]["duration_s"] == 120 / 300
    assert "Left out: 1 others with 10 invocations." in document["notes"][0]


def test_the_page_is_whole_and_says_what_the_json_says(bench: Bench, tmp_path: Path) -> None:
    written = tmp_path / "run.html"
    document = bench(f"{ECHO}=2", HELLO, *SHORT, "--rate", "3000", "--html", str(written)).document
    html = written.read_text()
    root = ElementTree.fromstring(html.removeprefix("<!DOCTYPE html>"))  # well-formed, the drawings too
    drawings = root.findall(".//{http://www.w3.org/2000/svg}svg")
    assert len(drawings) == 4  # there were no errors to draw
    seen = Page(html)
    assert seen.addresses == []
    assert "url(" not in html and "@import" not in html
    assert " ".join(document["command"].split()) in " ".join(seen.text.split())
    assert document["stamp"]["kernel"] in seen.text
    assert "300 sent, 300 answered, 300 ok, 0 not sent" in seen.text
    assert {function["name"] for function in document["functions"]} <= set(seen.text.split())
    assert page.as_page(document) == html  # nothing but the JSON is in it


def test_every_point_of_a_drawing_lies_within_it(bench: Bench, tmp_path: Path) -> None:
    written = tmp_path / "run.html"
    bench(ECHO, *SHORT, "--html", str(written))
    for path in re.findall(r'<path class="s\d [a-z]+" d="([^"]+)"', written.read_text()):
        for x, y in re.findall(r"([\d.-]+) ([\d.-]+)", path):
            assert 0 <= float(x) <= page.CURVE_WIDTH
            assert 0 <= float(y) <= 250


def test_the_histograms_are_hdrhistograms_own(bench: Bench) -> None:
    document = bench(ECHO, *SHORT).document
    histogram = HdrHistogram.decode(document["histograms"]["service"])
    assert histogram.get_total_count() == 300
    p99_us = document["latency"]["service"]["p99_us"]
    assert histogram.get_value_at_percentile(99) / 1e3 == pytest.approx(p99_us, rel=0.001)


def test_json_on_standard_output_stands_alone() -> None:
    done = command(ECHO, *SHORT, "--json", "-")
    assert json.loads(done.stdout)["calls"]["ok"] == 300
    assert "300 sent" in done.stderr


def test_payload_sizes_are_sent(bench: Bench, tmp_path: Path) -> None:
    function = tmp_path / "app.py"
    function.write_text("def handler(event, context):\n    raise type(f'L{len(event)}', (Exception,), {})('')\n")
    document = bench(str(function), *SHORT, "--payload-size", "16,1024=3").document
    assert {error["type"] for error in document["errors"]} == {"L14", "L1022"}
    assert document["settings"]["payload_bytes"] == [16, 1_024]


def test_functions_that_all_fail_end_with_status_1(bench: Bench, tmp_path: Path) -> None:
    function = tmp_path / "app.py"
    function.write_text("def handler(event, context):\n    raise ValueError('no')\n")
    done = bench(str(function), "--count", "20")
    assert (done.status, done.document["calls"]["function_errors"]) == (1, 20)


def test_ctrl_c_ends_the_run_early_and_still_reports(tmp_path: Path) -> None:
    function = tmp_path / "app.py"
    function.write_text(MARKS)
    program = "from engine.cli import main; main(prog_name='engine')"
    arguments = ["bench", f"{function}:app.handler", "--duration", "600", "--json", "-", "--progress"]
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as mark, subprocess.Popen(
        [sys.executable, "-P", "-c", program, *arguments, "--env", f"MARK={json.dumps(mark.getsockname())}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        mark.settimeout(PATIENCE_S)
        mark.accept()[0].close()
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors
    document = json.loads(output)
    assert document["ended_by"] == "interrupt"
    assert document["calls"]["ok"] == document["calls"]["sent"] > 0
    assert "Interrupted: the figures are of the part that ran." in errors


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "nowhere does not exist: give a folder"),
        ([ECHO + "=0"], "=0': a weight is a number above 0"),
        ([ECHO, "--embedded", "--socket", "unix:/x"], "--embedded and --socket: load goes to one target"),
        (["name", "--socket", "nonsense"], "--socket: address='nonsense' is not an address"),
        (["name", "--socket", "tcp:192.0.2.1:80"], "'192.0.2.1' is not this host"),
        ([ECHO, "--arrivals", "poisson"], "--arrivals needs --rate R"),
        ([ECHO, "--arrivals", "bursts", "--burst", "3"], "go together"),
        ([ECHO, "--rate", "5", "--trace", "x.csv"], "--rate and --trace are two schedules: give one"),
        ([ECHO, "--rate", "5", "--concurrency", "5"], "--concurrency means nothing in an open loop"),
        ([ECHO, "--max-outstanding", "5"], "--max-outstanding means nothing in a closed loop"),
        ([ECHO, "--rate", "0"], "0"),
        ([ECHO, "--count", "10000001"], "10000001 is not in the range"),
        ([ECHO, "--duration", "0"], "0.0 is not in the range"),
        ([ECHO, "--trace", "nowhere.csv"], "--trace: cannot read nowhere.csv"),
        ([ECHO, "--trace", "x.csv", "--minutes", "9-2"], "'9-2' is not a part of a day"),
        ([ECHO, "--minutes", "1-2"], "--minutes needs --trace FILE"),
        ([ECHO, "--payload", "{"], "--payload is not JSON"),
        ([ECHO, "--payload", "@nowhere.json"], "cannot read nowhere.json"),
        ([ECHO, "--payload", "1", "--payload-size", "5"], "--payload and --payload-size: give one"),
        ([ECHO, "--payload-size", "1"], "1 bytes: an event has 2 to 6,291,456 bytes"),
        ([ECHO, "--env", "KEY"], "'KEY' has no '='"),
        ([ECHO, "--json", "/nowhere/x.json"], "/nowhere/x.json cannot be written"),
        ([ECHO, "--memory", "64"], "'64' at 'memorySize'"),
        ([*["e"] * 257, "--socket", "unix:/x"], "257 functions: at most 256"),
    ],
)
def test_bad_input_names_the_value_and_the_way_out(arguments: list[str], told: str) -> None:
    done = command(*arguments)
    assert done.exit_code in (1, 2)
    assert told in done.stderr
    assert done.stdout == ""


def test_the_command_line_does_not_import_what_only_a_run_needs() -> None:
    code = "import sys, engine.cli; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert {"numpy", "hdrh", "aiohttp", "botocore"} & set(done.stdout.split()) == set()
