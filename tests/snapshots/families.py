"""Families: a zygote, the template that it forks, and what is restored from the template's image."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

import engine
from engine.core.snapshots import SEALS

ZYGOTE = Path(__file__).parent / "code" / "zygote.py"
LIMIT_S = 120.0
PLAIN = {"limit_s": LIMIT_S, "namespace": False, "own_folder": "/tmp/"}  # what an order says when a test does not


@dataclass(frozen=True)
class Ended:
    """One process from its start to its end: what it said, its standard error, its exit status or minus the signal."""

    said: list[Any]
    errors: str
    status: int

    @property
    def only(self) -> Any:
        assert self.status == 0 and len(self.said) == 1, self
        return self.said[0]


class Family:
    """One zygote and one image. `image_fd` may be another family's, to be refused."""

    def __init__(self, image_fd: int | None = None) -> None:
        self.owns = image_fd is None
        self.image_fd = (
            os.memfd_create("engine-image", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING) if self.owns else image_fd
        )
        assert self.image_fd is not None and engine.__file__
        paths = [str(Path(engine.__file__).parent.parent), str(Path(numpy.__file__).parent.parent)]
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(ZYGOTE), json.dumps(paths), str(self.image_fd)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(self.image_fd,),
            text=True,
        )

    def order(self, **order: object) -> Ended:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({**PLAIN, **order}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return Ended(_lines(answer["said"]), answer["errors"], answer["status"])

    def template(self, init: str, after: str = "", **more: object) -> Ended:
        """Run `init`, capture; what is restored from it will run `after`."""
        ended = self.order(be="template", init=textwrap.dedent(init), after=textwrap.dedent(after), **more)
        if ended.said[-1:] == ["captured"] and self.owns:
            fcntl.fcntl(self.image_fd or 0, fcntl.F_ADD_SEALS, SEALS)
        return ended

    def restored(self, message: str = "", before: str = "", **more: object) -> Ended:
        """Restore, in a process that has run `before`."""
        return self.order(be="blank", message=message, before=textwrap.dedent(before), **more)

    def close(self) -> None:
        self.process.communicate(timeout=LIMIT_S)
        if self.owns and self.image_fd is not None:
            os.close(self.image_fd)


def _lines(said: str) -> list[Any]:
    return [json.loads(line) if line[:1] in '"[{0123456789tfn-' else line for line in said.splitlines()]
