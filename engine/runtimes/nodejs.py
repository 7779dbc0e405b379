"""F1: `nodejsNN.x`: the host's Node.js, started with a bootstrap of our own on the channel.

Options and variables are those of Lambda's own start script; what it leaves to NODE_OPTIONS is left to them here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Final

from ..validation import RUNTIMES_KNOWN
from .contract import Interpreter, Launch, RuntimeMissingError, Subject
from .look import ask, home_of, is_program, newest_first, numbers, programs

OLDEST_MAJOR: Final = 14  # that the bootstrap runs on
MEMORY_LEAST_MB: Final = 1

_RUNTIME: Final = re.compile(r"nodejs(\d\d)\.x")
_NAMES: Final = ("node", "nodejs")
_FOLDERS: Final = (
    "/usr/local/bin",
    "/usr/bin",
    "/opt/node*/bin",
    "/usr/local/lib/nodejs/*/bin",
    "/usr/local/n/versions/node/*/bin",
    "/home/linuxbrew/.linuxbrew/opt/node*/bin",
    "/snap/node/current/bin",
    "$NVM_DIR/versions/node/*/bin",
    "~/.nvm/versions/node/*/bin",
    "$FNM_DIR/node-versions/*/installation/bin",
    "~/.local/share/fnm/node-versions/*/installation/bin",
    "~/.fnm/node-versions/*/installation/bin",
    "~/.volta/tools/image/node/*/bin",
    "~/.asdf/installs/nodejs/*/bin",
    "~/.local/share/mise/installs/node/*/bin",
    "~/.nodenv/versions/*/bin",
    "~/n/n/versions/node/*/bin",
)
_HEAP_OPTIONS: Final = ("max-old-space-size", "max-semi-space-size")
# Read when node starts, or when it first needs them: too early for a process whose function is not known yet.
_READ_AT_START: Final = ("NODE_", "LD_", "UV_", "LC_", "MALLOC_", "GLIBC_", "OPENSSL_", "SSL_CERT_", "ICU_")
_READ_LATER: Final = frozenset({"NODE_ENV", "NODE_PATH", "NODE_TLS_REJECT_UNAUTHORIZED"})
_WRAPPERS: Final = frozenset({"AWS_LAMBDA_EXEC_WRAPPER", "LANG", "LANGUAGE"})
# What newer Nodes switch on by themselves, and Lambda off again: in one runtime, and in those up to another.
_SWITCHED_OFF: Final = {"experimental-require-module": (22, 20), "experimental-detect-module": (22, 18)}
_SWITCHED_ON_SINCE: Final = (20, 19)
_KNOWS_NEITHER: Final = 21


class NodeJs:
    """JavaScript, as CommonJS or ES modules."""

    name = "nodejs"

    def serves(self, runtime: str) -> bool:
        return _RUNTIME.fullmatch(runtime) is not None

    def homes(self) -> Sequence[str]:
        return tuple({home: None for path in _executables() if (home := home_of(path))})

    def installed(self) -> Sequence[Interpreter]:
        found = (Interpreter(path, ask(path, "--version"), home_of(path)) for path in _executables())
        return [each for each in newest_first(found) if _major(each) >= OLDEST_MAJOR]

    def choose(self, runtime: str) -> Interpreter:
        """The exact version, else the nearest newer one, else the newest."""
        found, wanted = self.installed(), _number(runtime)
        if not found:
            raise RuntimeMissingError(f"{runtime} needs Node.js, which this host lacks: apt-get install nodejs")
        newer = [each for each in found if _major(each) >= wanted]
        if not newer:
            return found[0]
        nearest = min(map(_major, newer))
        return next(each for each in newer if _major(each) == nearest)

    def is_exact(self, runtime: str, interpreter: Interpreter) -> bool:
        return _major(interpreter) == _number(runtime)

    def launch(self, interpreter: Interpreter, subject: Subject) -> Launch:
        node_options = subject.environment.get("NODE_OPTIONS", "")
        options = [
            "--expose-gc",
            "--max-http-header-size=81920",
            *_heap(subject.memory_mb, node_options),
            *_switched_off(_number(subject.runtime), numbers(interpreter.version), node_options),
        ]
        command = (interpreter.executable, *options, "{bootstraps}/node/main.cjs")
        stock = " ".join(command) if _is_plain(subject.environment) else None
        return Launch(command, {"NODE_PATH": _search_path(subject.runtime)}, has_channel=True, stock=stock)


def newest_runtime() -> str:
    """The newest runtime that this host's Node.js serves. RuntimeMissingError where it has none."""
    known = sorted(int(found[1]) for runtime in RUNTIMES_KNOWN if (found := _RUNTIME.fullmatch(runtime)))
    had = _major(NodeJs().choose(f"nodejs{known[-1]}.x"))
    return f"nodejs{max((number for number in known if number <= had), default=known[0])}.x"


def _executables() -> list[str]:
    """Real ones: version managers put scripts and launchers of their own on the path, which need their owner's home."""
    folders = filter(os.path.isabs, (os.path.expanduser(os.path.expandvars(folder)) for folder in _FOLDERS))
    return [path for path in programs(_NAMES, folders) if is_program(path, "node")]


def _major(interpreter: Interpreter) -> int:
    return numbers(interpreter.version)[0]


def _number(runtime: str) -> int:
    found = _RUNTIME.fullmatch(runtime)
    if found is None:
        raise RuntimeMissingError(f"{runtime} is not a runtime of Node.js: nodejs20.x and its like are")
    return int(found[1])


def _search_path(runtime: str) -> str:
    """Where `require` looks beyond node_modules: layers, then the code."""
    layers = f"{{opt}}/nodejs/node{_number(runtime)}/node_modules:{{opt}}/nodejs/node_modules"
    return f"{layers}:/var/runtime/node_modules:/var/runtime:{{task}}"


def _heap(memory_mb: int, node_options: str) -> list[str]:
    """Nine tenths of the memory for old objects, a twentieth for each half of the young ones, unless the user says."""
    if any(name in node_options.replace("_", "-") for name in _HEAP_OPTIONS):
        return []
    young_mb = memory_mb // 10
    return [
        f"--max-semi-space-size={max(young_mb // 2, MEMORY_LEAST_MB)}",
        f"--max-old-space-size={memory_mb - young_mb}",
    ]


def _switched_off(runtime: int, version: tuple[int, ...], node_options: str) -> list[str]:
    """The user's word wins. https://docs.aws.amazon.com/lambda/latest/dg/lambda-nodejs.html (experimental features)."""
    if version[:2] < _SWITCHED_ON_SINCE or version[0] == _KNOWS_NEITHER:
        return []
    wanted = [name for name, (one, up_to) in _SWITCHED_OFF.items() if runtime == one or runtime <= up_to]
    return [f"--no-{name}" for name in wanted if f"--{name}" not in node_options]


def _is_plain(environment: Mapping[str, str]) -> bool:
    """Whether a process that was started without these variables can take them on later."""
    return not any(
        name in _WRAPPERS or (name.startswith(_READ_AT_START) and name not in _READ_LATER) for name in environment
    )
