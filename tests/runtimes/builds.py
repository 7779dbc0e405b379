"""Functions that are compiled, and zips as users make them. What was built is kept by content from run to run."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

BUILD_S = 900
FUNCTIONS = Path(__file__).parent.parent / "functions"
KEPT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "invocation-engine" / "test-tools"


def kept(name: str, parts: list[bytes], make: Callable[[Path], None]) -> Path:
    """The folder that `make` filled, now or in an earlier run for the same `parts`."""
    key = f"{name}-{hashlib.sha256(b'|'.join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]}"
    folder, whole = KEPT / key, KEPT / f"{key}.whole"
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of another run of the tests
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            whole.touch()
    return folder


def contents(folder: Path) -> list[bytes]:
    """Every file of a folder: its name, then what is in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [part for path in files for part in (str(path.relative_to(folder)).encode(), path.read_bytes())]


def run(command: list[str], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Its standard output; a failure shows what it said."""
    env = {**os.environ, **(environment or {})}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=BUILD_S, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3_000:]}\n{done.stderr[-6_000:]}"
    return done.stdout


def built_go(name: str) -> Path:
    """The folder with `bootstrap`, built as AWS's documentation says. Modules come from Go's module proxy."""
    source = FUNCTIONS / name
    environment = {"GOOS": "linux", "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}

    def make(folder: Path) -> None:
        target = str(folder / "bootstrap")
        run(["go", "build", "-mod=readonly", "-tags", "lambda.norpc", "-o", target, "."], source, environment)

    return kept(name, [*contents(source), run(["go", "version"], source).encode()], make)


def built_rust(name: str) -> Path:
    """The same by cargo, from crates.io; compiled crates are kept too, for the next change of the function."""
    source = FUNCTIONS / name
    target = KEPT / f"{name}-target"

    def make(folder: Path) -> None:
        run(["cargo", "build", "--release", "--locked", "--target-dir", str(target)], source)
        shutil.copy2(target / "release" / "bootstrap", folder / "bootstrap")

    return kept(name, [*contents(source), run(["cargo", "--version"], source).encode()], make)


def zipped(folder: Path, target: Path) -> Path:
    """A zip of all that is in a folder; modes of files go with them."""
    return Path(shutil.make_archive(str(target.with_suffix("")), "zip", folder))


def built_java(name: str) -> Path:
    """A folder with `all-in-one.jar`, and `classes` and `lib` for the other layout. Jars come from Maven Central."""
    source = FUNCTIONS / name

    def make(folder: Path) -> None:
        shutil.copytree(source, folder / "project")
        run(["mvn", "-B", "-q", "package"], folder / "project")
        target = folder / "project" / "target"
        shutil.move(target / "behaves-1.jar", folder / "all-in-one.jar")
        shutil.move(target / "classes", folder / "classes")
        shutil.move(target / "dependency", folder / "lib")
        shutil.rmtree(folder / "project")

    return kept(name, contents(source), make)
