"""F5: how a run goes, on a terminal. It is drawn by a process of its own, so that drawing delays no call.

`shown` writes a line of JSON four times a second into that process's standard input; `python -m engine.load.progress`
is that process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic_ns
from typing import Any, Final

import numpy as np

from .run import Limits, Window
from .session import Watch
from .tally import Tally

BAR: Final = 24  # columns
FIGURES: Final = (
    "{rate:>9,.0f}/s   p50 {p50_us:,.0f} µs   p99 {p99_us:,.0f} µs   errors {errors:,}   outstanding {outstanding:,}"
)


@contextmanager
def shown(wanted: bool, limits: Limits) -> Iterator[Watch]:
    """What a session calls with how it goes. Where nobody watches, it does nothing."""
    if not wanted:
        yield lambda tally, window, outstanding: None
        return
    command = [sys.executable, "-P", "-m", "engine.load.progress"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0) as drawer:
        assert drawer.stdin is not None
        os.set_blocking(drawer.stdin.fileno(), False)
        try:
            yield _Feed(drawer.stdin.fileno(), limits)
        finally:
            drawer.stdin.close()


class _Feed:
    """Says what was answered since it was last asked."""

    def __init__(self, fd: int, limits: Limits) -> None:
        self._fd: int | None = fd
        self._limits = limits
        self._answered, self._at_ns = 0, 0

    def __call__(self, tally: Tally, window: Window, outstanding: int) -> None:
        if self._fd is None:
            return
        now_ns, answered = monotonic_ns(), tally.count_answered
        since_s = (now_ns - (self._at_ns or window.start_ns)) / 1e9
        p50, p99 = np.percentile(tally.recent, (50, 99)) if len(tally.recent) else (0, 0)
        elapsed_s = (now_ns - window.start_ns) / 1e9
        line = {
            "done": max(elapsed_s / self._limits.duration_s, window.sent / self._limits.count),
            "elapsed_s": elapsed_s,
            "rate": (answered - self._answered) / since_s if since_s else 0,
            "p50_us": p50 / 1e3,
            "p99_us": p99 / 1e3,
            "errors": tally.count_errors,
            "not_sent": sum(function.not_sent for function in tally.functions),
            "outstanding": outstanding,
        }
        self._answered, self._at_ns = answered, now_ns
        try:
            os.write(self._fd, json.dumps(line).encode() + b"\n")
        except BlockingIOError:  # it draws slower than it is told: this one is left out
            pass
        except BrokenPipeError:  # nobody draws any more; the run goes on
            self._fd = None


def figures(line: dict[str, Any]) -> str:
    """One line of text."""
    filled = int(min(1.0, line["done"]) * BAR)
    late = f"   NOT SENT {line['not_sent']:,}" if line["not_sent"] else ""
    return f"{'━' * filled}{'╌' * (BAR - filled)} {line['elapsed_s']:6.1f} s {FIGURES.format(**line)}{late}"


def draw() -> None:
    """Until standard input ends. Ctrl-C is for the process that is watched."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        for line in sys.stdin:
            live.update(Text(figures(json.loads(line)), "cyan", no_wrap=True, overflow="ellipsis"), refresh=True)


if __name__ == "__main__":
    draw()
