"""Whatever a function prints stands in its log at once, whole, and in order with C code's and children's output."""

from __future__ import annotations

import fcntl
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.runtimes.bootstraps.python import output

ROOT = str(Path(output.__file__).parents[4])
MODULE = "engine.runtimes.bootstraps.python"
START = f"import sys; sys.path.insert(0, {ROOT!r})\nfrom {MODULE} import output\nflush = output.install()\n"


def log_of(code: str, status: int = 0) -> bytes:
    """What a bare interpreter, as the zygote is, writes to one pipe on both descriptors."""
    command = [sys.executable, "-I", "-S", "-c", START + code]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == status, done.stdout
    return done.stdout


def test_print_c_code_and_children_keep_their_order() -> None:
    code = """
import os, ctypes, subprocess
print("1 print")
os.write(1, b"2 descriptor\\n")
print("3 part", end="")
subprocess.run(["/bin/sh", "-c", "echo ' 4 child'; echo 5 child error >&2"])
print("6 error", file=sys.stderr)
print("7 part", end="")
libc = ctypes.CDLL(None)
libc.write(1, b" 8 c\\n", 5)
sys.stdout.write("9")
os.write(2, b" 10\\n")
sys.stdout.buffer.write(b"11 bytes")
sys.stdout.writelines([" 12", "\\n"])
"""
    expected = "1 print|2 descriptor|3 part 4 child|5 child error|6 error|7 part 8 c|9 10|11 bytes 12|"
    assert log_of(code).decode().replace("\n", "|") == expected


def test_a_killed_process_leaves_all_that_it_printed() -> None:
    code = 'print("a line")\nprint("step 3 ...", end="")\nimport os\nos.kill(os.getpid(), 9)\n'
    assert log_of(code, status=-9) == b"a line\nstep 3 ..."


def test_a_forked_child_repeats_nothing() -> None:
    code = 'import os\nprint("once", end="")\npid = os.fork()\nif pid: os.waitpid(pid, 0)\nelse: sys.exit()\n'
    assert log_of(code) == b"once"


def test_text_beyond_utf8_is_escaped_on_both_streams() -> None:
    code = 'print("\\u00e4\\ud800")\nprint("\\udc80", file=sys.stderr)\n'
    assert log_of(code) == "\u00e4\\ud800\n\\udc80\n".encode()


def test_a_traceback_at_the_end_is_whole() -> None:
    assert log_of("1 / 0", status=1).splitlines()[-1] == b"ZeroDivisionError: division by zero"


def test_line_ends_are_written_as_they_are() -> None:
    assert log_of('print("a\\r\\nb\\rc")') == b"a\r\nb\rc\n"


def test_the_streams_look_like_pythons_own() -> None:
    code = """
for stream, fd in ((sys.stdout, 1), (sys.stderr, 2)):
    seen = (stream.fileno() == fd, stream.encoding, stream.isatty(), stream.writable(), stream.name, stream.closed)
    print(seen)
    stream.reconfigure(line_buffering=True)
print(sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__)
"""
    assert log_of(code).decode().splitlines() == [
        "(True, 'utf-8', False, True, '<stdout>', False)",
        "(True, 'utf-8', False, True, '<stderr>', False)",
        "True True",
    ]


def test_flush_writes_what_a_stream_of_the_functions_own_holds() -> None:
    code = """
import io, os
sys.stdout = io.TextIOWrapper(sys.stdout.buffer, "utf-8")
sys.stdout.write("held")
os.write(1, b"before ")
flush()
os.write(1, b" after")
os._exit(0)
"""
    assert log_of(code) == b"before held after"


@pytest.mark.parametrize("broken", ["None", "object()", "closed", "detached"])
def test_flush_survives_what_a_function_did_to_its_streams(broken: str) -> None:
    code = f"""
import os
if {broken!r} == "closed": sys.stdout.close()
elif {broken!r} == "detached": sys.stdout.detach()
else: sys.stdout = {broken if "ed" not in broken else None}
flush()
os.write(1, b"alive")
os._exit(0)
"""
    assert log_of(code) == b"alive"


def test_a_pipe_made_non_blocking_by_someone_else_loses_nothing() -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETFL, os.O_NONBLOCK)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.extend(iter(lambda: os.read(reading, 65536), b"")))
    stream = output._stream(writing, "<stdout>")
    reader.start()
    text = "0123456789\n" * 100_000
    stream.write(text)
    stream.buffer.write(memoryview(b"end"))
    os.close(writing)
    reader.join()
    os.close(reading)
    assert b"".join(received).decode() == text + "end"


def test_a_part_written_before_a_signal_is_followed_by_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    # A stand-in for write(2), which answers a part only when a signal comes at the right moment.
    reading, writing = os.pipe()
    monkeypatch.setattr(output, "_write", lambda pipe, data: io.FileIO.write(pipe, data[:3]))
    stream = output._stream(writing, "<stdout>")
    stream.write("0123456789")
    assert os.read(reading, 100) == b"0123456789"
    os.close(reading)
    os.close(writing)
