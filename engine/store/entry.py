"""F1: which language a code bundle is in, and which `module.function` it offers when its user named none.

Reads source, never runs it.
"""

from __future__ import annotations

import ast
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from ..errors import InvalidParameterValueException

PYTHON: Final = "python"
# Of source files, and the language that they are in. One alone is a function.
SUFFIXES: Final = {".py": PYTHON, ".js": "nodejs", ".mjs": "nodejs", ".cjs": "nodejs", ".rb": "ruby"}
# Beside Python's: the module that Lambda's console gives a new function, by language.
STARTERS: Final = {"nodejs": ("index", "handler"), "ruby": ("lambda_function", "lambda_handler")}
CONVENTIONS: Final = (("app", "handler"), ("lambda_function", "lambda_handler"))
NAMES: Final = ("handler", "lambda_handler")
MODULES_SHOWN: Final = 8  # in an error's message
_BLOCKS: Final = (ast.If, ast.Try, ast.With, ast.For, ast.While)


class Entry(NamedTuple):
    """Where a function begins: `handler` as `module.function`, in `language`, a value of `SUFFIXES`."""

    language: str
    handler: str


def find_handler(path: Path) -> str:
    """The handler of `find_entry`."""
    return find_entry(path).handler


def find_entry(path: Path) -> Entry:
    """The entry of a folder, a `.zip` or a single source file.

    The rule: `app.handler`, else `lambda_function.lambda_handler` in Python; else `index.handler` of an index.js,
    index.mjs or index.cjs, else `lambda_function.lambda_handler` of a lambda_function.rb; else `handler` or
    `lambda_handler` of the only Python module. A single file of JavaScript has a `handler`, of Ruby a
    `lambda_handler`. A module that does not parse counts as having the name, so that its invocation ends with Lambda's
    own `Runtime.UserCodeSyntaxError`. Raises InvalidParameterValueException, naming what was looked for.
    """
    if path.is_file() and SUFFIXES.get(path.suffix, PYTHON) != PYTHON:
        language = SUFFIXES[path.suffix]
        return Entry(language, f"{path.stem}.{STARTERS[language][1]}")
    modules = _modules(path)
    for module, name in CONVENTIONS:
        if module in modules and _binds(modules[module], name):
            return Entry(PYTHON, f"{module}.{name}")
    for language, (module, name) in STARTERS.items():
        if _held(path, [f"{module}{suffix}" for suffix, of in SUFFIXES.items() if of == language]):
            return Entry(language, f"{module}.{name}")
    if len(modules) == 1:
        ((module, source),) = modules.items()
        for name in NAMES:
            if _binds(source, name):
                return Entry(PYTHON, f"{module}.{name}")
    raise InvalidParameterValueException(_not_found(path, list(modules)))


def language_of(path: Path, handler: str) -> str:
    """The language of the file that `handler` names, in a folder, a `.zip` or a single source file; Python if none."""
    if path.is_file() and path.suffix in SUFFIXES:
        return SUFFIXES[path.suffix]
    folder, slash, base = handler.rpartition("/")
    files = {f"{folder}{slash}{base.partition('.')[0]}{suffix}": language for suffix, language in SUFFIXES.items()}
    return next((files[name] for name in _held(path, files)), PYTHON)


def _held(path: Path, names: Iterable[str]) -> list[str]:
    """Those of the files that a folder or a zip has."""
    if path.is_dir():
        return [name for name in names if (path / name).is_file()]
    if path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as bundle:
            held = set(bundle.namelist())
        return [name for name in names if name in held]
    return []


def _modules(path: Path) -> dict[str, bytes]:
    """Source by name of the Python modules that lie at the bundle's top level."""
    if path.is_dir():
        return {file.stem: file.read_bytes() for file in sorted(path.glob("*.py")) if file.is_file()}
    if path.suffix == ".py" and path.is_file():
        return {path.stem: path.read_bytes()}
    if path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as bundle:
            return {name[:-3]: bundle.read(name) for name in sorted(bundle.namelist()) if _is_top_level(name)}
    what = f"is not a folder, a .zip or a {', '.join(SUFFIXES)} file" if path.exists() else "does not exist"
    raise InvalidParameterValueException(f"no handler found: {path} {what}")


def _is_top_level(name: str) -> bool:
    return name.endswith(".py") and "/" not in name


def _binds(source: bytes, name: str) -> bool:
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return True
    return any(bound in (name, "*") for bound in _bound_names(body))


def _bound_names(body: list[ast.stmt]) -> Iterator[str]:
    """Names that a module's top level binds; blocks such as `if` and `try` belong to it, functions do not."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield statement.name
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in statement.names)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            yield from _targets(statement)
        elif isinstance(statement, _BLOCKS):
            yield from _bound_names([child for child in _inside(statement) if isinstance(child, ast.stmt)])


def _targets(statement: ast.Assign | ast.AnnAssign) -> Iterator[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    for target in targets:
        yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


def _inside(block: ast.stmt) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(block):
        yield from child.body if isinstance(child, ast.ExceptHandler) else [child]


def _not_found(path: Path, modules: list[str]) -> str:
    starters = [f"{module}.{name}" for module, name in (*CONVENTIONS, *STARTERS.values())]
    shown = ", ".join(f"{module}.py" for module in modules[:MODULES_SHOWN]) or "none"
    more = ", …" if len(modules) > MODULES_SHOWN else ""
    return (
        f"no handler found in {path}: looked for {', '.join(starters)}, then for {' or '.join(NAMES)} in the only "
        f"Python module; modules there: {shown}{more}. Name the handler as module.function"
    )
