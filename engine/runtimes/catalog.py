"""F1: all languages, and which one a runtime is of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from .contract import Language
from .dotnet import Dotnet
from .java import Java
from .nodejs import NodeJs
from .nodejs import newest_runtime as newest_nodejs
from .provided import Provided
from .python import Python
from .ruby import Ruby
from .ruby import newest_runtime as newest_ruby

BOOTSTRAPS: Final = Path(__file__).parent / "bootstraps"
LANGUAGES: Final[tuple[Language, ...]] = (Provided(), NodeJs(), Python(), Java(), Ruby(), Dotnet())
NEWEST: Final[dict[str, Callable[[], str]]] = {"nodejs": newest_nodejs, "ruby": newest_ruby}


def language_of(runtime: str) -> Language | None:
    """None for a runtime that no language here serves."""
    return next((language for language in LANGUAGES if language.serves(runtime)), None)


def newest_runtime(language: str) -> str | None:
    """The runtime for code of that language whose user named none; None where only they can tell."""
    newest = NEWEST.get(language)
    return None if newest is None else newest()


def homes() -> list[str]:
    """Every folder outside /usr that a sandbox must show for interpreters to run; none lies within another."""
    found = sorted({home for language in LANGUAGES for home in language.homes() if home})
    return [home for home in found if not any(home.startswith(f"{other}/") for other in found)]


def installed() -> list[dict[str, str]]:
    """What this host has, language by language: `language`, `version`, `executable`. Runs each once to be told."""
    return [
        {"language": language.name, "version": interpreter.version, "executable": interpreter.executable}
        for language in LANGUAGES
        for interpreter in language.installed()
    ]
