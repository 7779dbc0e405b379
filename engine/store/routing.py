"""F1: Lambda's rules for an alias that sends part of its invocations to a second version. Keeping it is `catalog`'s.

Messages are Lambda's own where it is known to have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ..errors import InvalidParameterValueException
from ..model import Alias
from ..validation import refuse, type_problem, violation
from .snapshot import LATEST, FunctionRecord, Snapshot

VERSIONS_MAX: Final = 1  # beside the alias' own
_VERSION_MAX: Final = 1_024
_MEMBER: Final = "routingConfig.additionalVersionWeights"


def checked_routing(routing: object) -> Mapping[str, float]:
    """Weights by version, their shape checked; raises `ValidationException`, `InvalidParameterValueException`."""
    if not isinstance(routing, Mapping):
        refuse(type_problem(routing, _MEMBER, dict))
        raise AssertionError("what is no mapping was refused")
    if len(routing) > VERSIONS_MAX:
        raise InvalidParameterValueException("Number of items in AdditionalVersionWeights cannot be greater than 1")
    refuse(*(_problem(version, weight) for version, weight in routing.items()))
    return MappingProxyType({version: float(weight) for version, weight in routing.items()})


def check_alias(snapshot: Snapshot, record: FunctionRecord, alias: Alias) -> None:
    """Whether the versions that an alias names go together and are there.

    Raises `InvalidParameterValueException`, `ResourceNotFoundException`.
    """
    name = record.latest.function_name
    if alias.function_version != LATEST and alias.function_version not in record.versions:
        raise snapshot.not_found(name, alias.function_version)
    for version in alias.routing:
        if version == alias.function_version:
            raise InvalidParameterValueException(
                f"Invalid function version {version}. Function version {version} is already included in routing "
                "configuration."
            )
        if alias.function_version == LATEST:
            raise InvalidParameterValueException(
                "$LATEST is not supported for an alias pointing to more than 1 version"
            )
        if version not in record.versions:
            raise snapshot.not_found(name, version)


def _problem(version: object, weight: object) -> str | None:
    told = f"{{{version}={weight}}}"
    if not isinstance(version, str) or not (version.isascii() and version.isdecimal() and len(version) <= _VERSION_MAX):
        keys = (
            f"Member must have length less than or equal to {_VERSION_MAX}, Member must have length greater than or "
            "equal to 1, Member must satisfy regular expression pattern: [0-9]+"
        )
        return violation(told, _MEMBER, f"Map keys must satisfy constraint: [{keys}]")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0.0 <= weight <= 1.0:
        values = (
            "Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, "
            "Member must not be null"
        )
        return violation(told, _MEMBER, f"Map value must satisfy constraint: [{values}]")
    return None
