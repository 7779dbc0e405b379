"""F3: which interpreter of the host runs a function, and the part of an environment's order that says so."""

from __future__ import annotations

import os
import platform
import sys
import warnings
from dataclasses import replace
from typing import Any

from ..errors import InvalidParameterValueException, InvalidRuntimeException
from ..model import FunctionConfiguration
from ..runtimes import catalog
from ..runtimes.cache import cache_folder
from ..runtimes.contract import Interpreter, Language, Launch, Prepares, RuntimeMissingError, Subject
from ..runtimes.python import Python
from ..settings import OWN_RUNTIME


def check_runtime(name: str, subject: Subject, *, snap_start: bool, strict: bool) -> None:
    """Whether such a function can be run here. It may take a while: interpreters are asked for versions, and what else
    a language needs is fetched once.

    Raises RuntimeMissingError with what to install; InvalidParameterValueException for SnapStart of what no snapshot
    can be made of, and, under strict, for a runtime that would run on another version than it names. Warns of that
    otherwise.
    """
    runtime = subject.runtime
    if runtime == OWN_RUNTIME:
        return
    if snap_start and not runtime.startswith("python"):
        raise InvalidParameterValueException(
            f"{runtime} is not supported for SnapStart enabled functions: snapshots are made of this engine's own "
            f"{OWN_RUNTIME} only"
        )
    language, interpreter = _found(runtime, snap_start=snap_start)
    if language is None or interpreter is None or not language.is_exact(runtime, interpreter):
        _check_other_version(name, runtime, language, interpreter, strict=strict)
    if language is None or interpreter is None:
        return
    if isinstance(language, Prepares):
        language.prepare(interpreter)
    language.launch(interpreter, subject)


def _check_other_version(
    name: str, runtime: str, language: Language | None, interpreter: Interpreter | None, *, strict: bool
) -> None:
    on = f"this engine's own {OWN_RUNTIME}"
    if language is not None and interpreter is not None:
        on = f"{language.name} {interpreter.version}"
    if strict:
        raise InvalidParameterValueException(
            f"runtime {runtime} is not run natively here: it would run on {on}, and strict_runtimes=True forbids that"
        )
    warnings.warn(
        f"{name}: {runtime} runs on {on}; strict_runtimes=True refuses such functions", RuntimeWarning, stacklevel=4
    )


def _found(runtime: str, *, snap_start: bool) -> tuple[Language | None, Interpreter | None]:
    """Without an interpreter, the engine's own Python stands in: for one that the host has not, and for snapshots."""
    language = catalog.language_of(runtime)
    if not runtime.startswith("python"):
        if language is None:
            raise RuntimeMissingError(f"The runtime {runtime} is not run by this engine.")
        return language, language.choose(runtime)
    if language is None or snap_start:
        return language, None
    try:
        return language, language.choose(runtime)
    except RuntimeMissingError:
        return language, None


def python_of(runtime: str, *, snap_start: bool) -> str:
    """The Python whose packages such a function needs: the host's of that version, where it runs on that."""
    if runtime == OWN_RUNTIME or not runtime.startswith("python"):
        return sys.executable
    _, interpreter = _found(runtime, snap_start=snap_start)
    return sys.executable if interpreter is None else interpreter.executable


def started_by(configuration: FunctionConfiguration) -> Started | None:
    """How the function's runtime process is started; None for one that environments run as they are forked.

    That is what the engine's own Python runs, unless layers bring extensions: what starts a process serves those.

    Raises InvalidRuntimeException where the host has lost what it needs.
    """
    runtime = configuration.runtime
    extended = has_extensions(configuration)
    if runtime == OWN_RUNTIME:
        return _own(configuration) if extended else None
    try:
        language, interpreter = _found(runtime, snap_start=configuration.snap_start)
        if language is None or interpreter is None:
            return _own(configuration) if extended else None
        launch = language.launch(interpreter, _subject(configuration))
        if extended:  # they are started before their runtime, and see what it prints
            launch = replace(launch, stock=None)
        return Started(interpreter, launch)
    except RuntimeMissingError as missing:
        raise InvalidRuntimeException(str(missing)) from missing


def _own(configuration: FunctionConfiguration) -> Started | None:
    """The engine's own Python as a process of its own. None for a version that starts from snapshots."""
    if configuration.snap_start:
        return None
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    home = os.path.realpath(sys.base_prefix)
    interpreter = Interpreter(f"{home}/bin/{name}", platform.python_version(), home)
    launch = replace(Python().launch(interpreter, _subject(configuration)), stock=None)
    return Started(interpreter, launch, is_own=True)


def _subject(configuration: FunctionConfiguration) -> Subject:
    environment = dict(configuration.environment)
    return Subject(configuration.runtime, configuration.handler, configuration.memory_mb, environment)


def warn_of_extensions(configuration: FunctionConfiguration) -> None:
    """Of those that will not be run: snapshots are made of a process that has none beside it."""
    if configuration.snap_start and has_extensions(configuration):
        warnings.warn(
            f"{configuration.function_name}: its layers bring extensions, which are not run in a function with "
            "SnapStart",
            RuntimeWarning,
            stacklevel=2,
        )


def has_extensions(configuration: FunctionConfiguration) -> bool:
    """Whether a layer of the function's brings extensions."""
    folders = (os.path.join(layer.root, "extensions") for layer in configuration.layers)
    return any(os.listdir(folder) for folder in folders if os.path.isdir(folder))


class Started:
    """An interpreter of the host, and how it is started for a function. `is_own`: it is the engine's."""

    def __init__(self, interpreter: Interpreter, launch: Launch, *, is_own: bool = False) -> None:
        self.interpreter = interpreter
        self.launch = launch
        self._is_own = is_own

    @property
    def stock(self) -> str | None:
        """What is alike in processes that could be started before their functions are known; None where none could."""
        return None if self.launch.stock is None else f"{self.interpreter.executable} {self.launch.stock}"

    def order(self) -> dict[str, Any]:
        """What the shim is told of it; the zygote's jail may have other places for the folders."""
        launch = self.launch
        return {
            "command": list(launch.command),
            "variables": dict(launch.variables),
            "channel": launch.has_channel,
            "language_root": self.interpreter.home or "/usr",
            "is_own": self._is_own,
            "homes": [self.interpreter.home] if self.interpreter.home else [],
            "places": {"bootstraps": os.path.realpath(catalog.BOOTSTRAPS), "cache": str(cache_folder())},
        }
