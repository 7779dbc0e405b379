"""F1: Java. AWS's own runtime client runs the function; a waiting room of ours is before it where there is a compiler.

The command is Lambda's, as it can be read inside one: heap, collector and compiler tier by the function's memory and
runtime, and class data sharing.
"""

from __future__ import annotations

import glob
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from . import java_client, java_room, look
from .cache import cache_folder
from .contract import Interpreter, Launch, RuntimeMissingError, Subject

RUNTIMES: Final = {
    "java8": 8,
    "java8.al2": 8,
    "java8.al2023": 8,
    "java11": 11,
    "java11.al2023": 11,
    "java17": 17,
    "java17.al2023": 17,
    "java21": 21,
    "java25": 25,
}
HEAP_SHARE: Final = 0.85  # of the function's memory
TIER_1_SINCE: Final = 17  # runtimes from which Lambda compiles with the first tier only
MODULES_SINCE: Final = 9
NATIVE_ACCESS_SINCE: Final = 17
ERRORS_TO_STDERR_SINCE: Final = 13
AOT_LOG_SINCE: Final = 24
FOLDERS: Final = (
    "/usr/lib/jvm/*/bin",
    "~/.sdkman/candidates/java/*/bin",
    "~/.asdf/installs/java/*/bin",
    "~/.local/share/mise/installs/java/*/bin",
    "~/.jdks/*/bin",
    "/opt/*/bin",
    "/opt/java/*/bin",
    "/home/linuxbrew/.linuxbrew/opt/openjdk*/bin",
)
MAIN: Final = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda"
NATIVE_PROPERTY: Final = "com.amazonaws.services.lambda.runtime.api.client.runtimeapi.NativeClient.JNI"
GO: Final = 'cd "$0" && exec "$@"'
GO_IN_UTF_8: Final = 'cd "$0" && LC_ALL=C.UTF-8 && export LC_ALL && exec "$@"'  # until it has the function's variables
WRAPPER: Final = "AWS_LAMBDA_EXEC_WRAPPER"
OPTIONS: Final = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")  # which the JVM reads by itself
_LOCALE: Final = re.compile(r"LANG|LANGUAGE|LC_.*")
READ_AT_START: Final = re.compile(rf"{WRAPPER}|{'|'.join(OPTIONS)}|LD_.*|MALLOC_.*|GLIBC_TUNABLES|TZ|{_LOCALE.pattern}")
_RELEASE: Final = re.compile(r'^JAVA_VERSION="([\d._]+)', re.MULTILINE)
_SHOWN_ANYWAY: Final = ("/etc/ssl/", "/etc/pki/tls/")

_HEAP: Final = re.compile(r"-Xmx|-XX:MaxHeapSize|-XX:MaxRAMPercentage")
_COLLECTOR: Final = re.compile(r"-XX:[+-]Use\w+GC\b")
_TIERS: Final = re.compile(r"-XX:TieredStopAtLevel|-XX:[+-]TieredCompilation|-Xint|-Xcomp")
_LANGUAGE: Final = re.compile(r"-Dfile\.encoding|-Duser\.(language|country|region)")
_SHARING: Final = re.compile(r"-Xshare|-XX:\S*SharedArchive|-XX:AOT")


