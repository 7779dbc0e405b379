"""System calls, rights and limits that a function asks for: each is refused, and with which errno."""

from __future__ import annotations

import errno
import os
import platform

import pytest
from standing import Hostile

from engine.sandbox import seccomp

COLUMN = {"x86_64": 0, "aarch64": 1}[platform.machine()]
DENIED = {"EPERM", "EACCES"}
SAMPLES = (
    *("ptrace", "process_vm_readv", "mount", "umount2", "unshare", "setns", "chroot", "bpf", "perf_event_open"),
    *("userfaultfd", "io_uring_setup", "keyctl", "add_key", "request_key", "fanotify_init", "open_by_handle_at"),
    *("kexec_load", "init_module", "reboot", "swapon", "settimeofday", "clock_settime", "sethostname", "pidfd_getfd"),
)


@pytest.fixture(autouse=True)
def _filtered(enforced: frozenset[str]) -> None:
    assert "system calls" in enforced  # wherever this suite runs: seccomp needs no right


def test_every_call_of_the_filters_table_is_refused_inside_a_function(hostile: Hostile) -> None:
    numbers = {name: pair[COLUMN] for name, pair in seccomp.NUMBERS.items()}
    if COLUMN == 0:
        numbers.update(seccomp.NUMBERS_X86_64_ONLY)
    decisions = {name: said for name, said in seccomp.decisions().items() if isinstance(said, int) and name in numbers}
    assert set(SAMPLES) <= set(decisions)
    told = hostile.told("calls", numbers={name: [numbers[name], 0, 0, 0, 0, 0, 0] for name in decisions})
    assert told == {name: errno.errorcode[said] for name, said in decisions.items()}


def test_calls_newer_than_the_filter_do_not_exist(hostile: Hostile) -> None:
    newer = {str(number): [number] for number in (seccomp.NEWEST + 1, 600, 100_000)}
    assert set(hostile.told("calls", numbers=newer).values()) == {"ENOSYS"}


def test_new_namespaces_cannot_be_had_and_threads_and_children_can(hostile: Hostile) -> None:
    assert hostile.told("clones") == {
        "clone NEWUSER": "EPERM", "clone3": "ENOSYS", "unshare NEWUSER": "EPERM", "subprocess": "works",
    }  # fmt: skip


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other machines have one way into the kernel")
def test_the_other_ways_into_the_kernel_are_shut(hostile: Hostile) -> None:
    """SIGSEGV is what a kernel without 32-bit calls answers to int 0x80, ENOSYS what one without x32 would."""
    told = hostile.told("enters_sideways")
    assert told["plain"] == "done"
    assert told["x32"] in ("EPERM", "ENOSYS")
    assert told["int 0x80"] in ("EPERM", "SIGSEGV")


def test_no_limit_and_no_priority_can_be_raised(hostile: Hostile, enforced: frozenset[str]) -> None:
    told = hostile.told("raises_limits")
    if "users" not in enforced:
        told.pop("limits of init")  # its init is the same user's then, and hurts nobody else
    for what in ("descriptors", "core"):
        assert told.pop(what) in {*DENIED, "ValueError: not allowed to raise maximum limit"}, what
    for what in ("oom_score_adj of init", "limits of init", "cgroup", "sysrq"):
        assert told.pop(what, "EPERM") in {*DENIED, "ENOENT", "ESRCH", "EROFS"}, what
    assert set(told.values()) <= DENIED, told


def test_clock_names_roots_mounts_and_users_are_not_its_to_change(hostile: Hostile) -> None:
    host = os.uname().nodename
    assert set(hostile.told("sets_host").values()) <= {*DENIED, "EINVAL"}  # a user that its namespace does not have
    assert os.uname().nodename == host


def test_devices_can_neither_be_made_nor_found(hostile: Hostile, enforced: frozenset[str]) -> None:
    told = hostile.told("makes_devices")
    assert told.pop("fifo") == "done"
    assert told.pop("push into terminal") == "EPERM"
    assert {told.pop("block"), told.pop("character")} == {"EPERM"}
    if "files" in enforced:
        assert set(told.values()) == {"ENOENT"}
    else:
        assert set(told.values()) <= {"ENOENT", *DENIED, "ENXIO"}


def test_setuid_programs_run_as_whoever_starts_them(hostile: Hostile, enforced: frozenset[str]) -> None:
    told = hostile.told("runs_setuid")
    assert told.pop("bits") >= 0
    assert told.pop("su") == [True, ""]
    capabilities = told.pop("capabilities")
    if "capabilities" in enforced:
        assert set(capabilities) == {"0" * 16}
    if "files" not in enforced:
        told.pop("nosuid")
    assert told.pop("nosuid", []) == []
    assert told == {"own copy": True, "no new privileges": True, "ids": [True, True]}


def test_a_function_that_hides_from_proc_is_measured_and_ended_all_the_same(hasty: Hostile) -> None:
    assert hasty.told("hides_itself") == 0
    assert int(hasty.report(hasty.results[-1])["most"]) > 0
    hasty.times_out("hangs")


def test_shared_mounts_cannot_be_watched(hostile: Hostile, enforced: frozenset[str]) -> None:
    told = hostile.told("watches_files")
    assert (told["own"], told["mounts"]) == ("done", "EPERM")
    assert told["all code"] in ("ENOENT", "EACCES") or "files" not in enforced


def test_a_crash_leaves_no_core_file(hostile: Hostile) -> None:
    before = set(os.listdir("."))
    hostile.ends("aborts", "Runtime exited with error: signal: aborted")
    assert set(os.listdir(".")) == before
