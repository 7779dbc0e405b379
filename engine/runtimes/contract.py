"""F1: what a language is to the engine: which runtimes it serves, what this host has of it, how a function is started.

A command and its variables may name folders that are elsewhere inside the sandbox than on the host: `{bootstraps}` is
this package's `bootstraps`, `{cache}` the folder of `cache.py`, `{task}` the function's code, `{opt}` its layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, runtime_checkable

from ..errors import InvalidParameterValueException

CHANNEL_FD: Final = 3
"""Where a bootstrap of our own finds its connection to the Runtime API: a stream socket, blocking, already open."""


class RuntimeMissingError(InvalidParameterValueException):
    """This host lacks what a runtime needs. The message names it, and the command that installs it."""

    @property
    def type(self) -> str:
        """To a client it is what Lambda says of a runtime that it does not have."""
        return InvalidParameterValueException.__name__


class Interpreter(NamedTuple):
    """A program of the host's that runs functions. `home`: a folder outside /usr that it needs, "" for none."""

    executable: str
    version: str
    home: str = ""


class Subject(NamedTuple):
    """What of a function's configuration decides how it is started."""

    runtime: str
    handler: str
    memory_mb: int
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Launch:
    """How a function's runtime process is started.

    variables: beside Lambda's own, and below the function's: those of the same name win. has_channel: the command is a
    bootstrap of ours, which speaks on `CHANNEL_FD`. stock: what makes processes of this kind alike before they have a
    function, so that one may be started ahead; None for a command that cannot wait for its function.
    """

    command: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    has_channel: bool = False
    stock: str | None = None


class Language(Protocol):
    """One language. `name` is its own, as `engine doctor` shows it."""

    @property
    def name(self) -> str: ...

    def serves(self, runtime: str) -> bool:
        """Whether functions of this runtime (nodejs22.x) are this language's."""

    def homes(self) -> Sequence[str]:
        """Folders outside /usr in which interpreters are. Looks, and runs nothing: a zygote waits for it."""

    def installed(self) -> Sequence[Interpreter]:
        """What this host has, the newest first. May run each once to learn its version."""

    def choose(self, runtime: str) -> Interpreter:
        """The one that serves this runtime best. RuntimeMissingError where none can, with what to install."""

    def is_exact(self, runtime: str, interpreter: Interpreter) -> bool:
        """Whether it is of the very version that the runtime names, rather than near it."""

    def launch(self, interpreter: Interpreter, subject: Subject) -> Launch:
        """How that function is started."""


@runtime_checkable
class Prepares(Language, Protocol):
    """A language that needs more than the host's programs: what it fetches or compiles into the cache folder, once."""

    def prepare(self, interpreter: Interpreter) -> None:
        """May take seconds, and the network: never on an event loop. RuntimeMissingError with the way out."""
