"""From a handler's name to the object to call. Importing it runs the user's init code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType

from .faults import Fault, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def load(handler: str) -> Callable[..., Any]:
    """Imports `module.function`; the module part may have dots or slashes.

    Raises Fault with Lambda's name for what was wrong with the handler. Anything else that the user's module raises
    while it is imported passes through. As in Lambda, nothing checks that the result can be called: the first
    invocation finds out.
    """
    module_name, dot, name = handler.rpartition(".")
    if not dot:
        reason = "not enough values to unpack (expected 2, got 1)"  # part of Lambda's text
        raise Fault("Runtime.MalformedHandlerName", f"Bad handler '{handler}': {reason}")
    if module_name.partition(".")[0] in sys.builtin_module_names:
        conflict = f"Cannot use built-in module {module_name} as a handler module"
        raise Fault("Runtime.BuiltInModuleConflict", conflict)
    return _attribute(_import(module_name), module_name, name)


def _import(module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {text_of(error)}"
        raise Fault("Runtime.ImportModuleError", message) from error
    except SyntaxError as error:
        message = f"Syntax error in module '{module_name}': {text_of(error)}"
        place = f'  File "{error.filename}" Line {error.lineno}\n    {error.text}'
        raise Fault("Runtime.UserCodeSyntaxError", message, [place]) from error


def _attribute(module: ModuleType, module_name: str, name: str) -> Callable[..., Any]:
    try:
        found: Callable[..., Any] = getattr(module, name)
    except AttributeError as error:
        message = f"Handler '{name}' missing on module '{module_name}'"
        raise Fault("Runtime.HandlerNotFound", message) from error
    return found
