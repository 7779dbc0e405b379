"""F1: the waiting room for Java: compiled once from `bootstraps/java`, and an archive of its classes for each JDK.

`{cache}/java/room-<hash>` holds `waiting-room.jar`, and beside it an archive for each Java that has been seen
(class data sharing). Relative paths lead from it to the client: an archive is good only for the class path that it was
made with, and the cache folder has another path inside a sandbox.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import warnings
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Final

from .cache import cache_folder
from .contract import RuntimeMissingError
from .java_client import FOLDER, SOURCES, being_made, client_folder, pinned

JAR: Final = "waiting-room.jar"
LIBRARY: Final = f"surroundings{EXTENSION_SUFFIXES[0]}"  # compiled with this package
ARCHIVES_SINCE: Final = 13  # the Java version; what of it is archived at its exit came then
COMPILE_S: Final = 120.0
REHEARSE_S: Final = 120.0
_PLAIN: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
_MANIFEST: Final = """Manifest-Version: 1.0
Main-Class: engine.WaitingRoom
Add-Opens: java.base/java.io java.base/java.lang java.base/sun.nio.fs
Enable-Final-Field-Mutation: ALL-UNNAMED
Enable-Native-Access: ALL-UNNAMED
"""
_LINE: Final = 70  # bytes that a line of a manifest may have


@lru_cache(1)
def sources() -> dict[str, bytes]:
    """Our own Java files, by name."""
    return {path.name: path.read_bytes() for path in sorted(SOURCES.glob("*.java"))}


@lru_cache(1)
def folder_name() -> str:
    """Another one for each state of the sources, and of what they are compiled with."""
    digest = hashlib.sha256((SOURCES / "client.json").read_bytes())
    for name, text in sources().items():
        digest.update(f"\0{name}\0".encode() + text)
    return f"room-{digest.hexdigest()[:16]}"


def room_folder() -> Path:
    return cache_folder() / FOLDER / folder_name()


def build(javac: str, major: int) -> Path:
    """The waiting room's folder, filled by this compiler if it was not there. Raises RuntimeMissingError."""
    folder = room_folder()
    if folder.is_dir():
        return folder
    with being_made(folder) as scratch, tempfile.TemporaryDirectory() as classes:
        _compile(javac, major, classes)
        with zipfile.ZipFile(scratch / JAR, "w") as jar:  # stored: inflating would cost each start
            jar.writestr(zipfile.ZipInfo("META-INF/MANIFEST.MF"), _manifest())
            for path in sorted(Path(classes).rglob("*.class")):
                jar.writestr(zipfile.ZipInfo(str(path.relative_to(classes))), path.read_bytes())
    return folder


def _compile(javac: str, major: int, classes: str) -> None:
    jars = ":".join(str(client_folder() / jar.file) for jar in pinned()[1])
    release = ["--release", "8", "-Xlint:-options"] if major > 8 else []
    files = [str(SOURCES / name) for name in sources()]
    command = [javac, *release, "-nowarn", "-proc:none", "-encoding", "UTF-8", "-cp", jars, "-d", classes, *files]
    try:
        done = _run(command, "/", COMPILE_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise RuntimeMissingError(f"{javac} cannot compile the engine's start for Java: {error}") from error
    if done.returncode:
        said = done.stdout.decode("utf-8", "replace")[-2_000:]
        raise RuntimeMissingError(f"{javac} cannot compile the engine's start for Java: {said}")


def _manifest() -> bytes:
    version, jars = pinned()
    path = "Class-Path: " + " ".join(f"../{version}/{jar.file}" for jar in jars)
    first, rest = path[:_LINE], path[_LINE:]
    folded = [first, *(f" {rest[at : at + _LINE - 1]}" for at in range(0, len(rest), _LINE - 1))]
    return (_MANIFEST + "\n".join(folded) + "\n\n").encode()


def archive_name(java_home: str, version: str) -> str | None:
    """The file name of the archive for this Java; None for one that cannot have any."""
    try:
        machine = os.stat(f"{java_home}/lib/server/libjvm.so")
    except OSError:
        return None
    told = f"{java_home}\0{version}\0{machine.st_mtime_ns}\0{machine.st_size}"
    return f"{hashlib.sha256(told.encode()).hexdigest()[:16]}.jsa"


def make_archive(java: str, options: Sequence[str], name: str) -> None:
    """Play a function's start through with this Java, and keep all classes it loaded. Warns where that fails."""
    folder = room_folder()
    if (folder / name).exists():
        return
    made = folder / f".{os.getpid()}-{name}"
    command = [java, f"-XX:ArchiveClassesAtExit={made.name}", *options, "-jar", JAR, "rehearse"]
    try:
        done = _run(command, str(folder), REHEARSE_S)
        if done.returncode or not made.exists():
            raise subprocess.SubprocessError(done.stdout.decode("utf-8", "replace")[-1_000:])
        made.chmod(0o644)
        made.rename(folder / name)
    except (OSError, subprocess.SubprocessError) as error:
        warnings.warn(
            f"{java} makes no archive of its classes, functions start slower: {error}", RuntimeWarning, stacklevel=2
        )
    finally:
        made.unlink(missing_ok=True)


def _run(command: Sequence[str], folder: str, timeout_s: float) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command,
        cwd=folder,
        env=_PLAIN,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout_s,
        check=False,
    )
