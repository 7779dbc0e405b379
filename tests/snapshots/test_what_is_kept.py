"""What a snapshot keeps besides memory, what it cannot keep, its hooks, and what differs in each copy of it."""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import dedent

import pytest
from families import Family

# What init does, with the beginning of the sentence that tells it.
OBSTACLES = {
    "a thread": (
        """
        import threading
        e = threading.Event()
        t = threading.Thread(target=e.wait, name="poller", daemon=True)
        t.start()
        """,
        "init left the thread 'poller' running, and a snapshot holds the main thread only",
    ),
    "a connection": (
        """
        import socket
        s = socket.create_server(("127.0.0.1", 0))
        address = s.getsockname()
        c = socket.create_connection(address)
        p, _ = s.accept()
        s.close()
        """,
        "init left a connection to 127.0.0.1:",
    ),
    "a listening socket": (
        """
        import socket
        s = socket.create_server(("127.0.0.1", 0))
        """,
        "init left a socket at 127.0.0.1:",
    ),
    "a pipe": (
        """
        ends = os.pipe()
        """,
        "init left a pipe open",
    ),
    "an epoll set": (
        """
        import select
        e = select.epoll()
        """,
        "init left anon_inode:[eventpoll] open",
    ),
    "an eventfd": (
        """
        e = os.eventfd(0)
        """,
        "init left anon_inode:[eventfd] open",
    ),
    "a deleted file": (
        """
        import tempfile
        f = tempfile.TemporaryFile(dir=FOLDER)
        """,
        "init left a deleted file open",
    ),
    "a lock": (
        """
        import fcntl
        f = open(FOLDER + "/lock", "w")
        fcntl.flock(f, fcntl.LOCK_EX)
        """,
        "init left FOLDER/lock locked",
    ),
    "shared memory": (
        """
        import mmap
        m = mmap.mmap(-1, 4096)
        """,
        "init left shared memory mapped (/dev/zero (deleted)), and environments share nothing",
    ),
    "a child": (
        """
        import subprocess
        p = subprocess.Popen(["cat"], stdin=subprocess.DEVNULL)
        """,
        "init left child processes (pid ",
    ),
    "a timer": (
        """
        import signal
        signal.setitimer(signal.ITIMER_REAL, 1000)
        """,
        "init left the timer ITIMER_REAL running",
    ),
}

LOOK = """
import os
before = open_now()
FOLDER = %r
%s
say(snapshot.obstacles(before))
raise SystemExit
"""


@pytest.mark.parametrize("left", OBSTACLES)
def test_an_init_is_told_that_it_left(family: Family, tmp_path: Path, left: str) -> None:
    init, sentence = OBSTACLES[left]
    ended = family.template(LOOK % (str(tmp_path), dedent(init)))
    assert ended.status == 0, ended.errors
    assert any(told.startswith(sentence.replace("FOLDER", str(tmp_path))) for told in ended.said[0]), ended


def test_an_init_that_left_only_files_and_libraries_has_no_obstacle(family: Family, tmp_path: Path) -> None:
    init = "import numpy, ssl; f, n = open(FOLDER + '/f', 'w'), open('/dev/null'); snapshot.end_library_threads()"
    assert family.template(LOOK % (str(tmp_path), dedent(init))).only == []


def test_open_files_come_back_at_their_numbers_and_offsets(family: Family, tmp_path: Path) -> None:
    (tmp_path / "read").write_text("0123456789")
    family.template(
        f"""
        import os
        before = open_now()
        os.chdir({str(tmp_path)!r})
        os.umask(0o027)
        reader, writer, folder = open("read", "rb", buffering=0), open("written", "a"), os.open(".", os.O_RDONLY)
        reader.seek(4)
        writer.write("init ")
        writer.flush()
        assert snapshot.obstacles(before) == []
        kept = snapshot.Kept.of_this_process(before)
        """,
        """
        kept.put_back()
        writer.write(message.decode())
        writer.close()
        names, inherited = sorted(os.listdir(folder)), os.get_inheritable(reader.fileno())
        say([reader.read(2).decode(), os.getcwd(), os.umask(0), names, inherited])
        """,
    )
    for word in ("a", "b"):
        answer = family.restored(word).only
        assert answer == ["45", str(tmp_path), 0o027, ["read", "written"], False]
    assert (tmp_path / "written").read_text() == "init ab"


def test_a_file_that_is_gone_and_a_number_in_use_are_errors(family: Family, tmp_path: Path) -> None:
    family.template(
        f"""
        import os
        before = open_now()
        file = open({str(tmp_path / "f")!r}, "w")
        kept = snapshot.Kept.of_this_process(before)
        """,
        """
        if message:
            os.dup2(1, file.fileno())
        try:
            kept.put_back()
        except OSError as error:
            say(type(error).__name__)
        """,
    )
    assert family.restored("taken").only == "FileExistsError"
    (tmp_path / "f").unlink()
    assert family.restored().only == "FileNotFoundError"


