"""F1: AWS's runtime client for Java: its jars, fetched once from Maven Central into the cache folder, and checked.

`{cache}/java/<version>` holds the jars and the client's native library. It is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from .cache import cache_folder, made_cache_folder
from .contract import RuntimeMissingError

VARIABLE: Final = "ENGINE_JAVA_CLIENT"
SOURCES: Final = Path(__file__).parent / "bootstraps" / "java"
FOLDER: Final = "java"  # below the cache folder
CENTRAL: Final = "https://repo1.maven.org/maven2"
MAVEN_PLUGIN: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
MAVEN_S: Final = 300.0
DOWNLOAD_S: Final = 30.0
JAR_MOST_BYTES: Final = 32 << 20
MADE_S: Final = 1_000_000_000  # when all files say they were made: archives of classes hold for jars of one time only
_POM: Final = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>engine</groupId><artifactId>java-client</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>{}</dependencies>
</project>
"""
_DEPENDENCY: Final = (
    "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>"
    "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>"
)


class Jar(NamedTuple):
    """One that is pinned."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def url(self) -> str:
        return f"{CENTRAL}/{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.file}"


@lru_cache(1)
def pinned() -> tuple[str, tuple[Jar, ...]]:
    """The client's version, and all its jars."""
    document = json.loads((SOURCES / "client.json").read_text())
    return document["version"], tuple(Jar(**jar) for jar in document["jars"])


def native_library() -> str:
    """The file name of the client's native library for this host."""
    processor = {"aarch64": "aarch_64", "arm64": "aarch_64"}.get(platform.machine(), platform.machine())
    system = "linux" if platform.libc_ver()[0] == "glibc" else "linux_musl"
    return f"libaws-lambda-jni.{system}-{processor}.so"


def client_folder() -> Path:
    """Where the client is, once it has been fetched."""
    return cache_folder() / FOLDER / pinned()[0]


def is_fetched() -> bool:
    return client_folder().is_dir()


def fetch(java_home: str) -> Path:
    """The client's folder, filled if it was not there: a matter of seconds, and never for an event loop.

    From the folder `$ENGINE_JAVA_CLIENT`, else by Maven where the host has it (mirrors and proxies are set there), else
    straight from Maven Central. java_home: for Maven. Raises RuntimeMissingError with the way out.
    """
    folder = client_folder()
    if folder.is_dir():
        return folder
    with being_made(folder) as scratch:
        _obtain(scratch, java_home)
        _unpack_native_library(scratch)
    return folder


@contextmanager
def being_made(folder: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `folder` at the end; readable by all. Whoever is first wins."""
    try:
        made_cache_folder()
        folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    except OSError as error:
        raise RuntimeMissingError(
            f"nothing can be put into the cache folder {folder.parent}: {error.strerror}; name another by $ENGINE_CACHE"
        ) from error
    try:
        yield scratch
        for path in (scratch, *scratch.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (MADE_S, MADE_S))
        try:
            scratch.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _obtain(scratch: Path, java_home: str) -> None:
    failures = []
    for source, take in _sources(java_home).items():
        try:
            take(scratch)
            _check(scratch)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            failures.append(f"{source}: {error}")
        else:
            return
    raise RuntimeMissingError(_way_out(failures))


def _sources(java_home: str) -> Mapping[str, Callable[[Path], None]]:
    given = os.environ.get(VARIABLE)
    if given:
        return {f"${VARIABLE}={given}": lambda scratch: _copy(Path(given), scratch)}
    maven = shutil.which("mvn")
    sources: dict[str, Callable[[Path], None]] = {}
    if maven:
        sources["mvn"] = lambda scratch: _fetch_by_maven(maven, scratch, java_home)
    return {**sources, CENTRAL: _download}


def _copy(folder: Path, scratch: Path) -> None:
    for jar in pinned()[1]:
        shutil.copyfile(folder / jar.file, scratch / jar.file)


def _fetch_by_maven(maven: str, scratch: Path, java_home: str) -> None:
    with tempfile.TemporaryDirectory(prefix=".maven-", dir=scratch.parent) as project:
        _write_project(Path(project))
        command = [maven, "-B", "-q", "-f", f"{project}/pom.xml", MAVEN_PLUGIN, f"-DoutputDirectory={scratch}"]
        done = subprocess.run(
            command,
            cwd=project,
            env={"JAVA_HOME": java_home, **os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=MAVEN_S,
            check=False,
        )
    if done.returncode:
        errors = [line for line in done.stdout.decode("utf-8", "replace").splitlines() if "ERROR" in line]
        raise ValueError("; ".join(errors[:2]) or f"exit status {done.returncode}")


def _write_project(folder: Path) -> None:
    dependencies = (_DEPENDENCY.format(jar.group, jar.artifact, jar.version) for jar in pinned()[1])
    (folder / "pom.xml").write_text(_POM.format("".join(dependencies)))


def _download(scratch: Path) -> None:
    import urllib.request  # weighs more than the rest of the engine, and is needed once

    for jar in pinned()[1]:
        with urllib.request.urlopen(jar.url, timeout=DOWNLOAD_S) as answer:
            (scratch / jar.file).write_bytes(answer.read(JAR_MOST_BYTES))


def _check(scratch: Path) -> None:
    """Raises ValueError where a jar is not the one that is pinned, OSError where it is not there."""
    for jar in pinned()[1]:
        found = hashlib.sha256((scratch / jar.file).read_bytes()).hexdigest()
        if found != jar.sha256:
            raise ValueError(f"{jar.file} has the SHA-256 {found}, not {jar.sha256}")


def _unpack_native_library(scratch: Path) -> None:
    """Out of the jar: otherwise each start would unpack it into /tmp. Raises RuntimeMissingError."""
    version, jars = pinned()
    jar = next(jar for jar in jars if jar.version == version)
    name = native_library()
    with zipfile.ZipFile(scratch / jar.file) as archive:
        try:
            (scratch / name).write_bytes(archive.read(f"jni/{name}"))
        except KeyError:
            raise RuntimeMissingError(
                f"AWS's runtime client for Java has no {name}: Java functions cannot run on this processor"
            ) from None


def _way_out(failures: list[str]) -> str:
    fetches = " && ".join(
        "mvn -q dependency:copy"
        f" -Dartifact={jar.group}:{jar.artifact}:{jar.version} -DoutputDirectory={shlex.quote(str(_suggested()))}"
        for jar in pinned()[1]
    )
    return (
        f"AWS's runtime client for Java cannot be fetched ({'; '.join(failures)}). Where there is a network, run: "
        f"{fetches}; then set {VARIABLE}={_suggested()}"
    )


def _suggested() -> Path:
    return cache_folder() / FOLDER / "jars"
