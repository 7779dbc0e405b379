"""The worker's modules work on in a bare interpreter after they were hidden from the function's own imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import simplejson

from engine.runtimes.bootstraps.python import faults

ROOT = str(Path(faults.__file__).parents[4])
PACKAGES = os.path.dirname(os.path.dirname(simplejson.__file__))
CODE = """
import sys
before = set(sys.modules)
stdlib = sys.path[:]
sys.path[:0] = [{root!r}, {packages!r}]
from engine.runtimes.bootstraps.python import context, faults, handler, import_path, logging_setup, marshal, output
sys.path[:] = stdlib
heavy = {{"asyncio", "subprocess", "socket", "inspect", "typing", "json", "site"}} & set(sys.modules)
for name in [name for name in sys.modules if name.partition(".")[0] in ("engine", "simplejson")]:
    del sys.modules[name]

flush = output.install()
import_path.apply({{"PATH": "/bin", "TZ": ":UTC"}}, [{task!r}, *stdlib])
logging_setup.configure(lambda: "id-1")
unmarshal, to_json = marshal.codec(True)
context.client_context('{{"custom": 1}}')
function = handler.load("app.handler")
print(to_json([sorted(heavy), function(unmarshal(b'{{"a": 1}}'), None)]).decode())
try:
    handler.load("fails.handler")
except Exception as exc:
    told = faults.describe(type(exc), exc, exc.__traceback__, request_id="")
    print(to_json(told).decode())
    sys.stdout.write(faults.log_text(told))
flush()
"""
APP = """
import logging
import engine
def handler(event, context):
    logging.warning("seen")
    return [event, engine.mine]
"""


def test_a_function_may_have_a_package_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text("mine = True\n")
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "fails.py").write_text("1 / 0\n")
    code = CODE.format(root=ROOT, packages=PACKAGES, task=str(tmp_path))
    command = [sys.executable, "-I", "-S", "-B", "-c", code]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    lines = done.stdout.decode().split("\n")
    assert lines[0].startswith("[WARNING]\t"), lines
    assert lines[0].endswith("Z\tid-1\tseen")
    assert json.loads(lines[1]) == [[], [{"a": 1}, True]]
    told = json.loads(lines[2])
    assert (told["errorType"], told["requestId"]) == ("ZeroDivisionError", "")
    assert told["stackTrace"][-1] == f'  File "{tmp_path}/fails.py", line 1, in <module>\n    1 / 0\n'
    assert lines[3].startswith("[ERROR] ZeroDivisionError: division by zero\rTraceback (most recent call last):\r")
    assert lines[4:] == [""]
