"""What the README shows is run as it stands there."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = dict(enumerate(re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)))


def python_blocks() -> list[str]:
    return [text for language, text in BLOCKS.values() if language == "python"]


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "app.py").write_text(python_blocks()[0])
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )  # fmt: skip


def test_the_blocking_example_runs_and_prints_a_report(tmp_path: Path) -> None:
    done = run(python_blocks()[1], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "'greeting': 'Hello, Ada!'" in done.stdout
    assert "REPORT RequestId: " in done.stdout


def test_the_asyncio_example_runs(tmp_path: Path) -> None:
    body = python_blocks()[2].replace("from engine import Engine\n", "")
    lines = "\n".join("    " + line for line in body.splitlines())
    head = "import asyncio\nfrom engine import Engine\nasync def main():\n"
    program = f"{head}{lines}\n    print(len(results))\nasyncio.run(main())"
    ast.parse(program)
    done = run(program, tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "256"), done.stderr


def test_the_set_up_commands_are_the_promised_ones() -> None:
    event = "tests/functions/thumbnail/event.json"
    assert f"pip install . && engine run tests/functions/thumbnail --event @{event}" in README
    assert "pip install '.[test]' && pytest" in README


def test_every_file_the_codemap_names_is_there() -> None:
    codemap = README[README.index("## Codemap") :]
    for folder in re.findall(r"`(engine/\w+/|ext/engine/_ext/)", codemap):
        assert (ROOT / folder).is_dir(), folder
    for room in ("app.py", "sync.py", "cli.py", "errors.py", "model.py", "states.py", "config.py", "settings.py"):
        assert (ROOT / "engine" / room).is_file()


def test_the_bounds_in_the_table_are_those_in_the_code() -> None:
    from engine import config
    from engine._ext import linux

    for number in (config.EVENT_MAX_BYTES, config.ANSWER_MAX_BYTES, linux.SLOT_COUNT, config.LEDGER_RECORDS):
        assert f"{number:,}" in README
    assert f"| environments of a version | {config.ENVIRONMENTS_MAX:,}" in README
