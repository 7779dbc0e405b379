"""A server in a process of its own: spoken to over its socket, measured, and gone afterwards whatever it does."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from benchmarks.codecs import Resp
from benchmarks.contenders import served
from benchmarks.contract import Bound
from benchmarks.traffic import Dialogue
from benchmarks.work import PAYLOAD

REQUEST_BYTES = len(Resp(PAYLOAD).dialogue().requests(1))

# Answers as Redis does, one thread per connection; with a second argument it has a child and ignores SIGTERM.
PROGRAM = f"""
import signal, socketserver, subprocess, sys, threading

class Answers(socketserver.BaseRequestHandler):
    def handle(self):
        over = 0
        while data := self.request.recv(65536):
            count, over = divmod(over + len(data), {REQUEST_BYTES})
            self.request.sendall(b"+OK\\r\\n" * count)

class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads, request_queue_size = True, 128

if len(sys.argv) > 2:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen(["sleep", "1000"])
Server(sys.argv[1], Answers).serve_forever()
"""


class Small(served.Served):
    name = title = "small"
    stubborn = False

    def command(self, folder: Path, address: Path) -> list[str]:
        (folder / "server.py").write_text(PROGRAM)
        return served.python("-P", str(folder / "server.py"), str(address), *(["stubborn"] if self.stubborn else []))

    def dialogue(self) -> Dialogue:
        return Resp(PAYLOAD).dialogue()


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_every_shape_of_traffic_is_answered_and_nothing_is_left(tmp_path: Path) -> None:
    server = Small()
    server.open()
    try:
        process = psutil.Process(server.pid)
        server.warm_up()
        assert len(server.timed(Bound(60, 10))) == 10
        assert server.flood(64, Bound(60, 500)) >= 500
        assert server.pipeline(64, Bound(60, 500)) >= 500
        assert server.cpu_s() > 0
    finally:
        server.close()
    assert not process.is_running()
    assert list(tmp_path.iterdir()) == []


def test_a_server_deaf_to_sigterm_is_killed_with_its_children_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Small()
    server.stubborn = True
    server.open()
    process = psutil.Process(server.pid)
    family = [process, *process.children(recursive=True)]
    assert len(family) == 2
    monkeypatch.setattr(served, "END_S", 0.3)
    with pytest.raises(RuntimeError, match="was killed"):
        server.close()
    assert psutil.wait_procs(family, 10)[1] == []
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_ends_at_once_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [sys.executable, "-P", "-c", "raise SystemExit('no room')"]
    monkeypatch.setattr(Small, "command", lambda *_: words)
    with pytest.raises(RuntimeError, match="ended with status 1; it said: no room"):
        Small().open()
    assert list(tmp_path.iterdir()) == []
