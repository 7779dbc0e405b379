"""The compiled filter beside an interpreter of it: for each machine and argument it decides as the table says."""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sandbox import bpf, seccomp
from engine.sandbox.bpf import ALL_BITS, ALLOW, Decision, When

ALLOWED, ERRNO = 0x7FFF0000, 0x00050000
MACHINES = list(seccomp.MACHINES)
PROGRAMS = {machine: seccomp.program(machine) for machine in MACHINES}
# Where a search by halves goes wrong first: around each named number, and around each edge.
NAMED = sorted(
    {number for both in seccomp.NUMBERS.values() for number in both} | {*seccomp.NUMBERS_X86_64_ONLY.values()}
)
EDGES = [seccomp.NEWEST, seccomp.NEWEST + 1, 512, 547, 0x3FFFFFFF, 0x40000000, 0x40000001, 0x7FFFFFFF, ALL_BITS]
SYSCALLS = st.sampled_from(
    [near % (1 << 32) for number in [*NAMED, *EDGES] for near in (number - 1, number, number + 1)]
)
TELLING = [
    0,
    1,
    2,
    3,
    5,
    6,
    8,
    10,
    16,
    17,
    35,
    132,
    0x2180,
    0x6180,
    0x1180,
    0x5412,
    0x541C,
    0x5423,
    0x20000,
    0x7E020000,
]
ARGUMENT = st.one_of(st.sampled_from(TELLING), st.integers(0, (1 << 64) - 1), st.integers(0, ALL_BITS))
ARGUMENTS = st.lists(ARGUMENT, min_size=6, max_size=6)


def run(program: bytes, arch: int, number: int, arguments: Sequence[int]) -> tuple[int, int]:
    """What the program returns, and in how many instructions: only those that seccomp knows and this filter uses."""
    data = struct.pack("<iIQ6Q", struct.unpack("i", struct.pack("I", number))[0], arch, 0, *arguments)
    instructions = list(struct.iter_unpack("=HBBI", program))
    at = steps = accumulator = 0
    while True:
        code, yes, no, value = instructions[at]
        at, steps = at + 1, steps + 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, value)
            case 0x54:
                accumulator &= value
            case 0x05:
                at += value
            case 0x15:
                at += yes if accumulator == value else no
            case 0x35:
                at += yes if accumulator >= value else no
            case 0x45:
                at += yes if accumulator & value else no
            case 0x06:
                return value, steps
            case _:
                raise AssertionError(f"instruction {code:#x} is not one of the filter's")


def verdict(returned: int) -> int:
    assert returned == ALLOWED or returned & 0xFFFF0000 == ERRNO
    return returned & 0xFFFF


def decided(decision: Decision, arguments: Sequence[int]) -> int:
    while isinstance(decision, When):
        seen = arguments[decision.argument] & ALL_BITS & decision.mask
        decision = decision.then if seen in decision.values else decision.otherwise
    return decision


def by_table(machine: str, number: int, arguments: Sequence[int]) -> int:
    """The table read plainly: a name, then the ranges beyond every name."""
    column = seccomp.MACHINES[machine].column
    names = {both[column]: name for name, both in seccomp.NUMBERS.items()}
    if machine == "x86_64":
        names |= {number: name for name, number in seccomp.NUMBERS_X86_64_ONLY.items()}
        if number >= 0x40000000:
            return errno.EPERM
    if number > seccomp.NEWEST:
        return errno.ENOSYS
    return decided(seccomp.decisions().get(names.get(number, ""), ALLOW), arguments)


@pytest.mark.parametrize("machine", MACHINES)
@given(number=SYSCALLS, arguments=ARGUMENTS)
def test_the_program_decides_as_the_table_says(machine: str, number: int, arguments: list[int]) -> None:
    returned, _ = run(PROGRAMS[machine], seccomp.MACHINES[machine].audit_arch, number, arguments)
    assert verdict(returned) == by_table(machine, number, arguments)


