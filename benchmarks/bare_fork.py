"""The floor under a cold start: a fork of a bare interpreter, up to the child's first word."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType
from typing import Final

# Runs in an interpreter of its own, started by exec: no site, no threads, nothing imported beyond os.
FORKER: Final = """
import os
while os.read(0, 1):
    pid = os.fork()
    if pid == 0:
        os.write(1, b"1")
        os._exit(0)
    os.waitpid(pid, 0)
"""


class BareForker:
    """An interpreter that forks once for each `fork`, as a zygote does."""

    def __enter__(self) -> BareForker:
        bare = [sys.executable, "-I", "-S", "-c", FORKER]
        self._forker = subprocess.Popen(bare, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.fork()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._forker.__exit__(kind, value, at)

    def fork(self) -> None:
        """One fork; returns once the child has spoken. Raises RuntimeError where it did not."""
        assert self._forker.stdin is not None and self._forker.stdout is not None
        self._forker.stdin.write(b"1")
        if self._forker.stdout.read(1) != b"1":
            raise RuntimeError(f"the bare interpreter ended with status {self._forker.poll()}")
