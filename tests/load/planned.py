"""Targets that answer by plan, and the command `engine bench` within this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from engine.cli import main
from engine.load.session import Outcome, Plan, run
from engine.load.targets import FAILURES

FUNCTIONS = Path(__file__).parent.parent / "functions"
ECHO = str(FUNCTIONS / "echo")
ONE_VCPU_MB = "1769"


@dataclass(frozen=True)
class Answer:
    """What a planned target answers with."""

    payload: bytes = b"{}"
    function_error: str | None = None
    start: str = "warm"
    billed_ms: int | None = 1
    memory_mb: int | None = 1_024


class Planned:
    """A target whose answers a test decides: the generator is tested here, and a real engine stalls when it likes."""

    title = "planned"
    cpu_of = "unknown"
    failures: tuple[type[Exception], ...] = FAILURES

    def __init__(self, invoke: Callable[[str, bytes], Awaitable[Answer]], names: tuple[str, ...] = ("one",)) -> None:
        self.invoke = invoke
        self.names = list(names)

    async def __aenter__(self) -> Planned:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def cpu_s(self) -> float | None:
        return None


@dataclass(frozen=True)
class Benched:
    """What the command did."""

    status: int
    output: str
    errors: str
    document: dict[str, Any]


def send(target: Planned, plan: Plan) -> Outcome:
    return run(target, plan, lambda tally, window, outstanding: None)


def command(*arguments: str) -> Result:
    """`engine bench`, within this process."""
    return CliRunner().invoke(main, ["bench", "--no-progress", *arguments], catch_exceptions=False)
