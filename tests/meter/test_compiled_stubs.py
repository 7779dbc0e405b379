"""Each `.pyi` beside a compiled module names what the module has, no more and no less."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import engine

FOLDER = Path(engine.__file__ or "").parent / "_ext"
STUBS = sorted(file.stem for file in FOLDER.glob("*.pyi"))


def declared(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Public names of a module's or class's stub."""
    names: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names[node.target.id] = node
    return {name: node for name, node in names.items() if not name.startswith("_")}


def defined(module: ModuleType) -> set[str]:
    """Public names that a compiled module does not have from somewhere else."""
    found = set()
    for name, value in vars(module).items():
        home = getattr(value, "__module__", module.__name__)
        if not name.startswith("_") and not inspect.ismodule(value) and home == module.__name__:
            found.add(name)
    return found


def parsed(name: str) -> dict[str, ast.stmt]:
    return declared(ast.parse((FOLDER / f"{name}.pyi").read_text()).body)


def test_every_compiled_module_has_a_stub_and_every_stub_a_module() -> None:
    assert sorted({file.name.split(".")[0] for file in FOLDER.glob("*.so")}) == STUBS


@pytest.mark.parametrize("name", STUBS)
def test_a_stub_names_what_its_module_has(name: str) -> None:
    assert set(parsed(name)) == defined(import_module(f"engine._ext.{name}"))


@pytest.mark.parametrize("name", STUBS)
def test_a_class_in_a_stub_names_what_the_class_has(name: str) -> None:
    module = import_module(f"engine._ext.{name}")
    for class_name, node in parsed(name).items():
        if isinstance(node, ast.ClassDef):
            real = {member for member in vars(getattr(module, class_name)) if not member.startswith("_")}
            assert set(declared(node.body)) == real, f"{name}.{class_name}"


@pytest.mark.parametrize("name", STUBS)
def test_a_function_in_a_stub_takes_what_the_compiled_one_takes(name: str) -> None:
    module = import_module(f"engine._ext.{name}")
    for holder, body in [(module, parsed(name)), *classes(module, parsed(name))]:
        for function_name, node in body.items():
            if isinstance(node, ast.FunctionDef) and not is_property(node):
                signature = (getattr(holder, function_name).__doc__ or "").splitlines()[0]
                taken = arguments(signature[signature.index("(") :])
                assert taken == [name for name in stub_arguments(node) if name != "self"], f"{name}.{function_name}"


def classes(module: ModuleType, names: dict[str, ast.stmt]) -> list[tuple[type, dict[str, ast.stmt]]]:
    found = [(getattr(module, name), node) for name, node in names.items() if isinstance(node, ast.ClassDef)]
    return [(made, declared(node.body)) for made, node in found]


def is_property(node: ast.FunctionDef) -> bool:
    return any(isinstance(mark, ast.Name) and mark.id == "property" for mark in node.decorator_list)


def stub_arguments(node: ast.FunctionDef) -> list[str]:
    return [argument.arg for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]]


def arguments(signature: str) -> list[str]:
    """Names out of the signature that Cython puts into a docstring, where C types stand before names."""
    depth, inside = 0, ""
    for letter in signature:
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0:
            break
        inside += letter
    given = [part.split("=")[0].split(":")[0].replace(" not None", "").split() for part in split(inside[1:])]
    return [words[-1] for words in given if words and words[-1] not in ("self", "*", "/")]


def split(text: str) -> list[str]:
    """At commas outside brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
