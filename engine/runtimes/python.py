"""F1: Python of other versions than the engine's own, each on an interpreter of that very version.

Where the host has none, the engine's own Python stands in.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Final

from ..settings import OWN_RUNTIME
from .contract import Interpreter, Launch, RuntimeMissingError, Subject
from .look import ask, home_of, is_program, newest_first, programs
from .stock import stock_of

NAMES: Final = tuple(name for name in (f"python3.{minor}" for minor in range(14, 7, -1)) if name != OWN_RUNTIME)
FOLDERS: Final = (
    "/usr/local/bin",
    "/usr/bin",
    "$PYENV_ROOT/versions/*/bin",
    "~/.pyenv/versions/*/bin",
    "~/.asdf/installs/python/*/bin",
    "~/.local/share/mise/installs/python/*/bin",
    "~/.local/share/uv/python/*/bin",
    "~/.rye/py/*/bin",
    "/opt/python/*/bin",
    *(
        f"{base}{folder}"
        for base in ("~/miniconda3", "~/anaconda3", "~/miniforge3", "~/mambaforge", "/opt/conda")
        for folder in ("/bin", "/envs/*/bin")
    ),
)


class Python:
    """python3.8 to python3.14, except the engine's own."""

    name = "python"

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def serves(self, runtime: str) -> bool:
        return runtime in NAMES

    def homes(self) -> Sequence[str]:
        return [home_of(executable) for executable in _executables(NAMES)]

    def installed(self) -> Sequence[Interpreter]:
        return newest_first(_interpreter(executable) for executable in _executables(NAMES))

    def choose(self, runtime: str) -> Interpreter:
        executable = self._find(runtime)
        if executable is None:
            number = runtime.removeprefix("python")
            raise RuntimeMissingError(
                f"{runtime} needs Python {number}, which this host lacks: uv python install {number}, "
                f"or pyenv install {number}"
            )
        return _interpreter(executable)

    def is_exact(self, runtime: str, interpreter: Interpreter) -> bool:
        return True

    def launch(self, interpreter: Interpreter, subject: Subject) -> Launch:
        # No site module: Lambda has nothing of what else is installed there. PYTHONPATH is the bootstrap's to obey.
        start = (interpreter.executable, "-S", "-X", "utf8", "{bootstraps}/python/bootstrap.py")
        environment = {name: value for name, value in subject.environment.items() if name != "PYTHONPATH"}
        return Launch(start, has_channel=True, stock=stock_of(interpreter.executable, environment, "PYTHON"))

    def _find(self, runtime: str) -> str | None:
        """The first on the path, or else where version managers put them; what was found is not looked for again."""
        known = self._known.get(runtime)
        if known is None or not os.path.isfile(known):
            known = next(_executables((runtime,)), None)
            if known is not None:
                self._known[runtime] = known
        return known


def _executables(names: Sequence[str]) -> Iterator[str]:
    """CPython itself: version managers put scripts on the path, and other Pythons have links of its name."""
    folders = filter(os.path.isabs, (os.path.expanduser(os.path.expandvars(folder)) for folder in FOLDERS))
    for executable in programs(names, folders):
        if os.path.basename(executable) in names and is_program(executable, "python"):
            yield executable


def _interpreter(executable: str) -> Interpreter:
    return Interpreter(executable, ask(executable, "-S", "--version"), home_of(executable))