class Java:
    """java8 to java25, on that Java or any newer."""

    name = "java"

    def serves(self, runtime: str) -> bool:
        return runtime in RUNTIMES

    def homes(self) -> Sequence[str]:
        """Besides outside /usr: Debian and Fedora keep a JDK's settings in /etc, without which it does not start."""
        homes = [_home(executable) for executable in _executables()]
        return [
            *(look.home_of(f"{home}/bin/java") for home in homes),
            *(folder for home in homes for folder in _settings_folders(home)),
        ]

    def installed(self) -> Sequence[Interpreter]:
        return look.newest_first(
            Interpreter(executable, _version(executable), look.home_of(f"{_home(executable)}/bin/java"))
            for executable in _executables()
        )

    def choose(self, runtime: str) -> Interpreter:
        """The same Java, else the next newer. Classes that are compiled for one do not run on an older."""
        wanted = RUNTIMES[runtime]
        installed = self.installed()
        able = [each for each in installed if _major(each.version) >= wanted]
        if able:
            return min(able, key=lambda each: _major(each.version))  # of equal ones the first, which is the newest
        has = f"this host's newest is {_major(installed[0].version)}" if installed else "which this host lacks"
        raise RuntimeMissingError(
            f"{runtime} needs a JDK {wanted} or newer, {has}: apt-get install openjdk-{wanted}-jdk-headless, "
            f"or Temurin {wanted} from https://adoptium.net"
        )

    def is_exact(self, runtime: str, interpreter: Interpreter) -> bool:
        return _major(interpreter.version) == RUNTIMES[runtime]

    def prepare(self, interpreter: Interpreter) -> None:
        """Fetch the client, compile the waiting room, archive its classes: what of it the cache folder has not yet."""
        home = _home(interpreter.executable)
        java_client.fetch(home)
        compiler = self._compiler(interpreter)
        if compiler is None:
            return
        try:
            java_room.build(*compiler)
        except RuntimeMissingError as error:  # Lambda's own command needs none of it
            warnings.warn(f"functions in Java start slower: {error}", RuntimeWarning, stacklevel=2)
            return
        archive = _archive(interpreter)
        if archive is not None:
            places = {"cache": str(cache_folder()), "bootstraps": str(java_client.SOURCES.parent)}
            options = [option.format(**places) for option in _common(_major(interpreter.version))]
            java_room.make_archive(interpreter.executable, ["-XX:+UseSerialGC", *options], archive)

    def launch(self, interpreter: Interpreter, subject: Subject) -> Launch:
        if not java_client.is_fetched():
            raise RuntimeMissingError(
                f"AWS's runtime client for Java is no longer in {java_client.client_folder()}: update the function's "
                "code or configuration, and it is fetched again"
            )
        if WRAPPER in subject.environment or not java_room.room_folder().is_dir():
            return Launch(_plain_command(interpreter, subject))
        is_alike = not any(READ_AT_START.fullmatch(name) for name in subject.environment)
        memory = _memory_options(interpreter, subject)
        stock = " ".join((interpreter.executable, *memory)) if is_alike else None
        return Launch(_room_command(interpreter, subject, memory), has_channel=True, stock=stock)

    def _compiler(self, interpreter: Interpreter) -> tuple[str, int] | None:
        """Its own, else that of another JDK: what it makes runs on all."""
        for each in (interpreter, *self.installed()):
            for folder in (os.path.dirname(each.executable), f"{_home(each.executable)}/../bin"):  # Java 8 has a jre/
                if os.access(f"{folder}/javac", os.X_OK):
                    return os.path.realpath(f"{folder}/javac"), _major(each.version)
        return None


# --- commands ---------------------------------------------------------------------------------------------------------


def _plain_command(interpreter: Interpreter, subject: Subject) -> tuple[str, ...]:
    """As in Lambda, whose wrapper scripts expect to find it so."""
    major = _major(interpreter.version)
    version, jars = java_client.pinned()
    modules = ["--add-opens=java.base/java.io=ALL-UNNAMED"] if major >= MODULES_SINCE else []
    native = ["--enable-native-access=ALL-UNNAMED"] if major >= NATIVE_ACCESS_SINCE else []
    class_path = ":".join(f"{{cache}}/{java_client.FOLDER}/{version}/{jar.file}" for jar in jars)
    options = (*_memory_options(interpreter, subject, archive=None), *_common(major), *modules, *native)
    return (interpreter.executable, *options, "-classpath", class_path, MAIN, subject.handler)


def _room_command(interpreter: Interpreter, subject: Subject, memory: Sequence[str]) -> tuple[str, ...]:
    """By way of a shell, which goes to the waiting room's folder: see `java_room` for why paths are relative."""
    script = GO if _has_locale(subject) else GO_IN_UTF_8
    folder = f"{{cache}}/{java_client.FOLDER}/{java_room.folder_name()}"
    command = (interpreter.executable, *memory, *_common(_major(interpreter.version)), "-jar", java_room.JAR)
    return ("/bin/sh", "-c", script, folder, *command)


def _has_locale(subject: Subject) -> bool:
    """Whether the function chose one. Lambda's, en_US.UTF-8, is not on every host, and Java takes file names as ASCII
    where its locale is not there."""
    return any(_LOCALE.fullmatch(name) for name in subject.environment)


