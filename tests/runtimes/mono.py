"""A `dotnet` made of mono, as .NET is not in Debian. It takes the arguments that the engine gives to the real one."""

from __future__ import annotations

import shutil
from pathlib import Path

from builds import FUNCTIONS, contents, kept, run

VERSION = "8.0.11"
DOTNET = """#!/bin/sh
export MONO_CFG_DIR="${0%/*}/etc"  # a sandbox has no /etc/mono
# Tells its arguments on standard error, and has mono do what dotnet would.
case $1 in
exec) echo "stand-in dotnet: $*" >&2; shift 3; exec mono "$@" ;;
*/csc.dll) ;;
*.dll) echo "stand-in dotnet: $*" >&2; exec mono "$@" ;;
*) exit 9 ;;
esac
shift
for option in "$@"; do  # mcs has its own framework
    shift
    case $option in -noconfig | -nostdlib | -deterministic | -r:*) ;; *) set -- "$@" "$option" ;; esac
done
exec mcs -langversion:7 -warnaserror "$@"
"""
LIBRARIES = ["-r:System.Runtime.Serialization.dll", "-r:System.Xml.dll"]


def stand_in(folder: Path, version: str = VERSION, *, sdk: bool = True) -> Path:
    """An installation of .NET in this folder, as far as it is looked at. The folder."""
    (folder / "shared/Microsoft.NETCore.App" / version).mkdir(parents=True, exist_ok=True)
    (folder / "shared/Microsoft.NETCore.App" / version / "System.Runtime.dll").touch()
    if sdk:
        compiler = folder / "sdk" / "8.0.404" / "Roslyn" / "bincore"
        compiler.mkdir(parents=True, exist_ok=True)
        (compiler / "csc.dll").touch()
    shutil.copytree("/etc/mono", folder / "etc" / "mono", dirs_exist_ok=True)
    (folder / "dotnet").write_text(DOTNET)
    (folder / "dotnet").chmod(0o755)
    return folder


def kept_stand_in() -> Path:
    """One that sandboxed functions may see: not below /tmp."""
    return kept("dotnet-stand-in", [DOTNET.encode(), VERSION.encode()], lambda folder: stand_in(folder) and None)


def built_library() -> Path:
    """Behaves.dll with what it was compiled against, and its runtimeconfig.json."""
    source = FUNCTIONS / "dotnet-behaves"

    def make(folder: Path) -> None:
        core = folder / "Amazon.Lambda.Core.dll"
        run(["mcs", "-nologo", "-target:library", f"-out:{core}", "Amazon.Lambda.Core.cs"], source)
        options = ["-target:library", f"-out:{folder / 'Behaves.dll'}", f"-r:{core}", *LIBRARIES]
        run(["mcs", "-nologo", *options, "Behaves.cs"], source)
        (folder / "Behaves.runtimeconfig.json").write_text('{"runtimeOptions": {"tfm": "net8.0"}}')

    return kept("dotnet-behaves", contents(source), make)


def built_program(text: str, name: str) -> Path:
    """The folder with an executable assembly of one source file."""

    def make(folder: Path) -> None:
        (folder / f"{name}.cs").write_text(text)
        run(["mcs", "-nologo", f"-out:{folder / name}.dll", f"{name}.cs"], folder)
        (folder / f"{name}.runtimeconfig.json").write_text('{"runtimeOptions": {"tfm": "net8.0"}}')

    return kept("dotnet-program", [text.encode(), name.encode()], make)
