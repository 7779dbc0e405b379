"""F1: a code folder's `requirements.txt` becomes a folder of installed packages, by pip, once per content.

Cache layout: `<key>/` an installed tree, `<key>.partial/` one being made, `<key>.lock` its lock file. Who reads a tree
holds the lock shared, who makes or deletes it exclusively. The running pip inherits the lock, so when its parent is
killed nobody touches the half-made tree before that pip has ended too; whoever gets the lock next wipes it.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

from ..errors import BuildError
from .requirements import REQUIREMENTS, read_requirements

KEPT_BUNDLES: Final = 20

_LAST_LINES: Final = 15
_LINE_MAX: Final = 1_000  # characters of a line of pip's output that are passed on

# Which index, how to reach it and where to keep downloads are the host's business; all else would change the bundle.
_PIP_KEPT: Final = frozenset(
    f"PIP_{name}"
    for name in (
        *("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "TRUSTED_HOST", "CERT", "CLIENT_CERT", "PROXY"),
        *("CONFIG_FILE", "CACHE_DIR", "NO_CACHE_DIR", "TIMEOUT", "DEFAULT_TIMEOUT", "RETRIES", "KEYRING_PROVIDER"),
    )
)
_PIP_OPTIONS: Final = (
    *("--no-compile", "--disable-pip-version-check", "--no-input", "--no-user", "--no-warn-script-location"),
    *("--progress-bar", "off"),
)
_PROBE: Final = """
import importlib.util, json, platform, sys, sysconfig
print(json.dumps([sys.implementation.cache_tag, platform.python_version(), sysconfig.get_platform(),
                  importlib.util.find_spec("pip") is not None]))