def _memory_options(interpreter: Interpreter, subject: Subject, archive: str | None = "") -> list[str]:
    """Lambda's, without those that the function's own variables set: they would win over them on the command line."""
    own = " ".join(subject.environment.get(name, "") for name in OPTIONS)
    heap_kb = round(subject.memory_mb * 1024 * HEAP_SHARE)
    options = [] if _HEAP.search(own) else [f"-XX:MaxHeapSize={heap_kb}k"]
    if not _COLLECTOR.search(own):
        options.append("-XX:+UseSerialGC")
    if RUNTIMES[subject.runtime] >= TIER_1_SINCE and not _TIERS.search(own):
        options += ["-XX:+TieredCompilation", "-XX:TieredStopAtLevel=1"]
    if not _LANGUAGE.search(own) and not _has_locale(subject):
        options += ["-Dfile.encoding=UTF-8", "-Duser.language=en", "-Duser.country=US"]
    if not _SHARING.search(own):
        options += _sharing(interpreter) if archive is not None else ["-Xshare:auto"]
    return options


def _sharing(interpreter: Interpreter) -> list[str]:
    """With an archive only if it is there: a JDK that came later has none until a function is created or updated."""
    archive = _archive(interpreter)
    if archive is None or not (java_room.room_folder() / archive).exists():
        return ["-Xshare:auto"]
    topics = "cds*=off,aot*=off" if _major(interpreter.version) >= AOT_LOG_SINCE else "cds*=off"
    return ["-Xshare:auto", f"-XX:SharedArchiveFile={archive}", f"-Xlog:{topics}"]


def _common(major: int) -> list[str]:
    """The same for all functions. Without performance data in /tmp, which is the function's."""
    native = f"{{cache}}/{java_client.FOLDER}/{java_client.pinned()[0]}/{java_client.native_library()}"
    return [
        "-XX:-UsePerfData",
        *(["-XX:+ErrorFileToStderr"] if major >= ERRORS_TO_STDERR_SINCE else []),
        "-Dorg.crac.Core.Compat=com.amazonaws.services.lambda.crac",
        f"-D{NATIVE_PROPERTY}={native}",
        f"-Dengine.library={{bootstraps}}/java/{java_room.LIBRARY}",
    ]


def _archive(interpreter: Interpreter) -> str | None:
    if _major(interpreter.version) < java_room.ARCHIVES_SINCE:
        return None
    return java_room.archive_name(_home(interpreter.executable), interpreter.version)


# --- what the host has ------------------------------------------------------------------------------------------------


def _executables() -> list[str]:
    """Of Javas that are whole, which the shims of version managers are not."""
    given = os.environ.get("JAVA_HOME")
    folders = [f"{glob.escape(given)}/bin", *FOLDERS] if given else FOLDERS
    return [path for path in look.programs(["java"], folders) if _has_machine(_home(path))]


def _home(executable: str) -> str:
    return os.path.dirname(os.path.dirname(executable))


def _has_machine(home: str) -> bool:
    return os.path.exists(f"{home}/lib/server/libjvm.so") or bool(
        glob.glob(f"{glob.escape(home)}/lib/*/server/libjvm.so")  # Java 8
    )


def _version(executable: str) -> str:
    """As its own `release` file tells: a start of each would cost 50 ms. Else it is asked."""
    home = _home(executable)
    for folder in (home, os.path.dirname(home)):
        try:
            told = _RELEASE.search(Path(folder, "release").read_text())
        except (OSError, UnicodeDecodeError):
            continue
        if told:
            return told[1]
    return look.ask(executable, "-version")


def _major(version: str) -> int:
    """1.8.0 is 8."""
    parts = look.numbers(version)
    return parts[1] if parts[0] == 1 and len(parts) > 1 else parts[0]


def _settings_folders(home: str) -> list[str]:
    """Folders outside a JDK that its settings are links to, but for those that every sandbox shows."""
    links = {"lib/jvm.cfg": 1, "conf/security/java.security": 2, "lib/security/cacerts": 1}
    found = (look.home_of(os.path.realpath(f"{home}/{path}"), levels) for path, levels in links.items())
    return [folder for folder in found if folder and not f"{folder}/".startswith((*_SHOWN_ANYWAY, f"{home}/"))]
