"""F5: ListMetrics: which metrics have points, by each set of dimensions that they can be asked by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from ...model import MetricName
from ..call import Call
from ..codecs.contract import Refusal
from ..logs.paging import page_of
from .asked import FUNCTION, LATEST, NAMESPACE, RESOURCE

METRICS_MAX: Final = 500  # of a page
Listed: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]


async def list_metrics(call: Call) -> Mapping[str, Any]:
    given = call.given
    wanted = {each["Name"]: each.get("Value") for each in given.get("Dimensions", ())}
    everything = sorted({each for name in await call.client.list_metrics() for each in _sets(name)})
    found = [
        (metric, dimensions)
        for metric, dimensions in everything
        if given.get("Namespace") in (None, NAMESPACE)
        and given.get("MetricName") in (None, metric)
        and all(_has(dict(dimensions), name, value) for name, value in wanted.items())
    ]
    try:
        taken, token = page_of(found, {"nextToken": given.get("NextToken")}, METRICS_MAX, str)
    except Refusal as refused:
        raise Refusal("InvalidParameterValueException", "The specified NextToken is invalid.") from refused
    return {"Metrics": [_shape(*each) for each in taken], "NextToken": token}


def _shape(metric: str, dimensions: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    told = [{"Name": name, "Value": value} for name, value in dimensions]
    return {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": told}


def _has(dimensions: Mapping[str, str], name: str, value: str | None) -> bool:
    return name in dimensions and value in (None, dimensions[name])


def _sets(name: MetricName) -> Iterator[Listed]:
    resource = name.function if name.version == LATEST else f"{name.function}:{name.version}"
    yield name.metric, ()
    yield name.metric, ((FUNCTION, name.function),)
    yield name.metric, ((FUNCTION, name.function), (RESOURCE, resource))
