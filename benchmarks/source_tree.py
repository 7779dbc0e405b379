"""Which engine is measured: the one built in this tree, else the installed one."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parent.parent


def prefer_built_engine() -> None:
    """Keeps a tree without compiled modules, first on the path with `python -m`, from hiding the installed engine.

    The tree goes last rather than away: workers of peers import `benchmarks` from it. The package is imported at once,
    because pytest puts the tree first again with every module that it collects.
    """
    if not any((ROOT / "engine" / "_ext").glob("*.so")):
        kept = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
        sys.path[:] = [*kept, str(ROOT)]
    import_module("engine")
