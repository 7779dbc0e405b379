"""A handler's name leads to the same object, or to the same init error, as in AWS's Python runtime client."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.runtimes.bootstraps.python import handler
from engine.runtimes.bootstraps.python.faults import Fault

FILES = {
    "app.py": "def handler(event, context):\n    return event\nvalue = 7\n",
    "pkg/__init__.py": "",
    "pkg/app.py": "def handler(event, context):\n    return 'pkg'\n",
    "folder/app.py": "def handler(event, context):\n    return 'folder'\n",
    "broken.py": "def handler(event, context)\n    return event\n",
    "indented.py": "def handler(event, context):\nreturn event\n",
    "null.py": "x = '\\udcff'\nraise SyntaxError('made by hand')\n",
    "needs.py": "import a_module_nobody_has\n",
    "imports_name.py": "from app import missing_name\n",
    "raises.py": "def boom():\n    raise ValueError('at init')\nboom()\n",
    "raises_import_error.py": "class Odd(ImportError):\n    pass\nraise Odd('by hand')\n",
    "lazy.py": "def __getattr__(name):\n    raise LookupError(name)\n",
    "chained.py": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise RuntimeError('second') from e\n",
}
GOOD = ["app.handler", "app.value", "pkg.app.handler", "pkg/app.handler", "folder/app.handler", "folder.app.handler"]
BAD = [
    "app",
    "",
    ".handler",
    "..handler",
    "app.",
    "app.missing",
    "missing.handler",
    "missing/deep.handler",
    "pkg.missing.handler",
    "sys.exit",
    "time.handler",
    "sys/x.handler",
    "/app.handler",
    "./app.handler",
    "folder//app.handler",
    "app.handler.more",
    "broken.handler",
    "indented.handler",
    "null.handler",
    "needs.handler",
    "imports_name.handler",
    "raises.handler",
    "raises_import_error.handler",
    "lazy.handler",
    "chained.handler",
    "h\u00e4ndler.f",
]


@pytest.fixture(autouse=True)
def files(task_root: Path) -> None:
    for name, text in FILES.items():
        (task_root / name).parent.mkdir(exist_ok=True)
        (task_root / name).write_text(text)
    importlib.invalidate_caches()


def forget(names: set[str]) -> None:
    for name in set(sys.modules) - names:
        del sys.modules[name]


@pytest.mark.parametrize("name", GOOD)
def test_a_good_name_leads_to_the_object_that_awss_client_finds(name: str, oracle: SimpleNamespace) -> None:
    found, error = oracle.load(name)
    assert error is None
    assert handler.load(name) is found


@pytest.mark.parametrize("name", BAD)
def test_a_bad_name_gives_the_init_error_of_awss_client(
    name: str, oracle: SimpleNamespace, failure_of: Callable[..., Any]
) -> None:
    loaded = set(sys.modules)
    _, expected = oracle.load(name)
    forget(loaded)
    assert failure_of(lambda: handler.load(name), "") == expected


def test_each_fault_has_lambdas_name() -> None:
    names = ["app", "missing.f", "broken.f", "app.missing", "sys.exit"]
    faults = []
    for name in names:
        with pytest.raises(Fault) as caught:
            handler.load(name)
        faults.append(caught.value.error_type)
    assert faults == [
        "Runtime.MalformedHandlerName",
        "Runtime.ImportModuleError",
        "Runtime.UserCodeSyntaxError",
        "Runtime.HandlerNotFound",
        "Runtime.BuiltInModuleConflict",
    ]


def test_a_missing_module_is_told_in_lambdas_words() -> None:
    with pytest.raises(Fault) as caught:
        handler.load("missing.handler")
    assert caught.value.message == "Unable to import module 'missing': No module named 'missing'"
    assert caught.value.stack_trace == []


def test_an_import_error_that_cannot_be_printed_is_still_an_import_error(task_root: Path) -> None:
    source = "class Odd(ImportError):\n    def __str__(self):\n        raise KeyError\nraise Odd\n"
    (task_root / "unprintable.py").write_text(source)
    importlib.invalidate_caches()
    with pytest.raises(Fault, match="Unable to import module 'unprintable': <exception str"):
        handler.load("unprintable.handler")


@pytest.mark.parametrize("ending", ["raise SystemExit(3)", "raise KeyboardInterrupt"])
def test_what_ends_the_process_in_lambda_passes_through_an_import(task_root: Path, ending: str) -> None:
    (task_root / "ending.py").write_text(ending)
    importlib.invalidate_caches()
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        handler.load("ending.handler")
