"""Starts and ends servers for tests of what talks to them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STAND_IN = Path(__file__).parent / "clients" / "stand_in.py"


@contextmanager
def stand_in(address: str, *arguments: str) -> Iterator[str]:
    """The address at which a stand-in serves; it ends with the block."""
    env = {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    command = [sys.executable, "-P", str(STAND_IN), address, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            said = process.stdout.readline().split()
            assert said[:1] == ["ready"], said
            yield f"tcp:localhost:{said[1]}" if address.startswith("tcp") else f"unix:{said[1]}"
        finally:
            process.stdin.close()
            process.wait(30)
