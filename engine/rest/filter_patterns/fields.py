"""F5: patterns of fields: `[ip, user, ..., status = 4* && status != 404, bytes > 1000]`.

Of a message, fields are what spaces part; text in brackets or double quotes is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from .compare import (
    NUMBER,
    OPERATORS,
    Match,
    Operand,
    Test,
    check_regexes,
    compare_numbers,
    take_any,
    take_operand,
)
from .scanner import PatternError, Scanner

FIELD: Final = re.compile(r'"([^"]*)"|\[([^\]]*)\]|(\S+)')
STOPS: Final = ",=!<>()"
ELLIPSIS: Final = "..."


def field_pattern(scanner: Scanner) -> Match:
    """Raises PatternError."""
    operands: list[Operand] = []
    before: list[Test] = []
    after: list[Test] | None = None
    while True:
        if scanner.take(ELLIPSIS):
            if after is not None:
                raise PatternError("Invalid filter pattern: an ellipsis can stand once")
            after = []
        else:
            (before if after is None else after).append(_take_field(scanner, operands))
        if not scanner.take(","):
            break
    scanner.skip_spaces()
    if not scanner.is_at_end:
        raise scanner.failure()
    check_regexes(operands)
    first, last = before, after
    return lambda message: _matches(split_fields(message), first, last)


def split_fields(message: str) -> list[str]:
    """Without the brackets and quotes around them."""
    return [match[match.lastindex or 0] for match in FIELD.finditer(message)]


def _matches(found: list[str], first: list[Test], last: list[Test] | None) -> bool:
    """`last`: what comes behind an ellipsis; None where there is none."""
    wanted = len(first) + len(last or ())
    if len(found) < wanted or (last is None and len(found) > wanted):
        return False
    ends = found[len(found) - len(last) :] if last else []
    pairs = [*zip(first, found, strict=False), *zip(last or (), ends, strict=True)]
    return all(test(field) for test, field in pairs)


def _take_field(scanner: Scanner, operands: list[Operand]) -> Test:
    scanner.skip_spaces()
    if scanner.is_at_end or scanner.looks_at(","):
        return lambda field: True
    names: set[str] = set()

    def take_condition() -> Test:
        scanner.skip_spaces()
        name = scanner.while_not(STOPS, "&&", "||")
        if any(not (each.isalnum() or each in "_.-") for each in name):
            raise scanner.failure(name)
        names.add(name)
        operator = scanner.take(*OPERATORS)
        if operator is None:
            if not name:
                raise scanner.failure()
            return lambda field: True
        operand = take_operand(scanner, ",)")
        operands.append(operand)
        return _test(operator, operand)

    test = take_any(scanner, take_condition)
    if len(names - {""}) > 1:
        raise PatternError(f"Invalid filter pattern: one field has the names {', '.join(sorted(names))}")
    return test


def _test(operator: str, operand: Operand) -> Callable[[str], bool]:
    number = operand.number
    if number is not None:
        return lambda field: (
            compare_numbers(operator, float(field), number)
            if NUMBER.fullmatch(field)
            else operator == "!=" or (operator == "=" and operand.equals(field))
        )
    if operator == "=":
        return operand.equals
    if operator == "!=":
        return lambda field: not operand.equals(field)
    raise PatternError(f"Invalid filter pattern: {operator} compares numbers, and '{operand.text[:100]}' is none")
