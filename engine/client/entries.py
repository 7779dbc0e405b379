"""F2: what code is deployed as when its user named no handler or no runtime: this host's for the language it is in."""

from __future__ import annotations

from pathlib import Path

from ..runtimes.catalog import newest_runtime
from ..store.entry import find_entry, language_of


def choose_entry(path: Path, handler: str | None, runtime: str | None) -> tuple[str, str | None]:
    """Handler and runtime of the code at `path`, whichever of them its user left out; no runtime is the engine's own.

    Raises InvalidParameterValueException where no handler can be found, or this host has nothing that runs the code.
    """
    if handler is None:
        entry = find_entry(path)
        language, handler = entry.language, entry.handler
    else:
        language = language_of(path, handler)
    return handler, newest_runtime(language) if runtime is None else runtime
