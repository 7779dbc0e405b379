"""Landlock rulesets, held to for real by forked children, and what older kernels make of the same question."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from confined import become_nobody, in_child

from engine._ext import confine
from engine.sandbox import landlock


def refusal(action: Callable[[], object]) -> str:
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def where_offered(test: Callable[..., None]) -> Callable[..., None]:
    """On a kernel without Landlock the promise is another one: no ruleset, and no error."""

    def test_there_is_no_ruleset() -> None:
        assert landlock.prepare(["/"], [], scope=True) is None

    return test if confine.landlock_abi() else test_there_is_no_ruleset


def restricted(read_only: list[Path], read_write: list[Path], scope: bool = True) -> Callable[[], None]:
    def step() -> None:
        ruleset = landlock.prepare(read_only, read_write, scope=scope)
        assert ruleset is not None, landlock.describe()
        confine.no_new_privileges()
        confine.landlock_restrict(ruleset)
        os.close(ruleset)

    return step


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("code", "own", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
        (tmp_path / name / "run").write_text("#!/bin/sh\nexit 7\n")
        (tmp_path / name / "run").chmod(0o755)
    return tmp_path


def run(program: Path) -> str:
    """Its exit status; what refused it otherwise."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(program, [str(program)])
        except OSError as error:
            os.write(writer, errno.errorcode[error.errno or 0].encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return said or str(status)


@where_offered
def test_paths_are_open_as_they_were_allowed_and_everything_else_is_closed(place: Path) -> None:
    def ask() -> dict[str, list[str]]:
        answers = {}
        for name in ("code", "own", "other"):
            folder = place / name
            answers[name] = [
                refusal((folder / "file").read_text),
                refusal(partial(os.listdir, folder)),
                refusal(partial((folder / "file").write_text, "new")),
                refusal(partial((folder / "made").write_text, "new")),
                refusal((folder / "inner").mkdir),
                refusal((folder / "file").unlink),
                run(folder / "run"),
            ]
        return answers

    system = [Path(path) for path in ("/bin", "/usr", "/lib", "/lib64", "/etc") if Path(path).exists()]
    assert in_child(ask, restricted([place / "code", *system], [place / "own"])) == {
        "code": ["done", "done", "EACCES", "EACCES", "EACCES", "EACCES", "7"],
        "own": ["done"] * 6 + ["7"],
        "other": ["EACCES"] * 7,
    }
    assert in_child(ask)["other"] == ["done"] * 6 + ["7"]


@where_offered
def test_reading_code_does_not_let_it_be_cut_short(place: Path) -> None:
    def ask() -> list[str]:
        return [refusal(partial(os.truncate, place / name / "file", 0)) for name in ("code", "own")]

    assert in_child(ask, restricted([place / "code"], [place / "own"])) == ["EACCES", "done"]
    assert (place / "code" / "file").read_text() == "code"


@where_offered
def test_files_move_within_what_is_writable_and_not_out_of_or_into_it(place: Path) -> None:
    (place / "own" / "inner").mkdir()

    def ask() -> list[str]:
        own = place / "own"
        return [
            refusal(partial(os.link, own / "file", place / "other" / "leaked")),
            refusal(partial(os.link, place / "code" / "file", own / "taken")),
            refusal(partial(os.rename, own / "file", own / "inner" / "file")),
        ]

    out, into, within = in_child(ask, restricted([place / "code"], [place / "own"]))
    assert out == "EACCES"
    assert into in ("EXDEV", "EACCES")
    assert within == "done"


@where_offered
def test_one_file_can_be_allowed_alone() -> None:
    def ask() -> list[str]:
        with open("/dev/null", "r+b", buffering=0) as null:
            return [refusal(partial(null.write, b"x")), refusal(partial(open, "/dev/zero"))]

    assert in_child(ask, restricted([], [Path("/dev/null")])) == ["done", "EACCES"]


@where_offered
def test_no_device_can_be_made_even_where_writing_is_allowed(place: Path) -> None:
    def ask() -> list[str]:
        kinds = (0o020600, 0o060600, 0o010600)
        return [refusal(partial(os.mknod, place / "own" / str(kind), kind, os.makedev(1, 3))) for kind in kinds]

    assert in_child(ask, restricted([], [place / "own"])) == ["EACCES", "EACCES", "done"]


@where_offered
@pytest.mark.parametrize("scope", [True, False])
def test_signals_and_abstract_sockets_end_at_the_scope_and_work_inside(scope: bool) -> None:
    name = f"\0scope-{os.getpid()}-{scope}"

    def connect(to: str) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(to)

    def ask() -> list[str]:
        child = os.fork()
        if child == 0:
            while True:
                signal.pause()
        with socket.socket(socket.AF_UNIX) as inner:
            inner.bind(f"{name}-inner")
            inner.listen()
            inside = [refusal(partial(os.kill, child, signal.SIGKILL)), refusal(partial(connect, f"{name}-inner"))]
        os.waitpid(child, 0)
        return [refusal(partial(os.kill, os.getppid(), 0)), refusal(partial(connect, name)), *inside]

    with socket.socket(socket.AF_UNIX) as outer:
        outer.bind(name)
        outer.listen()
        expected = ["EPERM", "EPERM"] if scope and confine.landlock_abi() >= landlock.SCOPES_SINCE else ["done", "done"]
        assert in_child(ask, restricted([], [], scope)) == [*expected, "done", "done"]


@where_offered
def test_nobody_is_confined_like_root() -> None:
    reading = partial(Path("/etc/passwd").read_text)

    def ask() -> list[str]:
        return [refusal(reading), refusal(partial(os.listdir, "/usr"))]

    assert in_child(ask, become_nobody, restricted([Path("/usr")], [])) == ["EACCES", "done"]
    assert in_child(ask, become_nobody) == ["done", "done"]


@where_offered
def test_a_path_that_is_not_there_is_named_and_leaves_no_descriptor(place: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError, match="missing"):
        landlock.prepare([place / "code", place / "missing"], [], scope=True)
    assert os.listdir("/proc/self/fd") == before


@where_offered
def test_an_execed_program_does_not_get_the_ruleset(place: Path) -> None:
    ruleset = landlock.prepare([place], [], scope=True)
    assert ruleset is not None
    assert not os.get_inheritable(ruleset)
    os.close(ruleset)


@pytest.mark.parametrize(("abi", "newest"), [(1, 12), (2, 13), (3, 14), (4, 14), (5, 15), (6, 15), (7, 15), (9, 15)])
def test_an_older_kernel_is_asked_only_for_what_it_knows(abi: int, newest: int) -> None:
    assert landlock.handled_rights(abi) == (1 << (newest + 1)) - 1
    if abi <= confine.landlock_abi():
        os.close(confine.landlock_ruleset(landlock.handled_rights(abi), 0, 0))


@pytest.mark.parametrize("abi", range(8))
def test_every_abi_gets_what_it_can_enforce(abi: int, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = confine.landlock_abi()
    monkeypatch.setattr(confine, "landlock_abi", lambda: min(abi, real))
    ruleset = landlock.prepare([place], ["/dev/null"], scope=True)
    assert (ruleset is None) == (min(abi, real) == 0)
    if ruleset is not None:
        os.close(ruleset)


def test_it_says_what_it_enforces() -> None:
    assert landlock.describe(0) == "not offered by this kernel"
    assert landlock.describe(4) == "ABI 4: files; abstract sockets and signals need ABI 6 (Linux 6.12)"
    assert landlock.describe(7) == "ABI 7: files, abstract sockets, signals"
    assert landlock.describe() == landlock.describe(confine.landlock_abi())


@where_offered
def test_a_right_that_no_kernel_knows_is_an_os_error() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        confine.landlock_ruleset(1 << 63, 0, 0)
