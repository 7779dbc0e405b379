"""F5: the function that a request is about: every form of its name that Lambda takes, and ARNs of the answer."""

from __future__ import annotations

from ...errors import InvalidParameterValueException
from ...store.snapshot import LATEST, Snapshot, arn
from ..call import Call, Place


def function_arn(place: Place, name: str, qualifier: str | None = None) -> str:
    """A function's ARN here, qualified where `qualifier` is given."""
    return arn(place.region, place.account_id, name, qualifier)


def function_and_qualifier(call: Call) -> tuple[str, str | None]:
    """The bare name of `FunctionName`, and the qualifier that it and `Qualifier` agree on.

    Raises ResourceNotFoundException for a function of another region or account, ValidationException,
    InvalidParameterValueException for two qualifiers.
    """
    here = Snapshot(call.place.region, call.place.account_id)
    return here.names(call.given["FunctionName"], call.given.get("Qualifier"))


def function_only(call: Call) -> str:
    """The bare name, where a qualifier has no meaning. Raises InvalidParameterValueException for one."""
    name, qualifier = function_and_qualifier(call)
    if qualifier not in (None, LATEST):
        raise InvalidParameterValueException(
            f"{call.operation} is about a function as a whole, and {call.given['FunctionName']} names {qualifier} of it"
        )
    return name