def test_tmp_is_packed_and_unpacked_with_links_modes_and_times(family: Family, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "folder").mkdir(parents=True)
    target.mkdir()
    (source / "folder" / "file").write_bytes(b"x" * 100_000)
    (source / "folder" / "file").chmod(0o666)
    os.utime(source / "folder" / "file", (5, 5))
    (source / "absolute").symlink_to("/var/task/app.py")
    os.link(source / "folder" / "file", source / "hard")
    os.mkfifo(source / "fifo")
    init = f"""
        import os
        fd = os.memfd_create("engine-tmp")
        empty = snapshot.pack_tmp({str(target)!r}, fd, 0)
        try:
            snapshot.pack_tmp({str(source)!r}, fd, 99_999)
        except ValueError as error:
            say(str(error))
        packed = snapshot.pack_tmp({str(source)!r}, fd, 1 << 20)
        snapshot.unpack_tmp(fd, {str(target)!r})
        say([empty, packed > 100_000])
        raise SystemExit
    """
    told = family.template(init)
    assert told.said[1:] == [[0, True]], told.errors
    assert "bytes, of at most 99999" in told.said[0]
    assert sorted(path.relative_to(target).as_posix() for path in target.rglob("*")) == [
        *("absolute", "fifo", "folder", "folder/file", "hard"),
    ]
    about = (target / "folder" / "file").stat()
    assert (about.st_mode & 0o777, about.st_mtime, about.st_nlink) == (0o666, 5, 2)
    assert os.readlink(target / "absolute") == "/var/task/app.py"


SOURCES = """
import random, secrets, ssl, tempfile, uuid
import numpy
numpy.random.rand(), random.random(), ssl.RAND_bytes(8), uuid.uuid1(), next(tempfile._get_candidate_names())
snapshot.end_library_threads()
"""
DRAW = """
snapshot.reseed()
say({
    "random": random.random(), "numpy": numpy.random.rand(), "openssl": ssl.RAND_bytes(16).hex(),
    "uuid4": uuid.uuid4().hex, "uuid1's sequence": uuid.uuid1().clock_seq, "secrets": secrets.token_hex(),
    "tempfile": next(tempfile._get_candidate_names()), "pid": os.getpid(),
})
"""


def test_no_two_copies_draw_the_same_random_numbers_though_they_have_one_pid(family: Family) -> None:
    template = family.template("import os" + SOURCES, DRAW, namespace=True)
    assert template.said == ["captured"], template.errors
    first, second = (family.restored(namespace=True).only for _ in range(2))
    assert first.pop("pid") == second.pop("pid") == 1
    assert [name for name in first if first[name] == second[name]] == []


def test_variables_are_refreshed_for_python_and_for_c(family: Family) -> None:
    family.template(
        "import os, subprocess, time",
        """
        snapshot.refresh({"AWS_LAMBDA_LOG_STREAM_NAME": message.decode(), "TZ": "UTC-3"})
        shell = subprocess.run(["printenv", "AWS_LAMBDA_LOG_STREAM_NAME"], capture_output=True, text=True)
        say([os.environ["AWS_LAMBDA_LOG_STREAM_NAME"], shell.stdout, time.localtime(0).tm_hour])
        """,
    )
    assert family.restored("stream").only == ["stream", "stream\n", 3]


HOOKS = """
import snapshot_restore_py as hooks
told = []
for n in (1, 2):
    hooks.register_before_snapshot(told.append, f"before {n}")
    hooks.register_after_restore(lambda *a, **k: told.append([*a, k]), n, k=n)
snapshot.run_before_snapshot()
"""


def test_hooks_run_as_lambdas_do_the_first_kind_backwards_and_once(family: Family) -> None:
    family.template(HOOKS, "snapshot.run_after_restore(); say([told, hooks.get_before_snapshot()])")
    assert family.restored().only == [["before 2", "before 1", [1, {"k": 1}], [2, {"k": 2}]], []]


def test_an_init_without_the_package_has_no_hooks(family: Family) -> None:
    init = """
        import sys
        snapshot.run_before_snapshot()
        snapshot.run_after_restore()
        say("snapshot_restore_py" in sys.modules)
        raise SystemExit
    """
    assert family.template(init).only is False


@pytest.mark.parametrize("raised", ["ValueError('no')", "SystemExit(3)"])
@pytest.mark.parametrize(
    ("register", "run", "error_type", "exit_status"),
    [
        ("register_before_snapshot", "run_before_snapshot", "Runtime.BeforeSnapshotError", 64),
        ("register_after_restore", "run_after_restore", "Runtime.AfterRestoreError", 65),
    ],
)
def test_a_hook_that_raises_is_reported_as_lambda_does(
    family: Family, register: str, run: str, error_type: str, exit_status: int, raised: str
) -> None:
    init = f"""
        import snapshot_restore_py
        def hook():
            raise {raised}
        snapshot_restore_py.{register}(hook)
        try:
            snapshot.{run}()
        except snapshot.HookError as failed:
            line = failed.error.__traceback__.tb_next.tb_lineno
            say([failed.error_type, failed.exit_status, repr(failed.error), line])
        raise SystemExit
    """
    assert family.template(init).only == [error_type, exit_status, raised, 4]


def test_the_error_types_and_statuses_are_those_of_awss_client() -> None:
    from awslambdaric import bootstrap
    from awslambdaric.lambda_runtime_exception import FaultException

    from engine.worker import snapshot

    assert (snapshot.BEFORE[0], snapshot.AFTER[0]) == (
        FaultException.BEFORE_SNAPSHOT_ERROR,
        FaultException.AFTER_RESTORE_ERROR,
    )
    assert {snapshot.BEFORE[1], snapshot.AFTER[1]} <= set(bootstrap.on_init_complete.__code__.co_consts)
