"""F1: the folder for what runtimes need besides the host's programs: clients fetched from registries, what is compiled.

It is the user's, not an engine's: an embedded engine with a temporary folder must not fetch anew at every start.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

VARIABLE: Final = "ENGINE_CACHE"


def cache_folder() -> Path:
    """`$ENGINE_CACHE`, else below `$XDG_CACHE_HOME` or `~/.cache`. Functions of every user must be able to read it."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = base if os.path.isabs(base) else os.path.expanduser("~/.cache")
    return Path(root) / "invocation-engine" / "runtimes"


def made_cache_folder() -> Path:
    """The same, there and readable. Raises OSError."""
    folder = cache_folder()
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    return folder.resolve()
