"""The function that is measured in the engine: one vCPU's worth of memory, everything else as it comes."""

from __future__ import annotations

from typing import Final, Protocol

FUNCTION: Final = "echo"
HANDLER: Final = "echo.handler"
MEMORY_MB: Final = 1_769  # Lambda's memory for one whole vCPU


class Answered(Protocol):
    """The part of an InvokeResult that is read here."""

    @property
    def payload(self) -> bytes: ...

    @property
    def function_error(self) -> str | None: ...


def answer_of(result: Answered) -> bytes:
    """The payload. Raises RuntimeError for a function error: a failure must not pass as a fast answer."""
    if result.function_error is not None:
        raise RuntimeError(f"{FUNCTION} failed: {result.payload!r}")
    return result.payload
