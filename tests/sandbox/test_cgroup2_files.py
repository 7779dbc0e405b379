"""Exactly what is written on cgroup v2, against a stand-in for the kernel's filesystem.

A stand-in, because v2's controllers belong to one tree only: where v1 has them mounted, no v2 with controllers can be
had. It keeps the rules that matter: control files appear with a directory, a cgroup with processes hands no controllers
on, a cgroup with processes or children cannot be removed. On hosts with v2 `test_cells.py` runs against the real one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.sandbox.cgroup2 import Cgroup2
from engine.sandbox.contract import Limits, MechanismUnavailableError
from engine.sandbox.control import ControlFiles, OwnCgroups
from engine.sandbox.delegation import Delegation

NEW = {
    "cgroup.controllers": "",
    "cgroup.procs": "",
    "cgroup.subtree_control": "",
    "cgroup.events": "populated 0\nfrozen 0\n",
    "cgroup.kill": "",
    "cgroup.freeze": "0",
    "memory.max": "max",
    "memory.swap.max": "max",
    "memory.peak": "0",
    "memory.events": "low 0\noom 0\noom_kill 0\n",
    "pids.max": "max",
    "pids.current": "0",
    "cpu.max": "max 100000",
    "cpu.stat": "usage_usec 0\nnr_throttled 0\n",
}
OURS = f"invocation-engine-{os.getpid()}-0"
LEAF = f"invocation-engine-{os.getpid()}-leaf"


class FakeKernel(ControlFiles):
    """A folder that behaves like a cgroup v2 mount, and the list of what was written to it."""

    def __init__(self, mount: Path) -> None:
        self.mount = mount
        self.written: list[tuple[str, str]] = []
        self.files = dict(NEW)
        self.lay(mount, "cpuset cpu io memory pids")

    def lay(self, directory: Path, controllers: str) -> Path:
        """A cgroup as the host's administrator left it."""
        directory.mkdir(exist_ok=True)
        for name, text in self.files.items():
            (directory / name).write_text(text)
        (directory / "cgroup.controllers").write_text(controllers)
        return directory

    def make(self, directory: Path) -> None:
        super().make(directory)
        self.lay(directory, (directory.parent / "cgroup.subtree_control").read_text())

    def remove(self, directory: Path) -> None:
        if self._pids(directory) or any(entry.is_dir() for entry in directory.iterdir()):
            raise OSError(errno.EBUSY, "busy")
        for file in directory.iterdir():
            file.unlink()
        super().remove(directory)

    def write(self, file: Path, value: str) -> None:
        self.written.append((str(file.relative_to(self.mount)), value))
        if not file.exists():
            raise FileNotFoundError(errno.ENOENT, "absent", str(file))
        if file.name == "cgroup.procs":
            self._move(file, value)
        elif file.name == "cgroup.subtree_control":
            self._switch(file, value)
        else:
            file.write_text(value)

    def rewrite(self, descriptor: int, file: Path, value: str) -> None:
        assert os.fstat(descriptor).st_ino == file.stat().st_ino
        self.write(file, value)

    def _handed_on(self, directory: Path) -> list[str]:
        return (directory / "cgroup.subtree_control").read_text().split()

    def _pids(self, directory: Path) -> list[str]:
        return (directory / "cgroup.procs").read_text().split()

    def _move(self, file: Path, pid: str) -> None:
        if (file.parent / "cgroup.subtree_control").read_text() and file.parent != self.mount:
            raise OSError(errno.EBUSY, "hands controllers on")
        for other in self.mount.rglob("cgroup.procs"):
            other.write_text("\n".join(there for there in other.read_text().split() if there != pid))
        file.write_text("\n".join([*file.read_text().split(), pid]))

    def _switch(self, file: Path, value: str) -> None:
        if self._pids(file.parent) and file.parent != self.mount:
            raise OSError(errno.EBUSY, "has processes")
        below = {word for child in file.parent.iterdir() if child.is_dir() for word in self._handed_on(child)}
        if below & {change[1:] for change in value.split() if change[0] == "-"}:
            raise OSError(errno.EBUSY, "handed on further down")
        on = dict.fromkeys(file.read_text().split())
        for change in value.split():
            on.pop(change[1:], None)
            if change[0] == "+":
                on[change[1:]] = None
        file.write_text(" ".join(on))


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return FakeKernel(tmp_path / "cgroup")


@pytest.fixture
def scope(kernel: FakeKernel) -> Path:
    """A cgroup with all controllers in which this process sits alone."""
    scope = kernel.lay(kernel.mount / "engine.scope", "cpu memory pids")
    (scope / "cgroup.procs").write_text(str(os.getpid()))
    return scope


@pytest.fixture
def opened(kernel: FakeKernel, scope: Path) -> Cgroup2:
    return Cgroup2(kernel, OwnCgroups({}, scope, kernel.mount))


def snapshot(top: Path) -> dict[str, str]:
    return {str(file.relative_to(top)): file.read_text() for file in top.rglob("*") if file.is_file()}


