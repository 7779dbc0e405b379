"""What Java needs besides the host's programs: AWS's client, fetched once and checked, and what is compiled of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from builds import built_java

from engine.runtimes import java, java_client, java_room
from engine.runtimes.contract import Interpreter, RuntimeMissingError, Subject
from engine.sync import Engine

FETCH = "from engine.runtimes import java_client; java_client.fetch('')"


@pytest.fixture(scope="module")
def jars() -> Path:
    """The client as this user has it already, or now gets it."""
    newest = java.Java().installed()[0]
    return java_client.fetch(str(Path(newest.executable).parent.parent))


@pytest.fixture
def cache(jars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and nothing to fetch by."""
    monkeypatch.setenv("ENGINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(java_client, "CENTRAL", "http://127.0.0.1:1/maven2")
    return tmp_path / "cache"


@contextmanager
def repository(folder: Path) -> Iterator[str]:
    """Serves a folder as a Maven repository is served."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def publish(jars: Path, folder: Path) -> None:
    for jar in java_client.pinned()[1]:
        target = folder / jar.url.removeprefix(f"{java_client.CENTRAL}/")
        target.parent.mkdir(parents=True)
        shutil.copyfile(jars / jar.file, target)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_without_a_network_the_way_out_is_told(cache: Path) -> None:
    with pytest.raises(RuntimeMissingError) as caught:
        java_client.fetch("")
    told = str(caught.value)
    assert "AWS's runtime client for Java cannot be fetched (http://127.0.0.1:1/maven2: " in told
    for jar in java_client.pinned()[1]:
        assert f"mvn -q dependency:copy -Dartifact={jar.group}:{jar.artifact}:{jar.version} " in told
    assert told.endswith(f"then set ENGINE_JAVA_CLIENT={cache}/java/jars")
    assert names(cache / "java") == set(), "nothing half made is left"


def test_a_folder_of_jars_is_taken(cache: Path, jars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_JAVA_CLIENT", str(jars))
    assert not java_client.is_fetched()
    folder = java_client.fetch("")
    assert folder == cache / "java" / java_client.pinned()[0] and java_client.is_fetched()
    assert names(folder) == {jar.file for jar in java_client.pinned()[1]} | {java_client.native_library()}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    assert folder.stat().st_mode & 0o777 == 0o755


def test_it_comes_from_mavens_repository_without_maven(
    cache: Path, jars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(jars, tmp_path / "repository")
    with repository(tmp_path / "repository") as url:
        monkeypatch.setattr(java_client, "CENTRAL", url)
        assert (java_client.fetch("") / java_client.native_library()).stat().st_size > 100_000


def test_it_comes_by_maven_where_the_host_has_that(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"] + os.pathsep + os.defpath)
    home = java._home(java.Java().installed()[0].executable)
    assert names(java_client.fetch(home)) >= {jar.file for jar in java_client.pinned()[1]}


def test_a_jar_that_is_not_the_pinned_one_is_refused(
    cache: Path, jars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(jars, changed)
    jar = java_client.pinned()[1][0]
    with (changed / jar.file).open("ab") as file:
        file.write(b"more")
    monkeypatch.setenv("ENGINE_JAVA_CLIENT", str(changed))
    with pytest.raises(RuntimeMissingError, match=rf"{jar.file} has the SHA-256 [0-9a-f]{{64}}, not {jar.sha256}"):
        java_client.fetch("")
    assert not java_client.is_fetched()


def test_several_processes_may_fetch_at_once(cache: Path, jars: Path) -> None:
    environment = {**os.environ, "ENGINE_JAVA_CLIENT": str(jars), "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen([sys.executable, "-c", FETCH], env=environment) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert names(cache / "java") == {java_client.pinned()[0]}


def test_a_cache_folder_that_cannot_be_written_is_named(cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(
        RuntimeMissingError, match=r"nothing can be put into the cache folder .*/cache/java: .*ENGINE_CACHE"
    ):
        java_client.fetch("")


def test_a_start_finds_all_on_the_disk_or_says_what_to_do(cache: Path) -> None:
    interpreter = java.Java().installed()[0]
    with pytest.raises(RuntimeMissingError, match="update the function's code or configuration"):
        java.Java().launch(interpreter, Subject("java8", "a.B", 512, {}))
    assert not cache.exists()


def test_without_a_compiler_functions_run_by_lambdas_own_command(
    cache: Path, jars: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINE_JAVA_CLIENT", str(jars))
    monkeypatch.setattr(java.Java, "_compiler", lambda *_: None)
    interpreter = java.Java().choose("java8")
    monkeypatch.setattr(java, "RUNTIMES", {"java17": int(interpreter.version.split(".")[0])})  # no warning of another
    with Engine() as engine:
        code = built_java("java-behaves") / "all-in-one.jar"
        engine.create_function("f", code=code, handler="behaves.Hello", runtime="java17", memory_mb=1_769, timeout_s=30)
        assert not java_room.room_folder().exists()
        result = engine.invoke("f", {"x": 1})
        assert (result.function_error, result.json()["x"]) == (None, 1)
    launch = java.Java().launch(interpreter, Subject("java17", "behaves.Hello", 512, {}))
    assert (launch.has_channel, launch.stock) == (False, None)
    assert launch.command[-2:] == (java.MAIN, "behaves.Hello")


def test_a_compiler_that_fails_is_warned_of(cache: Path, jars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_JAVA_CLIENT", str(jars))
    monkeypatch.setattr(java.Java, "_compiler", lambda *_: ("/bin/false", 17))
    with pytest.warns(RuntimeWarning, match="functions in Java start slower: /bin/false cannot compile"):
        java.Java().prepare(java.Java().installed()[0])
    assert java_client.is_fetched() and not java_room.room_folder().exists()


def test_one_archive_for_each_java_and_no_second(cache: Path, jars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_JAVA_CLIENT", str(jars))
    interpreter = java.Java().installed()[0]
    java.Java().prepare(interpreter)
    room = java_room.room_folder()
    archives = list(room.glob("*.jsa"))
    assert len(archives) == 1 and archives[0].stat().st_mode & 0o777 == 0o644
    made_ns = archives[0].stat().st_mtime_ns
    java.Java().prepare(interpreter)
    assert (names(room), archives[0].stat().st_mtime_ns) == ({java_room.JAR, archives[0].name}, made_ns)
    launch = java.Java().launch(interpreter, Subject("java17", "a.B", 512, {}))
    assert f"-XX:SharedArchiveFile={archives[0].name}" in launch.command
    archives[0].unlink()
    launch = java.Java().launch(interpreter, Subject("java17", "a.B", 512, {}))
    assert not any("SharedArchiveFile" in part for part in launch.command)


@pytest.mark.parametrize(
    ("versions", "runtime", "chosen"),
    [
        (("21.0.2", "17.0.15", "25.0.3"), "java17", "17.0.15"),
        (("21.0.2", "25.0.3"), "java17", "21.0.2"),
        (("17.0.9", "17.0.15"), "java11", "17.0.15"),
        (("1.8.0_452", "11.0.2"), "java8.al2", "1.8.0_452"),
    ],
)
def test_the_same_java_is_chosen_else_the_next_newer(
    monkeypatch: pytest.MonkeyPatch, versions: tuple[str, ...], runtime: str, chosen: str
) -> None:
    found = {f"/jdk-{version}/bin/java": version for version in versions}
    monkeypatch.setattr(java, "_executables", lambda: list(found))
    monkeypatch.setattr(java, "_version", found.__getitem__)
    interpreter = java.Java().choose(runtime)
    assert interpreter.version == chosen
    assert java.Java().is_exact(runtime, interpreter) == (java._major(chosen) == java.RUNTIMES[runtime])


def test_without_any_java_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "_executables", list)
    with pytest.raises(RuntimeMissingError, match=r"^java21 needs a JDK 21 or newer, which this host lacks: apt-get "):
        java.Java().choose("java21")


def test_what_makes_waiting_processes_alike(jars: Path) -> None:
    language, interpreter = java.Java(), Interpreter("/usr/lib/jvm/a/bin/java", "17.0.1")
    language.prepare(language.installed()[0])

    def stock(memory_mb: int = 512, runtime: str = "java17", **environment: str) -> str | None:
        return language.launch(interpreter, Subject(runtime, "a.B", memory_mb, environment)).stock

    assert stock() == stock(COLOUR="blue", AWS_LAMBDA_JAVA_NETWORKADDRESS_CACHE_NEGATIVE_TTL="2")
    assert len({stock(), stock(1_024), stock(runtime="java11")}) == 3
    for name in ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "LD_PRELOAD", "TZ", "LC_ALL", "AWS_LAMBDA_EXEC_WRAPPER"):
        assert stock(**{name: "x"}) is None
