"""The command, and the JSON that it wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from planned import Benched, command


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Benched]:
    """Run the command to its end and read the JSON that it wrote."""

    def run_it(*arguments: str) -> Benched:
        written = tmp_path / "out.json"
        done = command(*arguments, "--json", str(written))
        assert written.exists(), done.output
        return Benched(done.exit_code, done.stdout, done.stderr, json.loads(written.read_text()))

    return run_it
