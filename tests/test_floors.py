"""The floors: a module imports only lower floors, or its own room without circles. Also sizes, names, import weight.

The table is the architecture. A breach is mended by moving code, not by a line here; a new room gets its line.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# By room: a folder of engine/, or a file that stands alone. The doors of floor 5 are siblings, not one room.
FLOORS: dict[str, int] = {
    **dict.fromkeys(("errors", "model", "states", "config", "clock", "settings", "validation", "_ext"), 0),
    **dict.fromkeys(("ipc", "wire", "sandbox", "store", "records", "runtimes"), 1),
    **dict.fromkeys(("worker", "client"), 2),
    "core": 3,
    "app": 4,
    **dict.fromkeys(("sync", "rpc", "rest", "sources", "cluster", "load"), 5),
    **dict.fromkeys(("commands", "console"), 6),
    "cli": 7,
    "__main__": 8,
}
WORDS = frozenset(room for room, floor in FLOORS.items() if floor == 0)
PACKAGE = "__init__"  # `import engine`: the name under which users find floor 4
DOORS_REACH = WORDS | {room for room, floor in FLOORS.items() if floor == 1} | {"client", "app", PACKAGE}
FORBIDDEN_NAMES = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc"}
LINES_MAX = {".py": 600, ".pyx": 400}
HEAVY = {
    *("apsw", "asyncio", "boto3", "botocore", "click", "concurrent.futures", "email", "http.client", "msgpack", "ssl"),
    *("multiprocessing", "numpy", "psutil", "pyarrow", "rich", "simplejson", "sqlite3", "urllib.request", "uvloop"),
}


def room_of(module: str) -> str:
    """`engine.core.pool` → `core`; the package itself → `__init__`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else PACKAGE


