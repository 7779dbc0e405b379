"""What a function can see and touch of the host and of other functions: files, variables, processes, memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from standing import CODE, PATIENCE_S, SECRET, Hostile, births, environment_pid

from engine.core.quarters import FIRST_UID
from engine.runtimes import catalog

Deploy = Callable[..., Hostile]
MINE = "sesame-" + "a5" * 16
UNSEEN = ("ENOENT", "EACCES")
ROOT = {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "opt", "proc", "run", "sbin", "tmp", "usr", "var"}
# Interpreters in somebody's home are shown, and the way to them, of which the rest is not there.
HOMES = catalog.homes()
WAYS = {str(folder) for home in HOMES for folder in Path(home).parents}
SHOWN = ROOT | {way.split("/")[1] for way in WAYS}
DEVICES = {"fd", "full", "null", "random", "stderr", "stdin", "stdout", "urandom", "zero"}


def test_no_secret_of_the_victim_is_found_anywhere(deploy: Deploy, enforced: frozenset[str], tmp_path: Path) -> None:
    """Its own is found in files, variables and memory, so the search works."""
    code = tmp_path / "code"
    code.mkdir()
    for file in CODE.glob("*.py"):
        if file.name != "victim.py":
            (code / file.name).write_bytes(file.read_bytes())
    (code / "mine.txt").write_text("sesame-" + "b6" * 16)
    hostile = deploy(code=code, environment={"SECRET": MINE})
    told = hostile.told("finds_secrets", mine=MINE)["found"]
    assert MINE in told["own memory"]
    known = {MINE, "sesame-" + "b6" * 16}
    assert "sesame-" + "b6" * 16 in told["files"]
    for where, secrets in told.items():
        assert SECRET not in secrets, where
        if "files" in enforced:
            assert set(secrets) <= known, where


def test_the_hosts_files_and_other_functions_code_are_not_there(
    hostile: Hostile, enforced: frozenset[str], tmp_path: Path
) -> None:
    if not enforced & {"files", "file access"}:
        return
    victim = str(hostile.door.get_function("victim").code.root)
    (tmp_path / "note").write_text("x")
    paths = [
        *(victim, f"{victim}/victim.py", str(Path(victim).parent), "/run/store", "/run/store/code", "/run/host"),
        *(str(tmp_path), str(tmp_path / "note"), "/root", "/home", "/etc/shadow", "/etc/ssh", "/var/lib", "/sys"),
        *("/proc/1/root", "/proc/1/environ", "/proc/kcore", "/dev/mem", "/dev/shm", "/boot", "/mnt"),
        *("/sys/fs/cgroup", "/run/systemd", "/var/run/docker.sock", f"/proc/{os.getpid()}/environ"),
        *("/proc/self/root/root", "/proc/self/cwd/../../root", "/../root"),
    ]
    told = hostile.told("reads", paths=paths)
    empty = {"/run/store"} if "files" in enforced else set()  # covered by an empty folder
    same = {"/proc/self/root/root": "/root", "/proc/self/cwd/../../root": "/root", "/../root": "/root"}
    ways = {path for path in paths if same.get(path, path) in WAYS}
    assert {path for path, said in told.items() if said not in UNSEEN} <= empty | ways


def test_its_own_code_and_the_hosts_programs_cannot_be_changed(hostile: Hostile, enforced: frozenset[str]) -> None:
    if not enforced & {"files", "file access"}:
        return
    paths = ["/usr/bin/env", "/etc/passwd", "/etc/resolv.conf"]
    if "files" in enforced:
        paths += ["/var/task/attacks.py", "/var/lang/bin/python3.11"]
    told = hostile.told("writes", paths=paths)
    for path, said in told.items():
        assert set(said) <= {"EROFS", "EACCES", "EPERM", "ENOENT", "ETXTBSY"}, path
    folders = ["/", "/etc", "/usr", "/usr/bin", "/dev", "/run", "/proc", "/var/tmp", "/opt"]
    made = hostile.told(
        "makes", folders=[*folders, *(("/var/task", "/var/lang") if "files" in enforced else ()), "/tmp"]
    )
    assert made.pop("/tmp") == "done"
    assert set(made.values()) <= {"EROFS", "EACCES", "EPERM", "ENOENT"}, made
    assert (hostile.door.get_function(hostile.name).code.root / "attacks.py").read_bytes() == (
        CODE / "attacks.py"
    ).read_bytes()


def test_it_sees_its_own_processes_mounts_and_devices_and_no_others(hostile: Hostile, enforced: frozenset[str]) -> None:
    told = hostile.told("sees")
    if "processes" in enforced and "files" in enforced:
        assert told["pids"] == [told["own pid"]]  # not even its init
        mounts = set(told["mounts"]) - set(HOMES)
        assert not [path for path in mounts if path.startswith(("/sys", "/home", "/root", "/run/host"))]
        assert set(told["root"]) <= SHOWN
        assert set(told["dev"]) == DEVICES
        assert set(told["homes"]) == {"/root", "/tmp"}
        assert told["own name"] == "sbx_user1051"
        assert told["cwd"] == "/var/task"
    if "hostname" in enforced:
        assert told["hostname"] == "sandbox"


def test_nothing_in_the_interpreter_leads_to_the_hosts_paths(hostile: Hostile, enforced: frozenset[str]) -> None:
    """Where its library was moved, what is imported later is found too."""
    files = hostile.told("imports_late")
    assert len(files) == 6
    if "files" in enforced:
        assert not [file for file in files.values() if not file.startswith("/var/lang/lib/python3.")]


def _others(hostile: Hostile) -> dict[str, int]:
    door = hostile.door
    hostile.invoke()
    return {
        "the engine": os.getpid(),
        "the zygote": births(door).zygote.pid,
        "the victim": environment_pid(door, "victim"),
        "a blank": births(door)._stock[0].own_pid,
    }


def test_it_can_signal_neither_the_engine_nor_anybody_else(hostile: Hostile, enforced: frozenset[str]) -> None:
    if not enforced & {"processes", "file access"}:
        return
    others = _others(hostile)
    told = hostile.told("signals", pids={**others, "its init": 1})
    assert set(told.values()) <= {"ESRCH", "EPERM"}, told
    everybody = hostile.told("signals", pids={"everybody": -1})
    assert set(everybody.values()) <= {"ESRCH", "EPERM", "done"}
    assert hostile.results[-1].start == "warm"
    assert environment_pid(hostile.door, "victim") == others["the victim"]


def test_it_can_look_into_no_other_process(hostile: Hostile, enforced: frozenset[str]) -> None:
    if not {"processes", "system calls"} <= enforced:
        return
    for name, said in hostile.told("looks_into", pids={**_others(hostile), "its init": 1}).items():
        assert said[:3] == ["EPERM"] * 3, name
        assert set(said[3:]) <= {"ENOENT", "EACCES", "EPERM"}, name


def test_it_has_three_descriptors_and_its_channel_and_its_children_have_three(hostile: Hostile) -> None:
    told = hostile.told("descriptors")
    own = {int(number): link for number, link in told["own"].items() if link != "gone" and "/fd" not in link}
    assert own.pop(0) == "/dev/null"
    assert own[1] == own[2]
    kinds = sorted(link.split(":")[0].rstrip("0123456789") for fd, link in own.items() if fd > 2)
    assert kinds in (
        ["/memfd", "anon_inode", "pipe"],
        ["/memfd", "anon_inode", "pipe", "pipe"],
    )  # and the pipe it asks by
    assert all(fd >= 1_024 for fd, link in own.items() if "memfd" in link or "eventfd" in link)
    assert set(told["child"]) <= {0, 1, 2, 3, 4}  # 3: the pipe's end it was given by its parent, or the folder ls reads
    assert {0, 1, 2} <= set(told["child"])


def test_what_one_function_leaves_the_next_with_its_user_does_not_find(
    deploy: Deploy, enforced: frozenset[str]
) -> None:
    """Both live; then the first is gone, and a third may have its user again."""
    first, second = deploy(), deploy()
    assert first.told("leaves_everything") > ["msg", "sem"]
    uids = [first.told("looks_for_remains")["uid"]]
    for finder in (second, deploy()):
        told = finder.told("looks_for_remains")
        uids.append(told["uid"])
        if "ipc" in enforced:
            assert {told[kind] for kind in ("shm", "sem", "msg", "mq")} == {"ENOENT"}
        if "files" in enforced:
            assert (told["tmp"], told["shared memory folder"]) == ([], False)
        if "processes" in enforced:
            assert told["processes"] == [told["own"]]
    assert (len(set(uids)) == 3) == ("users" in enforced)


def test_the_very_first_environment_of_a_function_has_a_user_of_its_own(
    hostile: Hostile, enforced: frozenset[str]
) -> None:
    """By the host's count too. A user of −1 is no change of user."""
    hostile.invoke()
    if "users" in enforced:
        uids = (
            Path(f"/proc/{environment_pid(hostile.door, hostile.name)}/status").read_text().split("Uid:")[1].split()[:4]
        )
        assert len(set(uids)) == 1
        assert int(uids[0]) >= FIRST_UID


def test_a_user_that_was_anothers_before_finds_nothing_of_theirs(
    hostile: Hostile, deploy: Deploy, enforced: frozenset[str]
) -> None:
    if not {"users", "files", "ipc"} <= enforced:
        return
    door = hostile.door
    door.create_function("gone", code=CODE, handler="attacks.handler", timeout_s=30)
    gone = Hostile(door, "gone")
    assert gone.told("leaves_everything") > ["msg", "sem"]
    uid = gone.told("looks_for_remains")["uid"]
    door.delete_function("gone")
    deadline = time.monotonic() + PATIENCE_S
    while left := [pool for pool in door._engine._supervisor.pools if pool.lane.name == "gone"]:
        assert time.monotonic() < deadline, (left, [one and (one.state, one.pid) for one in left[0].lane.environments])
        time.sleep(0.002)
    told = deploy().told("looks_for_remains")
    assert (told["uid"], told["tmp"], told["processes"]) == (uid, [], [told["own"]])
    assert {told[kind] for kind in ("shm", "sem", "msg", "mq")} == {"ENOENT"}
