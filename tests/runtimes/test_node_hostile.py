"""A Node.js function that means harm, and what comes of it: to its own invocation, to the next one, to others."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from doors import PATIENCE_S, Function
from javascript import own_runtime, written
from verdicts import answer, ends

CODE = """
const fs = require('fs');
const { spawnSync } = require('child_process');
const CHANNEL = 3;

function refused(act) {
  try { return act(), 'done'; } catch (error) { return error.code || error.message; }
}

const deeds = {
  'close its channel': () => fs.closeSync(CHANNEL),
  'write garbage to its channel': () => fs.writeSync(CHANNEL, 'no request at all\\r\\n\\r\\n'),
  'answer twice': (event, context) => {
    const path = `/2018-06-01/runtime/invocation/${context.awsRequestId}/response`;
    for (const body of ['"forged"', '"again"']) {
      fs.writeSync(CHANNEL, `POST ${path} HTTP/1.1\\r\\nContent-Length: ${body.length}\\r\\n\\r\\n${body}`);
    }
    process.exit(0);
  },
  'answer for another': () => {
    const path = '/2018-06-01/runtime/invocation/00000000-0000-0000-0000-000000000000/response';
    fs.writeSync(CHANNEL, `POST ${path} HTTP/1.1\\r\\nContent-Length: 1\\r\\n\\r\\n1`);
    process.exit(0);
  },
  'kill everything': () => refused(() => process.kill(-1, 'SIGKILL')),
  'kill its parent': () => refused(() => process.kill(process.ppid, 'SIGKILL')),
  'kill itself': () => process.kill(process.pid, 'SIGKILL'),
  abort: () => process.abort(),
  'exhaust the stack': () => {
    const deeper = () => deeper() + 1;
    return refused(deeper);
  },
  'open files': () => {
    const held = [];
    const told = refused(() => { for (;;) held.push(fs.openSync('/dev/null')); });
    held.forEach((fd) => fs.closeSync(fd));
    return [told, held.length];
  },
  read: (event) => Object.fromEntries(event.paths.map((path) => [path, refused(() => fs.readdirSync(path))])),
  write: (event) => event.paths.map((path) => refused(() => fs.writeFileSync(path, 'x'))),
  'leave a daemon': () => {
    const started = 'sleep 98761 & until grep -q sleep /proc/$!/comm; do :; done';
    spawnSync('/bin/sh', ['-c', `${started}; ${started}`], { stdio: 'ignore' });
    return 'left';
  },
  flood: () => {
    for (let i = 0; i < 20_000; i++) process.stdout.write('x'.repeat(99) + '\\n');
    return 'said';
  },
  'change its host': () => spawnSync('/bin/hostname', ['mine']).status !== 0,
  'hold the processor': () => { for (;;); },
  nothing: () => 'well',
};

exports.handler = async (event, context) => deeds[event.do](event, context);
"""
EXITED = "Runtime exited"
DROPPED = r"\[engine\] (\d+) bytes of log were dropped here"


@pytest.fixture
def hostile(deploy: Any, tmp_path: Path) -> Iterator[Function]:
    """After whatever it does it serves its next invocation, and so does another."""
    code = written(tmp_path / "code", CODE)
    function, other = (deploy(code, "index.handler", own_runtime(), timeout_s=10) for _ in range(2))
    assert answer(other, {"do": "nothing"}) == "well"
    yield function
    assert answer(function, {"do": "nothing"}) == "well"
    assert answer(other, {"do": "nothing"}) == "well"
    assert other.results[1].start == "warm"


@pytest.mark.parametrize("deed", ["close its channel", "write garbage to its channel", "answer for another"])
def test_a_broken_channel_ends_the_environment(hostile: Function, deed: str) -> None:
    result = hostile({"do": deed})
    assert result.function_error == "Unhandled"
    assert result.json()["errorType"] == "Runtime.ExitError"
    assert EXITED in result.json()["errorMessage"]


def test_the_first_answer_counts(hostile: Function) -> None:
    assert answer(hostile, {"do": "answer twice"}) == "forged"


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("kill itself", "Runtime exited with error: signal: killed"),
        ("abort", "Runtime exited with error: signal: aborted"),
    ],
)
def test_a_process_that_ends_itself_is_told_of(hostile: Function, deed: str, reason: str) -> None:
    ends(hostile, {"do": deed}, "Runtime.ExitError", reason)


@pytest.mark.parametrize("deed", ["kill everything", "kill its parent"])
def test_signals_reach_nobody_else(hostile: Function, deed: str) -> None:
    result = hostile({"do": deed})
    assert result.function_error == "Unhandled" or result.json() in ("done", "EPERM", "ESRCH")


def test_limits_are_told_as_errors_that_a_handler_can_catch(hostile: Function) -> None:
    assert answer(hostile, {"do": "exhaust the stack"}) == "Maximum call stack size exceeded"
    told, held = answer(hostile, {"do": "open files"})
    assert told == "EMFILE"
    assert 900 < held < 1_024
    assert answer(hostile, {"do": "nothing"}) == "well"
    assert {result.start for result in hostile.results[1:]} == {"warm"}


def test_the_host_is_out_of_reach(hostile: Function, tmp_path: Path) -> None:
    homes = [str(Path.home() / name) for name in (".ssh", ".bashrc", ".cache", ".config")]
    paths = [*homes, "/home", str(tmp_path), "/sys/fs/cgroup", "/run/host", f"/proc/{os.getpid()}"]
    told = answer(hostile, {"do": "read", "paths": paths})
    assert {path for path, said in told.items() if said not in ("ENOENT", "EACCES")} == set()
    unwritten = ["/var/task/index.js", "/var/rapid/node/main.cjs", "/usr/bin/x", "/opt/x", "/etc/x"]
    assert "done" not in answer(hostile, {"do": "write", "paths": unwritten})
    assert answer(hostile, {"do": "change its host"})


def test_what_it_leaves_behind_goes_with_its_environment(hostile: Function) -> None:
    assert answer(hostile, {"do": "leave a daemon"}) == "left"
    assert len(sleepers()) == 2
    ends(hostile, {"do": "kill itself"}, "Runtime.ExitError", "Runtime exited with error: signal: killed")
    deadline = time.monotonic() + PATIENCE_S
    while sleepers():
        assert time.monotonic() < deadline, sleepers()
        os.sched_yield()


def sleepers() -> list[int]:
    """The daemon's processes, as the host sees them."""
    command = ["sleep", "98761"]
    return [each.pid for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == command]


def test_a_flood_on_standard_output_is_taken_and_bounded_in_its_own_invocation(hostile: Function) -> None:
    assert answer(hostile, {"do": "flood"}) == "said"
    lines = hostile.log(hostile.results[0])
    (dropped,) = (int(found[1]) for line in lines if (found := re.fullmatch(DROPPED, line)))
    assert abs(lines.count("x" * 99) * 100 + dropped - 2_000_000) < 100  # one is cut
    assert answer(hostile, {"do": "nothing"}) == "well"
    assert [line.split()[0] for line in hostile.log(hostile.results[1])] == ["START", "END", "REPORT"]


def test_a_loop_without_end_is_timed_out(deploy: Any, tmp_path: Path) -> None:
    function = deploy(written(tmp_path, CODE), "index.handler", own_runtime(), timeout_s=1)
    ends(function, {"do": "hold the processor"}, "Sandbox.Timedout", "Task timed out after 1.00 seconds")
    assert answer(function, {"do": "nothing"}) == "well"