"""

Progress = Callable[[str], None]


class Builder:
    """Installs requirements for one interpreter, with a cache on disk that processes share.

    `cache` defaults to `$XDG_CACHE_HOME/invocation-engine/bundles` (`~/.cache` without it); the `kept` most recently
    used bundles stay there. An unpinned requirement is looked up again only when its bundle is no longer kept.
    """

    def __init__(
        self, *, python: str | os.PathLike[str] = sys.executable, cache: Path | None = None, kept: int = KEPT_BUNDLES
    ) -> None:
        self.python = os.fspath(python)
        self.cache = cache if cache is not None else _default_cache()
        self._kept = kept
        self._probed: tuple[str, bool] | None = None

    @contextlib.contextmanager
    def packages(self, folder: Path, *, progress: Progress | None = None) -> Iterator[Path | None]:
        """The folder with what `folder/requirements.txt` asks for, kept from eviction meanwhile; None if nothing.

        `progress` gets pip's output line by line as it comes. Raises `BuildError` with pip's last lines when pip
        fails, or when the interpreter cannot be run or has no pip.
        """
        wanted = read_requirements(folder)
        if wanted is None:
            yield None
            return
        tag, _ = self._probe()
        key = wanted.key(tag)
        self.cache.mkdir(parents=True, exist_ok=True)
        with self._held_bundle(key, folder, progress or _silent):
            self._evict(key)
            yield self.cache / key

    @contextlib.contextmanager
    def _held_bundle(self, key: str, folder: Path, progress: Progress) -> Iterator[None]:
        """Under a shared lock the tree of `key` is there."""
        bundle = self.cache / key
        while True:
            with _locked(self.cache / f"{key}.lock", fcntl.LOCK_SH, progress):
                if bundle.is_dir():
                    os.utime(bundle)
                    yield
                    return
            with _locked(self.cache / f"{key}.lock", fcntl.LOCK_EX, progress) as lock:
                if not bundle.is_dir():
                    self._install(folder, bundle, lock, progress)

    def _install(self, folder: Path, bundle: Path, lock: IO[bytes], progress: Progress) -> None:
        partial = bundle.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir()
            self._run_pip(folder, partial, lock, progress)
            partial.rename(bundle)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _run_pip(self, folder: Path, target: Path, lock: IO[bytes], progress: Progress) -> None:
        if not self._probe()[1]:
            raise BuildError(
                f"{self.python} has no pip to install {folder / REQUIREMENTS} with. Run `{self.python} -m ensurepip`, "
                "or put the packages into the folder yourself and remove requirements.txt"
            )
        # -I: neither PYTHON* variables nor a module in the code folder (the working directory) can change pip.
        # The working directory is the folder because pip takes relative paths in requirements from there.
        interpreter = [self.python, "-I", "-u", "-X", "utf8"]
        command = [*interpreter, "-m", "pip", "install", "--target", str(target.absolute()), "-r", REQUIREMENTS]
        last: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)
        with _process([*command, *_PIP_OPTIONS], folder, lock) as pip:
            assert pip.stdout is not None
            for line in pip.stdout:
                last.append(line.rstrip()[:_LINE_MAX])
                progress(last[-1])
        if pip.returncode != 0:
            raise BuildError(
                f"pip could not install {folder / REQUIREMENTS} (exit status {pip.returncode}):\n"
                + "\n".join(last)
                + f"\nTo see it alone: cd {folder} && {self.python} -m pip install --target OUT -r {REQUIREMENTS}"
            )

    def _probe(self) -> tuple[str, bool]:
        """What the interpreter's bundles depend on, and whether it has pip; asked once."""
        if self._probed is None:
            try:
                answer = subprocess.run(
                    [self.python, "-I", "-c", _PROBE],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    check=True,
                    env=_pip_environment(),
                    timeout=60,
                )
                *tag, has_pip = json.loads(answer.stdout)
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                raise BuildError(f"The interpreter {self.python} could not be run: {error}") from error
            self._probed = (" ".join(map(str, tag)), bool(has_pip))
        return self._probed

    def _evict(self, used: str) -> None:
        """Delete all but the most recently used bundles; those in use stay."""
        by_use = sorted((_used_ns(path), path.stem) for path in self.cache.glob("*.lock"))
        excess = len(by_use) - self._kept
        for _, key in by_use[: max(excess, 0)]:
            if key != used:
                self._delete(key)

    def _delete(self, key: str) -> None:
        lock_path = self.cache / f"{key}.lock"
        with contextlib.suppress(BlockingIOError), lock_path.open("a+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_current(lock, lock_path):
                shutil.rmtree(self.cache / f"{key}.partial", ignore_errors=True)
                shutil.rmtree(self.cache / key, ignore_errors=True)
                lock_path.unlink()


@contextlib.contextmanager
def _locked(path: Path, kind: int, progress: Progress) -> Iterator[IO[bytes]]:
    """The lock file at `path`, locked, and still the one that others would open."""
    while True:
        with path.open("a+b") as lock:
            try:
                fcntl.flock(lock, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                progress("Waiting for another build of the same requirements")
                fcntl.flock(lock, kind)
            if _is_current(lock, path):
                yield lock
                return


def _is_current(lock: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _process(command: list[str], folder: Path, lock: IO[bytes]) -> Iterator[subprocess.Popen[str]]:
    """A pip in a group of its own, which ends with the block whatever happens in it."""
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_pip_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            pass_fds=(lock.fileno(),),
        )
    except OSError as error:
        raise BuildError(f"The interpreter {command[0]} could not be run: {error}") from error
    with process:
        try:
            yield process
            process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _pip_environment() -> dict[str, str]:
    """This process's environment without what would change pip's answer."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    kept |= {name: value for name, value in os.environ.items() if name in _PIP_KEPT}
    return kept | {"PIP_REQUIRE_VIRTUALENV": "0"}  # pip.conf counts, but this setting of it forbids --target


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "invocation-engine" / "bundles"


def _used_ns(lock_path: Path) -> int:
    try:
        return lock_path.with_suffix("").stat().st_mtime_ns
    except FileNotFoundError:
        return 0  # a failed or abandoned build: first to go


def _silent(_: str) -> None:
    return None
