"""F5: what a pattern compares with: numbers, text with `*` in it, regular expressions; and how conditions join.

Regular expressions are RE2's, so that no pattern takes longer than in proportion to a message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import re2

from .scanner import PatternError, Scanner

Match: TypeAlias = Callable[[str], bool]
Test: TypeAlias = Callable[[Any], bool]  # of what a pattern's conditions look at

REGEX_MARK: Final = "%"
DEPTH_MAX: Final = 32
REGEXES_MAX: Final = 2  # of one pattern that is not a regular expression alone
OPERATORS: Final = ("!=", "<=", ">=", "=", "<", ">")
NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?")
REGEX_TAKES: Final = re.compile(
    r"(\\x[0-9a-fA-F]{2}|\\[dDwWsSbB^$?\[\]{}|\\*+./:_#=@;,-]|[\w:#=@/;, \-^$?\[\]{}|*+.])*", re.ASCII
)
REGEX_MEMORY: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Operand:
    """`number` where it is one and was not quoted; `regex` where it is one."""

    text: str
    number: float | None
    regex: Any
    is_quoted: bool

    def equals(self, text: str) -> bool:
        if self.regex is not None:
            return self.regex.search(text) is not None
        return is_like(self.text, text)


def take_operand(scanner: Scanner, stops: str) -> Operand:
    """Raises PatternError."""
    scanner.skip_spaces()
    if scanner.looks_at('"'):
        return Operand(scanner.take_quoted(), None, None, True)
    if scanner.looks_at(REGEX_MARK):
        return Operand("", None, regex(scanner.take_between(REGEX_MARK)), False)
    text = scanner.while_not(stops, "&&", "||")
    if not text or '"' in text:
        raise scanner.failure()
    return Operand(text, float(text) if NUMBER.fullmatch(text) else None, None, False)


def regex(text: str) -> Any:
    """Raises PatternError for what CloudWatch Logs does not take, parentheses among it."""
    options = re2.Options()
    options.max_mem, options.log_errors = REGEX_MEMORY, False
    if text and REGEX_TAKES.fullmatch(text):
        try:
            return re2.compile(text, options)
        except re2.error as error:
            raise PatternError(f"Invalid regular expression '{text[:100]}': {error}") from error
    raise PatternError(f"Invalid character(s) in term '{REGEX_MARK}{text[:100]}{REGEX_MARK}'")


def is_like(pattern: str, text: str) -> bool:
    """Whether a text is a pattern's, in which each `*` stands for any text."""
    first, *inner = pattern.split("*")
    if not inner:
        return first == text
    last = inner.pop()
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in inner:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def compare_numbers(operator: str, left: float, right: float) -> bool:
    return {
        "=": left == right,
        "!=": left != right,
        "<": left < right,
        ">": left > right,
        "<=": left <= right,
        ">=": left >= right,
    }[operator]


def take_any(scanner: Scanner, take_one: Callable[[], Test], depth: int = 0) -> Test:
    """Conditions joined by `||`, each by `&&`, which binds closer, with parentheses around any of them."""
    choices = [_take_all(scanner, take_one, depth)]
    while scanner.take("||"):
        choices.append(_take_all(scanner, take_one, depth))
    return choices[0] if len(choices) == 1 else lambda value: any(test(value) for test in choices)


def _take_all(scanner: Scanner, take_one: Callable[[], Test], depth: int) -> Test:
    tests = [_take_unit(scanner, take_one, depth)]
    while scanner.take("&&"):
        tests.append(_take_unit(scanner, take_one, depth))
    return tests[0] if len(tests) == 1 else lambda value: all(test(value) for test in tests)


def _take_unit(scanner: Scanner, take_one: Callable[[], Test], depth: int) -> Test:
    if not scanner.take("("):
        return take_one()
    if depth >= DEPTH_MAX:
        raise PatternError(f"Invalid filter pattern: more than {DEPTH_MAX} parentheses within each other")
    inner = take_any(scanner, take_one, depth + 1)
    if not scanner.take(")"):
        raise scanner.failure()
    return inner


def check_regexes(operands: Sequence[Operand]) -> None:
    """Raises PatternError for more regular expressions than a pattern may have."""
    if sum(operand.regex is not None for operand in operands) > REGEXES_MAX:
        raise PatternError(f"Invalid filter pattern: more than {REGEXES_MAX} regular expressions")
