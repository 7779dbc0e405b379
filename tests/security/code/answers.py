"""Answers that no caller should have to read."""

from __future__ import annotations

import sys
from typing import Any


def answers_bytes(*, length: int) -> str:
    """Quotes included."""
    return "x" * (length - 2)


def answers_deep(*, levels: int) -> Any:
    answer: list[Any] = []
    for _ in range(levels):
        answer = [answer]
    return answer


def answers_itself() -> Any:
    answer: list[Any] = []
    answer.append(answer)
    return answer


def answers_nan() -> list[float]:
    return [float("nan"), float("inf"), -float("inf")]


def answers_a_set() -> set[int]:
    return {1}


def answers_surrogates() -> str:
    return "\ud800"


def answers_a_liar() -> Any:
    class Liar(dict):  # type: ignore[type-arg]
        def items(self) -> Any:
            raise SystemError("not today")

        def __len__(self) -> int:
            return sys.maxsize

        def __iter__(self) -> Any:
            raise MemoryError

    return Liar(a=1)


def raises_a_liar() -> None:
    class Liar(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

        __repr__ = __str__

    raise Liar


def raises_without_end() -> None:
    """An error whose message is far over what may be answered."""
    raise ValueError("x" * (8 << 20))