def modules_of(root: Path) -> dict[str, ast.Module]:
    """Every module of root/engine by its dotted name."""
    found = {}
    for file in sorted((root / "engine").rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(file.read_text(), str(file))
    return found


def imports_of(module: str, tree: ast.Module, is_package: bool, known: set[str]) -> Iterator[str]:
    """Modules of the engine that `tree` names in any import, wherever it stands: functions and TYPE_CHECKING count."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "engine")
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")[: len(module.split(".")) - node.level + is_package]
                base = ".".join([*above, *filter(None, [node.module])])
            if base.split(".")[0] == "engine":
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    yield inner if inner in known or room_of(inner) == "_ext" else base


def graph_of(root: Path) -> dict[str, set[str]]:
    modules = modules_of(root)
    packages = {".".join(file.parent.relative_to(root).parts) for file in (root / "engine").rglob("__init__.py")}
    return {
        name: set(imports_of(name, tree, name in packages, set(modules))) - {name} for name, tree in modules.items()
    }


def breaches(graph: dict[str, set[str]]) -> list[str]:
    """Every import that the table forbids, as a sentence; empty where the floors hold."""
    homeless = {room_of(name) for name in graph} - set(FLOORS) - {PACKAGE}
    found = [f"{room} has no floor: give it one in FLOORS" for room in sorted(homeless)]
    for name, targets in graph.items():
        for target in sorted(targets):
            if not homeless & {room_of(name), room_of(target)} and not allowed(room_of(name), room_of(target)):
                found.append(f"{name} imports {target}")
    return found + circles(graph)


def allowed(room: str, target: str) -> bool:
    if room == target or {room, target} <= WORDS:
        return True
    if floor(room) == 5:
        return target in DOORS_REACH
    if {room, target} == {"core", "worker"}:
        return False
    return floor(target) < floor(room)


def floor(room: str) -> float:
    """The package stands between `app`, which it shows, and the doors, which may import it."""
    return 4.5 if room == PACKAGE else FLOORS.get(room, 99)


def circles(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        return [f"a circle: {' → '.join(circle.args[1])}"]
    return []


def make_tree(root: Path, **files: str) -> Path:
    """A made-up engine; `core__pool` stands for engine/core/pool.py."""
    for name, source in {"__init__": "", **files}.items():
        file = root / "engine" / f"{name.replace('__', '/') if name != PACKAGE else name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.parent.joinpath("__init__.py").touch()
        file.write_text(source)
    return root


def sources() -> list[Path]:
    return [file for top in ("engine", "ext", "benchmarks", "tests") for file in (ROOT / top).rglob("*.p*")]


def test_every_import_goes_to_a_lower_floor() -> None:
    assert breaches(graph_of(ROOT)) == []


def test_compiled_modules_import_only_words() -> None:
    pattern = re.compile(r"^\s*(?:from|c?import)\s+engine\.(\w+)", re.MULTILINE)
    named = {(file.name, room) for file in (ROOT / "ext").glob("*.py*") for room in pattern.findall(file.read_text())}
    assert {(file, room) for file, room in named if room not in WORDS} == set()


@pytest.mark.parametrize(
    ("files", "breach"),
    [
        ({"errors": "from .core import pool", "core__pool": ""}, "engine.errors imports engine.core.pool"),
        ({"store__a": "from ..ipc import b", "ipc__b": ""}, "engine.store.a imports engine.ipc.b"),
        ({"core__a": "from ..worker.b import x", "worker__b": ""}, "engine.core.a imports engine.worker.b"),
        ({"worker__b": "def f():\n    import engine.core.a", "core__a": ""}, "engine.worker.b imports engine.core.a"),
        ({"rpc__a": "from ..core import b", "core__b": ""}, "engine.rpc.a imports engine.core.b"),
        ({"rpc__a": "from ..rest import b", "rest__b": ""}, "engine.rpc.a imports engine.rest.b"),
        ({"sync": "from .core.b import x", "core__b": ""}, "engine.sync imports engine.core.b"),
        ({"core__a": "from engine import Engine"}, "engine.core.a imports engine"),
        (
            {"model": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .app import E", "app": ""},
            "engine.model imports engine.app",
        ),
        ({"core__a": "from . import b", "core__b": "from .a import x"}, "a circle"),
        ({"model": "from . import errors", "errors": "from . import model"}, "a circle"),
        ({"attic__a": ""}, "attic has no floor"),
    ],
)
def test_a_made_up_breach_is_found(tmp_path: Path, files: dict[str, str], breach: str) -> None:
    assert any(found.startswith(breach) for found in breaches(graph_of(make_tree(tmp_path, **files))))


def test_a_made_up_tree_that_keeps_the_floors_passes(tmp_path: Path) -> None:
    make_tree(
        tmp_path,
        __init__="from .app import Engine",
        app="from .core import pool\nfrom . import errors\nfrom ._ext.queue import Queue",
        core__pool="from ..store.catalog import Catalog\nfrom ..errors import E\nfrom . import lease\nimport json",
        core__lease="from .._ext import queue",
        store__catalog="from .. import model",
        model="from . import errors",
        errors="",
        sync="from .app import Engine\nfrom engine import connect",
        cli="from .rpc import server\nfrom . import sync",
        rpc__server="from .. import Engine",
    )
    assert breaches(graph_of(tmp_path)) == []


def test_no_file_outgrows_its_measure() -> None:
    counted = {file: len(file.read_text().splitlines()) for file in sources() if file.suffix in LINES_MAX}
    too_long = {str(file.relative_to(ROOT)): lines for file, lines in counted.items() if lines > LINES_MAX[file.suffix]}
    assert too_long == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [str(file) for file in sources() if FORBIDDEN_NAMES & {file.stem, file.parent.name}] == []


def test_no_two_test_files_have_one_name() -> None:
    names = Counter(file.name for file in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, files in names.items() if files > 1] == []  # pytest collects them by name


def test_importing_the_package_stays_light() -> None:
    import engine

    assert engine.__file__ is not None
    path = os.pathsep.join([str(Path(engine.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    code = "import sys; before = set(sys.modules); import engine; print(*(set(sys.modules) - before), sep='\\n')"
    command = [sys.executable, "-P", "-c", code]
    imported = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert HEAVY & set(imported.stdout.split()) == set()