def test_alone_in_its_cgroup_it_moves_itself_to_a_leaf_and_hands_controllers_on(
    kernel: FakeKernel, opened: Cgroup2
) -> None:
    assert kernel.written == [
        (f"engine.scope/{LEAF}/cgroup.procs", str(os.getpid())),
        ("engine.scope/cgroup.subtree_control", "+memory +cpu +pids"),
        (f"engine.scope/{OURS}/cgroup.subtree_control", "+memory +cpu +pids"),
    ]
    assert opened.enforces == {"memory", "cpu", "pids", "freeze"}
    opened.close()


def test_closing_undoes_everything(kernel: FakeKernel, scope: Path) -> None:
    before = snapshot(kernel.mount)
    mechanism = Cgroup2(kernel, OwnCgroups({}, scope, kernel.mount))
    mechanism.open_cell(Limits(128, 0.5, 16)).release()
    for _ in range(2):
        mechanism.open_cell(Limits(128, 0.5, 16))
    mechanism.close()
    mechanism.close()
    assert snapshot(kernel.mount) == before


@pytest.mark.parametrize("first_leaves", [0, 1])
def test_a_second_engine_sits_beside_the_first_and_the_last_to_leave_undoes_everything(
    kernel: FakeKernel, scope: Path, first_leaves: int
) -> None:
    before = snapshot(kernel.mount)
    engines = [Cgroup2(kernel, OwnCgroups({}, scope, kernel.mount))]
    engines.append(Cgroup2(kernel, OwnCgroups({}, scope / LEAF, kernel.mount)))
    for engine in engines:
        engine.open_cell(Limits(128, None, 16))
    assert (scope / f"invocation-engine-{os.getpid()}-1" / "cell-0").is_dir()
    engines.pop(first_leaves).close()
    assert (scope / LEAF / "cgroup.procs").read_text() == str(os.getpid())
    engines[0].open_cell(Limits(128, None, 16))
    engines[0].close()
    assert snapshot(kernel.mount) == before


def test_a_cells_limits_are_these_writes(kernel: FakeKernel, opened: Cgroup2) -> None:
    kernel.written.clear()
    cell = opened.open_cell(Limits(memory_mb=128, cpu_share=128 / 1769, pids_max=1024))
    assert [(Path(file).name, value) for file, value in kernel.written] == [
        ("memory.swap.max", "0"),
        ("memory.max", "134217728"),
        ("pids.max", "1024"),
        ("cpu.max", "1447 20000"),
        ("cpu.weight", "7"),
    ]
    assert {str(Path(file).parent) for file, _ in kernel.written} == {f"engine.scope/{OURS}/cell-0"}
    cell.set_cpu(None)
    folder = f"engine.scope/{OURS}/cell-0"
    assert kernel.written[-2:] == [(f"{folder}/cpu.max", "max 20000"), (f"{folder}/cpu.weight", "100")]
    cell.set_cpu(0.01)
    assert [value for _, value in kernel.written[-2:]] == ["1000 20000", "1"]
    opened.close()


def test_the_child_enters_through_cgroup_procs(opened: Cgroup2, scope: Path) -> None:
    cell = opened.open_cell(Limits(128, None, 16))
    (descriptor,) = cell.entry_fds()
    os.write(descriptor, b"0")
    procs = scope / OURS / "cell-0" / "cgroup.procs"
    assert procs.read_text() == "0"
    procs.write_text("")  # the real file would now list the writer
    opened.close()


def test_counters_are_read_from_the_cells_files(opened: Cgroup2, scope: Path) -> None:
    cell = opened.open_cell(Limits(128, None, 16))
    directory = scope / OURS / "cell-0"
    (directory / "memory.events").write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    (directory / "memory.peak").write_text(f"{(95 << 20) + 1}\n")
    (directory / "cpu.stat").write_text("nr_periods 9\nnr_throttled 4\n")
    assert (cell.oom_kills(), cell.memory_peak_mb(), cell.throttled()) == (2, 96, 4)
    (directory / "pids.current").write_text("7\n")
    assert cell.tasks() == 7
    assert os.pread(cell.gauges().peak_fd, 32, 0) == b"99614721\n"
    opened.close()


def test_an_older_kernel_has_no_peak_and_one_older_still_does_not_freeze(kernel: FakeKernel, scope: Path) -> None:
    del kernel.files["memory.peak"]  # before Linux 5.19
    del kernel.files["cgroup.freeze"]  # before 5.2
    mechanism = Cgroup2(kernel, OwnCgroups({}, scope, kernel.mount))
    assert mechanism.enforces == {"memory", "cpu", "pids"}
    assert "does not offer" in mechanism.why["freeze"]
    cell = mechanism.open_cell(Limits(128, None, 16))
    cell.freeze()
    assert (cell.memory_peak_mb(), cell.gauges().peak_fd, cell.frozen()) == (None, -1, False)
    mechanism.close()