@pytest.mark.parametrize("machine", MACHINES)
def test_every_number_of_a_machine_is_decided_as_the_table_says(machine: str) -> None:
    for number in range(600):
        for arguments in ([0] * 6, [(1 << 64) - 1] * 6, [16, 3, 0, 0, 0, 0], [2, 0x6001, 0x2001, 0, 0, 0]):
            returned, _ = run(PROGRAMS[machine], seccomp.MACHINES[machine].audit_arch, number, arguments)
            assert verdict(returned) == by_table(machine, number, arguments), (number, arguments)


@pytest.mark.parametrize("machine", MACHINES)
@given(arch=st.sampled_from([0x40000003, 0x40000028, 0, ALL_BITS, 0xC000003E, 0xC00000B7]), number=SYSCALLS)
def test_a_foreign_architecture_is_refused_whatever_the_number(machine: str, arch: int, number: int) -> None:
    if arch != seccomp.MACHINES[machine].audit_arch:
        assert run(PROGRAMS[machine], arch, number, [0] * 6) == (ERRNO | errno.EPERM, 3)


@pytest.mark.parametrize("machine", MACHINES)
def test_what_a_worker_calls_most_is_decided_early_and_everything_soon(machine: str) -> None:
    arch, column = seccomp.MACHINES[machine].audit_arch, seccomp.MACHINES[machine].column
    for name in seccomp.HOT:
        assert run(PROGRAMS[machine], arch, seccomp.NUMBERS[name][column], [0] * 6)[1] <= 8, name
    longest = max(run(PROGRAMS[machine], arch, number, [ALL_BITS] * 6)[1] for number in range(600))
    assert longest <= 24
    assert len(PROGRAMS[machine]) // 8 <= 128


DECISIONS = st.recursive(
    st.sampled_from([ALLOW, errno.EPERM, errno.ENOSYS, errno.EINVAL]),
    lambda inner: st.builds(
        When,
        st.integers(0, 5),
        st.lists(st.integers(0, 7), min_size=1, max_size=3, unique=True).map(tuple),
        inner,
        inner,
        st.sampled_from([ALL_BITS, 1, 3, 6]),
    ),
    max_leaves=6,
)


@given(table=st.dictionaries(st.integers(0, 40), DECISIONS), beyond=st.integers(30, 60), number=st.integers(0, 70))
def test_any_table_is_compiled_to_what_it_says(table: dict[int, Decision], beyond: int, number: int) -> None:
    program = bpf.compile_filter(7, errno.EPERM, table, {beyond: errno.ENOSYS}, {3: 50})
    for arguments in ([0] * 6, [1, 2, 3, 4, 5, 6], [7] * 6, [5, 0, 5, 0, 5, 0]):
        expected = errno.ENOSYS if number >= beyond else decided(table.get(number, ALLOW), arguments)
        assert verdict(run(program, 7, number, arguments)[0]) == expected


def test_jumps_past_the_reach_of_a_conditional_one_arrive() -> None:
    far: dict[int, Decision] = {
        number: When(number % 6, (number, 1), number % 100 + 1, ALLOW, mask=0xFFFF) for number in range(0, 700, 2)
    }
    program = bpf.compile_filter(7, errno.EPERM, far, {}, {})
    assert len(program) // 8 > 2_000
    for number in range(710):
        for arguments in ([0] * 6, [1] * 6, [number] * 6):
            assert verdict(run(program, 7, number, arguments)[0]) == decided(far.get(number, ALLOW), arguments)
    assert run(program, 8, 0, [0] * 6)[0] == ERRNO | errno.EPERM


def test_a_table_too_long_for_the_kernel_is_refused() -> None:
    endless: dict[int, Decision] = {
        number: When(0, (number, number + 1, number + 2), errno.EPERM, ALLOW) for number in range(2_000)
    }
    with pytest.raises(ValueError, match="more than the kernel's 4096"):
        bpf.compile_filter(7, errno.EPERM, endless, {}, {})
