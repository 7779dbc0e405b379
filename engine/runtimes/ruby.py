"""F1: `rubyN.M`: the host's Ruby, started with a bootstrap of our own on the channel."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final

from ..validation import RUNTIMES_KNOWN
from .contract import Interpreter, Launch, RuntimeMissingError, Subject
from .look import ask, home_of, is_program, newest_first, numbers, programs
from .stock import stock_of

OLDEST: Final = (2, 7)  # that the bootstrap runs on

_RUNTIME: Final = re.compile(r"ruby(\d+\.\d+)")
_NAMES: Final = ("ruby", *(f"ruby{version}" for version in ("4.0", "3.4", "3.3", "3.2", "3.1", "3.0", "2.7")))
_FOLDERS: Final = (
    "/usr/local/bin",
    "/usr/bin",
    "/opt/ruby*/bin",
    "/opt/rubies/*/bin",
    "/home/linuxbrew/.linuxbrew/opt/ruby*/bin",
    "~/.rubies/*/bin",
    "$RBENV_ROOT/versions/*/bin",
    "~/.rbenv/versions/*/bin",
    "/usr/local/rvm/rubies/*/bin",
    "~/.rvm/rubies/*/bin",
    "~/.asdf/installs/ruby/*/bin",
    "~/.local/share/mise/installs/ruby/*/bin",
)
_READ_AT_START: Final = ("RUBYOPT", "RUBYSHELL", "RUBY_", "LC_", "OPENSSL_")


class Ruby:
    """MRI. Other Rubies are not looked for."""

    name = "ruby"

    def serves(self, runtime: str) -> bool:
        return _RUNTIME.fullmatch(runtime) is not None

    def homes(self) -> Sequence[str]:
        return tuple({home: None for path in _executables() if (home := home_of(path))})

    def installed(self) -> Sequence[Interpreter]:
        found = (Interpreter(path, ask(path, "--disable=gems", "--version"), home_of(path)) for path in _executables())
        return [each for each in newest_first(found) if _version(each) >= OLDEST]

    def choose(self, runtime: str) -> Interpreter:
        """The exact version, else the nearest newer one, else the newest."""
        found, wanted = self.installed(), _wanted(runtime)
        if not found:
            raise RuntimeMissingError(f"{runtime} needs Ruby, which this host lacks: apt-get install ruby")
        newer = [each for each in found if _version(each) >= wanted]
        nearest = min(map(_version, newer), default=_version(found[0]))
        return next(each for each in found if _version(each) == nearest)

    def is_exact(self, runtime: str, interpreter: Interpreter) -> bool:
        return _version(interpreter) == _wanted(runtime)

    def launch(self, interpreter: Interpreter, subject: Subject) -> Launch:
        # Not every host has the locale that LANG names: text is UTF-8 all the same.
        command = (interpreter.executable, "-EUTF-8", "{bootstraps}/ruby/bootstrap.rb")
        variables = {
            "GEM_PATH": ":".join(_gem_folders(subject.runtime, interpreter)),
            "RUBYLIB": "{task}:/var/runtime/lib:{opt}/ruby/lib",
        }
        stock = stock_of(interpreter.executable, subject.environment, *_READ_AT_START)
        return Launch(command, variables, has_channel=True, stock=stock)


def newest_runtime() -> str:
    """The newest runtime that this host's Ruby serves. RuntimeMissingError where it has none."""
    known = sorted((runtime for runtime in RUNTIMES_KNOWN if _RUNTIME.fullmatch(runtime)), key=_wanted)
    had = _version(Ruby().choose(known[-1]))
    return next((runtime for runtime in reversed(known) if _wanted(runtime) <= had), known[0])


def _gem_folders(runtime: str, interpreter: Interpreter) -> list[str]:
    """Bundler names a folder by the Ruby that it ran on: Lambda's, or the host's."""
    versions = dict.fromkeys(".".join(map(str, (*pair, 0))) for pair in (_wanted(runtime), _version(interpreter)))
    folders = ("{task}/vendor/bundle/ruby", "{opt}/ruby/gems")
    return [*(f"{folder}/{version}" for folder in folders for version in versions), "/var/runtime"]


def _executables() -> list[str]:
    """Real ones: version managers put scripts of their own on the path."""
    folders = filter(os.path.isabs, (os.path.expanduser(os.path.expandvars(folder)) for folder in _FOLDERS))
    return [path for path in programs(_NAMES, folders) if is_program(path, "ruby")]


def _version(interpreter: Interpreter) -> tuple[int, ...]:
    return numbers(interpreter.version)[:2]


def _wanted(runtime: str) -> tuple[int, ...]:
    found = _RUNTIME.fullmatch(runtime)
    if found is None:
        raise RuntimeMissingError(f"{runtime} is not a runtime of Ruby: ruby3.4 and its like are")
    return numbers(found[1])
