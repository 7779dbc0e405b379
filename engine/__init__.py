"""AWS Lambda as one fast engine for a Linux host.

`Engine` is the engine for programs with an event loop, `connect` gives a client of one that serves on a socket;
`engine.sync` has the same names, blocking. All are imported when they are first asked for, so that `import engine`
costs next to nothing.
"""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["Engine", "InvokeResult", "LogEvent", "__version__", "connect", "errors"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import errors
    from ._ext.result import InvokeResult
    from .app import Engine
    from .client.asynchronous import connect
    from .model import LogEvent

_HOMES = {"Engine": "app", "InvokeResult": "_ext.result", "LogEvent": "model", "connect": "client.asynchronous"}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in ("errors", "sync"):
        return import_module(f"{__name__}.{name}")
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
