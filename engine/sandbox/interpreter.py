"""F1: tells a running Python that its files are at other paths now, as if it had been started there.

What a zygote has loaded before it changed its root directory remembers where that was: packages would look for their
other modules there, tracebacks would name files there. All is put right once, for whatever is forked later.
"""

from __future__ import annotations

import _imp
import gc
import sys
from collections.abc import Mapping
from types import FunctionType, ModuleType


def move(prefix: str, executable: str, moves: Mapping[str, str]) -> None:
    """prefix: where Python is installed from now on. executable: where it was. moves: folders, where they are now."""
    sys.prefix = sys.exec_prefix = sys.base_prefix = sys.base_exec_prefix = prefix
    sys.executable = sys._base_executable = _moved(executable, moves)  # type: ignore[attr-defined]
    sys._stdlib_dir = _moved(sys._stdlib_dir, moves)  # type: ignore[attr-defined]
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType):  # some put a class there
            _move_module(module, moves)
    for function in gc.get_objects():
        if type(function) is FunctionType:
            _move_code(function, moves)
    sys.path_importer_cache.clear()


def _move_module(module: ModuleType, moves: Mapping[str, str]) -> None:
    """Where it was found, and where it looks for what is in it."""
    for name in ("__file__", "__cached__"):
        if isinstance(path := getattr(module, name, None), str):
            setattr(module, name, _moved(path, moves))
    if (loader := module.__loader__) is not None and hasattr(loader, "path"):
        loader.path = _moved(loader.path, moves)
    spec = module.__spec__
    if spec is not None and spec.origin is not None:
        spec.origin = _moved(spec.origin, moves)
    if spec is not None and spec.submodule_search_locations is not None:
        module.__path__ = spec.submodule_search_locations = [_moved(path, moves) for path in module.__path__]


def _move_code(function: FunctionType, moves: Mapping[str, str]) -> None:
    """With it goes all code that is nested in it and from the same file."""
    code = function.__code__
    if (path := _moved(code.co_filename, moves)) != code.co_filename:
        _imp._fix_co_filename(code, path)  # type: ignore[attr-defined]


def _moved(path: str, moves: Mapping[str, str]) -> str:
    return next((new + path.removeprefix(old) for old, new in moves.items() if f"{path}/".startswith(f"{old}/")), path)
