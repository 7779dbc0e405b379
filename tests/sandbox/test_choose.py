"""Which mechanism a host gets, and that what is missing is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from tenants import MECHANISMS, leftovers

from engine.errors import SandboxUnavailableError
from engine.sandbox import choose as chooser
from engine.sandbox.cgroup1 import Cgroup1
from engine.sandbox.choose import JAIL, LIMITS, Enforcement, choose, lines, refuse_what_is_missing
from engine.sandbox.contract import MechanismUnavailableError
from engine.sandbox.control import own_cgroups


def test_auto_takes_the_first_that_works() -> None:
    best = next(name for name in ("cgroup2", "cgroup1", "polling") if name in MECHANISMS)
    mechanism = choose("auto")
    assert mechanism.name == best
    mechanism.close()


def test_strict_names_everything_that_is_missing() -> None:
    some = [
        Enforcement("memory", "cgroup1", "v1 controller"),
        Enforcement("freeze", None, "no freezer"),
        Enforcement("users", None, "changing the user takes root"),
    ]
    with pytest.raises(SandboxUnavailableError, match=r"freeze \(no freezer\); users \(changing the user takes root\)"):
        refuse_what_is_missing(some)
    refuse_what_is_missing(some[:1])


def test_off_enforces_no_limit_and_says_so() -> None:
    found = lines(choose("off"), {}, dict.fromkeys(JAIL, 'switched off by sandbox="off"'))
    assert {line.mechanism for line in found if line.limit != "descriptors"} == {None}
    assert all('sandbox="off"' in line.why for line in found if line.limit != "descriptors")


def test_there_is_a_line_per_limit_and_part_and_nothing_is_left() -> None:
    mechanism = choose()
    found = lines(mechanism, {"files": "a root of its own"}, {"users": "no root"})
    mechanism.close()
    assert [line.limit for line in found] == [*LIMITS, "descriptors", *JAIL]
    assert found[0].mechanism in MECHANISMS
    assert all(line.why for line in found)
    by = {line.limit: line for line in found}
    assert (by["files"].mechanism, by["files"].why) == ("kernel", "a root of its own")
    assert (by["users"].mechanism, by["users"].why) == (None, "no root")
    assert (by["ipc"].mechanism, by["ipc"].why) == (None, "not tried")
    assert leftovers() == []


def test_where_nothing_works_memory_is_polled_and_the_refusals_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> Cgroup1:
        raise MechanismUnavailableError("the tree is read-only")

    monkeypatch.setattr(chooser, "_CANDIDATES", (refused,))
    found = lines(choose(), {}, {})[:4]
    assert [line.mechanism for line in found] == ["polling", None, None, None]
    assert all("the tree is read-only" in line.why for line in found)


def test_v1_without_a_memory_controller_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(MechanismUnavailableError, match="no v1 memory controller"):
        Cgroup1(own={"cpu": tmp_path})


MOUNTINFO = """\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory
36 31 0:33 /elsewhere /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/a\\040b rw - cgroup2 cgroup2 rw
"""
CGROUP = """\
9:name=systemd:/user
4:memory:/docker/ab/inner
3:pids:/docker/ab
2:cpu,cpuacct:/docker/ab
0::/user.slice/engine.scope
"""


def test_own_cgroups_are_found_through_bind_mounts_shared_mounts_and_odd_names(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTINFO)
    (tmp_path / "cgroup").write_text(CGROUP)
    own = own_cgroups(tmp_path)
    mount = Path("/sys/fs/cgroup")
    cpu = mount / "cpu,cpuacct" / "docker" / "ab"
    assert own.v1 == {"cpu": cpu, "cpuacct": cpu, "memory": mount / "memory" / "inner"}
    assert own.v2 == mount / "a b" / "user.slice" / "engine.scope"
    assert own.v2_mount == mount / "a b"
