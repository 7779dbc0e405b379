"""F5: the `lambda` service model that botocore ships, and how its operations are found by method and path.

What is not in the model is not known here: a newer botocore brings new operations without a change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import unquote

SERVICE: Final = "lambda"
LABEL: Final = re.compile(r"\{(\w+)(\+?)\}")


@cache
def service_model(service: str = SERVICE) -> Any:
    """A `botocore.model.ServiceModel`. It takes 30 ms to load, which only a gateway pays."""
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


@dataclass(frozen=True, slots=True)
class Route:
    """One operation's method, path and what its query string must have."""

    operation: str
    method: str
    pattern: re.Pattern[str]
    query: Mapping[str, str]
    literals: int  # segments that are no label: the more of them, the better it fits


@dataclass(frozen=True, slots=True)
class Found:
    """The operation that a request asks for, and the labels of its path, unquoted."""

    operation: str
    labels: Mapping[str, str]


class Router:
    """From a request's first line to the operation."""

    def __init__(self, model: Any) -> None:
        routes = (_route(name, model.operation_model(name).http) for name in model.operation_names)
        self._routes = sorted(routes, key=lambda route: (-route.literals, -len(route.query), route.operation))

    def find(self, method: str, path: str, query: Mapping[str, list[str]]) -> Found | None:
        """`path` as it was sent, still quoted. None: no operation has that path and method."""
        for route in self._routes:
            match = route.pattern.fullmatch(path) if route.method == method else None
            if match is not None and all(query.get(key) == [value] for key, value in route.query.items()):
                return Found(route.operation, {name: unquote(value) for name, value in match.groupdict().items()})
        return None

    def methods(self, path: str) -> Iterable[str]:
        """The methods that this path takes."""
        return sorted({route.method for route in self._routes if route.pattern.fullmatch(path)})


def _route(operation: str, http: Mapping[str, str]) -> Route:
    path, _, query = http["requestUri"].partition("?")
    asked = dict(part.partition("=")[::2] for part in query.split("&") if part)
    segments = path.strip("/").split("/")
    literals = sum(LABEL.fullmatch(segment) is None for segment in segments)
    return Route(operation, http["method"], re.compile(_pattern(path)), asked, literals)


def _pattern(path: str) -> str:
    """A label takes one segment, one with a plus any number. A slash at the end changes nothing."""
    made, at = "", 0
    for label in LABEL.finditer(path):
        made += re.escape(path[at : label.start()]) + f"(?P<{label[1]}>{'.+' if label[2] else '[^/]+'})"
        at = label.end()
    return made + re.escape(path[at:].rstrip("/")) + "/?"
