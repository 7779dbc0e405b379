"""F5: patterns of JSON: `{ $.user.id = 1 && ($.error IS NULL || $.tags[*] = "a*") }`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

import orjson

from .compare import OPERATORS, Match, Operand, Test, check_regexes, compare_numbers, take_any, take_operand
from .scanner import PatternError, Scanner

EVERY: Final = "*"
NAME_STOPS: Final = ".[]=!<>(){}&|,"
Step: TypeAlias = "str | int"


def json_pattern(scanner: Scanner) -> Match:
    """Matches messages that are JSON alone. Raises PatternError."""
    operands: list[Operand] = []
    test = take_any(scanner, lambda: _take_condition(scanner, operands))
    scanner.skip_spaces()
    if not scanner.is_at_end:
        raise scanner.failure()
    check_regexes(operands)

    def matches(message: str) -> bool:
        text = message.strip()
        if text[:1] not in ("{", "["):
            return False
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError:
            return False
        return test(document)

    return matches


def _take_condition(scanner: Scanner, operands: list[Operand]) -> Test:
    steps = _take_selector(scanner)
    if scanner.take_word("NOT"):
        if not scanner.take_word("EXISTS"):
            raise scanner.failure()
        return lambda document: not _selected(document, steps)
    if scanner.take_word("EXISTS"):
        return lambda document: bool(_selected(document, steps))
    if scanner.take_word("IS"):
        word = scanner.take_word("NULL", "TRUE", "FALSE")
        if word is None:
            raise scanner.failure()
        wanted = {"NULL": None, "TRUE": True, "FALSE": False}[word]
        return lambda document: any(value is wanted for value in _selected(document, steps))
    operator = scanner.take(*OPERATORS)
    if operator is None:
        raise scanner.failure()
    operand = take_operand(scanner, "(){}")
    operands.append(operand)
    holds = _comparison(operator, operand)
    return lambda document: any(holds(value) for value in _selected(document, steps))


def _take_selector(scanner: Scanner) -> tuple[Step, ...]:
    if not scanner.take("$"):
        raise scanner.failure()
    steps: list[Step] = []
    while scanner.looks_at(".", "["):
        if scanner.take("[") or scanner.take(".["):
            steps.append(_take_bracket(scanner))
        else:
            scanner.take(".")
            name = scanner.while_not(NAME_STOPS)
            if not name:
                raise scanner.failure()
            steps.append(name)
    return tuple(steps)


def _take_bracket(scanner: Scanner) -> Step:
    """`[0]`, `[*]`, `['a name']`."""
    step: Step
    if scanner.looks_at('"'):
        step = scanner.take_quoted()
    elif scanner.looks_at("'"):
        step = scanner.take_between("'")
    else:
        inner = scanner.while_not("]")
        if inner != EVERY and not (inner.isascii() and inner.isdecimal() and len(inner) < 10):
            raise scanner.failure(inner)
        step = EVERY if inner == EVERY else int(inner)
    if not scanner.take("]"):
        raise scanner.failure()
    return step


def _selected(document: Any, steps: Iterable[Step]) -> list[Any]:
    """The values that a selector leads to: none where there are none, several by `*`."""
    values = [document]
    for step in steps:
        values = [inner for value in values for inner in _step(value, step)]
    return values


def _step(value: Any, step: Step) -> Iterable[Any]:
    if step == EVERY and isinstance(value, list):
        return value
    if isinstance(step, int):
        return [value[step]] if isinstance(value, list) and step < len(value) else []
    return [value[step]] if isinstance(value, dict) and step in value else []


def _comparison(operator: str, operand: Operand) -> Callable[[Any], bool]:
    number = operand.number
    if number is None and operator not in ("=", "!="):
        raise PatternError(f"Invalid filter pattern: {operator} compares numbers, and '{operand.text[:100]}' is none")

    def holds(value: Any) -> bool:
        if isinstance(value, int | float) and not isinstance(value, bool) and number is not None:
            return compare_numbers(operator, value, number)
        if operator not in ("=", "!="):
            return False
        return _equals(value, operand) is (operator == "=")

    return holds


def _equals(value: Any, operand: Operand) -> bool:
    """Text is equal to text; an unquoted operand also to a number or boolean that is written so."""
    if isinstance(value, str):
        return operand.equals(value)
    if operand.is_quoted or value is None or isinstance(value, list | dict):
        return False
    return operand.equals(orjson.dumps(value).decode())