def test_freezing_and_thawing_are_one_write_each(kernel: FakeKernel, opened: Cgroup2, scope: Path) -> None:
    cell = opened.open_cell()
    kernel.written.clear()
    cell.freeze()
    cell.thaw()
    assert kernel.written == [(f"engine.scope/{OURS}/cell-0/cgroup.freeze", value) for value in ("1", "0")]
    (scope / OURS / "cell-0" / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    assert cell.frozen()
    (scope / OURS / "cell-0" / "cgroup.events").write_text("populated 0\nfrozen 0\n")
    opened.close()


def test_a_cell_has_a_descriptor_to_be_born_into_until_it_is_sealed(opened: Cgroup2, scope: Path) -> None:
    cell = opened.open_cell()
    descriptor = cell.directory_fd()
    assert descriptor is not None
    assert os.readlink(f"/proc/self/fd/{descriptor}") == str(scope / OURS / "cell-0")
    cell.seal()
    assert cell.directory_fd() is None
    opened.close()


def test_killing_is_one_write(kernel: FakeKernel, opened: Cgroup2) -> None:
    cell = opened.open_cell(Limits(128, None, 16))
    kernel.written.clear()
    assert cell.kill()
    assert kernel.written == [(f"engine.scope/{OURS}/cell-0/cgroup.kill", "1")]
    opened.close()


def test_before_cgroup_kill_nothing_may_fork_while_it_is_emptied(
    kernel: FakeKernel, opened: Cgroup2, scope: Path
) -> None:
    cell = opened.open_cell(Limits(128, None, 16))
    (scope / OURS / "cell-0" / "cgroup.kill").unlink()
    assert cell.kill()
    assert kernel.written[-1] == (f"engine.scope/{OURS}/cell-0/pids.max", "0")
    opened.close()


def test_a_released_cell_is_removed_not_used_again(opened: Cgroup2, scope: Path) -> None:
    opened.open_cell(Limits(128, None, 16)).release()
    assert not (scope / OURS / "cell-0").exists()
    assert opened.statistics().stuck == 0
    opened.close()


def test_where_controllers_are_handed_on_already_nobody_is_moved(kernel: FakeKernel) -> None:
    (kernel.mount / "cgroup.subtree_control").write_text("cpu memory pids")
    (kernel.mount / "cgroup.procs").write_text("1\n2")
    mechanism = Cgroup2(kernel, OwnCgroups({}, kernel.mount, kernel.mount))
    assert kernel.written == [(f"{OURS}/cgroup.subtree_control", "+memory +cpu +pids")]
    mechanism.close()
    assert (kernel.mount / "cgroup.subtree_control").read_text() == "cpu memory pids"


def test_a_cgroup_shared_with_others_is_refused_with_the_way_out(kernel: FakeKernel, scope: Path) -> None:
    (scope / "cgroup.procs").write_text(f"1\n{os.getpid()}")
    with pytest.raises(MechanismUnavailableError, match=r"other processes share .*engine\.scope.*Delegate=yes"):
        Cgroup2(kernel, OwnCgroups({}, scope, kernel.mount))
    assert kernel.written == []


def delegated_at(top: Path) -> Callable[[Path], bool]:
    return lambda directory: directory == top


def test_in_a_delegated_subtree_a_shared_cgroups_ancestor_serves(kernel: FakeKernel) -> None:
    user = kernel.lay(kernel.mount / "user@1000.service", "cpu memory pids")
    apps = kernel.lay(user / "app.slice", "cpu memory pids")
    shell = kernel.lay(apps / "shell.scope", "memory pids")
    for directory in (user, apps):
        (directory / "cgroup.subtree_control").write_text("memory pids")
    (shell / "cgroup.procs").write_text(f"1\n{os.getpid()}")
    delegation = Delegation(kernel, OwnCgroups({}, shell, kernel.mount), delegated_at(user))
    assert delegation.directory == apps / OURS
    assert delegation.controllers == ("memory", "pids")
    assert delegation.leave() == []


def test_without_a_memory_controller_it_is_refused(kernel: FakeKernel, scope: Path) -> None:
    (scope / "cgroup.controllers").write_text("hugetlb")
    with pytest.raises(MechanismUnavailableError, match="offers no memory controller, only: hugetlb"):
        Cgroup2(kernel, OwnCgroups({}, scope, kernel.mount))


def test_where_no_v2_is_mounted_it_is_refused(kernel: FakeKernel) -> None:
    with pytest.raises(MechanismUnavailableError, match="no cgroup v2 tree"):
        Cgroup2(kernel, OwnCgroups({}, None, None))


def test_a_kernel_that_refuses_to_switch_controllers_on_leaves_nothing_behind(
    kernel: FakeKernel, scope: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(kernel.mount)

    def refuse(file: Path, value: str) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", str(file))

    monkeypatch.setattr(kernel, "_switch", refuse)
    with pytest.raises(MechanismUnavailableError, match="cannot switch controllers on"):
        Cgroup2(kernel, OwnCgroups({}, scope, kernel.mount))
    assert snapshot(kernel.mount) == before
