"""F1: C# and F#, by the .NET runtimes of the host.

An executable assembly, or a program that needs no .NET of the host's, brings AWS's own client with it. A class library
is run by a bootstrap of ours in C#, which the host's SDK compiles once.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from .cache import made_cache_folder
from .contract import Interpreter, Launch, RuntimeMissingError, Subject
from .look import home_of, newest_first, numbers, programs

SOURCES: Final = Path(__file__).parent / "bootstraps" / "dotnet"
FOLDERS: Final = (
    *("/usr/lib/dotnet", "/usr/lib64/dotnet", "/usr/share/dotnet", "/usr/local/share/dotnet", "/opt/dotnet*"),
    *("~/.dotnet", "~/.asdf/installs/dotnet*/*", "/snap/dotnet*/current"),
)
FRAMEWORK: Final = "shared/Microsoft.NETCore.App"
COMPILER: Final = "Roslyn/bincore/csc.dll"
COMPILE_S: Final = 120.0
ASSEMBLY: Final = "Bootstrap.dll"
_RUNTIME: Final = re.compile(r"dotnet(?:core)?(\d+)(?:\.\d+)?")


class Dotnet:
    """One host may have several versions: a `dotnet` starts whichever a function's runtimeconfig.json asks for."""

    name = "dotnet"

    def serves(self, runtime: str) -> bool:
        return _RUNTIME.fullmatch(runtime) is not None

    def homes(self) -> Sequence[str]:
        return [home for executable in _executables() if (home := home_of(executable, 1))]

    def installed(self) -> Sequence[Interpreter]:
        return newest_first(
            Interpreter(executable, version, home_of(executable, 1))
            for executable in _executables()
            for version in _versions(executable)
        )

    def choose(self, runtime: str) -> Interpreter:
        """The newest of the major version that is named, else of the next major version."""
        wanted, found = _major(runtime), self.installed()
        usable = [each for each in found if numbers(each.version)[0] >= wanted]
        if usable:
            nearest = min(numbers(each.version)[0] for each in usable)
            return next(each for each in usable if numbers(each.version)[0] == nearest)
        has = f"; it has {found[0].version}, which is older" if found else ""
        raise RuntimeMissingError(
            f"{runtime} needs .NET {wanted}, which this host lacks{has}: apt-get install aspnetcore-runtime-{wanted}.0 "
            f"(from packages.microsoft.com), or dotnet-install.sh --runtime aspnetcore --channel {wanted}.0"
        )

    def is_exact(self, runtime: str, interpreter: Interpreter) -> bool:
        return numbers(interpreter.version)[0] == _major(runtime)

    def launch(self, interpreter: Interpreter, subject: Subject) -> Launch:
        """Raises RuntimeMissingError for a class library where the bootstrap is not compiled and no SDK is there."""
        bootstrap = _bootstrap(interpreter, subject.runtime) if "::" in subject.handler else ""
        roll = {} if self.is_exact(subject.runtime, interpreter) else {"DOTNET_ROLL_FORWARD": "Major"}
        return Launch(
            ("/bin/sh", "{bootstraps}/dotnet/start", interpreter.executable, bootstrap),
            {
                "DOTNET_ROOT": os.path.dirname(interpreter.executable),
                "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "true",  # as on Lambda; and slim hosts have no ICU
                **roll,
            },
        )


def _major(runtime: str) -> int:
    found = _RUNTIME.fullmatch(runtime)
    if found is None:
        raise ValueError(f"{runtime} is no runtime of .NET")
    return int(found[1])


def _executables() -> Iterator[str]:
    """Those that have frameworks beside them, as every installation has."""
    root = os.environ.get("DOTNET_ROOT", "")
    folders = (root, *FOLDERS) if os.path.isabs(root) else FOLDERS
    return (path for path in programs(["dotnet"], folders) if os.path.isdir(_beside(path, FRAMEWORK)))


def _versions(executable: str) -> list[str]:
    return [name for name in os.listdir(_beside(executable, FRAMEWORK)) if numbers(name)]


def _beside(executable: str, *parts: str) -> str:
    return os.path.join(os.path.dirname(executable), *parts)


# --- the bootstrap of class libraries -----------------------------------------------------------------------------


def _bootstrap(interpreter: Interpreter, runtime: str) -> str:
    """Where the compiled bootstrap is, inside the sandbox. Compiled now, where it was not before."""
    sources = sorted(SOURCES.glob("*.cs"))
    key = hashlib.sha256(b"\0".join([interpreter.version.encode(), *(file.read_bytes() for file in sources)]))
    folder = os.path.join("dotnet", key.hexdigest()[:16])
    target = made_cache_folder() / folder
    if not (target / ASSEMBLY).exists():
        _compile(interpreter, runtime, sources, target)
    return f"{{cache}}/{folder}/{ASSEMBLY}"


def _compile(interpreter: Interpreter, runtime: str, sources: list[Path], target: Path) -> None:
    """Whole or not at all, whoever else does it at the same time."""
    compiler, framework = _compiler(interpreter, runtime), _beside(interpreter.executable, FRAMEWORK)
    references = sorted(Path(framework, interpreter.version).glob("*.dll"))
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as made:
        assembly = os.path.join(made, ASSEMBLY)
        options = [
            "-nologo",
            "-noconfig",
            "-optimize",
            "-deterministic",
            "-nostdlib",
            "-target:exe",
            f"-out:{assembly}",
        ]
        command = [
            interpreter.executable,
            compiler,
            *options,
            *(f"-r:{file}" for file in references),
            *map(str, sources),
        ]
        done = subprocess.run(
            command,
            env={"PATH": os.defpath, "HOME": made, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "true"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMPILE_S,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeMissingError(f"{compiler} cannot compile the bootstrap of {runtime}: {done.stdout[-2_000:]}")
        target.mkdir(exist_ok=True)
        for path, mode in ((target.parent, 0o755), (target, 0o755), (assembly, 0o644)):
            os.chmod(path, mode)  # whatever the umask: functions have users of their own
        os.replace(assembly, target / ASSEMBLY)


def _compiler(interpreter: Interpreter, runtime: str) -> str:
    """Of the newest SDK beside this `dotnet`."""
    sdks = Path(_beside(interpreter.executable, "sdk"))
    found = sorted(sdks.glob(f"*/{COMPILER}"), key=lambda file: numbers(file.relative_to(sdks).parts[0]))
    if found:
        return str(found[-1])
    major = numbers(interpreter.version)[0]
    raise RuntimeMissingError(
        f"A handler of {runtime} that is ASSEMBLY::TYPE::METHOD needs the .NET SDK on this host, to compile its "
        f"bootstrap once: apt-get install dotnet-sdk-{major}.0 (from packages.microsoft.com), or "
        f"dotnet-install.sh --channel {major}.0. Executable assemblies do not need it."
    )
