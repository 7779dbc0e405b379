"""F1: decisions about system calls, compiled to classic BPF for seccomp. Which call is decided how is in seccomp.py.

A program is: the architecture, then a weighted binary search over the numbers, then the few tests of arguments. It is
written from its end, so that every target is known when a jump to it is; equal instructions are shared. Only loads,
AND and comparisons with constants occur: then the kernel (5.11) finds by itself which numbers are always allowed, and
answers those from a bitmap without running the program.

The instruction set is the kernel's Documentation/networking/filter.rst; what the kernel accepts in a filter is
seccomp_check_filter() in kernel/seccomp.c.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

INSTRUCTIONS_MAX: Final = 4_096  # BPF_MAXINSNS
ALL_BITS: Final = 0xFFFFFFFF
ALLOW: Final = 0

_LOAD, _AND, _GOTO, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x45, 0x06
_RET_ALLOW, _RET_ERRNO = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16  # struct seccomp_data
_JUMP_MAX: Final = 255
_INSTRUCTION: Final = struct.Struct("=HBBI")
_NUMBERS: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class When:
    """A test of the low half of an argument: one of `values` under `mask`, or not.

    The high half is not looked at: use this only for arguments of which the kernel takes 32 bits or fewer.
    """

    argument: int
    values: tuple[int, ...]
    then: Decision
    otherwise: Decision
    mask: int = ALL_BITS


Decision: TypeAlias = int | When
"""An errno, `ALLOW`, or a test that leads to one of them."""


class _Span(NamedTuple):
    first: int
    decision: Decision
    weight: int


class _Instruction(NamedTuple):
    code: int
    value: int
    yes: int = 0
    no: int = 0


def compile_filter(
    audit_arch: int, foreign: int, decisions: Mapping[int, Decision], beyond: Mapping[int, int], hot: Mapping[int, int]
) -> bytes:
    """The program for one architecture; every call of another one fails with `foreign`.

    `decisions` names the numbers that are not simply allowed; `beyond` maps the first number of a range to the errno
    of that range; `hot` gives weights to numbers that should be decided early (a number's own weight is 1).
    """
    writer = _Writer()
    first = writer.search(_spans(decisions, beyond, hot))
    first = writer.step(_LOAD, _NUMBER_AT, first)
    first = writer.jump(_EQUAL, audit_arch, first, writer.decide(foreign))
    writer.step(_LOAD, _ARCH_AT, first)
    return writer.program()


def _spans(decisions: Mapping[int, Decision], beyond: Mapping[int, int], hot: Mapping[int, int]) -> list[_Span]:
    """Ranges of numbers with one decision each, in order, the first from 0."""
    edge = min(beyond, default=_NUMBERS)
    changes: dict[int, Decision] = {0: ALLOW}
    for number in sorted(number for number in decisions if number < edge):
        changes[number] = decisions[number]
        changes[number + 1] = decisions.get(number + 1, ALLOW)
    ranges = sorted((changes | dict(beyond)).items())
    starts = [one for before, one in zip([(0, None), *ranges], ranges, strict=False) if before[1] != one[1]]
    ends = [*(first for first, _ in starts[1:]), _NUMBERS]
    return [
        _Span(first, decision, (min(end, edge) - first if first < edge else 1) + _heat(hot, first, end))
        for (first, decision), end in zip(starts, ends, strict=True)
    ]


def _heat(hot: Mapping[int, int], first: int, end: int) -> int:
    return sum(weight for number, weight in hot.items() if first <= number < end)


class _Writer:
    """A program from its end: an instruction's place is its distance from the last one."""

    def __init__(self) -> None:
        self._written: list[_Instruction] = []
        self._targets: list[tuple[int, int]] = []
        self._places: dict[tuple[int, int, int, int], int] = {}

    def search(self, spans: Sequence[_Span]) -> int:
        """Where the search over these ranges begins."""
        if len(spans) == 1:
            return self.decide(spans[0].decision)
        if len(spans) == 3 and spans[0].decision == spans[2].decision and spans[2].first == spans[1].first + 1:
            around, alone = self.decide(spans[0].decision), self.decide(spans[1].decision)
            return self.jump(_EQUAL, spans[1].first, alone, around)
        middle = _middle(spans)
        below = self.search(spans[:middle])
        above = self.search(spans[middle:])
        return self.jump(_AT_LEAST, spans[middle].first, above, below)

    def decide(self, decision: Decision, loaded: tuple[int, int] | None = None) -> int:
        """Where this decision is taken; `loaded` says which argument under which mask is in the accumulator."""
        if isinstance(decision, int):
            return self._place(_RETURN, _RET_ALLOW if decision == ALLOW else _RET_ERRNO | decision)
        by_bits = decision.mask != ALL_BITS and decision.values == (0,)
        subject = (decision.argument, ALL_BITS if by_bits else decision.mask)
        then, place = self.decide(decision.then, subject), self.decide(decision.otherwise, subject)
        if by_bits:
            place = self.jump(_ANY_BIT, decision.mask, place, then)
        else:
            for value in reversed(decision.values):
                place = self.jump(_EQUAL, value, then, place)
        if loaded == subject:
            return place
        if subject[1] != ALL_BITS:
            place = self.step(_AND, decision.mask, place)
        return self.step(_LOAD, _ARGUMENTS_AT + 8 * decision.argument, place)

    def jump(self, code: int, value: int, yes: int, no: int) -> int:
        return self._place(code, value, self._within_reach(yes), self._within_reach(no))

    def step(self, code: int, value: int, following: int) -> int:
        if following != len(self._written) - 1:
            self._goto(following)
        return self._append(_Instruction(code, value))

    def program(self) -> bytes:
        """The program in the order in which it runs. ValueError where it is longer than the kernel takes."""
        if len(self._written) > INSTRUCTIONS_MAX:
            raise ValueError(f"{len(self._written)} instructions, more than the kernel's {INSTRUCTIONS_MAX}")
        return b"".join(_INSTRUCTION.pack(one.code, one.yes, one.no, one.value) for one in reversed(self._written))

    def _within_reach(self, target: int) -> int:
        """The target, or a new jump to it where it is too far for a conditional one. Two such may lie between."""
        return target if len(self._written) - target < _JUMP_MAX - 1 else self._goto(target)

    def _goto(self, target: int) -> int:
        return self._append(_Instruction(_GOTO, len(self._written) - target - 1))

    def _place(self, code: int, value: int, yes: int = -1, no: int = -1) -> int:
        """Where this instruction stands; written unless it is there already. -1 is no target."""
        if (code, value, yes, no) not in self._places:
            here = len(self._written)
            offsets = [here - target - 1 if target >= 0 else 0 for target in (yes, no)]
            self._places[code, value, yes, no] = self._append(_Instruction(code, value, *offsets))
        return self._places[code, value, yes, no]

    def _append(self, instruction: _Instruction) -> int:
        self._written.append(instruction)
        return len(self._written) - 1


def _middle(spans: Sequence[_Span]) -> int:
    """Where to cut so that both sides weigh as much as can be; at least one range on each."""
    total, left, best, cut = sum(span.weight for span in spans), 0, -1, 1
    for index, span in enumerate(spans[:-1], 1):
        left += span.weight
        lighter = min(left, total - left)
        if lighter > best:
            best, cut = lighter, index
    return cut
